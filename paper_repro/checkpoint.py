"""Checkpoints that survive a kill and notice damage.

Each file is written beside its place, synced and renamed, and carries the first digits of its sha256 in its name
(torch and safetensors both load flipped bits without a word). The newest two are kept.
"""

import hashlib
import io
import warnings
from pathlib import Path

import torch

from paper_repro.files import PARTIAL, ReproError, atomic_write, sha256_file

FORMAT = 1  # raised when a checkpoint's content changes its meaning


def save_hashed(folder: Path, stem: str, suffix: str, content: bytes) -> Path:
    """Writes `content` to `folder/stem-<its sha256's first digits><suffix>` and returns that path."""
    path = folder / f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}{suffix}"
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return path


def save(folder: Path, epoch: int, state: dict) -> None:
    """Writes the state after `epoch` and removes all but the newest two. One process at a time, as `train` sees to."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    for left in folder.glob(f"{PARTIAL}*.pt"):  # by a killed process; a laptop's disk has no room for many
        left.unlink()
    save_hashed(folder, f"epoch{epoch:05d}", ".pt", buffer.getvalue())
    for old in sorted(folder.glob("epoch*-*.pt"))[:-2]:
        old.unlink()


def load_newest(folder: Path) -> dict | None:
    """The newest intact state, or None; a damaged file is named in a warning and passed over. One of a newer version
    of this package, or with more than tensors and plain values, is a ReproError."""
    for path in sorted(folder.glob("epoch*-*.pt"), reverse=True):
        if not sha256_file(path).startswith(path.stem.rpartition("-")[2]):
            problem = "is damaged (its sha256 is not the one in its name)"
            warnings.warn(f"checkpoint {path} {problem}: taking the one before", stacklevel=2)
            continue
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # whatever the content leads torch to
            problem = (
                f"cannot be read as tensors and numbers alone ({type(error).__name__}): this package did not write it"
            )
            raise ReproError(f"checkpoint {path} {problem}; delete it to continue from the one before") from error
        if (found := state.get("format") if isinstance(state, dict) else None) != FORMAT:
            remedy = "update paper_repro, or delete the file to start again"
            raise ReproError(f"checkpoint {path} has format {found}, this version reads {FORMAT}: {remedy}")
        return state
    return None
