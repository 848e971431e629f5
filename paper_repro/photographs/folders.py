"""Labelled pictures in a folder or straight from a zip, which is never unpacked: one folder per class, such folders
divided into train, val and test, or a CSV of paths and labels."""

import os
import re
import stat
import struct
import unicodedata
import warnings
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from paper_repro.files import ReproError
from paper_repro.photographs.listings import PARTS, NoListing, read_rows

ENTRY_LIMIT = 100_000
FILE_LIMIT = 512 * 2**20  # bytes of one file
TOTAL_LIMIT = 256 * 2**30  # bytes of all files
RATIO_LIMIT = 200  # of a file above RATIO_FLOOR bytes; photographs hardly shrink at all
RATIO_FLOOR = 2**20
UTF8_MARK, UNICODE_NAME = 0x800, 0x7075  # in a zip: a flag, the number of an extra field
OTHER_TYPES = {b"Rar!": "RAR", b"7z\xbc\xaf": "7z", b"\x1f\x8b": "gzip", b"\x89PNG": "PNG", b"\xff\xd8": "JPEG"}
OTHER_TYPES |= {b"GIF8": "GIF", b"<": "a web page, maybe of a login"}

# What systems and tools leave behind, in lower case; names that start with a full stop are such as well.
JUNK = {
    *("__macosx", "icon\r", "network trash folder", "temporary items"),  # macOS
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("@eadir", "@tmp", "@__thumb", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),  # network drives
    *("lost+found", "__pycache__", "picasa.ini"),
}
PICTURES = (".bmp", ".gif", ".heic", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

# Parts of a name below the root -> (size, stamp, source) of a file, None of a folder.
Items = dict[tuple[str, ...], tuple | None]
# Class and name within it -> size, stamp, source and part of a file.
Files = dict[tuple[str, str], tuple]


class Entry(NamedTuple):
    """One file of a class.

    image: "class/file", "class/part/file" of data divided into folders, "class/path" of a file that a CSV lists. size:
    bytes, unpacked. stamp: changes when the content does: the CRC in a zip, times in a folder. source: what `Tree.read`
    opens: the path, or the zip's entry. part: "train", "validation" or "test" of data that come divided, else "".
    """

    label: str
    image: str
    size: int
    stamp: tuple
    source: Any
    part: str = ""


class Tree(NamedTuple):
    """The classes, sorted, and their files, sorted; `read(entry)` gives an entry's bytes."""

    classes: tuple[str, ...]
    entries: list[Entry]
    read: Callable[[Entry], bytes]


@contextmanager
def open_tree(path: Path) -> Iterator[Tree]:
    """The labelled pictures of a folder, a zip or a CSV; hidden and system files do not count.

    A folder or zip, whatever single folders wrap its content, holds class folders, or folders called train, val
    (optional) and test with class folders in each, or else a CSV (`listings`) with pictures beside or below it.
    Names of classes and images have Unicode's composed form (NFC), however they are stored. Warnings count and name the
    pictures that lie beside the class folders, which are not read, and a CSV that class folders take the place of.

    Raises:
        ReproError: the data are missing, hostile or damaged, or have an empty class or fewer than two classes.
    """
    if not path.exists():
        remedy = "give a folder or zip with one folder per class, 'rendered' or 'trashnet'"
        raise ReproError(f"data: {path} does not exist: {remedy}")
    with open_items(path) as (items, read):
        yield _tree(path, items, read)


@contextmanager
def open_items(path: Path) -> Iterator[tuple[Items, Callable[[Entry], bytes]]]:
    """What lies in a folder or zip, or what a CSV lists, and how an entry is read; the classes are not checked."""
    if path.is_dir() or is_table(path):
        yield _list(path), _read
        return
    items: Items = {}
    with open_zip(path) as archive:
        for member in archive.infolist():
            parts = _parts(member.filename)
            if parts and not _is_junk(parts):
                items.setdefault(parts, None)
                if not member.is_dir():
                    items[parts] = member.file_size, (member.CRC,), member
        yield items, lambda entry: archive.read(entry.source)


def list_files(path: Path) -> list[tuple]:
    """Name in parts, size and stamp of the files that `open_tree` reads from a folder, or for a CSV, sorted; without
    the checks of their names. Where a CSV in a folder lists the pictures: of all files.

    Raises:
        ReproError: a folder in it cannot be read or is reached twice by a link; a CSV that is refused.
    """
    items = _list(path)
    layout = _unwrap(items)
    used = items if _table_of(path, items, layout) else layout.files
    return sorted((parts, *details[:2]) for parts, details in used.items() if details)


def is_table(path: Path) -> bool:
    """Whether `open_tree` takes a path, by its name, for a CSV."""
    return path.suffix.lower() == ".csv" and not path.is_dir()


class _Layout(NamedTuple):
    """wrapper: the folders taken off. Below them: the names of the folders, the files in these, and the pictures beside
    them or beside a wrapping folder."""

    wrapper: tuple[str, ...]
    tops: set[str]
    files: dict[tuple[str, ...], tuple]
    beside: list[str]


def _unwrap(items: Items) -> _Layout:
    wrapper: tuple[str, ...] = ()
    beside: list[str] = []
    while True:
        single = ("/".join((*wrapper, *parts)) for parts, details in items.items() if details and len(parts) == 1)
        beside += filter(is_picture, single)
        files = {parts: details for parts, details in items.items() if details and len(parts) > 1}
        tops = {parts[0] for parts, details in items.items() if details is None or len(parts) > 1}
        if len(tops) != 1 or max(map(len, files), default=0) < 3:
            return _Layout(wrapper, tops, files, sorted(beside))
        wrapper += tuple(tops)
        items = {parts[1:]: details for parts, details in items.items() if len(parts) > 1}


def _tree(path: Path, items: Items, read: Callable) -> Tree:
    """Finds the shape of the data and checks it."""
    _refuse_awkward_names(path, items)
    items = {tuple(unicodedata.normalize("NFC", part) for part in parts): items[parts] for parts in items}
    layout = _unwrap(items)
    table, is_divided = _table_of(path, items, layout), _is_divided(layout)
    if table:
        try:
            files = _listed_files(path, items, read, table)
        except NoListing as error:
            if is_table(path):
                raise
            try:
                files, table = _class_files(path, layout, items), None
            except ReproError as folders:
                raise ReproError(f"{folders}; or {str(error).removeprefix('data: ')}") from None
    elif is_divided:
        files = _divided_files(path, layout, items)
    else:
        files = _class_files(path, layout, items)
    labels = sorted({label for label, _ in files})
    if len(labels) < 2:
        raise ReproError(f"data: {path} has only one class, {labels[0]!r}: give two or more classes")
    if not table:
        _warn_of_unused(path, items, read, layout, depth=3 if is_divided else 2)
    entries = [Entry(label, f"{label}/{name}", *details) for (label, name), details in sorted(files.items())]
    return Tree(tuple(labels), entries, read)


def _warn_of_unused(path: Path, items: Items, read: Callable, layout: _Layout, depth: int) -> None:
    """Warns of what looks like data and is not read, as pictures count at `depth` alone."""
    higher = ((*layout.wrapper, *parts) for parts in layout.files if len(parts) < depth and is_picture(parts[-1]))
    if beside := sorted(layout.beside + list(map("/".join, higher))):
        reason = f"pictures beside the class folders of {path} are not read ({len(beside)}, such as {beside[0]!r})"
        warnings.warn(f"data: {reason}: move each into a class folder", stacklevel=4)
    for unused in _tables_above(items):
        with suppress(ReproError):  # another kind of CSV
            rows = read_rows(_content(read, items[unused], ""), "")
            if any(row.label not in _parts(row.path) for row in rows):  # it says something else than the folders
                reason = f"{'/'.join(unused)!r} of {path} is not read, as class folders give the labels"
                remedy = "give that file itself" if path.is_dir() else "unpack the zip and give that file itself"
                warnings.warn(f"data: {reason}: where it has the right ones, {remedy}", stacklevel=4)


def _class_files(path: Path, layout: _Layout, items: Items) -> Files:
    wrapper, tops, files, _ = layout
    if not files:
        if any(items.values()) and path.is_dir():
            remedy = f"give the folder above it, {path.resolve().parent}, or make one folder per class"
            raise ReproError(f"data: the files of {path} lie in no class folder: {remedy}")
        raise ReproError(f"data: {path} holds no pictures in class folders: it needs one folder per class")
    if deeper := [parts for parts in files if len(parts) > 2]:
        deep = min(deeper, key=lambda parts: (not is_picture(parts[-1]), parts))
        name = "/".join((*wrapper, *deep))
        raise ReproError(f"data: {name!r} of {path} lies deeper than CLASS/FILE: {_remedy(path, layout, deep)}")
    if len(tops) > 1 and {top.lower() for top in tops} <= PARTS.keys():
        names = ", ".join(map(repr, sorted(tops)))
        raise ReproError(f"data: {names} of {path} are parts of a data set, no classes: make one folder per class")
    for label in sorted(tops - {parts[0] for parts in files}):
        raise ReproError(f"data: the class {label!r} of {path} is empty: add pictures or remove its folder")
    if len(tops) < 2:
        raise ReproError(f"data: {path} has only one class, {tops.pop()!r}: give a folder of two or more class folders")
    return {(label, name): details for (label, name), details in files.items()}


def _is_divided(layout: _Layout) -> bool:
    """Whether all folders have names of parts and hold folders with files."""
    tops, inside = layout.tops, {parts[0] for parts in layout.files if len(parts) > 2}
    return len(tops) > 1 and {top.lower() for top in tops} <= PARTS.keys() and inside == tops


def _divided_files(path: Path, layout: _Layout, items: Items) -> Files:
    wrapper, tops, files, _ = layout
    folder = path.joinpath(*wrapper)
    part_of = {top: PARTS[top.lower()] for top in sorted(tops)}
    names = ", ".join(map(repr, part_of))
    if len(set(part_of.values())) < len(tops):
        raise ReproError(f"data: two of the folders {names} of {path} are the same part: put them together")
    for part in ("train", "test"):
        if part not in part_of.values():
            remedy = f"rename the one that is to be the {part} part, or give one folder that holds all class folders"
            raise ReproError(f"data: none of the folders {names} of {path} is called {part}: {remedy}")
    if deeper := [parts for parts in files if len(parts) > 3]:
        name = "/".join((*wrapper, *min(deeper)))
        remedy = f"move such files up into their class folder, or out of {folder}"
        raise ReproError(f"data: {name!r} of {path} lies deeper than PART/CLASS/FILE: {remedy}")
    found: Files = {}
    for parts, details in files.items():
        if len(parts) == 3:
            top, label, file = parts
            found[label, f"{top}/{file}"] = (*details, part_of[top])
    labels, depth = {label for label, _ in found}, len(wrapper)
    folders = (parts[depth:] for parts, details in items.items() if details is None and parts[:depth] == wrapper)
    for label in sorted({parts[1] for parts in folders if len(parts) == 2} - labels):
        raise ReproError(f"data: the class {label!r} of {path} is empty: add pictures or remove its folders")
    _refuse_awkward_names(path, ((label,) for label in labels))
    return found


def _tables_above(items: Items) -> list[tuple[str, ...]]:
    """The CSV files that have all pictures beside or below them."""
    common = os.path.commonprefix([parts[:-1] for parts, details in items.items() if details and is_picture(parts[-1])])
    tables = (parts for parts, details in items.items() if details and parts[-1].lower().endswith(".csv"))
    return sorted(parts for parts in tables if tuple(common[: len(parts) - 1]) == parts[:-1])


def _table_of(path: Path, items: Items, layout: _Layout) -> tuple[str, ...] | None:
    """The CSV that lists the pictures: `path` itself, or one in a folder or zip that has no class folders."""
    if is_table(path):
        return (unicodedata.normalize("NFC", path.name),)
    pictured = {parts[0] for parts in layout.files if is_picture(parts[-1])}
    is_flat = all(len(parts) == 2 for parts in layout.files)
    in_classes = is_flat and len(layout.tops) > 1 and len(pictured) != 1
    if _is_divided(layout) or (in_classes and not {top.lower() for top in layout.tops} <= PARTS.keys()):
        return None
    tables = _tables_above(items)
    if len(tables) > 1:
        names = ", ".join(repr("/".join(parts)) for parts in tables)
        remedy = "give the one that lists pictures and labels" if path.is_dir() else "keep the one that lists pictures"
        raise ReproError(f"data: {path} has several CSV files ({names}) and no sound class folders: {remedy}")
    return tables[0] if tables else None


def _content(read: Callable, details: tuple | None, name: str) -> bytes:
    """What a CSV holds, of which messages speak as `name`."""
    try:
        return read(Entry("", name, *(details or ())))
    except Exception as error:  # of a damaged entry of a zip, of any type
        raise ReproError(f"data: cannot read {name} ({error}): mend or copy it again") from error


def _listed_files(path: Path, items: Items, read: Callable, table: tuple[str, ...]) -> Files:
    """The files that a CSV lists; one that stands there twice under one label counts once.

    Raises:
        ReproError: names the row of what is wrong.
    """
    name = str(path) if is_table(path) else f"{'/'.join(table)!r} of {path}"
    found: Files = {}
    row_of: dict[tuple[str, str], int] = {}
    missing = []
    for row in read_rows(_content(read, items[table], name), name):
        shown = f"{row.path[:200]!r}"
        if reason := _reason_against_name(row.path):
            remedy = "write paths below the CSV's folder, as they are seen from there"
            raise ReproError(f"data: row {row.number} of {name} is refused: {shown}: {reason}: {remedy}")
        parts = _parts(unicodedata.normalize("NFC", row.path))
        key = row.label, "/".join(parts)
        if details := items.get((*table[:-1], *parts)):
            details = (*details, row.part)
            if found.setdefault(key, details) != details:
                reason = f"put {shown} into two parts"
                raise ReproError(f"data: rows {row_of[key]} and {row.number} of {name} {reason}: delete one of them")
            row_of.setdefault(key, row.number)
        else:
            missing.append(f"row {row.number} of {name} names {shown}, which is no file in the CSV's folder")
    if missing:
        more = f" (and {len(missing) - 1} more)" if missing[1:] else ""
        raise ReproError(f"data: {missing[0]}{more}: correct the path, as it is seen from there, or delete the row")
    if {details[-1] for details in found.values()} not in ({""}, {"train", "test"}, {"train", "validation", "test"}):
        raise ReproError(f"data: the splits of {name} lack train or test: add it, or remove the column")
    _refuse_awkward_names(Path(name), ((label,) for label, _ in found))
    return found


def _remedy(path: Path, layout: _Layout, deep: tuple[str, ...]) -> str:
    """What helps where `deep`, and maybe other files, lie deeper than CLASS/FILE."""
    folder, above = path.joinpath(*layout.wrapper), deep[0]
    if not is_picture(deep[-1]):
        return f"move such files out of {folder}, as by their names they are no pictures"
    inside = defaultdict(set)  # the folders in each top folder; "" stands for pictures that lie in none of them
    for parts in layout.files:
        if is_picture(parts[-1]):
            inside[parts[0]].add(parts[1] if len(parts) > 2 else "")
    parents = sorted(top for top, folders in inside.items() if "" not in folders)
    if above not in parents or (len(parents) == len(inside[above]) == 1):
        return "move such files up into their class folder"
    training = next((top for top in parents if "train" in top.lower()), None)
    inner = folder / (training or above)
    give = f"give {inner}" if path.is_dir() else f"unpack it and give its folder '{inner.relative_to(path).as_posix()}'"
    if training and len(parents) > 1:
        return f"{give}, for folds that are made here, or keep folders train, val and test alone, for their split"
    if len(parents) == 1 and (training or len(inside) == 1):
        return f"{give}, as its pictures alone lie in class folders"
    if len(parents) > 1:
        give = "give one folder that holds all class folders"
    return f"if {above!r} is a class, move such files up into it, else {give}"


def _is_junk(parts: tuple) -> bool:
    lower = [part.lower() for part in parts]
    return any(part in JUNK or part.startswith(".") or part.endswith(":zone.identifier") for part in lower)


def is_picture(name: str) -> bool:
    """Whether a file is a picture by its name."""
    return name.lower().endswith(PICTURES)


def _refuse_awkward_names(path: Path, names: Iterable[tuple]) -> None:
    """Some file systems take names that differ only in case or accents' coding for one; CSV and JSON need Unicode."""
    seen = {}
    for name in sorted({"/".join(parts[:depth]) for parts in names for depth in range(1, len(parts) + 1)}):
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise ReproError(f"data: the name {name!a} in {path} is no valid UTF-8: rename it")
        twin = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if twin != name:
            raise ReproError(f"data: {twin!r} and {name!r} in {path} are equal but for case: rename one")


def _list(path: Path) -> Items:
    """What lies in a folder, or a CSV and what it lists."""
    return _list_folder(path) if path.is_dir() else _list_rows(path)


def _list_rows(path: Path) -> Items:
    """A CSV and the files that it lists and that can be found, in either of Unicode's forms."""
    items: Items = {}
    rows = read_rows(_content(_read, (0, (), path), str(path)), str(path))
    listed = [_parts(row.path) for row in rows if not _reason_against_name(row.path)]
    for parts in {(path.name,): None} | dict.fromkeys(parts for parts in listed if not _is_junk(parts)):
        name = "/".join(parts)
        for form in dict.fromkeys((name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))):
            with suppress(OSError, ValueError):  # not there, or no name of a file
                status = (path.parent / form).stat()
                if not stat.S_ISDIR(status.st_mode):
                    times = status.st_mtime_ns, status.st_ctime_ns
                    items.setdefault(parts, (status.st_size, times, str(path.parent / form)))
    return items


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
            except OSError as error:  # a link to nowhere, for example: reading a picture gives the reason
                if not is_picture(item.name):  # maybe of a class, which must not vanish in silence
                    reason = f"cannot follow {item.path} ({error.strerror})"
                    raise ReproError(f"data: {reason}: mend or remove it") from error
                items[name] = 0, (error.errno,), item.path
                continue
            if stat.S_ISDIR(status.st_mode):
                items[name] = None
                waiting.append((item.path, name))
    return items


def _read(entry: Entry) -> bytes:
    return read_file(Path(entry.source))


def read_file(path: Path) -> bytes:
    """The content of a file.

    Raises:
        ValueError: no plain file, or a very large one.
        OSError: it cannot be read.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        raise ValueError("it is a folder, device or pipe, no file")
    if status.st_size > FILE_LIMIT:
        raise ValueError(f"{status.st_size:,} bytes are over the limit of {FILE_LIMIT:,}")
    return path.read_bytes()


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip whose directory was checked; reading an entry gives at most the bytes that were checked, or an error.

    Entries are to be read by themselves, not by name, as `_restore_names` may have changed that.

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
        _restore_names(path, members)
        names = Counter(member.filename for member in members)
        for member in members:
            reason = "its name stands twice" if names[member.filename] > 1 else _reason_against(member)
            if reason:
                raise refuse(f"entry {member.filename!r}: {reason}")
        if sum(member.file_size for member in members) > TOTAL_LIMIT:
            raise refuse(f"its files would unpack to more than {TOTAL_LIMIT:,} bytes")
        if sum(member.compress_size for member in members) > path.stat().st_size:
            raise refuse("its entries overlap (a bomb)")
        yield archive


def _restore_names(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Gives entries without the mark of UTF-8, which `zipfile` takes for DOS's cp437, the names they were made with."""
    unsure = []
    for member in members:
        if not member.flag_bits & UTF8_MARK:
            raw = member.orig_filename.encode("cp437")
            try:
                name = (_unicode_name(member.extra, zlib.crc32(raw)) or raw).decode()  # macOS does not set the mark
                member.filename = name.partition("\0")[0]
            except UnicodeDecodeError:
                unsure.append(member.filename)
    if unsure:
        reason = f"{len(unsure)} names in {path} are not marked as UTF-8 and are read as DOS's, such as {unsure[0]!r}"
        warnings.warn(f"data: {reason}: if they look wrong, unpack it and give the folder", stacklevel=2)


def _unicode_name(extra: bytes, checksum: int) -> bytes | None:
    """The name in UTF-8 in Info-ZIP's extra field; it counts while it bears the checksum of the plain name."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == UNICODE_NAME and field[:5] == struct.pack("<BI", 1, checksum):
            return field[5:]
    return None


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts


def _reason_against_name(name: str) -> str | None:
    parts = _parts(name)
    reasons = {
        "its path leads upwards (..)": ".." in parts,
        "its path is absolute": parts[:1] in (("/",), ("//",)),
        "its path starts with a drive letter": re.match(r"[A-Za-z]:", name),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def _reason_against(member: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    ratio = member.file_size / max(member.compress_size, 1)
    reasons = {
        "it is a symbolic link": kind == stat.S_IFLNK,
        "it is a device or pipe, no file": kind not in (0, stat.S_IFREG, stat.S_IFDIR),
        "it is encrypted": member.flag_bits & 0x1,
        f"{member.file_size:,} bytes unpacked are over the limit of {FILE_LIMIT:,}": member.file_size > FILE_LIMIT,
        f"it unpacks to {ratio:,.0f} times its size (a bomb)": member.file_size > RATIO_FLOOR and ratio > RATIO_LIMIT,
    }
    reason = next((reason for reason, applies in reasons.items() if applies), None)
    return _reason_against_name(member.filename) or reason
