"""One folder per class, in a folder or read straight from a zip; nothing is ever unpacked."""

import os
import re
import stat
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from paper_repro.files import ReproError

ENTRY_LIMIT = 100_000
FILE_LIMIT = 512 * 2**20  # bytes of one file
TOTAL_LIMIT = 256 * 2**30  # bytes of all files
RATIO_LIMIT = 200  # of a file above RATIO_FLOOR bytes; photographs hardly shrink at all
RATIO_FLOOR = 2**20
OTHER_TYPES = {b"Rar!": "RAR", b"7z\xbc\xaf": "7z", b"\x1f\x8b": "gzip", b"\x89PNG": "PNG", b"\xff\xd8": "JPEG"}
OTHER_TYPES |= {b"GIF8": "GIF", b"<": "a web page, maybe of a login"}

# Parts of a name below the root -> (size, stamp, source) of a file, None of a folder.
Items = dict[tuple[str, ...], tuple | None]


class Entry(NamedTuple):
    """One file of a class.

    image: "class/file". size: bytes, unpacked. stamp: changes when the content does: the CRC in a zip, times in a
    folder. source: what `Tree.read` opens: the path, or the name in the zip.
    """

    label: str
    image: str
    size: int
    stamp: tuple
    source: str


class Tree(NamedTuple):
    """The classes, sorted, and their files, sorted; `read(entry)` gives an entry's bytes."""

    classes: tuple[str, ...]
    entries: list[Entry]
    read: Callable[[Entry], bytes]


@contextmanager
def open_tree(path: Path) -> Iterator[Tree]:
    """The class folders of a folder or zip, whatever single folders wrap them; hidden and system files do not count.

    Raises:
        ReproError: the data are missing, hostile or damaged, or have an empty class or fewer than two classes.
    """
    if not path.exists():
        remedy = "give a folder or zip with one folder per class, 'synthetic' or 'trashnet'"
        raise ReproError(f"data: {path} does not exist: {remedy}")
    if path.is_dir():
        yield _tree(path, _list_folder(path), lambda entry: _read_file(Path(entry.source)))
        return
    items: Items = {}
    with open_zip(path) as archive:
        for member in archive.infolist():
            parts = _parts(member.filename)
            if parts and not _is_junk(parts):
                items.setdefault(parts, None)
                if not member.is_dir():
                    items[parts] = member.file_size, (member.CRC,), member.filename
        yield _tree(path, items, lambda entry: archive.read(entry.source))


def _tree(path: Path, items: Items, read: Callable) -> Tree:
    """Takes off wrapping folders and checks the classes."""
    _refuse_awkward_names(path, items)
    any_files = any(items.values())
    wrapper: tuple[str, ...] = ()
    while True:  # what lies beside class folders, and beside a folder that wraps them, does not count
        files = {parts: details for parts, details in items.items() if details and len(parts) > 1}
        tops = {parts[0] for parts, details in items.items() if details is None or len(parts) > 1}
        if len(tops) != 1 or max(map(len, files), default=0) < 3:
            break
        wrapper += tuple(tops)
        items = {parts[1:]: details for parts, details in items.items() if len(parts) > 1}
    if not files:
        if any_files and path.is_dir():
            remedy = f"give the folder above it, {path.resolve().parent}, or make one folder per class"
            raise ReproError(f"data: the files of {path} lie in no class folder: {remedy}")
        raise ReproError(f"data: {path} holds no pictures in class folders: it needs one folder per class")
    deeper = sorted(parts for parts in files if len(parts) > 2)
    if deeper:
        inner = path.joinpath(*wrapper, deeper[0][0])
        remedy = f"give {inner}" if path.is_dir() else f"unpack it and give its folder '{inner.relative_to(path)}'"
        if len(deeper) < len(files):
            remedy = "move such files up into their class folder"
        raise ReproError(f"data: '{'/'.join((*wrapper, *deeper[0]))}' of {path} lies deeper than CLASS/FILE: {remedy}")
    for label in sorted(tops - {parts[0] for parts in files}):
        raise ReproError(f"data: the class '{label}' of {path} is empty: add pictures or remove its folder")
    if len(tops) < 2:
        raise ReproError(f"data: {path} has only one class, '{tops.pop()}': give a folder of two or more class folders")
    entries = [Entry(parts[0], "/".join(parts), *details) for parts, details in sorted(files.items())]
    return Tree(tuple(sorted(tops)), entries, read)


def _is_junk(parts: tuple) -> bool:
    return any(part.startswith(".") or part.lower() in ("__macosx", "thumbs.db", "desktop.ini") for part in parts)


def _refuse_awkward_names(path: Path, names: Iterable[tuple]) -> None:
    """Some file systems take names that differ only in case or accents' coding for one; CSV and JSON need Unicode."""
    seen = {}
    for name in sorted({"/".join(parts[:depth]) for parts in names for depth in range(1, len(parts) + 1)}):
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise ReproError(f"data: the name {name!a} in {path} is no valid UTF-8: rename it")
        twin = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if twin != name:
            raise ReproError(f"data: '{twin}' and '{name}' in {path} are equal but for case: rename one")


def _list_folder(root: Path) -> Items:
    items: Items = {}
    waiting: list[tuple[str, tuple]] = [(str(root), ())]  # no recursion, which a deep folder would exhaust
    seen: dict[tuple, str] = {}
    while waiting:
        folder, parts = waiting.pop()
        try:
            status = os.stat(folder)
            listing = [item for item in os.scandir(folder) if not _is_junk((item.name,))]
        except OSError as error:
            reason = f"cannot read the folder {folder} ({error.strerror})"
            raise ReproError(f"data: {reason}: make it readable or remove it") from error
        twin = seen.setdefault((status.st_dev, status.st_ino), folder)
        if twin != folder:
            raise ReproError(f"data: {twin} and {folder} are one folder by a link: remove the link")
        for item in listing:
            name = (*parts, item.name)
            try:  # the change time sees what a tool that sets the modification time back hides
                status = item.stat()
                items[name] = status.st_size, (status.st_mtime_ns, status.st_ctime_ns), item.path
            except OSError as error:  # a link to nowhere, for example: reading it gives the reason
                items[name] = 0, (error.errno,), item.path
                continue
            if stat.S_ISDIR(status.st_mode):
                items[name] = None
                waiting.append((item.path, name))
    return items


def _read_file(path: Path) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        raise ValueError("it is a device or pipe, no file")
    if status.st_size > FILE_LIMIT:
        raise ValueError(f"{status.st_size:,} bytes are over the limit of {FILE_LIMIT:,}")
    return path.read_bytes()


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip whose directory was checked; reading an entry gives at most the bytes that were checked, or an error.

    Raises:
        ReproError: no zip, a damaged one, or an entry that a well-meant archive does not have; names entry and reason.
    """

    def refuse(reason: str, remedy: str = "make or download it again, from a source you trust") -> ReproError:
        return ReproError(f"data: {path} is refused: {reason}: {remedy}")

    try:
        with path.open("rb") as file:
            start = file.read(4)
        if not start.startswith(b"PK"):
            kind = next((kind for mark, kind in OTHER_TYPES.items() if start.startswith(mark)), "of another type")
            raise refuse(f"it is no zip but {kind}", "give a zip, or a folder with one folder per class")
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise ReproError(f"data: cannot read {path} ({error.strerror}): give a readable folder or zip") from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise refuse(f"it is cut short or damaged ({error})", "copy or download it again") from error
    with archive:
        members = archive.infolist()
        if len(members) > ENTRY_LIMIT:
            raise refuse(f"{len(members):,} entries are over the limit of {ENTRY_LIMIT:,}")
        names = Counter(member.filename for member in members)
        for member in members:
            reason = "its name stands twice" if names[member.filename] > 1 else _reason_against(member)
            if reason:
                raise refuse(f"entry '{member.filename}': {reason}")
        if sum(member.file_size for member in members) > TOTAL_LIMIT:
            raise refuse(f"its files would unpack to more than {TOTAL_LIMIT:,} bytes")
        if sum(member.compress_size for member in members) > path.stat().st_size:
            raise refuse("its entries overlap (a bomb)")
        yield archive


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts


def _reason_against(member: zipfile.ZipInfo) -> str | None:
    parts = _parts(member.filename)
    kind = stat.S_IFMT(member.external_attr >> 16)
    ratio = member.file_size / max(member.compress_size, 1)
    reasons = {
        "its path leads upwards (..)": ".." in parts,
        "its path is absolute": parts[:1] in (("/",), ("//",)),
        "its path starts with a drive letter": re.match(r"[A-Za-z]:", member.filename),
        "it is a symbolic link": kind == stat.S_IFLNK,
        "it is a device or pipe, no file": kind not in (0, stat.S_IFREG, stat.S_IFDIR),
        "it is encrypted": member.flag_bits & 0x1,
        f"{member.file_size:,} bytes unpacked are over the limit of {FILE_LIMIT:,}": member.file_size > FILE_LIMIT,
        f"it unpacks to {ratio:,.0f} times its size (a bomb)": member.file_size > RATIO_FLOOR and ratio > RATIO_LIMIT,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)
