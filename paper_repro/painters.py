"""The six painters of the embedded data set: cardboard, glass, metal, paper, plastic and trash.

A painter gets a patch of its object's plane and a random generator. It returns the colour (3, H, W), not
clipped, and where the object is, (H, W) bool. On the object, u runs to the right and v downwards, both from
about -1 to 1.
"""

import colorsys
import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Patch:
    """What a painter sees: coordinates on its object, the direction of the light, and what lies behind."""

    u: np.ndarray  # (H, W)
    v: np.ndarray  # (H, W)
    light: tuple[float, float, float]  # unit vector along u, v and towards the viewer
    matrix: np.ndarray  # (3, 3) homography from (u, v, 1) to the frame
    scene: np.ndarray  # (3, S, S)

    @property
    def bright_side(self):
        """1 when the light comes from the right of the object, -1 when from the left."""
        return math.copysign(1, self.light[0])

    def behind(self, u, v):
        """The scene's colour (3, H, W) at the object's coordinates u, v."""
        size = self.scene.shape[-1]
        x, y, w = self.matrix @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
        column, row = (np.clip(c / w * size, 0, size - 1).astype(int) for c in (x, y))
        return self.scene[:, row, column].reshape(3, *u.shape)

    def cylinder(self, x):
        """Diffuse light (H, W) on an upright cylinder, x from -1 to 1 across it."""
        facing = np.sqrt(np.clip(1 - x * x, 0, 1))
        return 0.4 + 0.65 * np.clip(x * self.light[0] + facing * self.light[2], 0, 1)

    def facets(self, rng, count):
        """Light (H, W), about -1 to 1, on something crumpled: one flat facet around each of some points."""
        nearest, light = np.full_like(self.u, np.inf), np.zeros_like(self.u)
        for a, b, level, right, down in rng.uniform(-1, 1, (count, 5)).tolist():
            distance = (self.u - a) ** 2 + (self.v - b) ** 2
            light = np.where(distance < nearest, level + right * (self.u - a) + down * (self.v - b), light)
            nearest = np.minimum(nearest, distance)
        return light * 0.8

    def blob(self, rng, radius, wobble):
        """True (H, W) inside an irregular outline around the origin."""
        angle = np.arctan2(self.v, self.u)
        edge = np.full_like(self.u, radius)
        for k in (2, 3, 5, 8, 13):
            edge += wobble * rng.uniform(0.4, 1.4) / math.sqrt(k) * np.cos(k * angle + rng.uniform(0, 7))
        return np.hypot(self.u, self.v) < edge

    def lathe(self, heights, widths, sag):
        """An upright form turned on a lathe: x from -1 to 1 across it, v bent like its base, where it is."""
        x = self.u / np.interp(self.v, heights, widths).astype(np.float32)
        base = self.v + sag * x * x
        return x, base, (np.abs(x) < 1) & (self.v > heights[0]) & (base < heights[-1])


def random_colour(rng, hue=(0, 1), saturation=(0, 0.9), value=(0.2, 1)):
    """A random RGB colour (3, 1, 1) in [0, 1]; each range is of HSV."""
    rgb = colorsys.hsv_to_rgb(*(rng.uniform(*limits) for limits in (hue, saturation, value)))
    return np.array(rgb, np.float32).reshape(3, 1, 1)


def fraction(x):
    """x modulo 1; many times faster than numpy's % on arrays."""
    return x - np.floor(x)


def words(x, y, rng, lines):
    """True where words stand: so many lines of them, for x and y in [0, 1]."""
    there = rng.random((lines, lines)) < 0.8
    row = np.clip((y * lines).astype(int), 0, lines - 1)
    column = np.clip((x * lines * 0.7 + row * 0.37).astype(int), 0, lines - 1)
    height = fraction(y * lines)
    return there[row, column] & (height > 0.3) & (height < 0.75) & (x > 0.08) & (x < 0.92) & (y > 0) & (y < 1)


def _mix(a, b, share):
    """Colour `a` where `share` (H, W) is 0, `b` where it is 1."""
    return a + (b - a) * np.asarray(share, np.float32)


def _label(colour, x, y, rng):
    """Lay a printed label, x and y from 0 to 1 on it, over `colour`."""
    ground, ink = random_colour(rng), random_colour(rng, value=(0, 0.4))
    printed = _mix(ground, ink, words(x, y, rng, int(rng.integers(4, 7))))
    band = np.abs(y - rng.uniform(0.1, 0.9)) < rng.uniform(0.03, 0.12)
    return _mix(colour, _mix(printed, random_colour(rng), band), (x > 0) & (x < 1) & (y > 0) & (y < 1))


def _cardboard(patch, rng):
    """A box seen from above its front, taped or open, or a flattened box with creases and corrugated ends."""
    u, v = patch.u, patch.v
    brown = random_colour(rng, (0.05, 0.11), (0.25, 0.6), (0.45, 0.9))
    if rng.random() < 0.1:  # printed all over
        brown = random_colour(rng, saturation=(0, 0.4), value=(0.5, 0.95))
    ink, is_marked = brown * 0.35, rng.random() < 0.5
    if rng.random() < 0.35:
        arm, reach = rng.uniform(0.4, 0.55), rng.uniform(0.75, 0.95)
        inside = ((np.abs(u) < arm) & (np.abs(v) < 0.95)) | ((np.abs(u) < reach) & (np.abs(v) < arm))
        crease = np.minimum(np.abs(np.abs(u) - arm), np.abs(np.abs(v) - arm)) < 0.025
        flutes = (np.abs(v) > 0.85) * np.sin(u * 55) + (np.abs(u) > reach - 0.1) * np.sin(v * 55)
        shade = 0.95 - 0.3 * crease + 0.3 * flutes + 0.03 * np.sin(u * 45)
        mark = is_marked & words(u / arm / 2 + 0.5, v / arm / 1.2 + 0.5, rng, 4)
        return _mix(brown, ink, mark) * shade, inside
    width, height = rng.uniform(0.9, 1.2), rng.uniform(0.6, 1)
    back, rise = rng.uniform(0.3, 0.55), rng.uniform(0.25, 0.5)  # where the far edge lies, right and up
    s, t = (u + 0.8) / width, (v - 0.85) / height + 1  # 0 to 1 across and down the front
    q = (0.85 - height - v) / rise  # 0 to 1 from the near to the far edge of the top
    along = s - q * back / width  # 0 to 1 across the top
    deep = (s - 1) * width / back  # 0 to 1 from the near to the far edge of the side
    low = t + deep * rise / height  # 0 to 1 down the side
    front = (s > 0) & (s < 1) & (t > 0) & (t < 1)
    top = (q >= 0) & (q < 1) & (along > 0) & (along < 1)
    side = (deep >= 0) & (deep < 1) & (low > 0) & (low < 1)
    shade = np.where(front, 0.9 + 0.04 * np.sin(u * 50), np.where(top, 1.12, 0.62)).astype(np.float32)
    colour = _mix(brown, ink, front & is_marked & words(s * 1.6 - 0.1, t * 1.6 - 0.7, rng, 4))
    if rng.random() < 0.5:  # open: a dark inside, one flap towards us, one at the back
        reach = rng.uniform(0.25, 0.45)
        near = (t > 0) & (t < reach) & (s > -0.3 * t) & (s < 1 + 0.1 * t)
        far = (q >= 1) & (q < 1 + reach * 1.2) & (along > 0.05) & (along < 0.98)
        shade = np.where(top, 0.35 + 0.25 * q, np.where(far, 0.95, shade))
        shade = np.where(near, 1.1 - 0.4 * (t > reach - 0.05), shade)
        return colour * shade, front | top | side | near | far
    tape = _mix(brown, random_colour(rng, (0.05, 0.15), (0, 0.6), (0.5, 1)), 0.7)
    strip = ((np.abs(along - 0.5) < 0.09) & top) | ((np.abs(s - 0.5) < 0.09) & (t < 0.3) & front)
    return _mix(colour, tape, strip) * shade, front | top | side


def _glass(patch, rng):
    """A bottle, a jar or a tumbler: the scene is seen bent through it; dark edges, sharp glints."""
    v, body = patch.v, rng.uniform(0.3, 0.4)
    shoulder = rng.uniform(-0.2, 0.1)
    bottle = (-1, -0.92, -0.9, -0.4, shoulder, 0.9, 1), (0.13, 0.13, 0.1, 0.12, body, body, body * 0.9)
    jar = (-0.9, -0.7, -0.69, -0.5, 0.8, 0.9), (0.45, 0.45, 0.42, 0.6, 0.6, 0.52)
    tumbler = (-0.85, 0.85), (0.6, 0.42)
    kind = rng.choice(3, p=(0.5, 0.3, 0.2))
    heights, widths = (bottle, jar, tumbler)[kind]
    x, base, inside = patch.lathe(heights, widths, 0.1)
    tint = random_colour(rng, saturation=(0, 0.12), value=(0.8, 0.97))
    if rng.random() < 0.55:  # brown to green
        tint = random_colour(rng, (0.08, 0.45), (0.3, 0.8), (0.4, 0.8))
    thickness = 0.5 + 1.6 * x**4 + 1.2 * (base > heights[-1] - 0.09)
    seen = patch.behind(patch.u * -0.5, v * 0.85)  # a full cylinder mirrors what lies behind
    colour = seen * tint**thickness * (1 - 0.35 * np.abs(x) ** 6)
    if kind == 0 and rng.random() < 0.4:
        colour = _label(colour, x * 0.55 + 0.5, (v - 0.2) / 0.45, rng)
    if kind > 0:
        mouth = np.abs(np.hypot(x, (v - heights[0] - 0.1) / 0.1) - 0.9) < 0.12
        colour = _mix(colour, 1, 0.6 * mouth)
    bright = 0.55 * patch.bright_side
    glint = (np.abs(x - bright) < 0.09) & (base < 0.75) & (np.abs(v + 0.35) > 0.05)
    return _mix(colour, 1, 0.8 * glint + 0.45 * (np.abs(x + bright * 1.4) < 0.05)), inside


def _metal(patch, rng):
    """A drink can or a ribbed tin with its bright lid, straight or crushed, or a ball of foil."""
    u, v = patch.u, patch.v
    bare = random_colour(rng, saturation=(0, 0.15), value=(0.55, 0.8))
    if rng.random() < 0.12:
        gleam = patch.facets(rng, 24)
        return bare * (0.7 + 0.6 * gleam + 0.4 * (gleam > 0.6)), patch.blob(rng, 0.7, 0.08)
    radius, bow, is_tin = rng.uniform(0.42, 0.58), rng.uniform(0.06, 0.16), rng.random() < 0.4
    dent = np.zeros_like(u)
    if rng.random() < 0.4:
        fold = fraction(v * rng.uniform(1.4, 2.2) + rng.uniform(0, 1) + 0.3 * u) - 0.5
        crushed = np.abs(v) < 0.75
        u = u + 0.08 * (np.abs(fold) * 4 - 1) * crushed
        dent = np.sign(fold) * crushed
    end = radius * (1 if is_tin else 0.86)  # a drink can narrows towards its ends
    x = u / np.interp(v, (-0.9, -0.7, 0.78, 0.95), (end, radius, radius, end)).astype(np.float32)
    facing = np.sqrt(np.clip(1 - x * x, 0, 1))
    height = v - bow * facing  # constant along a ring around the can
    lid = np.hypot(u / end, (v + 0.82) / bow)
    inside = ((np.abs(x) < 1) & (v > -0.82) & (height < 0.82)) | (lid < 1)
    colour, ribs = bare, 0
    if is_tin and rng.random() < 0.7:
        ribs = 0.3 * np.sin(height * 38) * (np.abs(height) < 0.55)
    else:
        painted = np.abs(height) < 0.72
        colour = _mix(colour, random_colour(rng) if rng.random() < 0.7 else bare, painted)
        for centre, thickness in rng.uniform((-0.6, 0.03), (0.6, 0.16), (rng.integers(1, 4), 2)).tolist():
            colour = _mix(colour, random_colour(rng), painted & (np.abs(height - centre) < thickness))
        emblem = np.hypot(x - 0.1, height * 2 - rng.uniform(-0.6, 0.6)) < rng.uniform(0.2, 0.5)
        colour = _mix(colour, random_colour(rng), painted & emblem)
    bright = 0.5 * patch.bright_side
    streaks = ((0.75, bright, 0.13), (0.35, -0.9 * bright, 0.2), (0.2, 0.95, 0.1))
    glare = sum(level * np.exp(-(((x - centre) / spread) ** 2)) for level, centre, spread in streaks)
    seam = np.abs(np.abs(height) - 0.76) < 0.02
    colour = colour * (0.3 + 0.65 * facing + 0.16 * dent) + 0.75 * (glare + ribs) - 0.3 * seam
    cover = 0.9 + 0.24 * np.sin(u * 9 + 1) - 0.42 * (np.abs(lid - 0.8) < 0.09) + 0.3 * (lid > 0.9)
    if not is_tin:
        cover = np.where(np.hypot((u - 0.12) / 0.14, (v + 0.82) / (bow * 0.4)) < 1, np.float32(0.18), cover)
    return _mix(colour, bare * cover, lid < 1), inside


def _paper(patch, rng):
    """A sheet with print, folds and a turned corner, or a crumpled ball of one."""
    u, v = patch.u, patch.v
    white = random_colour(rng, (0.05, 0.17), (0, 0.2), (0.82, 1))
    if rng.random() < 0.2:
        white = random_colour(rng, saturation=(0.1, 0.5), value=(0.65, 1))
    ink = random_colour(rng, value=(0.05, 0.4))
    x, y = u / 1.3 + 0.5, v / 1.8 + 0.5
    is_printed = words(fraction(x * int(rng.integers(1, 4))), y * 1.1 - 0.05, rng, int(rng.integers(11, 17)))
    if rng.random() < 0.25:
        shade = 0.82 + 0.2 * patch.facets(rng, 18) + 0.15 * (u * patch.light[0] + v * patch.light[1])
        visible = is_printed & (np.sin(u * 9 + v * 5) > 0.2)
        return _mix(white, ink, 0.6 * visible) * shade, patch.blob(rng, 0.68, 0.06)
    wave = rng.uniform(0, 0.05)
    corner = u - v - rng.uniform(1, 1.35)  # above 0: turned over
    inside = (np.abs(u + wave * np.sin(v * 5)) < 0.65) & (np.abs(v + wave * np.sin(u * 6)) < 0.9)
    inside &= corner < 0
    title = (np.abs(y - 0.08) < 0.035) & (np.abs(x - 0.4) < 0.28)
    colour = _mix(white, ink, 0.8 * ((is_printed & (y > 0.15)) | title))
    if rng.random() < 0.45:
        left, upper = rng.uniform(0.08, 0.5), rng.uniform(0.2, 0.6)
        photograph = (np.abs(x - left - 0.2) < 0.2) & (np.abs(y - upper - 0.12) < 0.12)
        colour = _mix(colour, random_colour(rng), photograph)
    colour = _mix(colour, white * (0.75 + 0.2 * (corner > -0.03)), (corner > -0.3) & (u > 0.3) & (v < -0.4))
    return colour * (0.95 + rng.uniform(0.02, 0.12) * patch.facets(rng, 6)), inside


def _plastic(patch, rng):
    """A drink bottle or a jug with cap and label, or a thin bag with handles."""
    u, v = patch.u, patch.v
    tint = random_colour(rng, saturation=(0.15, 0.9), value=(0.6, 1))
    kind = rng.choice(["bottle", "jug", "bag"], p=(0.55, 0.15, 0.3))
    if kind == "bag":
        handles = (np.abs(np.abs(u) - 0.3) < 0.13) & (np.abs(v + 0.65) < 0.35)
        inside = (patch.blob(rng, 0.68, 0.05) & (v > -0.45)) | handles
        pull = np.sin(np.arctan2(u, v + 1.1) * rng.uniform(18, 30) + np.sin(v * 6) * 1.5)
        shade = 0.9 + 0.1 * pull + 0.13 * patch.facets(rng, 12) + 0.3 * (pull > 0.9)
        colour = _mix(patch.behind(u * 0.95, v * 0.95), tint, rng.uniform(0.35, 0.75)) * shade
        emblem = np.hypot(u, v - 0.1) < rng.uniform(0.15, 0.3)
        return _mix(colour, random_colour(rng), 0.8 * emblem), inside
    body, shoulder = (0.56, -0.35) if kind == "jug" else (rng.uniform(0.28, 0.38), rng.uniform(-0.45, -0.15))
    cap = body * 0.4
    heights, widths = (-1, -0.82, -0.81, -0.72, shoulder, 1), (cap, cap, cap * 0.8, cap * 0.85, body, body)
    x, base, inside = patch.lathe(heights, widths, 0.06)
    ribs, opacity = np.sin(v * rng.uniform(18, 26)), rng.uniform(0.25, 0.7)
    if kind == "jug":
        ribs, opacity = np.zeros_like(v), rng.uniform(0.8, 1)
        inside &= np.hypot((u - body * 0.55) / 0.13, (v + 0.15) / 0.24) > 1  # the grip
    colour = _mix(patch.behind(u * 0.9, v), tint, np.clip(opacity + 0.25 * x * x, 0, 1))
    sheen = np.exp(-(((x - 0.4 * patch.bright_side) / 0.22) ** 2)) * (1 + 0.6 * ribs)
    feet = 0.15 * (v > 0.86) * np.sin(x * 8)
    colour = colour * (patch.cylinder(x) + 0.1 * ribs + feet) + 0.3 * sheen
    if rng.random() < 0.75:
        colour = _label(colour, x * 0.5 + 0.5, (v + 0.02) / rng.uniform(0.35, 0.55), rng)
    knurl = patch.cylinder(x) * (1 + 0.2 * np.sin(x * 14))
    return _mix(colour, random_colour(rng, saturation=(0.3, 1), value=(0.4, 1)) * knurl, v < -0.82), inside


def _trash(patch, rng):
    """A snack wrapper with crimped ends, or a heap of scraps stuck together."""
    u, v = patch.u, patch.v
    if rng.random() < 0.5:
        side = rng.uniform(0.5, 0.68) - 0.1 * np.abs(v) ** 3 + 0.04 * np.sin(v * 8 + rng.uniform(0, 7))
        inside = (np.abs(u) < side) & (np.abs(v) < 0.95 - 0.08 * np.abs(fraction(u * 9) - 0.5))
        colour, slant = random_colour(rng), v + u * rng.uniform(-0.6, 0.6)
        for centre in rng.uniform(-0.6, 0.6, 2).tolist():
            colour = _mix(colour, random_colour(rng), np.abs(slant - centre) < rng.uniform(0.08, 0.25))
        emblem = np.hypot(u * 1.2, v - rng.uniform(-0.2, 0.2)) < rng.uniform(0.2, 0.4)
        crimp = (np.abs(v) > 0.78) * (0.25 * np.sin(u * 60) - 0.1)
        shine = patch.facets(rng, 18)
        shade = 0.8 + 0.2 * shine + crimp - 0.5 * u * u + 0.4 * (shine > 0.65)
        return _mix(colour, random_colour(rng), emblem) * shade, inside
    inside = patch.blob(rng, 0.72, 0.18)
    colour, shade = random_colour(rng, value=(0.1, 0.4)), 0.75 + 0.2 * patch.facets(rng, 9)
    limits = (-0.6, -0.6, 0, 0.15, 0.3), (0.6, 0.6, 3.2, 0.45, 0.9)
    for a, b, angle, length, ratio in rng.uniform(*limits, (9, 5)).tolist():
        along = (u - a) * math.cos(angle) + (v - b) * math.sin(angle)
        over = (v - b) * math.cos(angle) - (u - a) * math.sin(angle)
        scrap = (np.abs(along) < length) & (np.abs(over) < length * ratio)
        stripes = np.sin(along * rng.uniform(10, 40)) > rng.uniform(0, 1.5)
        colour = _mix(colour, _mix(random_colour(rng), random_colour(rng), stripes), scrap)
        shade -= 0.25 * (scrap & (over > length * ratio - 0.06))
    return colour * shade, inside


PAINTERS = {
    "cardboard": _cardboard,
    "glass": _glass,
    "metal": _metal,
    "paper": _paper,
    "plastic": _plastic,
    "trash": _trash,
}
