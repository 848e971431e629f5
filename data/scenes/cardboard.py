"""Cardboard: boxes, corrugated board flat, torn and in scraps, tubes, cartons, egg trays.

Board is stiff: it bends along straight creases only, and where it is cut one sees the flutes between its liners.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from materials import glossy, matte
from meshes import (
    Part,
    at_rest,
    border,
    buckled,
    dented,
    displaced,
    folded,
    grid,
    moved,
    panel,
    piled,
    quads,
    resample,
    rotation,
    turned,
)
from noise import TAU, spectral, waves, wobble
from PIL import Image, ImageDraw
from prints import (
    INKS,
    board,
    board_colour,
    flutes,
    font,
    grime,
    hsv,
    ink,
    label,
    printed_board,
    text_block,
    to_array,
    word,
)
from scipy.ndimage import gaussian_filter1d

WAVES_PER_TEXTURE = 40  # of prints.flutes


@dataclass
class Board:
    """The materials of one board: of its outside, its inside and its cut edges; and the colour of its inside."""

    outside: Any
    inside: Any
    cut: Any
    colour: np.ndarray


def drawn_board(rng, printed=0.7):
    """A board, its outside often printed or of another colour than its inside; a part has a brand all over it."""
    colour = board_colour(rng)
    inside = board(rng, colour)
    outside = inside if rng.random() < 0.6 else board(rng)
    if rng.random() < printed:
        outside = printed_board(rng, outside) if rng.random() < 0.65 else grime(0.9 * label(rng), rng, 0.4)
    return Board(matte(outside), matte(inside), matte(flutes(rng, colour)), colour)


def settled(parts, rng, amount, frequency=2.2):
    """The parts slightly warped, as board is that has got damp."""
    seed = rng.integers(1 << 30)
    return displaced(parts, lambda points: amount * wobble(points, seed, frequency))


# --------------------------------------------------------------------------------------------------------------- boxes


def wall(origin, along, up, thickness, material, rng, bulge=0.0):
    """One panel of a box, its outside where `along` x `up` points."""
    parts = panel(origin, along, up, thickness, material.inside, material.cut, rng.normal(0, bulge) if bulge else 0, 28)
    parts[0].material = material.outside
    return parts


def box(rng, size, thickness, material, bottom=True, flaps=None, bulge=0.012):
    """A box (list of parts) on z = 0; flaps: four angles, 0 is upright, 90 degrees is closed; None leaves one out."""
    width, depth, height = size
    corners = np.array([(0, 0, 0), (width, 0, 0), (width, depth, 0), (0, depth, 0)]) - [width / 2, depth / 2, 0]
    parts = []
    if bottom:
        parts += wall(corners[3], (width, 0, 0), (0, -depth, 0), thickness, material, rng)
    for number in range(4):
        along = corners[(number + 1) % 4] - corners[number]
        parts += wall(corners[number], along, (0, 0, height), thickness, material, rng, bulge)
        angle = flaps[number] if flaps is not None else None
        if angle is not None:
            inward = np.array([-along[1], along[0], 0]) / np.linalg.norm(along)
            length = depth / 2 - 0.004
            upwards = length * (np.cos(angle) * np.array([0, 0, 1]) + np.sin(angle) * inward)
            lift = (0, 0, height + thickness * 0.6 * (number % 2 == 0))
            parts += wall(corners[number] + lift, along, upwards, thickness, material, rng, bulge)
    return parts


def box_size(rng):
    """Width, depth and height of a parcel."""
    return rng.uniform(0.75, 1.15), rng.uniform(0.55, 0.9), rng.uniform(0.3, 0.85)


def open_box(rng):
    """A box of corrugated board with its flaps open, often knocked about."""
    flaps = [None if rng.random() < 0.1 else rng.uniform(-2.6, 0.5) for _ in range(4)]
    parts = box(rng, box_size(rng), rng.uniform(0.022, 0.034), drawn_board(rng), flaps=flaps)
    if rng.random() < 0.4:
        buckled(parts, rng, 0.14, 2)
    lean = rng.normal(0, 0.12, 2)
    displaced(parts, lambda points: np.c_[points[:, 2:] * lean, np.zeros(len(points))])
    return settled(parts, rng, 0.01), "upright" if rng.random() < 0.7 else "any"


def closed_box(rng):
    """A shut box, mostly taped, often with a bashed corner."""
    size = width, depth, height = box_size(rng)
    ajar = rng.uniform(0, 0.06, 2)
    flaps = [np.pi / 2 - ajar[0], None, np.pi / 2 - ajar[1], None]
    parts = box(rng, size, 0.026, drawn_board(rng, 0.85), flaps=flaps)
    if rng.random() < 0.75:
        parts += _tape(rng, width, height + 0.035, 0.026)
    if rng.random() < 0.6:
        buckled(parts, rng, 0.16, rng.integers(1, 4))
    return settled(parts, rng, 0.008), "upright" if rng.random() < 0.6 else "any"


def _tape(rng, width, height, thickness):
    """Sticky tape along the middle of a box's top and a little way down its sides."""
    colour = [hsv(0.09, 0.5, 0.5), (0.8, 0.78, 0.7), (0.62, 0.5, 0.34), hsv(rng.random(), 0.6, 0.6)][rng.integers(4)]
    material = glossy(colour, 0.28)
    uv, triangles = grid(40, 6)
    half = rng.uniform(0.035, 0.06)
    across = (2 * uv[:, 1] - 1) * half
    along = (uv[:, 0] - 0.5) * (width + 1.6 * thickness)
    parts = [Part(np.c_[along, across, np.full(len(uv), height)], triangles, uv, material)]
    for side in (-1, 1):
        out = np.full(len(uv), side * (width + 1.6 * thickness) / 2)
        down = height - 0.3 * height * uv[:, 0]
        parts.append(Part(np.c_[out, across, down], triangles, uv, material))
    return parts


def pizza_box(rng):
    """A low square box with a hinged lid, open or shut; line art on the lid, grease inside."""
    width, height, thickness = 1.0, rng.uniform(0.1, 0.16), 0.022
    colour = board_colour(rng)
    ground = board(rng, colour)
    inside = grime(board(rng, colour), rng, 1.0)
    material = Board(matte(_line_art(rng, ground)), matte(inside), matte(flutes(rng, colour)), colour)
    sides = Board(matte(ground), matte(ground), material.cut, colour)
    parts = box(rng, (width, width, height), thickness, sides, bottom=False)
    parts += wall((-width / 2, width / 2, 0), (width, 0, 0), (0, -width, 0), thickness, sides, rng)
    parts[-2].material = material.inside
    half, lip = width / 2 + thickness, height * 0.9
    lid = wall((-half, -width, 0), (2 * half, 0, 0), (0, width, 0), thickness, material, rng, 0.02)
    lid += wall((-half, -width, 0), (2 * half, 0, 0), (0, -0.12 * lip, -lip), thickness, sides, rng)
    for side in (-1, 1):
        lid += wall((side * half, -width, 0), (0, width, 0), (side * 0.1 * lip, 0, -lip), thickness, sides, rng)
    angle = 0.04 if rng.random() < 0.35 else rng.uniform(0.25, 2.0)
    parts += moved(lid, rotation((-1, 0, 0), angle), (0, width / 2 + thickness, height + thickness))
    if rng.random() < 0.5:
        buckled(parts, rng, 0.08, 2)
    return settled(parts, rng, 0.012), "upright"


def _line_art(rng, ground):
    """A board's texture with one large print in one ink: rings, a name, a slogan."""
    size = len(ground)
    picture = Image.fromarray((255 * ground).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    colour = ink(INKS[rng.integers(len(INKS))])
    middle, radius = size / 2, size * rng.uniform(0.26, 0.4)
    for ring in (1.0, 0.93):
        draw.ellipse(
            [middle - radius * ring, middle - radius * ring] + [middle + radius * ring] * 2, outline=colour, width=5
        )
    for number in range(rng.integers(4, 12)):
        angle = number * 2.4
        x, y = middle + 0.7 * radius * np.cos(angle), middle + 0.7 * radius * np.sin(angle)
        dot = radius * rng.uniform(0.05, 0.14)
        draw.ellipse([x - dot, y - dot, x + dot, y + dot], outline=colour, width=4)
    name, face = word(rng).upper(), font(rng, size * 0.12)
    draw.text((middle - face.getlength(name) / 2, middle - face.size * 0.6), name, font=face, fill=colour)
    text_block(draw, rng, (size * 0.1, size * 0.9, size * 0.9, size * 0.97), size // 28, colour)
    return to_array(picture)


def carton(rng):
    """A folding carton of thin board, as of cereals: printed outside, grey or brown inside, an end torn open."""
    size = rng.uniform(0.5, 0.8), rng.uniform(0.22, 0.45), rng.uniform(0.75, 1.05)
    material = drawn_board(rng)
    material.outside = matte(grime(label(rng), rng, 0.4), 0.6)
    material.cut = material.inside
    flaps = [rng.uniform(-1.9, 1.1) for _ in range(4)]
    parts = box(rng, size, 0.014, material, flaps=flaps, bulge=0.02)
    if rng.random() < 0.75:
        buckled(parts, rng, rng.uniform(0.1, 0.25), rng.integers(2, 6))
    return settled(parts, rng, 0.014, 4), "any"


def drink_carton(rng):
    """A gable-top carton, coated and printed all over: it could be plastic."""
    width, height = rng.uniform(0.4, 0.5), rng.uniform(0.75, 1.0)
    texture = label(rng, 512, 512)
    material = Board(matte(texture, 0.45), matte((0.85, 0.84, 0.8)), matte((0.85, 0.84, 0.8)), texture.mean((0, 1)))
    parts = box(rng, (width, width, height), 0.012, material)
    half, roof = width / 2 + 0.006, rng.uniform(0.2, 0.26)
    top = height + roof
    for side in (-1, 1):
        origin, along = (side * half, side * half, height), (-2 * side * half, 0, 0)
        parts += wall(origin, along, (0, -side * half, roof), 0.01, material, rng)
        parts += wall((-half, side * 0.006, top), (2 * half, 0, 0), (0, 0, 0.11), 0.01, material, rng)
        corners = [(side * half, -half, height), (side * half, half, height), (side * half * 0.35, 0, top - 0.01)]
        parts.append(Part(corners, [(0, 1, 2)], [(0, 0), (1, 0), (0.5, 1)], material.outside))
    if rng.random() < 0.6:
        buckled(parts, rng, 0.12, rng.integers(1, 3))
    return settled(parts, rng, 0.008), "any"


# ---------------------------------------------------------------------------------------------------- corrugated board


def corrugated(flat, columns, rows, thickness, pitch, material, lower=None, peeled=None):
    """A sheet of corrugated board (three parts); its flutes run along y.

    Args:
        flat: places (N, 2) of a grid of columns x rows; lower: those of the lower liner where it is torn elsewhere.
        thickness, pitch: of the sheet and from flute to flute.
        peeled: share (N,) to which the upper liner is gone, so that one sees the flutes.
    """
    lower = flat if lower is None else lower
    _, triangles = grid(columns, rows)
    extent = np.ptp(flat, axis=0).max()
    uv = flat / extent + 0.5
    phase = TAU * flat[:, 0] / pitch
    top = thickness * (0.5 + 0.025 * np.sin(phase))  # the liners sink in a little between the flutes
    if peeled is not None:
        top = top * (1 - peeled) + thickness * (0.1 + 0.33 * np.sin(phase)) * peeled
    bottom = thickness * (-0.5 + 0.025 * np.sin(phase))
    upper, under = np.c_[flat, top], np.c_[lower, bottom]
    around = border(columns, rows)
    place = flat[around, 0] / pitch / WAVES_PER_TEXTURE
    rim_uv = np.vstack([np.c_[place, 0 * place], np.c_[place, 0 * place + 1]])
    rim = np.vstack([upper[around], under[around]])
    return [
        Part(upper, triangles, uv, material.outside),
        Part(under, triangles[:, ::-1], uv, material.inside),
        Part(rim, quads(len(around), 2), rim_uv, material.cut, faceted=True),
    ]


def rectangle(width, depth, columns, rows):
    """Places (N, 2) of a grid, its middle at the origin."""
    return (grid(columns, rows)[0] - 0.5) * [width, depth]


def ragged(rng, flat, columns, rows, rough, sides):
    """The places of a sheet whose given sides (0 to 3) are torn: they wander by about `rough`."""
    uv = grid(columns, rows)[0]
    flat = flat.copy()
    for side in sides:
        axis, towards = side % 2, side // 2
        count = (rows, columns)[axis]
        wander = np.cumsum(rng.normal(0, 1, count))
        wander = wander - np.linspace(wander[0], wander[-1], count)
        fine = gaussian_filter1d(rng.normal(0, 1, count), 1)
        line = rough * (wander / (np.abs(wander).max() + 1e-6) + 0.08 * fine)
        place = np.round(uv[:, 1 - axis] * (count - 1)).astype(int)
        near = np.abs(uv[:, axis] - 1 + towards)
        flat[:, axis] += near**2 * line[place]
    return flat


def torn_board(rng):
    """A piece torn off a box: ragged edges, a crease or two, the upper liner peeled off in part."""
    columns, rows = 300, 110
    width, depth = 1.2, rng.uniform(0.75, 1.15)
    thickness, pitch = rng.uniform(0.05, 0.07), rng.uniform(0.065, 0.1)
    sides = rng.permutation(4)[: rng.integers(1, 4)]
    flat = ragged(rng, rectangle(width, depth, columns, rows), columns, rows, rng.uniform(0.05, 0.16), sides)
    lower = ragged(rng, flat, columns, rows, 0.02, sides)
    material = drawn_board(rng, 0.6)
    seed, direction, start = rng.integers(1 << 30), rng.uniform(0, TAU), rng.uniform(0.05, 0.35)

    def beyond_tear(places):
        """How far a place lies within the peeled part."""
        tear = places @ [np.cos(direction), np.sin(direction)] - start
        for number, (amount, frequency) in enumerate([(0.07, 5), (0.015, 25), (0.006, 90)]):
            tear += amount * waves(places, np.random.default_rng([seed, number]), frequency)
        return tear

    peeled = None
    if rng.random() < 0.9:
        peeled = (beyond_tear(flat) > 0).astype(float)
        ground = board(rng, material.colour) if rng.random() < 0.5 else printed_board(rng, board(rng))
        extent = np.ptp(flat, axis=0).max()
        material.outside = matte(_peeled_texture(ground, beyond_tear, extent, material.colour, pitch))
    parts = corrugated(flat, columns, rows, thickness, pitch, material, lower, peeled)
    return settled(folded(parts, _creases(rng, depth, thickness)), rng, 0.01), "flat"


def _peeled_texture(ground, beyond_tear, extent, colour, pitch):
    """A board's texture, bare beyond the tear, with a pale fringe of fibres along it."""
    size = len(ground)
    places = (grid(size, size)[0] - 0.5) * extent
    tear = beyond_tear(places).reshape(size, size, 1)
    wave = np.sin(TAU * places[:, 0] / pitch).reshape(size, size, 1)
    bare = colour * (0.8 + 0.2 * wave)
    fringe = np.clip(1 - np.abs(tear + 0.012) / 0.018, 0, 1)
    texture = np.where(tear > 0, bare, ground)
    return np.clip(texture * (1 - 0.75 * fringe) + (0.55 * colour + 0.42) * 0.75 * fringe, 0, 1)


def _creases(rng, depth, thickness):
    """One or two folds that do not cross on the sheet."""
    first = rng.choice([0, np.pi / 2, rng.uniform(0, TAU)])
    folds = []
    for direction in (first, first + np.pi)[: rng.integers(1, 3)]:
        angle = rng.uniform(0.25, 1.3) * rng.choice([1, 1, -0.5])
        folds.append((depth * rng.uniform(0.12, 0.32), direction + rng.normal(0, 0.06), angle, 2.2 * thickness))
    return folds


def flattened_box(rng):
    """A box taken apart: panels joined at creases, each with flaps between slots that stand up somewhat."""
    panels = rng.integers(2, 4)
    width = rng.uniform(0.4, 0.55)
    height, flap = rng.uniform(0.45, 0.75), rng.uniform(0.22, 0.34)
    thickness, pitch, slot = rng.uniform(0.03, 0.042), rng.uniform(0.045, 0.06), 0.02
    material = drawn_board(rng, 0.8)
    total, extent = panels * width, max(panels * width, height + 2 * flap)
    creases = [(i * width - total / 2, rng.uniform(0.05, 0.7) * rng.choice([1, 1, -1])) for i in range(1, panels)]
    common = [(line, 0.0, angle, 2 * thickness) for line, angle in creases[::-1]]
    pieces = [corrugated(rectangle(total, height, 300, 60), 300, 60, thickness, pitch, material)]
    own = [[]]
    for number in range(panels):
        for side in (-1, 1):
            if rng.random() < 0.1:
                continue
            flat = rectangle(width - slot, flap, 90, 34)
            flat = flat + [(number + 0.5) * width - total / 2, side * (height + flap) / 2]
            pieces.append(corrugated(flat, 90, 34, thickness, pitch, material))
            bend = rng.choice([0.1, 0.5, 1.4]) * rng.uniform(0.3, 1.1) * rng.choice([1, 1, 1, -0.3])
            own.append([(height / 2, side * np.pi / 2, bend, 2 * thickness)])
    parts = []
    for piece, folds in zip(pieces, own, strict=True):
        for part in piece[:2]:
            part.uv = part.vertices[:, :2] / extent + 0.5  # one print across all
        parts += folded(piece, folds + common)
    return settled(parts, rng, 0.012), "flat"


def scraps(rng):
    """A few cut pieces of corrugated board, some creased, thrown on a heap."""
    pieces = []
    material = drawn_board(rng, 0.5)
    for _ in range(rng.integers(3, 6)):
        if rng.random() < 0.4:
            material = drawn_board(rng, 0.5)
        columns, rows = 170, 60
        width, depth = rng.uniform(0.5, 0.95), rng.uniform(0.35, 0.7)
        thickness, pitch = rng.uniform(0.04, 0.055), rng.uniform(0.055, 0.085)
        flat = rectangle(width, depth, columns, rows)
        flat[:, 0] *= 1 + rng.normal(0, 0.3) * flat[:, 1]
        flat[:, 1] += flat[:, 0] * rng.normal(0, 0.15)
        if rng.random() < 0.4:
            flat = ragged(rng, flat, columns, rows, 0.04, [rng.integers(4)])
        piece = corrugated(flat, columns, rows, thickness, pitch, material)
        if rng.random() < 0.5:
            folded(piece, _creases(rng, depth, thickness)[:1])
        pieces.append(at_rest(settled(piece, rng, 0.008), "flat", rng))
    return piled(pieces, rng, 0.3), "placed"


# ------------------------------------------------------------------------------------------------------- tubes and pulp


def tube(rng):
    """A tube, as in a roll of paper, wound of strips whose seams run round it; one or two of them, maybe squashed."""
    pieces = []
    count = rng.choice([1, 1, 2])
    for _ in range(count):
        height = rng.uniform(0.75, 1.25)
        radius, thickness = rng.uniform(0.24, 0.32), rng.uniform(0.014, 0.035)
        side = resample([(radius, 0), (radius, height)], 90)
        profile = np.vstack([side, np.c_[side[::-1, 0] - thickness, side[::-1, 1]], side[:1]])
        texture = board(rng)
        v, u = np.mgrid[0:512, 0:512] / 512
        seam = (4 * v + u) % 1  # v runs up the outside, then down the inside
        texture = texture * (1 - 0.3 * np.exp(-(((seam - 0.5) / 0.012) ** 2)) + 0.06 * (seam > 0.5))[..., None]
        parts = [turned(profile, matte(np.clip(texture, 0, 1)), 140)]
        if rng.random() < 0.6:
            buckled(parts, rng, rng.uniform(0.05, 0.12), rng.integers(1, 4), push=1.8)
        if rng.random() < 0.6:
            dented(parts, rng, rng.uniform(0.02, 0.09), presses=rng.integers(0, 3))
        pieces.append(parts)
    if count == 1:
        return pieces[0], "any"
    return piled([at_rest(piece, "any", rng) for piece in pieces], rng, 0.3), "placed"


def egg_tray(rng):
    """A tray or half a box of moulded pulp with cups for eggs, of any dull colour."""
    columns, rows = rng.integers(2, 4), rng.integers(2, 5)
    uv, triangles = grid(180, 180)
    cells = [columns, rows]
    places = (uv - 0.5) * cells
    in_cup = (uv * cells) % 1 - 0.5
    to_post = (uv * cells + 0.5) % 1 - 0.5
    to_edge = np.minimum(uv * cells, (1 - uv) * cells).min(1)
    depth = np.clip(1.15 - 2.3 * (np.hypot(*in_cup.T) - 0.12), 0, 0.85)
    height = -depth + np.clip(0.75 - 2.2 * np.hypot(*to_post.T), 0, 0.24)
    height = np.where(to_edge < 0.06, 0.05, height) + 0.012 * waves(places, rng, 30)
    pulp = board(rng, board_colour(rng))
    pulp = pulp * (1 + 0.06 * spectral(512, 0.4, rng) - 0.25 * (spectral(512, 0.6, rng) > 2.7))[..., None]
    parts = [Part(np.c_[places, height], triangles, uv * cells / 4, matte(np.clip(pulp, 0, 1)))]
    if rng.random() < 0.4:
        buckled(parts, rng, 0.12, 2)
    return settled(parts, rng, 0.04, 0.8), "flat" if rng.random() < 0.7 else "any"


KINDS = {
    "open box": (0.44, open_box),
    "closed box": (0.4, closed_box),
    "pizza box": (0.02, pizza_box),
    "carton": (0.01, carton),
    "drink carton (hard)": (0.01, drink_carton),
    "torn board": (0.06, torn_board),
    "flattened box": (0.02, flattened_box),
    "scraps": (0.01, scraps),
    "tube": (0.01, tube),
    "egg tray": (0.02, egg_tray),
}
