"""Where things lie, how a file is written so that a kill never leaves half of it, and how progress is shown."""

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from platformdirs import user_cache_dir
from tqdm.auto import tqdm

PARTIAL = ".partial-"  # what begins the name of a file that is being written
SOCKET_ROOM = 64  # bytes of a path below which sockets fit, whose own paths may have 103 (macOS) or 107 (Linux)


class ReproError(ValueError):
    """Something the user can mend; the message names the thing that is wrong and the remedy."""


def as_path(value: str | os.PathLike, what: str) -> Path:
    """The path that a user gave for `what`, `~` expanded; a ReproError for any other type."""
    if not isinstance(value, (str, os.PathLike)):
        raise ReproError(f"{what}: the path must be text or a Path, not of type {type(value).__name__}: correct it")
    return Path(value).expanduser()


def brief(name: object) -> str:
    """A name from outside for a message: on one line and at most 200 characters long."""
    text = str(name)
    return text if text.isprintable() and len(text) <= 200 else f"{text[:200]!r}" + "…" * (len(text) > 200)


def csv_bytes(table: Any, float_format: str | None = None) -> bytes:
    """A pandas table as CSV, without its index and with quotes around every text that holds a line break."""
    end = "\r\0\n"  # Python before 3.13 quotes a text with a carriage return only where that ends the rows as well
    text = table.to_csv(index=False, float_format=float_format, lineterminator=end)
    return text.replace(end, "\n").encode()


def project_root() -> Path:
    """The project's folder: the nearest one at or above the working directory that holds `pyproject.toml` and
    `notebooks`, else the one this package was installed from (editable), else a ReproError."""
    here = Path.cwd().resolve()
    for folder in [here, *here.parents, Path(__file__).resolve().parents[1]]:
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise ReproError(f"no paper_repro project at or above {here}: clone the repository and start from inside it")


def cache_dir(*parts: str) -> Path:
    """A folder for prepared images, checkpoints and weights, created on demand, outside the work tree:
    `$PAPER_REPRO_CACHE`, default the user's cache folder."""
    folder = Path(os.environ.get("PAPER_REPRO_CACHE") or user_cache_dir("paper_repro")).joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "set PAPER_REPRO_CACHE to a folder you may write to"
        raise ReproError(f"cannot create the cache folder {folder} ({error.strerror}): {remedy}") from error
    return folder


def sockets_fit() -> bool:
    """Whether the path of the folder for temporary files (`$TMPDIR`) is short enough for sockets in it."""
    return len(os.fsencode(tempfile.gettempdir())) <= SOCKET_ROOM


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; at success it is synced to disk and renamed to `path`, at an error it is
    removed, so that `path` holds the old content or the new, never a part. A ReproError names a full disk."""
    path, temporary = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A prefix of its own length: a name of 255 bytes has no room for a suffix.
        handle, name = tempfile.mkstemp(prefix=PARTIAL, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb+") as file:  # Windows syncs only what is open for writing
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
        if os.name == "posix":  # Windows cannot open a folder
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # the rename itself must survive a power cut
            finally:
                os.close(folder)
    except OSError as error:
        raise ReproError(
            f"cannot write {path} ({error.strerror or error}): free some space or choose another folder (OUT for "
            "results, PAPER_REPRO_CACHE for checkpoints); files written before are untouched"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def save_table(table: Any, path: str | Path) -> None:
    """Writes a pandas table as CSV (`csv_bytes`); its folder is made where it is missing."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(csv_bytes(table))


def check_writable(folder: Path) -> None:
    """Creates `folder` and tries a file in it, so that a long run does not find out at its end; raises ReproError."""
    with atomic_write(folder / ".writable"):
        pass
    (folder / ".writable").unlink()


def sha256_file(path: str | Path) -> str:
    """Hexadecimal sha256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def watched() -> bool:
    """A terminal or an open notebook, as against a batch job or a notebook that `execute.py` runs."""
    return not os.environ.get("PAPER_REPRO_RECORD") and ("ipykernel" in sys.modules or sys.stderr.isatty())


def progress(total: int, what: str, unit: str) -> tqdm:
    """A bar to `update`, used as a context manager."""
    if not watched():
        print(f"{what} ({total:,} {unit})", file=sys.stderr, flush=True)
    return tqdm(total=total, desc=what, unit=unit, unit_scale=unit == "B", leave=False, disable=not watched())
