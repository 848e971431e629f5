"""A CSV that lists pictures: their paths, their labels and perhaps the part of the data they belong to."""

import csv
import io
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from paper_repro.files import ReproError

PATHS = ("image", "path", "file", "filename", "file_name", "filepath", "image_path")  # names of columns
LABELS = ("label", "class", "truth")
SPLITS = ("split",)
# Names of the parts of data that come divided, in lower case -> what they are called here.
PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


class NoListing(ReproError):
    """A CSV without a column of paths or of labels."""


class Row(NamedTuple):
    """number: as a spreadsheet counts, from 1 for the row of names. part: "train", "validation", "test" or ""."""

    number: int
    path: str
    label: str
    part: str


def read_rows(content: bytes, name: str) -> list[Row]:
    """The rows of a CSV in UTF-8, with commas, semicolons or tabs; columns it does not know are passed over.

    Args:
        name: what messages call the file.

    Raises:
        ReproError: names the row and the remedy; `NoListing` where it may be another kind of CSV.
    """

    def refuse(number: int, reason: str, remedy: str) -> ReproError:
        return ReproError(f"data: row {number} of {name} {reason}: {remedy}")

    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise refuse(number, "is not in UTF-8", "save the file as CSV in UTF-8") from None
    lines = _lines(text, refuse)
    if not lines:
        raise ReproError(f"data: {name} is empty: give a CSV with a row for each picture")
    (first, names), *lines = lines
    names = [title.casefold() for title in names]
    column = {}
    for what, known in (("path", PATHS), ("label", LABELS), ("split", SPLITS)):
        found = [number for number, title in enumerate(names) if title in known]
        if len(found) > 1:
            several = ", ".join(names[number] for number in found)
            raise refuse(first, f"names more than one column of {what}s ({several})", "rename all but one of them")
        if not found and what != "split":
            titles = ", ".join(names)[:200]
            reason = f"row {first} of {name} names no column of {what}s ({titles})"
            raise NoListing(f"data: {reason}: call one of them {' or '.join(known)}")
        column[what] = found[0] if found else len(names)
    rows = []
    for number, values in lines:
        if any(values[len(names) :]):
            remedy = "put quotes around a text that holds a separator"
            raise refuse(number, f"has {len(values)} fields for {len(names)} columns", remedy)
        values += [""] * (len(names) + 1 - len(values))
        path, label, part = (values[column[what]] for what in ("path", "label", "split"))
        if not path or not label:
            raise refuse(number, f"has no {'label' if path else 'path'}", "fill it in or delete the row")
        if "/" in label or label in (".", "..") or not label.isprintable():
            raise refuse(number, f"has the label {label[:200]!r}", "name the class as one could name a folder")
        if part and part.casefold() not in PARTS:
            raise refuse(number, f"has the split {part[:200]!r}", f"write one of {', '.join(PARTS)}")
        rows.append(Row(number, path, unicodedata.normalize("NFC", label), PARTS.get(part.casefold(), "")))
    if not rows:
        raise refuse(first, "is the only one", "add a row for each picture")
    blank = next((row for row in rows if not row.part), None)
    if blank and any(row.part for row in rows):
        raise refuse(blank.number, "has no split, but others have one", "fill it in, or empty the column")
    return rows


def _lines(text: str, refuse: Callable[[int, str, str], ReproError]) -> list[tuple[int, list[str]]]:
    """Number and stripped fields of the rows that are not blank."""
    lines: list[tuple[int, list[str]]] = []
    number = 0
    separator = max(",;\t", key=text.lstrip().partition("\n")[0].count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
        for number, values in enumerate(reader, 1):
            if any(values := [value.strip() for value in values]):
                lines.append((number, values))
    except csv.Error as error:
        raise refuse(number + 1, f"is no row of a CSV ({error})", "correct its quotes") from None
    return lines
