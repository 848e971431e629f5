"""Shapes for the drawings of the lessons: SVG with its own colours for light and dark pages.

Lengths are in units of the drawing, whose width is 1100. `hue` names a row of `COLOURS`. In
`words`, `*u*` is a symbol, `` `stage` `` is code, `_{k}` and `^{k}` are lowered and raised, and a
line break begins a new line.
"""

import math
import re
from pathlib import Path
from xml.etree import ElementTree

# On a light page, on a dark page. Two hues can look alike to a colour-blind reader, so each thing
# has a word or a shape besides.
COLOURS = {
    "paper": ("#ffffff", "#171b22"),
    "ink": ("#1c2330", "#eceff4"),
    "quiet": ("#566070", "#a9b3c1"),
    "rule": ("#c3cad4", "#454e5b"),
    "wash": ("#eef1f5", "#272e39"),
    "blue": ("#0067a5", "#63b8ee"),
    "blue-wash": ("#d8eaf7", "#14374f"),
    "orange": ("#a34d00", "#f5a742"),
    "orange-wash": ("#fdebd2", "#432e10"),
    "green": ("#00755a", "#3cc79f"),
    "green-wash": ("#d3efe5", "#0f3d30"),
    "purple": ("#9c3f7c", "#e699c8"),
    "purple-wash": ("#f6e0ee", "#472339"),
}
# Families that every system has or replaces by its own of the same kind.
FONTS = {
    "text": "font-family: Helvetica, Arial, sans-serif",
    ".code": "font-family: Menlo, Consolas, monospace",
    ".symbol": "font-family: 'Times New Roman', Times, serif; font-style: italic",
}
MARKED = re.compile(r"(\*[^*]+\*|`[^`]+`|[_^]\{[^}]+\})")


DASHED = {"stroke_dasharray": "8 7"}


class Drawing:
    """One drawing on a card of its own colour, so that it can be read on any page."""

    def __init__(self, title: str, description: str, width: int, height: int):
        frame = {"width": str(width), "height": str(height), "viewBox": f"0 0 {width} {height}"}
        xmlns = "http://www.w3.org/2000/svg"
        self.root = ElementTree.Element("svg", {"xmlns": xmlns, "role": "img"} | frame)
        ElementTree.SubElement(self.root, "title").text = title
        ElementTree.SubElement(self.root, "desc").text = " ".join(description.split())
        self.style = ElementTree.SubElement(self.root, "style")
        self.rect(1, 1, width - 2, height - 2, "paper", "rule", rx=18)

    def add(self, tag: str, fill: str = "", line: str = "", **attributes) -> ElementTree.Element:
        """An element, filled and outlined in the named colours."""
        names = [f"fill-{fill}"] * bool(fill) + [f"line-{line}"] * bool(line)
        if not fill:
            attributes["fill"] = "none"
        values = {key.replace("_", "-"): _number(value) for key, value in attributes.items()}
        return ElementTree.SubElement(self.root, tag, {"class": " ".join(names)} | values)

    def rect(self, x, y, width, height, fill="", line="", stroke_width=2, **attributes):
        """A rectangle with its left upper corner at (x, y)."""
        stroke = {"stroke_width": stroke_width} if line else {}
        self.add("rect", fill, line, x=x, y=y, width=width, height=height, **stroke, **attributes)

    def text(self, x, y, words, size=24, hue="ink", anchor="middle", bold=False):
        """Lines of words; the first one's middle is at height `y`."""
        weight = "bold" if bold else "normal"
        style = {"font_size": size, "text_anchor": anchor, "font_weight": weight}
        for row, line in enumerate(words.split("\n")):
            element = self.add("text", hue, x=x, y=y + (0.35 + 1.25 * row) * size, **style)
            above = 0.0  # where the last part stood
            for part in filter(None, MARKED.split(line)):
                span = ElementTree.SubElement(element, "tspan")
                shift = {"_{": 0.25, "^{": -0.4}.get(part[:2], 0.0) * size
                if shift != above:
                    span.set("dy", _number(shift - above))
                if shift:
                    span.set("font-size", _number(0.7 * size))
                if part[0] in "*`":
                    span.set("class", "symbol" if part[0] == "*" else "code")
                span.text, above = part[2:-1] if shift else part.strip("*`"), shift

    def box(self, x, y, width, height, words="", hue="", dashed=False):
        """A rounded box with words in its middle; without a hue it is grey."""
        fill, line = (f"{hue}-wash", hue) if hue else ("wash", "quiet")
        self.rect(x, y, width, height, fill, line, 2.5, rx=12, **(DASHED if dashed else {}))
        if words:
            self.text(x + width / 2, y + height / 2 - 15 * words.count("\n"), words)

    def arrow(self, *points, hue="ink", width=3, head=True, dashed=False):
        """A line through the points with round corners, and a head at its end."""
        before, (x, y) = points[-2:]
        size, length = 4 + 3 * width, math.dist(before, (x, y))
        dx, dy = (
            (size * (x - before[0]) / length, size * (y - before[1]) / length) if head else (0, 0)
        )
        points = [*points[:-1], (x - 0.8 * dx, y - 0.8 * dy)]
        path = f"M{_pair(points[0])}"
        for before, corner, after in zip(points, points[1:], points[2:], strict=False):
            path += f" L{_pair(_towards(corner, before))}"
            path += f" Q{_pair(corner)} {_pair(_towards(corner, after))}"
        path += f" L{_pair(points[-1])}"
        self.add("path", "", hue, d=path, stroke_width=width, **(DASHED if dashed else {}))
        if head:
            corners = (x, y), (x - dx - dy / 2, y - dy + dx / 2), (x - dx + dy / 2, y - dy - dx / 2)
            self.add("polygon", hue, points=" ".join(map(_pair, corners)))

    def sign(self, x, y, kind, hue="ink", radius=15):
        """A "+" or "×" in a circle, drawn by lines: fonts set them at different heights."""
        self.add("circle", "paper", hue, cx=x, cy=y, r=radius, stroke_width=3)
        r = radius * (0.5 if kind == "+" else 0.4)
        path = f"M{-r} 0H{r}M0 {-r}V{r}" if kind == "+" else f"M{-r} {-r}L{r} {r}M{-r} {r}L{r} {-r}"
        place = f"translate({_pair((x, y))})"
        self.add("path", "", hue, d=path, transform=place, stroke_width=3)

    def cells(self, x, y, shares, hue="blue", size=40, words=None, width=None):
        """A grid of cells with `words` in them. Rows of `shares` in [-1, 1] say how strongly each
        is filled, negative ones in orange; None is a hole."""
        width = width or size
        for i, row in enumerate(shares):
            for j, share in enumerate(row):
                place = x + j * width, y + i * size, width, size
                if share is None:
                    self.rect(*place, "wash", "quiet", 1.5, stroke_dasharray="5 4")
                    continue
                colour = hue if share >= 0 else "orange"
                self.rect(*place, "paper")
                self.rect(*place, colour, colour, 1.5, fill_opacity=round(abs(share), 2))
                if words:
                    self.text(x + (j + 0.5) * width, y + (i + 0.5) * size, words[i][j], 26)

    def sheets(self, x, y, shares, hue="blue", size=110, step=16):
        """A tensor's channels as sheets; the first is in front, its left lower corner at (x, y)."""
        for c, share in reversed([*enumerate(shares)]):
            place = x + c * step, y - size - c * step, size, size
            self.rect(*place, "paper", rx=6)
            self.rect(*place, hue, hue, rx=6, fill_opacity=round(share, 2))

    def save(self, path: Path):
        """Writes the SVG, with the colours that it uses."""
        used = {name for element in self.root for name in element.get("class", "").split()}
        light, dark = [], []
        for name in sorted(used):
            kind, _, colour = name.partition("-")
            for rules, value in zip((light, dark), COLOURS[colour], strict=True):
                rules.append(f".{name} {{ {'fill' if kind == 'fill' else 'stroke'}: {value} }}")
        fonts = [f"{name} {{ {rule} }}" for name, rule in FONTS.items()]
        rules = [*fonts, *light, "@media (prefers-color-scheme: dark) {", *dark, "}"]
        self.style.text = "\n" + "\n".join(rules) + "\n"
        self.root.text = "\n"
        for element in self.root:
            element.tail = "\n"
        path.write_text(ElementTree.tostring(self.root, encoding="unicode") + "\n", "utf-8")


def _number(value) -> str:
    return value if isinstance(value, str) else f"{value:.5g}"


def _pair(point) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _towards(corner, other, radius=14):
    """The point at `radius` from a corner, or half-way, if that is nearer."""
    length = math.dist(corner, other)
    share = min(radius, length / 2) / length
    return tuple(c + share * (o - c) for c, o in zip(corner, other, strict=True))
