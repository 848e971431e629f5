"""Trash, what fits no other class: crisp bags, sweet wrappers, apple cores, cigarettes, soles, crockery, gloves."""

import numpy as np
from materials import bare_metal, glossy, matte
from meshes import (
    Part,
    crumpled_sheet,
    cut_out,
    dented,
    displaced,
    grid,
    hollow,
    lathe,
    moved,
    panel,
    points_of,
    resample,
    rotation,
    swept,
    thick,
)
from noise import TAU, creases, crumple_field, spectral, waves, wobble
from prints import grime, hsv, label, plain, random_colour

UP = (0, 0, 1)
SKINS = [(0.98, 0.75, 0.55), (0.03, 0.75, 0.6), (0.25, 0.7, 0.62), (0.14, 0.7, 0.75)]  # of apples: hue and so on


def dirty(rng, colour, roughness=0.8, amount=0.9):
    """Matte and stained."""
    return matte(grime(plain(colour, 256), rng, rng.uniform(0.2, amount)), roughness, 0.4)


def turn_about_z(rng):
    """A turn by any angle."""
    return rotation(UP, rng.uniform(0, TAU))


def laid(parts, turn, place):
    """The parts turned and put down: their lowest point comes to place (3,)."""
    moved(parts, turn)
    return moved(parts, shift=np.asarray(place) - [0, 0, points_of(parts)[:, 2].min()])


def printed_foil(rng):
    """Foil with a brand print."""
    picture = grime(label(rng), rng, rng.uniform(0, 0.5))
    return glossy(picture, rng.uniform(0.18, 0.35), rng.uniform(0.05, 0.6), clearcoat=0.4)


def crisp_bag(rng):
    """A crisp bag: two printed sheets, blown up between two ribbed, jagged seams."""
    width, depth = 1, rng.uniform(1.1, 1.5)
    puff, crush = rng.uniform(0.05, 0.2), rng.uniform(0.03, 0.16)
    uv, triangles = grid(150, 150)
    flat = (uv - 0.5) * [width, depth]
    from_end = np.minimum(uv[:, 1], 1 - uv[:, 1])
    open_share = np.clip(4 * uv[:, 0] * (1 - uv[:, 0]), 0, 1) ** 0.5 * np.clip((from_end - 0.05) * 5, 0, 1) ** 0.6
    common = creases(flat, rng, 18, 0.15, 3) * crush + 0.012 * (from_end < 0.05) * np.sin(uv[:, 1] * 900)
    wrinkles = creases(flat * 2, rng, 18, 0.15, 6) * crush * 0.3
    teeth = 0.01 * (from_end < 0.008) * np.sign(np.sin(uv[:, 0] * 260))
    front = printed_foil(rng)
    back = front if rng.random() < 0.6 else bare_metal(rng, 0.3, "Al")
    parts = []
    for side, material in ((1, front), (-1, back)):
        swell = side * open_share * (puff * (1 + 0.25 * waves(flat, rng, 5)) + wrinkles)
        drawn_in = flat[:, 0] * (1 - 0.5 * puff * open_share)
        sheet = np.c_[drawn_in, flat[:, 1] + teeth, common + swell + side * 0.002]
        read = uv if side == 1 else [1, 0] + uv * [-1, 1]  # the print of the back is not mirrored
        parts.append(Part(sheet, triangles[:, ::side], read, material))
    return parts, "flat"


def sweet_wrapper(rng):
    """A sweet in foil twisted at both ends; often another, empty foil beside it."""
    uv, triangles = grid(170, 170)
    x, around = (uv[:, 0] - 0.5) * 2.2, uv[:, 1] * TAU
    body = np.clip((0.55 - np.abs(x)) * 9, 0, 1)
    neck = np.exp(-(((np.abs(x) - 0.62) / 0.09) ** 2))
    fan = np.clip(np.abs(x) - 0.66, 0, 1)
    radius = 0.05 + 0.24 * body + 0.55 * fan - 0.02 * neck
    twist = around + np.sign(x) * np.clip(np.abs(x) - 0.5, 0, 1) * 6
    z = radius * np.sin(twist) * (1 - 0.75 * np.clip(fan * 3, 0, 1)) + 0.1 * fan * np.sin(around * 9)
    vertices = np.c_[x * rng.uniform(0.75, 0.9), radius * np.cos(twist) * rng.uniform(1, 1.3), z]
    vertices = vertices + 0.09 * crumple_field(vertices, rng.integers(1 << 30), 14)
    parts = [Part(vertices, triangles, uv[:, ::-1] * [1, 2], printed_foil(rng))]
    if rng.random() < 0.6:
        empty = Part(*crumpled_sheet(rng, 0.9, 0.7, 0.3, count=110), printed_foil(rng))
        parts += moved([empty], turn_about_z(rng), (rng.normal(0, 0.4), 0.45, 0))
    return parts, "flat"


def apple_core(rng):
    """An eaten apple: skin at both ends, browned flesh with bites between, a stalk."""
    z = np.linspace(-0.5, 0.5, 110)
    radius = 0.34 * np.sqrt(np.clip(1 - (np.abs(z) / 0.52) ** 6, 0, 1)) * (0.36 + 2.6 * z**2)
    dimple = np.array([(0, 0.38), (0.03, 0.4), (0.09, 0.47)])
    profile = np.vstack([dimple * [1, -1], np.c_[radius, z], dimple[::-1]])
    vertices, triangles, uv = lathe(profile, 160)
    bites = 0.5 * waves(vertices, rng, 9) + 0.4 * waves(vertices, rng, 16)
    vertices[:, :2] *= (1 + 0.17 * bites)[:, None]
    size = 256
    y = np.linspace(0, 1, size)[:, None, None]
    brown = np.clip(spectral(size, 1.3, rng) + rng.uniform(-0.3, 1), 0, 2)[..., None]
    flesh = np.array([0.88, 0.76, 0.46]) * (1 - 0.28 * brown * [0.5, 0.9, 1.2])
    skin = hsv(*SKINS[rng.integers(len(SKINS))]) * (1 + 0.12 * spectral(size, 1, rng, 1, 0.2)[..., None])
    at_end = np.clip((np.abs(y - 0.5) - 0.28 + 0.05 * spectral(size, 1.5, rng)[..., None]) * 14, 0, 1)
    parts = [Part(vertices, triangles, uv, matte(np.clip(skin * at_end + flesh * (1 - at_end), 0, 1), 0.45, 0.5))]
    stalk = np.c_[0.06 * np.linspace(0, 1, 20) ** 2, np.zeros(20), np.linspace(0.42, 0.7, 20)]
    parts.append(Part(*swept(stalk, 0.02, 0.02, up=(0, 1, 0), count=12), matte((0.25, 0.17, 0.1))))
    return parts, "any"


def _box(width, depth, height, face, rim):
    """A box without a lid, of thin board."""
    floor, front, side = (width, 0, 0), (0, depth, 0), (0, 0, height)
    sheets = [((0, 0, 0), floor, front), ((0, 0, 0), floor, side), ((0, depth, 0), floor, side)]
    sheets += [((0, 0, 0), front, side), ((width, 0, 0), front, side)]
    parts = [part for corner, u, v in sheets for part in panel(corner, u, v, 0.012, face, rim)]
    return moved(parts, shift=(-width / 2, -depth / 2, 0))


def _cigarette(rng, length, burnt=True):
    """A cigarette or its butt along z from 0: tan filter, white paper, ash; bent and squashed if burnt."""
    size = 128
    filter_end = int(size * min(0.26 / length, 0.8))
    colours = plain((0.93, 0.92, 0.89), size) * (1 - 0.05 * np.abs(spectral(size, 1, rng)[..., None]))
    colours[:filter_end] = hsv(0.08, 0.6, 0.8) * (1 + 0.1 * spectral(size, 0.5, rng)[:filter_end, :, None])
    if rng.random() < 0.25:
        colours[:filter_end] = 0.92
    if burnt:
        char = np.linspace(1, 0, 24)[::-1, None, None] ** 0.5
        colours[-24:] = colours[-24:] * (1 - char) + 0.08 * char
    along = np.linspace(0, 1, 50)
    bend = rng.normal(0, 0.12) * length if burnt else 0
    path = np.c_[bend * along**2, 0.4 * bend * np.sin(3 * along), length * along]
    squash = rng.uniform(0.6, 1) if burnt else 1
    radius = 0.04 * (1 + (0.07 * waves(path * 3, rng, 8) if burnt else 0))
    tip = np.interp(along, [0, 0.93, 1], [1, 1, 0.75 if burnt else 1])
    colours = colours[::-1]  # a texture's first row is its top
    return Part(*swept(path, radius * tip / squash, radius * tip * squash, up=(0, 1, 0)), matte(colours, 0.85))


def _butt(rng, place):
    tilt = rotation((1, 0, 0), np.pi / 2 + rng.normal(0, 0.12))
    return laid([_cigarette(rng, rng.uniform(0.3, 0.5))], turn_about_z(rng) @ tilt, place)


def cigarette_packet(rng):
    """A cigarette packet with an open flip top, foil and some cigarettes, squashed; butts beside it."""
    width, depth, height = 0.55, 0.23, 0.85
    face, rim = glossy(label(rng), 0.35), matte((0.9, 0.9, 0.88))
    parts = _box(width, depth, 0.78 * height, face, rim)
    lid = moved(_box(1.02 * width, 1.02 * depth, 0.24 * height, face, rim), rotation((1, 0, 0), np.pi))
    moved(lid, shift=(0, -depth / 2, 0.24 * height))
    parts += moved(lid, rotation((1, 0, 0), -rng.uniform(0.9, 2.2)), (0, depth / 2, 0.78 * height))
    foil = Part(*crumpled_sheet(rng, 0.9 * width, 0.5 * height, 0.08, count=50), bare_metal(rng, 0.25, "Al"))
    parts += moved([foil], rotation((1, 0, 0), np.pi / 2), (0, 0.07, 0.62 * height))
    for _ in range(rng.integers(0, 7)):
        place = (rng.uniform(-0.2, 0.2), rng.uniform(-0.07, 0.04), rng.uniform(0.9, 1.02))
        parts += moved([_cigarette(rng, 0.8, burnt=False)], rotation((1, 0, 0), np.pi), place)
    dented(parts, rng, rng.uniform(0.02, 0.14), 1)
    laid(parts, rotation((1, 0, 0), np.pi / 2 + 0.02), (0, 0, 0))
    middle = points_of(parts).mean(0)
    moved(parts, turn_about_z(rng), -middle * [1, 1, 0])
    for _ in range(rng.integers(1, 5)):
        angle = rng.uniform(0, TAU)
        parts += _butt(rng, (0.8 * np.cos(angle), 0.8 * np.sin(angle), 0))
    return parts, "placed"


def cigarette_butts(rng):
    """A small pile of squashed cigarette butts."""
    parts = []
    for number in range(rng.integers(7, 14)):
        turn, reach = number * 2.4, 0.13 * number**0.5  # like the seeds of a sunflower
        parts += _butt(rng, (reach * np.cos(turn), reach * np.sin(turn), 0.04 * (number % 3)))
    return parts, "placed"


def sole(rng):
    """A worn sole with a tread, or a flip-flop with its strap."""
    stations = [-0.85, -0.82, -0.7, -0.5, -0.1, 0.35, 0.65, 0.8, 0.85]
    wide = resample(np.c_[stations, [0.02, 0.12, 0.22, 0.25, 0.19, 0.3, 0.26, 0.14, 0.02]], 200, 4)

    def distance(points):
        x, y = points.T
        half = np.interp(x, *wide.T)
        return np.maximum(np.abs(y - 0.04 * np.sin(3 * x + 0.5)) - half, np.abs(x) - 0.85)

    flip_flop = rng.random() < 0.55
    flat, triangles, depth = cut_out(distance, (-0.9, -0.4), (0.9, 0.4), 200)
    x, y = flat.T
    pitch, slant = rng.uniform(40, 60), rng.uniform(0.4, 1.2)
    tread = np.clip(4 * np.sin(pitch * (x + slant * np.abs(y)) + 0.5), -1, 1) * (depth > 0.03)
    tread = tread * (1 if flip_flop else np.clip(1 + 0.8 * waves(flat, rng, 4), 0, 1))
    rim = np.clip(depth / 0.03, 0, 1) ** 0.5
    height = 0.1 + 0.04 * rim + (0.004 if flip_flop else 0.022) * tread
    colour = random_colour(rng, (0.05, 0.9), (0.1, 0.9)) if rng.random() < 0.7 else np.full(3, 0.08)
    side = dirty(rng, colour if rng.random() < 0.5 else random_colour(rng))
    parts = thick(np.c_[flat, height], np.c_[flat, 0 * x], triangles, flat, dirty(rng, colour), side)
    if flip_flop:
        strap = glossy(random_colour(rng, (0, 0.9), (0.05, 0.95)), 0.4)
        for edge in (-1, 1):
            share = np.linspace(0, 1, 50)
            line = np.c_[0.42 - 0.6 * share, 0.02 + edge * 0.24 * share**0.8, 0.1 + 0.22 * np.sin(np.pi * share) ** 0.7]
            parts.append(Part(*swept(line, np.linspace(0.03, 0.06, 50), 0.015), strap))
    seed, bend = rng.integers(1 << 30), rng.uniform(0, 0.2)
    lift = np.array(UP)
    displaced(parts, lambda p: (bend * p[:, :1] ** 2 + 0.02 * wobble(p, seed, 3)[:, :1]) * lift)
    return parts, "placed"


def _plate_print(rng):
    """A plate's glaze seen from above: a ground, rings, and motifs along the rim."""
    size = 512
    place = (np.arange(size) + 0.5) / size * 2 - 1
    radius, angle = np.hypot(place, place[:, None]), np.arctan2(place[:, None], place)
    glaze = np.array([0.95, 0.94, 0.9]) if rng.random() < 0.5 else random_colour(rng, (0.1, 0.7), (0.3, 0.95))
    picture = plain(glaze, size)
    decor = random_colour(rng, (0.4, 0.9), (0.2, 0.8))
    for _ in range(rng.integers(1, 4)):
        at, width = rng.uniform(0.55, 0.97), rng.uniform(0.01, 0.04)
        picture[np.abs(radius - at) < width] = decor
    petals = rng.integers(10, 26)
    dots = (np.abs(radius - 0.8) < 0.07 * np.abs(np.sin(angle * petals))) & (rng.random() < 0.7)
    picture[dots] = random_colour(rng, (0.4, 0.9), (0.2, 0.8))
    return grime(picture, rng, rng.uniform(0, 0.4))


def broken_plate(rng):
    """A plate in shards, moved apart; fractures of raw clay."""
    sites = rng.uniform(-0.75, 0.75, (rng.integers(4, 8), 2))
    seed = rng.integers(1 << 30)
    glaze = glossy(_plate_print(rng), 0.15, clearcoat=0.8)
    clay = matte(hsv(rng.uniform(0.04, 0.12), rng.uniform(0.05, 0.5), rng.uniform(0.6, 0.95)))

    def distance_to(mine):
        def distance(points):
            rough = np.stack([waves(points, np.random.default_rng([seed, axis]), 7) for axis in range(2)], 1)
            bent = points + 0.035 * rough
            worst = np.hypot(points[:, 0], points[:, 1]) - 1
            for other in np.delete(sites, mine, 0):
                normal = (other - sites[mine]) / np.linalg.norm(other - sites[mine])
                worst = np.maximum(worst, (bent - (other + sites[mine]) / 2) @ normal)
            return worst

        return distance

    parts = []
    lost = rng.integers(len(sites))
    for mine in range(len(sites)):
        flat, triangles, _ = cut_out(distance_to(mine), (-1.05, -1.05), (1.05, 1.05), 150)
        if mine == lost or not len(triangles):
            continue
        radius = np.hypot(flat[:, 0], flat[:, 1])
        height = 0.16 * np.clip((radius - 0.6) / 0.4, 0, 1) ** 0.8 + 0.03 * np.clip((radius - 0.52) / 0.12, 0, 1)
        upper, lower = np.c_[flat, height + 0.035], np.c_[flat, height - 0.035 * (radius < 0.97)]
        shard = thick(upper, lower, triangles, flat / 2 + 0.5, glaze, clay)
        middle = np.r_[flat.mean(0), 0]
        moved(shard, shift=-middle)
        tilt = rotation(rng.normal(size=3) * [1, 1, 0.1], rng.normal(0, 0.1)) @ rotation(UP, rng.normal(0, 0.25))
        overturned = rotation((1, 0, 0), np.pi * (rng.random() < 0.12))
        parts += laid(shard, tilt @ overturned, middle * rng.uniform(1.0, 1.2) + [0, 0, 0.03 * rng.random()])
    return parts, "placed"


def broken_mug(rng):
    """A mug with its wall broken away on one side, and its handle."""
    radius, height = 0.42, rng.uniform(0.75, 1.0)
    outer = resample([(0, 0.02), (0.9 * radius, 0), (radius, 0.06), (radius, height)], 140, 0.8)
    vertices, triangles, uv = lathe(hollow(outer, 0.05), 160)
    around = uv[:, 0] * TAU
    share = np.clip(vertices[:, 2] / height, 0, 1)
    gap = np.exp(-(((around - np.pi - 0.4) / rng.uniform(0.8, 1.2)) ** 2))
    jagged = 0.75 + 1.6 * np.abs(creases(np.c_[np.cos(around), np.sin(around)] * 2, rng, 20))
    vertices[:, 2] -= rng.uniform(0.35, 0.55) * height * gap * jagged * share**2
    picture = plain(random_colour(rng, (0, 0.8), (0.15, 0.95)), 768)
    if rng.random() < 0.6:
        picture[420:720] = label(rng, 768, 300)  # the lower half of the texture is the outside
    glaze = glossy(grime(picture, rng, rng.uniform(0, 0.5)), 0.15, clearcoat=0.8)
    parts = [Part(vertices, triangles, uv, glaze)]
    angle = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 40)
    bow = np.c_[radius - 0.03 + 0.28 * np.cos(angle), 0 * angle, (0.5 + 0.3 * np.sin(angle)) * height]
    parts.append(Part(*swept(bow, 0.06, 0.045, up=(0, 1, 0)), glaze))
    return parts, "any" if rng.random() < 0.5 else "upright"


def sponge(rng):
    """A used kitchen sponge: foam full of pores with a scouring pad on one side, torn and dirty."""
    depth = rng.uniform(0.55, 0.75)

    def slab(low, high, colour, pores):
        middle = (low + high) / 2
        corners = [(0, low), (0.47, low), (0.5, low + 0.03), (0.5, high - 0.03), (0.47, high), (0, high)]
        vertices, triangles, _ = lathe(resample(corners, 150, 0.4), 300, 9, 1, depth)
        holes = np.clip(waves(vertices, rng, 50, 30) - 0.7, 0, 1)
        outward = (vertices - [0, 0, middle]) / (np.linalg.norm(vertices - [0, 0, middle], axis=1, keepdims=True) + 0.1)
        vertices = vertices - pores * holes[:, None] * outward
        uv = np.c_[vertices[:, 0] + vertices[:, 2], vertices[:, 1] + 0.7 * vertices[:, 2]]
        dark = np.clip(spectral(96, 0.2, rng) - 0.7, 0, 1)[..., None]
        texture = plain(colour, 96) * (1 - 25 * pores * dark)
        return Part(vertices, triangles, uv, matte(grime(np.clip(texture, 0, 1), rng, rng.uniform(0.2, 1)), 0.95, 0.1))

    foam = slab(0, 0.26, random_colour(rng, (0.3, 0.9), (0.5, 0.95)), 0.03)
    pad = slab(0.25, 0.33, random_colour(rng, (0.2, 0.9), (0.15, 0.5)), 0.015)
    seed = rng.integers(1 << 30)
    displaced([foam, pad], lambda p: 0.05 * wobble(p, seed, 3) + 0.12 * np.c_[0 * p[:, :2], p[:, 0] ** 2])
    return dented([foam, pad], rng, rng.uniform(0.02, 0.1)), "any"


def _capsule(points, start, end, radius):
    """The signed distance to a thick line from start to end."""
    start, way = np.asarray(start), np.subtract(end, start)
    share = np.clip((points - start) @ way / (way @ way), 0, 1)
    return np.linalg.norm(points - start - share[:, None] * way, axis=1) - radius


def glove(rng):
    """A lost work glove: knitted, its palm dipped in rubber, a band at the wrist."""
    knuckles = [(-0.23, 0.22), (-0.08, 0.28), (0.08, 0.27), (0.22, 0.2)]
    lengths = np.array([0.38, 0.5, 0.46, 0.34]) * rng.uniform(0.8, 1.05, 4)
    spread = np.array([0.25, 0.06, -0.1, -0.3]) * rng.uniform(0.5, 1.3) + rng.normal(0, 0.08, 4)
    bones = [((-0.12, -0.15), (-0.12, 0.15), 0.22), ((0.12, -0.15), (0.12, 0.12), 0.2), ((0, -0.62), (0, -0.2), 0.26)]
    for (x, y), length, lean in zip(knuckles, lengths, spread, strict=True):
        bones.append(((x, y - 0.1), (x - length * np.sin(lean), y + length * np.cos(lean)), 0.082))
    thumb = rng.uniform(0.5, 0.9)
    bones.append(((0.2, -0.2), (0.2 + 0.5 * np.sin(thumb), -0.2 + 0.5 * np.cos(thumb)), 0.095))

    def distance(points):
        hand = np.min([_capsule(points, *bone) for bone in bones], 0)
        return np.maximum(hand, -0.75 - points[:, 1])

    flat, triangles, depth = cut_out(distance, (-0.7, -0.8), (0.8, 0.95), 210)
    capped = np.minimum(depth, 0.12)
    swell = 0.75 * np.sqrt(capped * (0.25 - capped))
    ribs = 0.008 * np.sin(flat[:, 0] * 110) * (flat[:, 1] < -0.42)
    common = 0.09 * creases(flat, rng, 8, 0.3) + rng.uniform(0.03, 0.12) * waves(flat, rng, 3)
    size = 512
    row, column = np.indices((size, size))
    stitch = 0.8 + 0.2 * np.sin(row * 1.1 + 1.5 * np.abs(np.sin(column * 0.55))) * np.abs(np.sin(column * 0.55))
    yarn = random_colour(rng, (0, 0.7), (0.2, 0.95))
    knit = np.clip(yarn * stitch[..., None], 0, 1)
    knit[int(0.93 * size) :] = random_colour(rng)
    dipped = knit.copy()
    edge = 0.66 * size + 18 * np.sin(column * 0.05) + 8 * spectral(size, 1.5, rng)
    dipped[row < edge] = random_colour(rng, (0, 0.9), (0.08, 0.9))
    uv = (flat - [-0.7, -0.8]) / 1.75
    faces = [
        matte(grime(texture, rng, rng.uniform(0.3, 1)), rough, 0.4) for texture, rough in ((dipped, 0.55), (knit, 0.95))
    ]
    order = 1 if rng.random() < 0.6 else -1
    parts = []
    for side, face in zip((1, -1), faces[::order], strict=True):
        wrinkles = 0.05 * creases(2 * flat, rng, 14, 0.3) * np.clip(10 * depth, 0, 1)
        parts.append(Part(np.c_[flat, common + side * (swell + ribs) + wrinkles], triangles[:, ::side], uv, face))
    return parts, "placed"


def chocolate_foil(rng):
    """Foil of a chocolate bar, torn open and crumpled, printed outside and bare inside; a person may call it metal."""
    vertices, triangles, uv = crumpled_sheet(rng, rng.uniform(0.8, 1.1), 1, rng.uniform(0.14, 0.25))
    curl = rng.uniform(0.2, 0.5) * vertices[:, 0] ** 2
    outside = vertices + curl[:, None] * UP
    parts = [Part(outside, triangles, uv, printed_foil(rng))]
    parts.append(Part(outside - [0, 0, 0.006], triangles, uv, bare_metal(rng, 0.22, "Al")))
    return parts, "flat"


KINDS = {
    "crisp bag": (0.78, crisp_bag),
    "sweet wrapper": (0.03, sweet_wrapper),
    "apple core": (0.05, apple_core),
    "cigarette packet": (0.03, cigarette_packet),
    "cigarette butts": (0.01, cigarette_butts),
    "sole": (0.05, sole),
    "broken plate": (0.01, broken_plate),
    "broken mug": (0.005, broken_mug),
    "sponge": (0.015, sponge),
    "glove": (0.015, glove),
    "chocolate foil (hard)": (0.005, chocolate_foil),
}
