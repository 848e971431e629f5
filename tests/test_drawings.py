"""The drawings of the lessons: made by the code, complete, and readable in both colour schemes."""

import re
import sys
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from PIL import ImageFont

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "drawings"
DRAWINGS = sorted(FOLDER.glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"
WIDE = 1100  # units; on a slide of this width, letters of 22 units can be read from the last row


@pytest.fixture(scope="module")
def code():
    """The modules canvas and draw, which lie beside the drawings."""
    sys.path.insert(0, str(FOLDER))
    import canvas
    import draw

    yield canvas, draw
    sys.path.remove(str(FOLDER))


def name(path):
    return path.stem


def test_are_what_the_code_makes(code, tmp_path, monkeypatch):
    """`make drawings` makes the committed files, all of them and no other."""
    _, draw = code
    monkeypatch.setattr(draw, "FOLDER", tmp_path)
    draw.main()
    made = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_text("utf-8") for path in DRAWINGS}


@pytest.mark.parametrize("path", DRAWINGS, ids=name)
def test_stands_alone(path):
    """It says in words what it shows, has both colour schemes, and loads nothing."""
    text, root = path.read_text("utf-8"), ElementTree.parse(path).getroot()
    assert len(root.find(f"{SVG}title").text) > 10 and len(root.find(f"{SVG}desc").text) > 100
    light, dark = root.find(f"{SVG}style").text.split("@media (prefers-color-scheme: dark)")
    colours = re.findall(r"\.((?:fill|line)-[\w-]+)", light)
    assert colours and colours == re.findall(r"\.((?:fill|line)-[\w-]+)", dark)
    assert not re.search(r"<script|<image|href|url\(|@import|@font-face", text)


def places(element):
    """The box x0, y0, x1, y1 of a line of text in DejaVu, the widest font that a system falls back on."""
    font, width = Path(mpl.get_data_path(), "fonts", "ttf"), 0
    size, bold = float(element.get("font-size")), element.get("font-weight") == "bold"
    for part in element:
        family = {"symbol": "DejaVuSerif-Italic", "code": "DejaVuSansMono"}.get(part.get("class"), "DejaVuSans")
        family += "-Bold" if bold and not family.endswith("Italic") else ""
        letters = ImageFont.truetype(font / f"{family}.ttf", 100)
        width += letters.getlength(part.text) * float(part.get("font-size", size)) / 100
    x, y = float(element.get("x")), float(element.get("y"))
    left = x - width * {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor")]
    return left, y - 0.75 * size, left + width, y + 0.2 * size


@pytest.mark.parametrize("path", DRAWINGS, ids=name)
def test_letters_have_room(path):
    """No text is small, leaves the drawing or touches another text, whatever font the reader has."""
    root = ElementTree.parse(path).getroot()
    _, _, width, height = map(float, root.get("viewBox").split())
    texts = [text for text in root.iter(f"{SVG}text") if "".join(text.itertext())]
    assert width == WIDE and min(float(text.get("font-size")) for text in texts) >= 22
    boxes = {text: places(text) for text in texts}
    for text, (x0, y0, x1, y1) in boxes.items():
        assert x0 > 12 and y0 > 8 and x1 < width - 12 and y1 < height - 8, "".join(text.itertext())
    for one, other in combinations(texts, 2):
        a, b = boxes[one], boxes[other]
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, ("".join(one.itertext()), "".join(other.itertext()))


def contrast(one, other):
    """The contrast of two colours, in [1, 21] (WCAG 2.2, relative luminance)."""
    luminances = []
    for colour in (one, other):
        values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
        luminances.append(0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)
    return max(luminances) / min(luminances)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_read(code, scheme):
    """Every colour of letters stands out, on the paper, on grey and on its own wash: 4.5, as WCAG asks of text."""
    colours = {key: pair[scheme] for key, pair in code[0].COLOURS.items()}
    for hue in ("ink", "quiet", "blue", "orange", "green", "purple"):
        for under in ("paper", "wash", f"{hue}-wash" if f"{hue}-wash" in colours else "wash"):
            assert contrast(colours[hue], colours[under]) >= 4.5, (hue, under)
    for wash in (key for key in colours if key.endswith("-wash")):
        assert contrast(colours["ink"], colours[wash]) >= 4.5, wash
