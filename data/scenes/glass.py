"""Glass: bottles, jars, drinking glasses, and what is left when they break.

Every vessel is a line (radius, height) turned about z. A broken one is cut out of the same line: a piece is a stretch
of the wall between two angles and two places along the line, so all pieces of a heap come from one bottle.
"""

import numpy as np
from materials import clear, glossy, matte
from meshes import (
    Part,
    at_rest,
    border,
    cap,
    displaced,
    hollow,
    moved,
    piled,
    quads,
    resample,
    ribbon,
    rotation,
    turned,
    wrapped,
)
from noise import TAU, waves
from PIL import Image, ImageDraw
from prints import font, grime, hsv, ink, label, random_colour, text_block, to_array, word

# The share of red, green and blue light that one surface lets through; light crosses four of them in an empty bottle.
TINTS = {
    "clear": (0.95, 0.985, 0.97),
    "green": (0.6, 0.84, 0.55),
    "dark green": (0.5, 0.64, 0.36),
    "brown": (0.8, 0.54, 0.26),
    "amber": (0.93, 0.72, 0.36),
    "blue": (0.42, 0.6, 0.92),
    "aqua": (0.72, 0.9, 0.92),
    "grey": (0.66, 0.66, 0.68),
    "rose": (0.95, 0.74, 0.74),
}
SHAPES = {  # least and most radius, height of body, shoulder and neck, radius of the mouth, rise of the floor
    "long neck": ((0.27, 0.85, 0.35, 0.2, 0.115, 0.05), (0.32, 1.05, 0.5, 0.35, 0.125, 0.05)),
    "stubby": ((0.32, 0.75, 0.2, 0.1, 0.125, 0.05), (0.36, 0.9, 0.35, 0.2, 0.135, 0.05)),
    "bordeaux": ((0.29, 1.1, 0.2, 0.4, 0.12, 0.12), (0.33, 1.25, 0.25, 0.5, 0.13, 0.18)),
    "burgundy": ((0.32, 0.85, 0.45, 0.3, 0.12, 0.12), (0.37, 1.0, 0.55, 0.4, 0.13, 0.18)),
    "juice": ((0.3, 0.6, 0.15, 0.06, 0.13, 0.05), (0.38, 0.95, 0.35, 0.2, 0.2, 0.08)),
    "small": ((0.32, 0.45, 0.08, 0.06, 0.13, 0.05), (0.42, 0.75, 0.2, 0.1, 0.18, 0.08)),
}


def glass_of(rng, *tints):
    """(material, material of its edges): one of the tints, or any of them; edges are seen through more glass."""
    tint = np.array(TINTS[rng.choice(tints or list(TINTS))]) ** rng.uniform(0.25, 1.0)
    return clear(tint, 1.52), clear(tint**2.5, 1.52)


def whole(rng, line, wall, floor, *tints):
    """A vessel that is whole, as a list of one part; painted in one of twelve cases."""
    glass = glossy(random_colour(rng), 0.15) if rng.random() < 0.08 else glass_of(rng, *tints)[0]
    return [turned(hollow(line, wall, floor), glass, 120)]


def bottle_line(radius, body, shoulder, neck, mouth, punt):
    """The outer line of a bottle: a body, a shoulder that narrows to a neck, and a lip; lengths of each, from below."""
    top = body + shoulder + neck
    foot = [(0, punt), (radius * 0.6, punt * 0.5), (radius * 0.92, 0), (radius, 0.06)]
    side = [(radius, body), (radius * 0.88, body + 0.4 * shoulder), (mouth * 1.15, body + shoulder), (mouth, top)]
    lip = [(mouth * 1.2, top + 0.01), (mouth * 1.2, top + 0.09), (mouth, top + 0.1)]
    return resample(foot + side + lip, 160, 0.7)


def jar_line(radius, height):
    """The outer line of a jar: a wide mouth with a screw thread."""
    mouth = radius * 0.86
    foot = [(0, 0.05), (radius * 0.8, 0.03), (radius * 0.95, 0), (radius, 0.07)]
    side = [(radius, height * 0.76), (radius * 0.97, height * 0.82), (mouth, height * 0.88), (mouth, height)]
    line = resample(foot + side, 160, 0.9)
    turns = 0.022 * np.sin((line[:, 1] / height - 0.9) * TAU / 0.05)
    line[:, 0] += np.clip(turns, 0, None) * (line[:, 1] > 0.9 * height) * (line[:, 1] < 0.975 * height)
    return line


def squared(parts, rng, top, flat=1.0):
    """The parts, rounded square up to near the height `top` and round above it; flat below 1 makes a flask."""
    power = rng.uniform(3.5, 7)

    def field(points):
        x, y = points[:, 0], points[:, 1]
        angle = np.arctan2(y, x)
        section = (np.abs(np.cos(angle)) ** power + np.abs(np.sin(angle)) ** power) ** (-1 / power)
        share = np.clip((top - points[:, 2]) / (0.25 * top), 0, 1)
        return np.c_[x * (section - 1) * share, y * (section * flat - 1) * share, np.zeros(len(points))]

    return displaced(parts, field)


def posed(parts, rng, lying=0.65):
    """(parts, rest): standing, or lying with what is at angle 0 (the label's middle) up to 60 degrees off the top."""
    if rng.random() > lying:
        return parts, "upright"
    moved(parts, rotation((0, 0, 1), rng.uniform(-1, 1)))
    return moved(parts, rotation((0, 1, 0), -np.pi / 2)), "placed"


# -------------------------------------------------------------------------------------------------- labels and contents


def paper_label(rng, width=512, height=400):
    """A printed label as on wine and beer: cream, dark or a brand's colour; a frame, a crest, a name, small print."""
    sort = rng.choice(["cream", "dark", "brand"], p=[0.5, 0.2, 0.3])
    if sort == "cream":
        ground = hsv(rng.uniform(0.08, 0.15), rng.uniform(0.02, 0.16), rng.uniform(0.82, 0.95))
        pen = random_colour(rng, value=(0.1, 0.5))
    else:
        ground = random_colour(rng, (0.3, 0.8), (0.06, 0.25) if sort == "dark" else (0.3, 0.65))
        pen = hsv(rng.uniform(0.08, 0.15), rng.uniform(0.05, 0.5), rng.uniform(0.75, 0.95))
    picture = Image.new("RGB", (width, height), ink(ground))
    draw = ImageDraw.Draw(picture)
    margin = int(rng.integers(10, 24))
    if rng.random() < 0.7:
        frame = [margin, margin, width - margin, height - margin]
        draw.rectangle(frame, outline=ink(pen), width=int(rng.integers(2, 7)))
    crest = ink(random_colour(rng, (0.3, 0.8), (0.25, 0.8)))
    middle, top, size = width / 2, height * rng.uniform(0.12, 0.2), height * rng.uniform(0.18, 0.3)
    if rng.random() < 0.5:
        draw.ellipse([middle - size, top, middle + size, top + size * 1.2], fill=crest)
    else:
        draw.polygon([(middle - size / 2, top), (middle + size / 2, top), (middle, top + size * 1.2)], fill=crest)
    name = word(rng, 2, 3).title()
    face = font(rng, min(height * 0.24, 1.3 * width * 0.8 / len(name)))
    draw.text((middle, height * 0.58), name, font=face, fill=ink(pen), anchor="mm")
    text_block(draw, rng, (width * 0.25, height * 0.74, width * 0.75, height * 0.9), height // 22, ink(pen))
    return to_array(picture)


def sticker(rng, line, bottom, top, share):
    """A worn label between two heights, its middle at angle 0; a wide one is a brand print all around."""
    print_ = paper_label(rng) if share < 0.75 else label(rng, 1024, 360)
    surface = matte(grime(print_, rng, rng.uniform(0, 0.8)), 0.5)
    paper = wrapped(line, bottom, top, surface, share=share)
    return moved([paper], rotation((0, 0, 1), -share * np.pi))


def cavity(line, wall, floor):
    """The inner line of a vessel, from its floor upwards, a hair inside the wall so that contents do not touch it."""
    inner = hollow(line, wall, floor)[len(line) + 1 :][::-1]
    return np.c_[np.maximum(inner[:, 0] - 0.004, 0), inner[:, 1] + 0.004]


def drink(rng, line, wall, floor, level):
    """A drink that stands in a vessel up to a level."""
    inner = cavity(line, wall, floor)
    colour = clear([(0.8, 0.5, 0.2), (0.5, 0.2, 0.1), (0.7, 0.15, 0.2), (0.95, 0.85, 0.5)][rng.integers(4)], 1.33)
    below = inner[inner[:, 1] < level]
    radius = below[-1, 0]
    return [turned(np.vstack([below, (radius, level)]), colour), turned([(radius, level), (0, level)], colour)]


def smear(rng, line, wall, floor):
    """What clings to the inside of a jar: jam, sauce, honey; up to an uneven height."""
    inner = cavity(line, wall, floor)
    angle = np.linspace(0, TAU, 97)
    height = rng.uniform(0.35, 0.6) + jagged(rng, angle, rng.uniform(0.03, 0.1), smooth=True)
    colour = hsv(rng.uniform(-0.05, 0.16), rng.uniform(0.3, 0.95), rng.uniform(0.15, 0.85))
    return wall_piece(inner, angle, np.linspace(0, 1, 60)[:, None] * height, glossy(colour, 0.25))


# ------------------------------------------------------------------------------------------------------------- breaking


def jagged(rng, angle, depth, smooth=False):
    """The uneven height (N,) of a fracture around a bottle, from -depth to depth."""
    if smooth:
        return depth * waves(np.c_[np.cos(angle), np.sin(angle)], rng, 2.5)
    corners = np.sort(rng.uniform(0, TAU, rng.integers(6, 12)))
    return depth * np.interp(angle, corners, rng.uniform(-1, 1, len(corners)), period=TAU)


def wall_piece(line, angle, along, material, inside=False):
    """A part of a turned line: at angles and places along it (0 to 1), arrays that broadcast to (rows, columns)."""
    angle, along = np.broadcast_arrays(angle, along)
    steps = np.linspace(0, 1, len(line))
    radius, height = np.interp(along, steps, line[:, 0]), np.interp(along, steps, line[:, 1])
    vertices = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], 2).reshape(-1, 3)
    rows, columns = along.shape
    triangles = quads(columns, rows)
    around, upwards = (angle - angle.min()) / np.ptp(angle), (along - along.min()) / np.ptp(along)
    return Part(vertices, triangles[:, ::-1] if inside else triangles, np.c_[around.ravel(), upwards.ravel()], material)


def thick_piece(line, wall, glass, edge, angle, along, rims, floor=0.06):
    """A closed piece of wall. rims: lists of vertex indices along its edges, each with the piece on its left."""
    inner = hollow(line, wall, floor)[len(line) + 1 :][::-1]
    outside = wall_piece(line, angle, along, glass)
    inside = wall_piece(inner, angle, along, glass, inside=True)
    return [outside, inside] + [ribbon(inside.vertices[rim], outside.vertices[rim], edge) for rim in rims]


def bottom_piece(rng, line, wall, glass, edge, cut, depth):
    """The lower part of a bottle, up to a fracture at the share `cut` of its line."""
    angle = np.linspace(0, TAU, 145)
    height = cut + jagged(rng, angle, depth)
    rows = 90
    rim = np.arange(rows * 145)[-145:][::-1]
    piece = thick_piece(line, wall, glass, edge, angle, np.linspace(0, 1, rows)[:, None] * height, [rim])
    if rng.random() < 0.5:
        low, middle = 0.3, rng.uniform(-1, 1)
        paper = np.linspace(0, 1, 30)[:, None] * np.clip(height[:60] - 0.02 - low, 0.01, 0.3) + low
        piece.append(wall_piece(line + [0.006, 0], angle[:60] + middle, paper, matte(paper_label(rng), 0.5)))
    return piece


def neck_piece(rng, line, wall, glass, edge, cut, depth):
    """The neck of a bottle, down to a fracture at the share `cut` of its line."""
    angle = np.linspace(0, TAU, 145)
    low = cut + jagged(rng, angle, depth)
    rows = 60
    along = low + np.linspace(0, 1, rows)[:, None] * (1 - low)
    index = np.arange(rows * 145)
    return thick_piece(line, wall, glass, edge, angle, along, [index[:145], index[-145:][::-1]])


def shard(rng, line, wall, glass, edge, size):
    """A curved splinter with 3 to 6 corners out of a bottle's side; size: about its width (a bottle is 0.6 wide)."""
    count = 40
    corners = rng.integers(3, 7)
    corner_angles = (np.arange(corners) + rng.uniform(0.1, 0.7, corners)) * TAU / corners
    corner_radii = size * rng.uniform(0.5, 1.1, corners)
    x, y = np.meshgrid(np.linspace(-1, 1, count), np.linspace(-1, 1, count))
    scale = np.maximum(np.abs(x), np.abs(y)) * polygon_radius(np.arctan2(y, x) % TAU, corner_angles, corner_radii)
    direction = np.arctan2(y, x)
    angle = scale * np.cos(direction) / 0.3
    along = rng.uniform(0.35, 0.75) + 0.4 * scale * np.sin(direction)
    piece = thick_piece(line, wall, glass, edge, angle, along, [border(count, count)])
    if rng.random() < 0.25:
        piece.append(wall_piece(line + [0.006, 0], 0.97 * angle, along, matte(paper_label(rng), 0.5)))
    return piece


def polygon_radius(angle, corner_angles, corner_radii):
    """How far the side of a polygon around the origin is in a direction."""
    after = np.searchsorted(corner_angles, angle) % len(corner_angles)
    before = after - 1
    past, left = (angle - corner_angles[before]) % TAU, (corner_angles[after] - angle) % TAU
    reach = corner_radii[before] * np.sin(past) + corner_radii[after] * np.sin(left)
    radius = corner_radii[before] * corner_radii[after] * np.sin(past + left) / (reach + 1e-9)
    return np.clip(radius, 0.02, 1.2 * corner_radii.max())


# ---------------------------------------------------------------------------------------------------------------- kinds


def drawn_line(rng, *names):
    """The line of a bottle of one of the named shapes."""
    return bottle_line(*rng.uniform(*SHAPES[rng.choice(names)]))


def beer_bottle(rng):
    """A beer or lemonade bottle, mostly with a label, sometimes with its crown cap or a rest of the drink."""
    line, wall = drawn_line(rng, "long neck", "long neck", "stubby"), rng.uniform(0.025, 0.04)
    parts = whole(rng, line, wall, 0.06, "brown", "green", "clear", "amber", "blue", "aqua", "grey", "rose")
    if rng.random() < 0.75:
        bottom, share = rng.uniform(0.15, 0.3), rng.choice([0.35, 0.45, 1], p=[0.4, 0.4, 0.2])
        parts += sticker(rng, line, bottom, bottom + rng.uniform(0.35, 0.5), share)
    if rng.random() < 0.3:
        crown = cap(0.165, 0.07, glossy(random_colour(rng), 0.3, 0.7), ridges=21, flare=0.1)
        parts += moved(crown, shift=(0, 0, line[-1, 1] + 0.015))
    parts, rest = posed(parts, rng, 0.7)
    if rest == "upright" and rng.random() < 0.5:
        parts += drink(rng, line, wall, 0.06, rng.uniform(0.15, 0.6))
    return parts, rest


def wine_bottle(rng):
    """A wine bottle: a small label, the foil of its cork left on the neck in half the cases."""
    line, wall = drawn_line(rng, "bordeaux", "burgundy"), rng.uniform(0.03, 0.045)
    parts = whole(rng, line, wall, 0.16, "dark green", "green", "brown", "clear", "amber", "blue", "grey", "rose")
    if rng.random() < 0.8:
        bottom = rng.uniform(0.2, 0.4)
        parts += sticker(rng, line, bottom, bottom + rng.uniform(0.35, 0.5), rng.uniform(0.32, 0.48))
    if rng.random() < 0.5:
        top = line[-1, 1]
        foil = glossy(random_colour(rng, value=(0.1, 0.7)), 0.35, 0.5)
        parts.append(wrapped(line, top - rng.uniform(0.25, 0.45), top - rng.uniform(0, 0.12), foil))
    return posed(parts, rng, 0.7)


def jar(rng):
    """A jar for jam or pickles, mostly lying, empty or smeared; its lid is gone, beside it or, seldom, on it."""
    radius, height, wall = rng.uniform(0.36, 0.46), rng.uniform(0.75, 1.15), rng.uniform(0.035, 0.055)
    line = jar_line(radius, height)
    parts = whole(rng, line, wall, 0.08, "clear", "clear", "aqua", "green", "amber", "blue", "brown", "rose", "grey")
    if rng.random() < 0.55:
        parts += sticker(rng, line, height * 0.2, height * rng.uniform(0.5, 0.68), rng.choice([0.35, 0.5, 1]))
    if rng.random() < 0.2:
        parts.append(smear(rng, line, wall, 0.08))
    if rng.random() < 0.3:
        squared(parts, rng, height * 0.85)
    print_ = grime(label(rng, 256, 256), rng, 0.4) if rng.random() < 0.4 else random_colour(rng)
    lid = cap(radius * 0.9 + 0.02, 0.13, glossy(print_, 0.3, 0.7), ridges=60, ridge=0.006)
    fate = rng.choice(["gone", "beside", "on"], p=[0.5, 0.32, 0.18])
    if fate == "on":
        parts += moved(lid, shift=(0, 0, height + 0.01))
    parts, rest = posed(parts, rng, 0.9 if fate == "on" else 0.65)
    if fate == "beside":
        moved(lid, rotation((1, 0, 0), np.pi * (rng.random() < 0.5)))
        return piled([at_rest(parts, rest, rng), at_rest(lid, "flat", rng)], rng, 0.8), "placed"
    return parts, rest


def screw_bottle(rng, shape, wall, *tints):
    """A bottle with a wide mouth: with a label, a square section, a screw cap, or without."""
    sizes = rng.uniform(*SHAPES[shape])
    line, mouth = bottle_line(*sizes), sizes[4]
    height = line[-1, 1]
    parts = whole(rng, line, wall, 2 * wall, *tints)
    if rng.random() < 0.65:
        parts += sticker(rng, line, 0.14, sizes[1] * rng.uniform(0.6, 0.88), rng.choice([0.4, 0.55, 1]))
    if rng.random() < 0.45:
        squared(parts, rng, 0.9 * height, rng.uniform(0.6, 1))
    if rng.random() < 0.5:
        colour = random_colour(rng) if rng.random() < 0.6 else np.ones(3) * rng.choice([0.06, 0.9])
        screw = cap(mouth * 1.22, rng.uniform(0.12, 0.17), glossy(colour, 0.3, rng.choice([0, 0.7])), 50, 0.008)
        parts += moved(screw, shift=(0, 0, height + 0.01))
    return posed(parts, rng, 0.75)


def juice_bottle(rng):
    """A bottle for juice, milk, sauce or spirits."""
    return screw_bottle(rng, "juice", rng.uniform(0.03, 0.045))


def small_bottle(rng):
    """A medicine, perfume or sample bottle, with thick walls."""
    tints = ["amber", "brown", "brown", "clear", "blue", "rose", "green"]
    return screw_bottle(rng, "small", rng.uniform(0.05, 0.075), *tints)


def splinters(rng, line, wall, glass, edge, neck, count, size):
    """Pieces of a bottle at rest: its neck in three of five cases, and curved splinters.

    neck: least and most height of the cut, and how ragged it is; count, size: least and most of the splinters.
    """
    low, high, ragged = neck
    pieces = []
    if rng.random() < 0.6:
        pieces.append(at_rest(neck_piece(rng, line, wall, glass, edge, rng.uniform(low, high), ragged), "any", rng))
    for _ in range(rng.integers(*count)):
        pieces.append(at_rest(shard(rng, line, wall, glass, edge, rng.uniform(*size)), "any", rng))
    return pieces


def broken_bottle(rng):
    """A bottle that broke in two, the neck or only splinters of it beside the rest."""
    line, wall = drawn_line(rng, "long neck", "long neck", "bordeaux", "burgundy"), rng.uniform(0.035, 0.05)
    glass, edge = glass_of(rng, "brown", "brown", "green", "green", "dark green", "clear", "amber", "blue")
    cut = rng.uniform(0.5, 0.68)
    body = bottom_piece(rng, line, wall, glass, edge, cut, rng.uniform(0.05, 0.13))
    pieces = [at_rest(*posed(body, rng, 0.6), rng)]
    pieces += splinters(rng, line, wall, glass, edge, neck=(0.68, 0.76, 0.06), count=(1, 5), size=(0.15, 0.3))
    return piled(pieces, rng, 0.45), "placed"


def shards(rng):
    """The pieces of one smashed bottle: its foot, mostly its neck, and curved splinters."""
    line, wall = drawn_line(rng, "long neck", "stubby", "bordeaux", "burgundy"), rng.uniform(0.035, 0.05)
    glass, edge = glass_of(rng, "clear", "clear", "green", "dark green", "brown", "brown", "amber", "blue", "aqua")
    pieces = []
    if rng.random() < 0.75:
        foot = bottom_piece(rng, line, wall, glass, edge, rng.uniform(0.27, 0.36), rng.uniform(0.03, 0.06))
        pieces.append(at_rest(foot, "upright" if rng.random() < 0.5 else "any", rng))
    pieces += splinters(rng, line, wall, glass, edge, neck=(0.7, 0.8, 0.05), count=(5, 10), size=(0.2, 0.42))
    return piled(pieces, rng, 0.35), "placed"


def stemmed_glass(rng):
    """A wine glass, standing or lying."""
    bowl, height = rng.uniform(0.3, 0.42), rng.uniform(0.55, 0.75)
    stem = rng.uniform(0.35, 0.55)
    foot = [(0, 0), (0.3, 0), (0.31, 0.02), (0.06, 0.06), (0.04, 0.12), (0.04, stem)]
    outside = [(0.08, stem + 0.05), (bowl * 0.8, stem + 0.2), (bowl, stem + 0.5 * height), (bowl * 0.8, stem + height)]
    inside = [
        (bowl * 0.8 - 0.03, stem + height),
        (bowl - 0.03, stem + 0.5 * height),
        (bowl * 0.74, stem + 0.22),
        (0, stem + 0.1),
    ]
    glass = glass_of(rng, "clear", "clear", "clear", "green", "blue", "rose", "grey")[0]
    parts = [turned(resample(foot + outside + inside, 220, 0.9), glass, 120)]
    return parts, "any" if rng.random() < 0.6 else "upright"


def tumbler(rng):
    """A drinking glass with a thick foot, plain or fluted; it could be clear plastic."""
    radius, height, wall = rng.uniform(0.28, 0.34), rng.uniform(0.75, 1.1), rng.uniform(0.035, 0.055)
    line = resample(
        [(0, 0.02), (radius * 0.85, 0), (radius * 0.92, 0.03), (radius * rng.uniform(1.05, 1.25), height)], 120, 0.8
    )
    floor = rng.uniform(0.08, 0.16)
    glass = glass_of(rng, "clear", "clear", "clear", "aqua", "blue", "green", "amber", "grey")[0]
    parts = [turned(hollow(line, wall, floor), glass, 180)]
    if rng.random() < 0.5:
        flutes = rng.integers(8, 20)

        def fluting(points):
            radial = points * [1, 1, 0]
            low = np.clip(1.6 - 2.4 * points[:, 2] / height, 0, 1)
            outer = np.hypot(points[:, 0], points[:, 1]) > radius * 0.87
            return radial * (0.035 * low * outer * np.cos(flutes * np.arctan2(points[:, 1], points[:, 0])))[:, None]

        displaced(parts, fluting)
    if rng.random() < 0.35:
        return parts + drink(rng, line, wall, floor, floor + rng.uniform(0.08, 0.4)), "upright"
    return parts, "any" if rng.random() < 0.6 else "upright"


KINDS = {
    "beer bottle": (0.36, beer_bottle),
    "wine bottle": (0.26, wine_bottle),
    "jar": (0.32, jar),
    "juice bottle": (0.03, juice_bottle),
    "small bottle": (0.01, small_bottle),
    "broken bottle": (0.005, broken_bottle),
    "shards": (0.005, shards),
    "stemmed glass": (0.005, stemmed_glass),
    "tumbler (hard)": (0.005, tumbler),
}
