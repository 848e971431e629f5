"""The glossary and the map of the course speak of what stands in the lessons."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
ROW = re.compile(r"^\| ([^|]+) \| [^|]*\| ([^|]+) \| ([1-7]) \|$", re.MULTILINE)
TERMS = ROW.findall((ROOT / "docs" / "glossary.md").read_text())


def words(lesson):
    """A lesson's text and code as one line of small letters; for lesson 7 the protocol's text too."""
    (path,) = ROOT.glob(f"notebooks/0{lesson}_*.ipynb")
    texts = [cell.source for cell in nbformat.read(path, as_version=4).cells]
    if lesson == "7":
        texts.append((ROOT / "docs" / "protocol.md").read_text())
    return " ".join(" ".join(texts).lower().replace("_", " ").split())


@pytest.mark.parametrize("lesson", sorted({lesson for _, _, lesson in TERMS}))
def test_terms_stand_in_their_lessons(lesson):
    """The lesson that is said to introduce a word uses it."""
    text = words(lesson)
    assert not [term for term, _, found in TERMS if found == lesson and term.lower() not in text]


def test_terms_are_short():
    """Each word stands once, with a meaning of one or two short sentences."""
    assert len({term for term, _, _ in TERMS}) == len(TERMS) > 50
    long = [term for term, meaning, _ in TERMS if len(meaning.split()) > 30 or meaning.count(". ") > 1]
    assert not long


def test_map_and_drawing_agree():
    """The table of docs/course.md and its drawing give the same lessons the same minutes."""
    rows = re.findall(r"^\| \[([^]]+)\]\(\S+\) \| (\d+) \|", (ROOT / "docs" / "course.md").read_text(), re.MULTILINE)
    drawing = (ROOT / "notebooks" / "drawings" / "course.svg").read_text("utf-8")
    texts = [" ".join(text.split()) for text in re.findall(r"<tspan>([^<]+)</tspan>", drawing)]
    names = [text for text in texts if text in dict(rows)]
    minutes = [text.removesuffix(" min") for text in texts if text.endswith(" min")]
    assert len(rows) == 8 and dict(zip(names, minutes, strict=True)) == dict(rows)
