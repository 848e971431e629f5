"""Checkpoints that survive a kill and notice damage.

Each file is written beside its place, synced and renamed, and carries the first digits of its sha256 in its name
(torch and safetensors both load flipped bits without a word). The newest two are kept.
"""

import hashlib
import io
import warnings
from pathlib import Path

import torch

from paper_repro.files import ReproError, atomic_write, sha256_file

FORMAT = 1  # raised when a checkpoint's content changes its meaning
_DIGITS = 16


def save_hashed(folder: Path, stem: str, suffix: str, content: bytes) -> Path:
    """Writes `content` to `folder/stem-<its sha256's first digits><suffix>` and returns that path."""
    path = folder / f"{stem}-{hashlib.sha256(content).hexdigest()[:_DIGITS]}{suffix}"
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return path


def is_intact(path: Path) -> bool:
    """Whether the file's content has the sha256 that its name states."""
    return sha256_file(path).startswith(path.stem.rpartition("-")[2])


def save(folder: Path, epoch: int, state: dict) -> None:
    """Writes the state after `epoch` and removes all but the newest two.

    Raises:
        ReproError: no space or no permission; the older checkpoints are untouched.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    save_hashed(folder, f"epoch{epoch:05d}", ".pt", buffer.getvalue())
    for old in sorted(folder.glob("epoch*-*.pt"))[:-2]:
        old.unlink()


def load_newest(folder: Path) -> dict | None:
    """The newest intact state, or None; a damaged file is named in a warning and passed over.

    Raises:
        ReproError: written by a newer version of this package.
    """
    for path in sorted(folder.glob("epoch*-*.pt"), reverse=True):
        if not is_intact(path):
            warnings.warn(
                f"checkpoint {path} is damaged (its sha256 is not the one in its name): taking the one before",
                stacklevel=2,
            )
            continue
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state.get("format") != FORMAT:
            raise ReproError(
                f"checkpoint {path} has format {state.get('format')}, this version reads {FORMAT}: "
                "update paper_repro, or delete the file to start again"
            )
        return state
    return None
