"""Plastic: drinks bottles, canisters, carrier bags, tubs, cups, trays, lids, cutlery."""

import numpy as np
from materials import bare_metal, clear, film, glossy
from meshes import (
    Part,
    cut_out,
    dented,
    displaced,
    grid,
    hollow,
    lathe,
    moved,
    points_of,
    resample,
    rotation,
    sphere,
    swept,
    turned,
    wrapped,
)
from noise import TAU, creases, crumple_field, spectral, waves, wobble
from prints import grime, hsv, label, plain, random_colour

TINTS = np.array([(0.985, 0.985, 0.985), (0.85, 0.93, 0.98), (0.62, 0.84, 0.66), (0.9, 0.74, 0.5), (0.6, 0.75, 0.9)])
UP = (0, 0, 1)


def plastic_colour(rng):
    """A colour (3,) of opaque plastic: white, black, grey or any other."""
    kind = rng.random()
    if kind < 0.2:
        return np.array([0.93, 0.92, 0.9]) * rng.uniform(0.9, 1)
    if kind < 0.35:
        return np.array([1, 1, 1]) * rng.uniform(0.04, 0.4)
    return random_colour(rng, (0.1, 0.95), (0.2, 0.95))


def moulded(rng, colour=None, dirt=0.4):
    """Opaque, glossy, somewhat dirty plastic of one colour."""
    colour = plastic_colour(rng) if colour is None else colour
    return glossy(grime(plain(colour, 128), rng, rng.uniform(0, dirt)), rng.uniform(0.15, 0.35), clearcoat=0.5)


def see_through(rng):
    """Thin clear plastic, colourless or tinted."""
    tint = TINTS[rng.integers(len(TINTS))] if rng.random() < 0.6 else hsv(rng.random(), 0.35, 0.95)
    return film(tint, clearness=rng.uniform(0.55, 0.8), milkiness=0.2, roughness=0.08)


def screw_cap(rng, radius, height, material, ridges=40):
    """A cap with its open side at z = 0 and grip ridges around."""
    profile = resample([(radius, 0), (radius, 0.9 * height), (0.88 * radius, height), (0, height)], 40, 0.8)
    vertices, triangles, uv = lathe(profile, 6 * ridges + 1)
    grip = 1 + 0.03 * np.sin(ridges * TAU * uv[:, 0]) * (vertices[:, 2] < 0.9 * height)
    vertices[:, :2] *= grip[:, None]
    inside = turned([(0.88 * radius, 0), (0.88 * radius, 0.85 * height), (0, 0.85 * height)], material)
    ring = turned([(radius, 0), (0.88 * radius, 0)], material)
    return [Part(vertices, triangles, uv, material), inside, ring]


def drinks_bottle(rng):
    """A thin clear bottle with ribs, feet, a sleeve and a screw cap; mostly dented, often crushed."""
    radius, height = rng.uniform(0.28, 0.36), rng.uniform(1.35, 1.8)
    neck = 0.12
    corners = [(0, 0.1), (0.55 * radius, 0), (0.9 * radius, 0.02), (radius, 0.12), (radius, 0.6 * height)]
    corners += [
        (0.9 * radius, 0.72 * height),
        (neck, 0.88 * height),
        (neck - 0.01, 0.9 * height),
        (neck - 0.01, height),
    ]
    profile = resample(corners, 200, 0.8)
    share = profile[:, 1] / height
    start = rng.uniform(0.28, 0.36)
    sleeve = (share > start) & (share < start + 0.22)
    ribs = 0.018 * np.sin(share * TAU * rng.integers(8, 16)) * ((share > 0.12) & (share < 0.6))
    profile[:, 0] += np.where(sleeve, -0.012, ribs) * (profile[:, 0] > 0.9 * radius)
    profile[:, 0] += 0.03 * ((share > 0.86) & (share < 0.875))  # the ring below the cap
    tint = TINTS[rng.integers(len(TINTS))] if rng.random() < 0.75 else hsv(rng.random(), 0.45, 0.9)
    vertices, triangles, uv = lathe(hollow(profile, 0.008), 120)
    low = np.clip(1 - vertices[:, 2] / 0.2, 0, 1) * (np.hypot(vertices[:, 0], vertices[:, 1]) > 0.05)
    vertices[:, 2] += 0.05 * low * np.abs(np.sin(2.5 * TAU * uv[:, 0]))  # five feet
    parts = [Part(vertices, triangles, uv, clear(tint, 1.4))]
    if rng.random() < 0.8:
        print_ = glossy(label(rng, 768, 256), 0.35)
        parts.append(wrapped(profile, start * height, (start + 0.22) * height, print_, 0.01))
    if rng.random() < 0.85:
        cap = screw_cap(rng, neck + 0.025, 0.15, moulded(rng, dirt=0.2))
        parts += moved(cap, shift=(0, 0, height - 0.12))
    if rng.random() < 0.75:
        crush = rng.uniform(0.1, 0.5) if rng.random() < 0.5 else 0
        dented(parts, rng, rng.uniform(0.03, 0.2), 3, crush)
    return parts, "any" if rng.random() < 0.75 else "upright"


def canister(rng):
    """An opaque bottle of detergent or shampoo: oval or nearly square, with a label, a cap, perhaps a handle."""
    radius, height = 0.38, rng.uniform(0.9, 1.3)
    waist, shoulder = rng.uniform(0.9, 1.05), rng.uniform(0.6, 0.95)
    corners = [(0, 0.03), (0.9 * radius, 0), (radius, 0.07), (waist * radius, 0.55 * height)]
    corners += [(shoulder * radius, 0.8 * height), (0.13, 0.95 * height), (0.12, height + 0.05)]
    profile = resample(corners, 100, 2.2)
    section = {"power": rng.uniform(2.2, 4), "deep": rng.uniform(0.5, 0.9)}
    body = moulded(rng, dirt=0.8)
    parts = [turned(profile, body, 120, **section)]
    if rng.random() < 0.85:
        print_ = glossy(label(rng, 1024, 384), 0.3)
        parts.append(wrapped(profile, 0.18 * height, 0.52 * height, print_, 0.008, count=120, **section))
    if rng.random() < 0.12:
        angle = np.linspace(0, np.pi, 50)
        reach = rng.uniform(0.16, 0.24)
        bow = [
            0.8 * shoulder * radius + reach * np.sin(angle) ** 0.7,
            0 * angle,
            (0.72 + 0.18 * np.cos(angle)) * height,
        ]
        parts.append(Part(*swept(np.stack(bow, 1), 0.07, 0.055, up=(0, 1, 0)), body))
    lid = moulded(rng, dirt=0.6)
    if rng.random() < 0.75:
        parts += moved(screw_cap(rng, 0.145, 0.15, lid), shift=(0, 0, height - 0.04))
    else:
        parts.append(turned(resample([(0.2, 0.93), (0.19, 1.15), (0.17, 1.18), (0, 1.18)], 40, 0.6) * [1, height], lid))
    return dented(parts, rng, rng.uniform(0, 0.1)), "any" if rng.random() < 0.6 else "upright"


def _bag_film(rng, colour, picture):
    """Of bags: shiny and opaque, milky with a print, or nearly clear."""
    kind = rng.random()
    if kind < 0.5:
        return glossy(picture, rng.uniform(0.12, 0.22), clearcoat=1)
    if kind < 0.85:
        return film(picture, clearness=0.12, milkiness=rng.uniform(0.4, 0.8), roughness=0.15)
    return film(0.4 + 0.6 * colour, clearness=0.45, milkiness=0.5, roughness=0.1)


def empty_carrier_bag(rng):
    """A carrier bag lying empty: two crinkled sheets with a flat seam below and two handles, gathered towards them."""
    height, cut = rng.uniform(1.0, 1.25), rng.uniform(0.17, 0.22)
    top = height + rng.uniform(0.25, 0.4)

    def distance(points):
        x, y = np.abs(points[:, 0]), points[:, 1]
        outline = np.maximum(np.maximum(x - 0.5, -y), y - top)
        mouth = np.hypot(x / cut, np.clip(height - y, 0, None) / 0.15) - 1
        return np.maximum(outline, -cut * mouth)

    flat, triangles, depth = cut_out(distance, (-0.52, -0.02), (0.52, top + 0.02), 190)
    x, y = flat.T
    above = np.clip((y - height + 0.15) / 0.5, 0, 1)
    gather = np.clip(y / top, 0, 1) ** 1.5
    middle = 0.36 * np.sign(x)
    folds_at = np.c_[3.2 * (x + middle * gather * 0.6), 0.55 * y]
    colour = plastic_colour(rng)
    picture = plain(colour, 512)
    picture[120:420, 100:412] = label(rng, 312, 300, colour)
    material = _bag_film(rng, colour, picture if rng.random() < 0.8 else plain(colour))
    uv = (flat + [0.5, 0]) / [1, top] * [1, 1.3]
    common = 0.12 * creases(flat, rng, 8, 0.3) + rng.uniform(0.03, 0.1) * waves(flat, rng, 2.5)
    puff = rng.uniform(0.05, 0.16) * np.clip(4 * depth, 0, 1) ** 0.7 * (1 - above)
    parts = []
    for side in (1, -1):
        pleats = creases(folds_at, rng, 14, 0.2) * (0.05 + 0.14 * gather)
        crinkles = 0.14 * creases(flat, rng, 35, 0.3)
        loop = np.sin(np.pi * np.clip((y - height) / (top - height), 0, 1))
        narrow = (x - middle) * (1 - 0.6 * above) + middle * (1 - 0.35 * gather)
        z = common + side * (puff + 0.07 * loop) + (pleats + crinkles) * np.clip(12 * depth, 0.15, 1)
        sideways = narrow + side * rng.uniform(0.03, 0.12) * loop
        parts.append(Part(np.c_[sideways, y * 0.9, z], triangles[:, ::side], uv, material))
    return parts, "placed"


def full_carrier_bag(rng):
    """A full carrier bag, standing: bulging below, drawn together above into two handles."""
    height = rng.uniform(0.75, 0.95)
    corners = [(0, 0), (0.38, 0), (0.48, 0.06), (0.5, 0.35 * height), (0.44, 0.75 * height), (0.4, height)]
    vertices, triangles, uv = lathe(resample(corners, 150, 1.2), 300)
    x, y, z = vertices.T
    share = z / height
    flat = 1 - 0.8 * share**2.5  # the mouth is a slit
    ring = np.c_[np.cos(uv[:, 0] * TAU), np.sin(uv[:, 0] * TAU)]
    pleats = 0.3 * creases(np.c_[1.4 * ring, 0.4 * z], rng, 16, 0.3) * share**1.5
    lumps = 0.28 * creases(1.2 * vertices, rng, 8, 0.4) * np.clip(8 * z, 0.1, 1)
    crinkles = 0.07 * creases(vertices, rng, 30, 0.3) * np.clip(8 * z, 0.1, 1)
    out = 1 + pleats + lumps + crinkles
    rise = 0.22 * (np.abs(ring[:, 0]) ** 3 - 0.4) * share**4  # towards the handles
    vertices = np.c_[x * out, y * out * flat * rng.uniform(0.7, 0.95), z + rise + 0.04 * waves(ring, rng, 3) * share**3]
    colour = plastic_colour(rng)
    picture = plain(colour, 512)
    brand = label(rng, 210, 270, colour)
    for left in (23, 279):
        picture[40:310, left : left + 210] = brand
    material = _bag_film(rng, colour, picture)
    parts = [Part(vertices, triangles, uv + [0.25, 0], material)]
    sheet, strip = grid(24, 90)
    for side in (-1, 1):
        angle = np.pi * sheet[:, 1]
        lean = rng.uniform(-0.25, 0.15)
        wide = (sheet[:, 0] - 0.5) * (0.14 + 0.16 * np.cos(angle) ** 4)
        lift = np.sin(angle) ** 0.8 * rng.uniform(0.4, 0.55)
        strap = np.c_[side * (0.27 + lean * np.sin(angle)) + wide, 0.11 * np.cos(angle), 0.97 * height + lift - 0.12]
        strap[:, 1] += 0.04 * np.sin(lift * 8) + 0.02 * waves(np.c_[sheet[:, 0] * 3, angle * 0.3], rng, 6)
        parts.append(Part(strap, strip, sheet * 0.1, material))
    return parts, "upright"


def tied_bag(rng):
    """A filled bag tied at its neck: pleats run into the knot, the ends stick out above."""
    count, rows = 260, 150
    knot = rng.uniform(0.68, 0.78)
    heights = [0.0, 0.0, 0.05, 0.3, 0.55, knot - 0.04, knot, knot + 0.06, 1]
    radii = [0.0, 0.4, 0.5, 0.56, 0.42, 0.1, 0.05, 0.08, rng.uniform(0.18, 0.3)]
    profile = resample(np.c_[radii, heights], rows, 1.2)
    vertices, triangles, uv = lathe(profile, count, wide=rng.uniform(0.9, 1.1), deep=rng.uniform(0.7, 1))
    angle, z = uv[:, 0] * TAU, vertices[:, 2]
    ring = np.c_[np.cos(angle), np.sin(angle)]
    towards = np.clip(z / knot, 0, 1)
    pleats = creases(np.c_[1.3 * ring, 0.35 * z], rng, 16, 0.3)
    lumps = creases(vertices * 1.2, rng, 8, 0.4)
    change = 0.45 * pleats * (0.1 + 0.9 * towards**2) + 0.3 * lumps * (1 - towards**3) * np.clip(8 * z, 0.1, 1)
    loose = np.clip((z - knot) / (1 - knot), 0, 1)
    change += loose * 0.5 * waves(ring * 2, rng, 2) + 0.1 * creases(vertices, rng, 30, 0.3) * np.clip(8 * z, 0.1, 1)
    vertices[:, :2] *= (1 + change)[:, None]
    ears = 1 - 0.75 * loose * np.abs(ring[:, 1])
    vertices[:, 1] *= ears
    vertices[:, 2] += loose * (0.25 * np.abs(ring[:, 0]) + 0.1 * waves(ring, rng, 3)) - 0.12 * loose
    vertices += 0.05 * wobble(vertices, rng.integers(1 << 30), 3)
    colour = plastic_colour(rng)
    return [Part(vertices, triangles, uv, _bag_film(rng, colour, plain(colour)))], "upright"


def _cup_profile(rng, foot, mouth, height, ribs):
    share = np.linspace(0, 1, 120)
    radius = foot + (mouth - foot) * share
    if ribs:
        radius = radius + 0.008 * np.sin(share * TAU * rng.integers(12, 20)) * ((share > 0.3) & (share < 0.75))
    turn = np.linspace(0, 1.7 * np.pi, 12)
    lip = np.c_[mouth + 0.035 * np.sin(turn), height + 0.02 - 0.02 * np.cos(turn)]
    return np.vstack([[(0, 0.03), (0.9 * foot, 0.02)], np.c_[radius, share * height], lip])


def cup(rng):
    """A thin drinking cup with ribs and a rolled lip, milky or coloured; some with a domed lid and a straw."""
    height, mouth = rng.uniform(0.75, 1.1), rng.uniform(0.38, 0.46)
    profile = _cup_profile(rng, 0.29, mouth, height, ribs=True)
    colour = plastic_colour(rng)
    material = film(colour, 0.2, 0.8, 0.25) if rng.random() < 0.5 else moulded(rng, colour)
    parts = [turned(profile, material)]
    if rng.random() < 0.4:
        dome = [(mouth + 0.05, 0), (mouth + 0.05, 0.05), (mouth - 0.03, 0.07), (0.3, 0.24), (0.1, 0.3), (0.07, 0.3)]
        parts += moved([turned(resample(dome, 60, 0.8), see_through(rng))], shift=(0, 0, height - 0.01))
        lean = rng.uniform(-0.2, 0.2)
        bend = rng.uniform(0.2, 0.5)
        straw = [
            (-lean, 0, 0.1),
            (0, 0, height + 0.25),
            (0.3 * lean, 0, height + 0.5),
            (0.3 * lean + bend, 0, height + 0.7),
        ]
        line = np.stack([np.interp(np.linspace(0, 3, 60), range(4), axis) for axis in np.transpose(straw)], 1)
        parts.append(Part(*swept(line, 0.04, 0.04, up=(0, 1, 0)), moulded(rng)))
    return dented(parts, rng, rng.uniform(0, 0.18)), "any" if rng.random() < 0.6 else "upright"


def tub(rng):
    """A yoghurt or margarine tub with a print around; some with a foil lid half peeled off."""
    height, mouth = rng.uniform(0.4, 0.65), rng.uniform(0.4, 0.5)
    profile = _cup_profile(rng, 0.33, mouth, height, ribs=False)
    section = {"power": rng.choice([2.0, 2.0, 5.0]), "wide": rng.uniform(1, 1.3)}
    colour = plastic_colour(rng)
    body = moulded(rng, colour, 0.2)
    print_ = glossy(label(rng, 1024, 300), 0.3)
    parts = [turned(profile[:5], body, **section), turned(profile[-20:], body, **section)]
    parts += [turned(profile[4:-19], print_, **section), turned(profile[4:-19] - [0.012, 0], body, **section)]
    if rng.random() < 0.6:
        spill = turned(np.c_[np.linspace(0, 0.31, 30), np.full(30, 0.06)], glossy(random_colour(rng), 0.2), **section)
        spill.vertices[:, 2] += 0.02 * waves(spill.vertices, rng, 9)
        parts.append(spill)
    if rng.random() < 0.5:
        material = bare_metal(rng, 0.2, "Al") if rng.random() < 0.5 else moulded(rng, colour)
        lid = [turned(resample([(0, 0), (mouth, 0), (1.06 * mouth, 0.01)], 60), material, **section)]
        seed = rng.integers(1 << 30)
        lid = displaced(lid, lambda p: 0.06 * creases(p, np.random.default_rng(seed), 10)[:, None] * UP)
        angle = rng.uniform(0.3, 1.4)
        hinge = section["wide"] * mouth
        shift = (hinge * (np.cos(angle) - 1), 0, height + 0.04 + hinge * np.sin(angle))
        parts += moved(lid, rotation((0, 1, 0), angle), shift)
    return dented(parts, rng, rng.uniform(0, 0.15)), "any" if rng.random() < 0.5 else "upright"


def _tray(rng, material, depth, wall=0.0):
    """A rounded rectangle with a ribbed floor and a wide rim; `wall` thick and closed, or a sheet."""
    outline = [(0, 0), (0.2, 0), (0.45, 0), (0.5, 0.03), (0.6, depth), (0.7, depth + 0.01), (0.71, depth - 0.03)]
    profile = resample(outline, 90, 0.4)
    vertices, triangles, uv = lathe(hollow(profile[:-8], wall) if wall else profile, 240, 6, 1.25, 0.85)
    floor = np.hypot(vertices[:, 0] / 1.25, vertices[:, 1] / 0.85) < 0.42
    vertices[:, 2] += 0.025 * np.clip(4 * np.sin(vertices[:, 0] * 22), 0, 1) * floor
    side = (vertices[:, 2] > 0.15 * depth) & (vertices[:, 2] < 0.9 * depth)
    vertices[:, :2] *= (1 + 0.015 * side * np.sin(uv[:, 0] * TAU * 40))[:, None]
    return Part(vertices, triangles, uv, material)


def _leftovers(rng):
    """Sauce and crumbs on the floor of a tray."""
    hue, dark = rng.uniform(0, 0.16), rng.uniform(0.2, 0.7)
    texture = plain(hsv(hue, 0.8, dark), 128) * (1 + 0.2 * spectral(128, 1, rng)[..., None])
    edge = rng.integers(1 << 30)

    def distance(points):
        blot = 0.25 * waves(points, np.random.default_rng(edge), 5)
        return np.hypot(points[:, 0] / 1.3, points[:, 1]) - 0.28 - 0.3 * blot

    flat, triangles, depth = cut_out(distance, (-0.55, -0.38), (0.55, 0.38), 80)
    height = 0.02 + 0.05 * np.minimum(8 * depth, 1) ** 0.5 * (1 + 0.5 * waves(flat, rng, 12))
    parts = [Part(np.c_[flat, height], triangles, flat, glossy(texture, 0.15, clearcoat=0.8))]
    for _ in range(rng.integers(3, 9)):
        ball, faces, uv = sphere(20)
        ball = 0.06 * ball * rng.uniform(0.5, 1.3, 3) * (1 + 0.25 * waves(2 * ball, rng, 2)[:, None])
        crumb = Part(ball, faces, uv, glossy(hsv(rng.uniform(0, 0.3), 0.7, rng.uniform(0.3, 0.9)), 0.4))
        parts += moved([crumb], shift=(*(rng.uniform(-0.35, 0.35, 2)), 0.06))
    return parts


def food_tray(rng):
    """A tray for meat or a meal, black, white or coloured, with leftovers; some with a torn clear film."""
    depth = rng.uniform(0.14, 0.26)
    parts = [_tray(rng, glossy(plastic_colour(rng), rng.uniform(0.3, 0.45)), depth)]
    if rng.random() < 0.8:
        parts += _leftovers(rng)
    seed, amount = rng.integers(1 << 30), rng.uniform(0, 0.1)
    return displaced(parts, lambda points: amount * crumple_field(points, seed, 5)), "upright"


def clamshell(rng):
    """A clear hinged box for fruit or salad, its lid open; mostly with a sticker and leftovers."""
    material = clear(TINTS[rng.integers(len(TINTS))] ** 0.5, 1.4)
    depth = rng.uniform(0.2, 0.32)
    parts = [_tray(rng, material, depth, wall=0.02)]
    lid = moved([_tray(rng, material, 0.7 * depth, wall=0.02)], rotation((1, 0, 0), np.pi))
    sticker = turned([(0, 0.03), (0.25, 0.03)], glossy(label(rng), 0.4), 40)
    sticker.uv = sticker.vertices[:, :2] / 0.5 + 0.5
    lid.append(sticker)
    opening = rng.uniform(0.6, 1.9)
    moved(lid, shift=(0, 0.6, 0.7 * depth))
    parts += moved(lid, rotation((1, 0, 0), opening), (0, -0.6, depth))
    if rng.random() < 0.7:
        parts += _leftovers(rng)
    return dented(parts, rng, rng.uniform(0, 0.05)), "upright"


def _utensil(rng, material, kind):
    """A fork, spoon or knife along x."""
    along = np.linspace(0, 1, 80)
    bend = 0.1 * np.sin(2 * along)
    handle = np.c_[1.15 * along, 0 * along, bend]
    width = np.interp(along, [0, 0.06, 0.8, 1], [0.05, 0.09, 0.05, 0.07])
    parts = [Part(*swept(handle, width, 0.03), material)]
    joint, slope = handle[-1], np.array([1, 0, -0.05])
    if kind == "fork":
        reach = np.linspace(0, 0.3, 30)[:, None]
        parts.append(
            Part(
                *swept(
                    joint + (reach - 0.05) * slope, np.interp(reach[:, 0], [0, 0.15, 0.3], [0.07, 0.15, 0.15]), 0.022
                ),
                material,
            )
        )
        for place in np.linspace(-0.12, 0.12, 4):
            tine = joint + [0.2, place, 0] + np.linspace(0, 0.38, 30)[:, None] * slope
            tine[:, 2] += 0.1 * np.linspace(0, 1, 30) ** 2
            parts.append(Part(*swept(tine, np.linspace(0.032, 0.018, 30), 0.02, count=12), material))
    if kind == "spoon":
        reach = np.linspace(0, 1, 50)
        bowl = joint + (0.58 * reach[:, None] - 0.06) * slope
        bowl[:, 2] -= 0.08 * np.sin(np.pi * reach)
        wide = 0.05 + 0.15 * np.sin(np.pi * np.clip(reach * 0.98, 0, 1)) ** 0.6
        parts.append(Part(*swept(bowl, wide, 0.018, dish=0.09 * np.sin(np.pi * reach)), material))
    if kind == "knife":
        reach = np.linspace(0, 0.6, 40)
        blade = joint + (reach[:, None] - 0.05) * slope
        parts.append(
            Part(*swept(blade, np.interp(reach, [0, 0.1, 0.5, 0.6], [0.05, 0.1, 0.085, 0.02]), 0.015), material)
        )
    return moved(parts, shift=(-0.3, 0, 0))


def cutlery(rng):
    """Three to five forks, spoons and knives of one set, spread like a fan, some turned over."""
    count = rng.integers(3, 6)
    colour = plastic_colour(rng)
    material = glossy(colour, 0.18, clearcoat=0.8) if rng.random() < 0.75 else film(colour, 0.5, 0.3, 0.08)
    parts = []
    for number in range(count):
        piece = _utensil(rng, material, rng.choice(["fork", "spoon", "knife"], p=[0.45, 0.35, 0.2]))
        angle = (number - (count - 1) / 2) * rng.uniform(0.35, 0.5) + rng.normal(0, 0.1)
        turn = rotation(UP, angle) @ rotation((1, 0, 0), np.pi * (rng.random() < 0.3))
        parts += moved(piece, turn, (rng.normal(0, 0.08), rng.normal(0, 0.08), 0.07 * number))
    return parts, "placed"


def caps(rng):
    """A handful of screw caps of all colours, some upside down."""
    parts = []
    for number in range(rng.integers(7, 13)):
        radius = rng.uniform(0.13, 0.22)
        cap = screw_cap(rng, radius, rng.uniform(0.11, 0.17), moulded(rng), rng.integers(24, 44))
        tilt = rotation(rng.normal(size=3), rng.uniform(0, 0.25)) @ rotation((1, 0, 0), np.pi * (rng.random() < 0.45))
        moved(cap, tilt)
        turn, reach = number * 2.4, 0.21 * number**0.5  # like the seeds of a sunflower
        low = points_of(cap)[:, 2].min()
        parts += moved(cap, shift=(reach * np.cos(turn), reach * np.sin(turn), 0.05 * (number % 3) - low))
    return parts, "placed"


def smooth_cup(rng):
    """A smooth opaque cup without ribs or print, which could be of coated paper."""
    height, mouth = rng.uniform(0.75, 1.05), rng.uniform(0.38, 0.46)
    material = glossy(plastic_colour(rng), 0.35)
    parts = [turned(_cup_profile(rng, 0.3, mouth, height, ribs=False), material)]
    return dented(parts, rng, rng.uniform(0, 0.12)), "any"


KINDS = {
    "drinks bottle": (0.44, drinks_bottle),
    "canister": (0.36, canister),
    "empty carrier bag": (0.01, empty_carrier_bag),
    "full carrier bag": (0.02, full_carrier_bag),
    "tied bag": (0.03, tied_bag),
    "tub": (0.02, tub),
    "cup": (0.01, cup),
    "food tray": (0.03, food_tray),
    "clamshell": (0.05, clamshell),
    "cutlery": (0.01, cutlery),
    "caps": (0.01, caps),
    "smooth cup (hard)": (0.01, smooth_cup),
}
