"""Names in figures: letters of any script, in the room that there is.

matplotlib draws a box for a character that its font lacks, and draws a long text over its neighbours.
"""

import unicodedata
import warnings
from bisect import bisect_left
from contextlib import suppress
from pathlib import Path
from textwrap import wrap

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, findfont, findSystemFonts, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.textpath import text_to_path


def readable(texts) -> list[str]:
    r"""The texts, after installed fonts for the characters that matplotlib's `font.family` lacks were added to it.

    A character that no font holds becomes its code, such as `\u5783`, so that names can still be told apart. One
    warning names these characters and the remedy. A control character always becomes its code.
    """
    texts, family = [str(text) for text in texts], mpl.rcParams["font.family"]
    characters = set("".join(texts)) - {"\n"}
    coded = {c for c in characters if unicodedata.category(c) in ("Cc", "Cs")}  # control characters, broken ones
    lacking = characters - coded
    for name in family:
        lacking -= _held(findfont(FontProperties(family=[name])), lacking)
    added, missing = _families(lacking) if lacking else ([], set())
    mpl.rcParams["font.family"] = [*family, *added]
    if missing:
        warnings.warn(
            f"no font of this machine holds {''.join(sorted(missing)[:20])!r}: the figure shows codes instead. "
            "Install a font (Debian and Ubuntu: fonts-noto-cjk for Chinese, Japanese and Korean, fonts-symbola "
            "for emoji, fonts-noto-core for other scripts; elsewhere a Noto font of the script)",
            stacklevel=4,  # who asks for the figure
        )
    codes = str.maketrans({c: c.encode("unicode_escape").decode() for c in coded | missing})
    return [text.translate(codes) for text in texts]


def width(texts) -> float:
    """The width of the widest line of the texts in inches, at matplotlib's `font.size`."""
    advance = _advances(texts)
    return max((_length(line, advance) for text in texts for line in text.splitlines()), default=0)


def shorten(texts, inches: float, lines: int = 1) -> list[str]:
    """The texts, each line of them broken into at most `lines` lines of `inches` at matplotlib's `font.size`.

    A line that needs more room loses its middle for `…`. Where it would then look like an earlier line, its number
    among all lines stands there as well: different names stay different.
    """
    advance, shown = _advances([*texts, "…0123456789"]), {}

    def broken(line):
        """The line in its room, or None."""
        for characters in range(len(line), 0, -1):
            parts = wrap(line, characters) if lines > 1 else [line]
            if len(parts) > lines:
                return None
            if all(_length(part, advance) <= inches for part in parts):
                return "\n".join(parts)
        return None

    def without_middle(line, mark):
        """The line in its room, with as much as needed of its middle replaced."""

        def cut(lost):
            kept = len(line) - lost
            return line[: (kept + 1) // 2] + mark + line[len(line) - kept // 2 :]

        lost = bisect_left(range(len(line)), True, key=lambda lost: broken(cut(lost)) is not None)
        return broken(cut(lost)) or mark

    for line in dict.fromkeys(line for text in texts for line in text.splitlines() if line):
        short = broken(line) or without_middle(line, "…")
        if short in shown.values():
            short = without_middle(line, f"…{len(shown) + 1}…")
        shown[line] = short
    return ["\n".join(shown.get(line, "") for line in text.splitlines()) for text in texts]


def _held(path, characters):
    """Those of the characters that a font file holds."""
    font = FT2Font(path)
    return {c for c in characters if font.get_char_index(ord(c))}


def _families(characters):
    """The installed font families that hold the characters, and the characters that none of them holds."""
    # matplotlib keeps its list of fonts from one session to the next: fonts that were installed since are not in it.
    for path in sorted(set(findSystemFonts()) - {font.fname for font in fontManager.ttflist}):
        with suppress(Exception):  # a font that matplotlib cannot draw, such as one of coloured emoji
            fontManager.addfont(path)
    held, added = {}, []
    for font in sorted(fontManager.ttflist, key=lambda font: font.name):
        last_resort = "resort" in font.name.lower()  # holds a box for every character
        if font.name not in held and font.style == "normal" and not last_resort and Path(font.fname).exists():
            held[font.name] = _held(font.fname, characters)
    while characters:
        best = max(held, key=lambda name: (len(held[name] & characters), "Sans" in name, "Mono" not in name))
        if not held[best] & characters:
            break
        added.append(best)
        characters = characters - held[best]
    return added, characters


def _advances(texts):
    """The width of each character of the texts at matplotlib's `font.size`, in inches."""
    letters = FontProperties()

    def measure(text):
        return text_to_path.get_text_width_height_descent(text, letters, False)[0]

    # Two minus one: a combining mark takes no room of its own.
    return {c: (measure(c + c) - measure(c)) / 72 for c in set("".join(texts)) - {"\n"}}


def _length(line, advance):
    return sum(map(advance.get, line))
