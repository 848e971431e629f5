"""Metal: cans, tins, foil, lids, spray cans; bare, lacquered, printed or rusty.

Most are lines (radius, height) turned about z; what happened to them afterwards is a field that shifts every vertex,
the same field for all parts, so that a can's top goes where its side goes.
"""

import numpy as np
from materials import bare_metal, glossy, matte
from meshes import (
    Part,
    at_rest,
    cap,
    creases,
    crumpled_sheet,
    dented,
    displaced,
    lathe,
    moved,
    piled,
    resample,
    rotation,
    sphere,
    swept,
    turned,
    wrapped,
)
from noise import TAU, crumple_field, spectral, waves
from PIL import Image
from prints import grime, hsv, label, plain, random_colour

# ------------------------------------------------------------------------------------------------------------- surfaces


def rusted(texture, rng, amount):
    """The texture with patches of rust; amount 0 is none, 1 nearly all over."""
    height, width = texture.shape[:2]
    if amount < 0.05:
        return texture
    patches = np.clip(3 * (spectral(256, 1.5, rng) + 2.2 * amount - 1.6), 0, 1)
    patches = np.maximum(patches, 0.8 * (spectral(256, 0.9, rng) > 3 - amount))
    patches = np.asarray(Image.fromarray(patches.astype(np.float32)).resize((width, height)))[..., None].clip(0, 1)
    shade = np.asarray(Image.fromarray(spectral(256, 0.8, rng)).resize((width, height)))[..., None]
    rust = hsv(rng.uniform(0.03, 0.07), rng.uniform(0.5, 0.75), rng.uniform(0.25, 0.45)) * (1 + 0.25 * shade)
    return np.clip(texture * (1 - patches) + rust * patches, 0, 1)


def sheet(rng, value=(0.45, 0.75), roughness=(0.2, 0.36), colour=(1, 1, 1)):
    """Bare sheet metal with scratches and smudges: what tells it from white plastic under a white sky."""
    scratches = 1 + 0.05 * spectral(256, 0.3, rng, 0.05, 1) + 0.1 * spectral(256, 1.5, rng)
    texture = np.clip(rng.uniform(*value) * scratches[..., None] * np.asarray(colour), 0, 1)
    return glossy(grime(texture, rng, rng.uniform(0, 0.7)), rng.uniform(*roughness), 0.97)


def naked(rng):
    """Unpainted metal: steel or aluminium, the gold lacquer of tins, copper, or rusty sheet."""
    sort = rng.choice(["sheet", "polished", "gold", "coppery", "rusty"], p=[0.5, 0.1, 0.2, 0.05, 0.15])
    if sort == "polished":
        return bare_metal(rng, rng.uniform(0.08, 0.2), "Cr")
    if sort == "rusty":
        texture = rusted(plain(np.ones(3) * rng.uniform(0.35, 0.6), 256), rng, rng.uniform(0.3, 0.8))
        return matte(texture, rng.uniform(0.4, 0.6), 0.4, rng.uniform(0.5, 0.8))
    colours = {"sheet": (1, 1, 1), "gold": hsv(0.115, 0.5, 1.15), "coppery": hsv(0.045, 0.55, 1.15)}
    return sheet(rng, colour=colours[sort])


def lacquered(rng, rust=0.0):
    """A can's skin: a brand print, one colour with a little print, or aluminium that shows through; worn."""
    sort = rng.choice(["print", "plain", "silver"], p=[0.66, 0.24, 0.1])
    texture = label(rng, 800, 512)
    if sort == "plain":
        texture = 0.15 * texture + 0.85 * random_colour(rng, (0.05, 0.9), (0.1, 0.85))
    if sort == "silver":
        texture = 0.3 * texture + rng.uniform(0.3, 0.45)
    texture = rusted(grime(texture, rng, rng.uniform(0, 0.6)), rng, rust)
    return glossy(texture, rng.uniform(0.16, 0.3), rng.uniform(0.75, 0.97))


def flattened(parts, rng, share):
    """A can that was trodden on from the side: one direction pressed to a share, the one across wider; creased."""
    angle, lean = rng.uniform(0, TAU), rng.normal(0, 0.25)
    seed = rng.integers(1 << 30)
    turn = rotation((0, 0, 1), angle)

    def field(points):
        local = points @ turn
        height = (points[:, 2] - points[:, 2].min()) / np.ptp(points[:, 2])
        pressed = share + (1 - share) * np.abs(2 * height - 1) ** 3 * 0.6
        inwards = local[:, 0] * (pressed - 1) + lean * local[:, 1] * (1 - pressed)
        shift = np.c_[inwards, 0.35 * local[:, 1] * (1 - pressed), np.zeros(len(points))]
        shift[:, 0] += 0.1 * np.sin(5 * height + seed)
        return shift @ turn.T + 0.07 * crumple_field(points, seed, 12) * [1, 1, 0.5]

    return displaced(parts, field)


# ----------------------------------------------------------------------------------------------------------------- cans


def can_parts(rng):
    """A drinks can: side, top with a ring and often a hole, hollow foot."""
    radius, height = 0.33, rng.choice([1.22, 1.22, 0.95])
    aluminium = sheet(rng, (0.5, 0.78), (0.22, 0.34))
    side = resample([(radius * 0.78, 0), (radius, 0.1), (radius, height - 0.1), (radius * 0.83, height)], 90, 0.8)
    rim = [(radius * 0.83, height), (radius * 0.85, height + 0.025), (radius * 0.8, height + 0.02)]
    top = resample(rim + [(radius * 0.77, height - 0.04), (0, height - 0.035)], 50, 0.4)
    foot = [(radius * 0.78, 0), (radius * 0.72, -0.012), (radius * 0.66, 0.01), (radius * 0.45, 0.07), (0, 0.09)]
    parts = [turned(side, lacquered(rng)), turned(top, aluminium), turned(resample(foot, 40, 0.5)[::-1], aluminium)]
    if rng.random() < 0.35:
        around = np.linspace(0, TAU, 31)
        hole = np.c_[0.09 * np.cos(around), -0.13 + 0.075 * np.sin(around), np.full(31, height - 0.03)]
        fan = [(0, corner, corner % 31 + 1) for corner in range(1, 31)]
        corners = np.vstack([[0, -0.13, height - 0.03], hole])
        parts.append(Part(corners, fan, np.zeros((32, 2)), matte((0.05, 0.05, 0.05))))
    if rng.random() < 0.85:
        parts.append(pull_ring(height - 0.025, aluminium))
    return parts


def pull_ring(height, material):
    """The ring of a can's top."""
    around = np.linspace(0, TAU, 40)
    path = np.c_[0.055 * np.cos(around), 0.1 * np.sin(around) + 0.05, np.full(40, height)]
    return Part(*swept(path, 0.014, 0.01, count=9), material)


def can(rng):
    """A drinks can, whole or with soft dents."""
    parts = can_parts(rng)
    if rng.random() < 0.6:
        dented(parts, rng, rng.uniform(0, 0.06))
    return parts, "any" if rng.random() < 0.8 else "upright"


def crushed_can(rng):
    """A drinks can crushed by hand, along its axis or across."""
    parts = can_parts(rng)
    if rng.random() < 0.6:
        dented(parts, rng, rng.uniform(0.08, 0.2), 3, crush=rng.uniform(0.2, 0.9))
    else:
        flattened(parts, rng, rng.uniform(0.2, 0.5))
    return parts, "any" if rng.random() < 0.8 else "upright"


def spray_can(rng):
    """An aerosol can: a printed cylinder, a domed shoulder, a valve or a cap."""
    radius, height = rng.uniform(0.24, 0.3), rng.uniform(0.9, 1.3)
    body = resample([(0, 0.05), (radius * 0.8, 0.03), (radius * 0.9, 0), (radius, 0.02), (radius, height)], 80, 0.3)
    dome = [(radius + 0.015, -0.02), (radius + 0.02, 0.01), (radius * 0.95, 0.03), (radius * 0.75, 0.12), (0.11, 0.17)]
    dome = resample(dome + [(0.12, 0.2), (0.08, 0.2), (0, 0.17)], 70, 0.5) + [0, height]
    parts = [turned(body, lacquered(rng, rng.uniform(-0.4, 0.5))), turned(dome, sheet(rng))]
    colour = np.ones(3) * rng.choice([0.07, 0.9]) if rng.random() < 0.5 else random_colour(rng)
    if rng.random() < 0.7:
        nozzle = resample([(0.045, 0.17), (0.045, 0.26), (0.085, 0.27), (0.085, 0.35), (0, 0.36)], 40, 0.8)
        parts.append(turned(nozzle + [0, height], glossy(colour, 0.35)))
    elif rng.random() < 0.6:
        parts += moved(cap(radius * 0.9, 0.3, glossy(colour, 0.35), ridges=0), shift=(0, 0, height + 0.32))
    return dented(parts, rng, rng.uniform(0, 0.08)), "any" if rng.random() < 0.7 else "upright"


# -------------------------------------------------------------------------------------------------------- tins and lids


def food_tin(rng):
    """A food tin, ribbed and mostly opened, its lid bent up or gone; with paper label, print, or rust."""
    radius, height = rng.uniform(0.38, 0.5), rng.uniform(0.5, 1.1)
    flat = rng.random() < 0.25  # as for fish
    section = dict(power=rng.uniform(2.6, 4), wide=1.35, deep=0.9) if flat else {}
    height = rng.uniform(0.24, 0.34) if flat else height
    steel = naked(rng)
    z = np.linspace(0, height, 200)
    ribs = 0.01 * np.clip(np.sin(z * TAU * 14), -0.4, 0.9) * ((z > height * 0.22) & (z < height * 0.78)) * (not flat)
    rims = 0.018 * (np.exp(-((z / 0.02) ** 2)) + np.exp(-(((height - z) / 0.02) ** 2)))
    outside = np.c_[radius + ribs + rims, z]
    inside = np.c_[outside[::-1, 0] - 0.014, outside[::-1, 1] + 0.001]
    closed = rng.random() < 0.15
    shell = [(0, 0.02), (radius * 0.9, 0.02), *outside] + ([] if closed else [*inside, (0, 0.03)])
    parts = [turned(shell, steel, **section)]
    if rng.random() < 0.55:
        texture = grime(label(rng, 1024, 400), rng, rng.uniform(0, 0.7))
        skin = matte(texture, 0.5)
        if rng.random() < 0.4:
            skin = glossy(rusted(texture, rng, rng.uniform(0, 0.4)), 0.3, 0.7)
        share = 1.0 if flat else rng.choice([1, 1, 0.8])
        line = np.c_[np.full(len(z), radius + 0.01), z]
        parts.append(wrapped(line, height * 0.06, height * 0.94, skin, share=share, **section))
    lid = tin_lid(radius, steel, section)
    if closed:
        parts += moved(lid, shift=(0, 0, height - 0.03))
    elif rng.random() < 0.7:
        reach = radius * 0.93 * section.get("deep", 1)
        angle = rng.uniform(0.5, 2.2)
        hinge = (0, reach - reach * np.cos(angle), height + reach * np.sin(angle))
        parts += moved(lid, rotation((1, 0, 0), angle), hinge)
    if rng.random() < 0.5:
        dented(parts, rng, rng.uniform(0.02, 0.12))
    return parts, "any" if rng.random() < 0.4 else "upright"


def tin_lid(radius, steel, section):
    """The lid of a tin: a disc with stamped rings."""
    line = [(0, 0), (radius * 0.5, 0), (radius * 0.54, 0.018), (radius * 0.66, 0.018), (radius * 0.7, 0)]
    line += [(radius * 0.82, 0), (radius * 0.85, 0.015), (radius * 0.93, 0.0)]
    return [turned(resample(line, 90, 0.3)[::-1], steel, **section)]


def jar_lids(rng):
    """One to four screw lids of jars, some face down."""
    lids = []
    for _ in range(rng.integers(1, 5)):
        radius = rng.uniform(0.3, 0.48)
        printed = glossy(grime(label(rng, 400, 400), rng, rng.uniform(0, 0.6)), 0.28, 0.7)
        lid = cap(
            radius, rng.uniform(0.1, 0.16), naked(rng) if rng.random() < 0.45 else printed, ridges=60, ridge=0.006
        )
        inside = glossy(hsv(0.12, 0.2, 0.85) if rng.random() < 0.6 else (0.92, 0.92, 0.9), 0.35)
        lid.append(turned([(radius * 0.85, -0.055), (0, -0.055)], inside))
        lids.append(at_rest(lid, "flat", rng))
    return piled(lids, rng, 0.35), "placed"


def bottle_caps(rng):
    """A heap of crown caps, some bent by the opener."""
    caps = []
    brands = [
        glossy(rusted(label(rng, 128, 128), rng, rng.uniform(0, 0.5)), 0.3, 0.7) for _ in range(rng.integers(1, 5))
    ]
    brands += [naked(rng) for _ in range(rng.integers(0, 2))]
    for _ in range(rng.integers(7, 16)):
        crown = cap(0.2, 0.085, brands[rng.integers(len(brands))], ridges=21, ridge=0.016, flare=0.12, count=127)
        crown.append(turned([(0.16, -0.035), (0, -0.035)], matte(np.ones(3) * rng.uniform(0.3, 0.75), 0.6)))
        if rng.random() < 0.6:
            bend, angle = rng.uniform(0.1, 0.6), rng.uniform(0, TAU)
            fold = [np.cos(angle), np.sin(angle), 0]
            displaced(
                crown, lambda points, bend=bend, fold=fold: np.c_[0 * points[:, :2], -bend * np.abs(points @ fold)]
            )
        moved(crown, rotation((1, 0, 0), np.pi * (rng.random() < 0.4)))
        moved(crown, rotation((1, 0, 0), rng.normal(0, 0.15)))
        caps.append(at_rest(crown, "placed", rng))
    return piled(caps, rng, 0.3), "placed"


def paint_tin(rng):
    """A paint tin with a wire handle, paint run down its side, its lid askew, beside it or gone."""
    radius, height = rng.uniform(0.42, 0.5), rng.uniform(0.7, 1.05)
    paint = random_colour(rng, (0, 0.85), (0.3, 0.95))
    texture = label(rng, 1024, 400) if rng.random() < 0.6 else plain(np.ones(3) * rng.uniform(0.55, 0.75), 400)
    texture = rusted(texture, rng, rng.uniform(0, 0.4))
    width = texture.shape[1]
    runs = 60 + 90 * np.clip(np.abs(spectral(512, 1.0, rng)[0]) * 1.2 - 0.3, 0, None)
    runs = np.interp(np.linspace(0, 511, width), np.arange(512), runs * rng.uniform(0.2, 1))
    texture = np.where((np.arange(400)[:, None] < runs)[..., None], paint, texture)
    steel = sheet(rng)
    side = resample([(radius + 0.015, 0), (radius, 0.02), (radius, height - 0.02), (radius + 0.015, height)], 60)
    rim = [
        (radius + 0.015, height),
        (radius - 0.06, height + 0.01),
        (radius - 0.07, height - 0.04),
        (radius - 0.015, height - 0.05),
    ]
    parts = [turned(side, glossy(texture, 0.3, rng.uniform(0.3, 0.8))), turned(rim, steel)]
    parts.append(turned([(radius - 0.015, height - 0.05), (radius - 0.015, 0.03)], glossy(paint, 0.4)))
    level = height * rng.uniform(0.1, 0.6)
    parts.append(turned([(radius - 0.015, level), (0, level)], glossy(paint, rng.uniform(0.15, 0.5))))
    parts.append(turned([(0, 0.02), (radius, 0.01)], steel))
    swing = np.linspace(0, np.pi, 40)
    lean = rng.uniform(-1.2, 1.2)
    arc = (radius + 0.03) * np.c_[np.cos(swing), np.sin(swing) * np.sin(lean), 0.9 * np.sin(swing) * np.cos(lean)]
    parts.append(Part(*swept(arc + [0, 0, height - 0.13], 0.012, 0.012, up=(0.3, 1, 0.2), count=9), steel))
    dented(parts, rng, rng.uniform(0, 0.06))
    lid = [
        turned(
            resample([(radius - 0.04, 0), (radius - 0.07, -0.03), (radius - 0.1, 0), (0, 0.01)], 60), naked(rng), 120
        )
    ]
    if rng.random() < 0.35:
        tilt = rotation((1, 0, 0), rng.uniform(0.05, 0.25))
        return parts + moved(lid, tilt, (0.1, 0.05, height + 0.08)), "upright"
    if rng.random() < 0.5:
        return piled([at_rest(parts, "upright", rng), at_rest(lid, "flat", rng)], rng, 1.0), "placed"
    return parts, "any" if rng.random() < 0.4 else "upright"


def cookie_tin(rng):
    """A low printed tin, round or square, its lid on it or beside it."""
    radius, height = 0.6, rng.uniform(0.3, 0.5)
    section = dict(power=rng.choice([2, 2, 6]), deep=rng.uniform(0.65, 1))
    skin = glossy(rusted(label(rng), rng, rng.uniform(0, 0.35)), rng.uniform(0.2, 0.35), 0.75)
    box = [(0, 0.02), (radius - 0.03, 0.02), (radius, 0), (radius, height), (radius - 0.02, height + 0.01)]
    parts = [turned(resample(box, 90, 0.2), skin, 144, **section)]
    gold = sheet(rng, colour=hsv(0.12, rng.choice([0, 0.35]), 1.2))
    parts.append(
        turned(resample([(radius - 0.02, height + 0.01), (radius - 0.02, 0.04), (0, 0.04)], 60), gold, 144, **section)
    )
    line = [
        (0, 0.13),
        (radius * 0.8, 0.13),
        (radius * 0.84, 0.15),
        (radius * 0.94, 0.15),
        (radius + 0.02, 0.12),
        (radius + 0.025, 0),
    ]
    vertices, triangles, uv = lathe(resample(line, 90, 0.3)[::-1], 144, **section)
    lid = [Part(vertices, triangles, vertices[:, :2] / 1.3 + 0.5, skin)]
    dented(parts, rng, rng.uniform(0, 0.04), 1)
    dented(lid, rng, rng.uniform(0, 0.04), 0)
    if rng.random() < 0.4:
        return parts + moved(lid, shift=(0, 0, height - 0.08)), "upright"
    if rng.random() < 0.5:
        moved(lid, rotation((1, 0, 0), np.pi))
    return piled([at_rest(parts, "upright", rng), at_rest(lid, "flat", rng)], rng, 1.3), "placed"


# ----------------------------------------------------------------------------------------------------------------- foil


def foil_ball(rng):
    """Aluminium foil pressed to a ball: sharp facets and folds."""
    vertices, triangles, uv = sphere(115)
    height = creases(vertices, rng, 18, 0.1, 2) + 0.5 * creases(2 * vertices, rng, 30, 0.1, 5)
    wrinkles = sum(np.abs(waves(vertices, rng, frequency)) / frequency for frequency in (6, 11, 20))
    shape = 1 + 0.3 * height / np.abs(height).max() + 0.1 * waves(vertices, rng, 2) - 0.35 * wrinkles
    vertices = vertices * shape[:, None] * rng.uniform(0.65, 1, 3)
    return [Part(vertices, triangles, uv, foil(rng), faceted=True)], "any"


def foil(rng):
    """Bare foil, or lacquered as around chocolate."""
    if rng.random() < 0.85:
        return sheet(rng, (0.6, 0.85), (0.17, 0.28))
    return glossy(random_colour(rng, (0.3, 0.75), (0.3, 0.75)), rng.uniform(0.12, 0.2), 0.97)


def foil_sheet(rng):
    """A crumpled sheet of foil, spread out again."""
    sheet = crumpled_sheet(rng, rng.uniform(0.9, 1.3), rng.uniform(0.8, 1.1), rng.uniform(0.25, 0.5), 14, 130)
    return [Part(*sheet, foil(rng), faceted=True)], "flat"


def foil_tray(rng):
    """A baking tray of thin aluminium with a crimped side, bent."""
    section = dict(power=5, wide=1.3, deep=0.9) if rng.random() < 0.6 else {}
    depth = rng.uniform(0.16, 0.32)
    line = resample([(0, 0), (0.42, 0), (0.5, 0.03), (0.62, depth), (0.7, depth + 0.01), (0.71, depth - 0.01)], 70, 0.3)
    vertices, triangles, uv = lathe(line, 361, **section)
    side = np.clip((uv[:, 1] - 0.45) * 4, 0, 1)
    crimps = rng.integers(50, 80)
    vertices[:, :2] *= 1 + (0.014 * side * np.sin(uv[:, 0] * TAU * crimps))[:, None]
    vertices[:, 2] += 0.006 * np.sin(vertices[:, 0] * 40) * (uv[:, 1] < 0.4)
    parts = [Part(vertices, triangles, uv, sheet(rng, (0.55, 0.8), (0.16, 0.28)))]
    seed, amount = rng.integers(1 << 30), rng.uniform(0.03, 0.12)
    displaced(parts, lambda points: amount * crumple_field(points, seed, 14))
    return parts, "upright" if rng.random() < 0.7 else "any"


KINDS = {
    "can": (0.52, can),
    "crushed can": (0.03, crushed_can),
    "food tin": (0.37, food_tin),
    "foil ball": (0.02, foil_ball),
    "foil sheet": (0.01, foil_sheet),
    "foil tray": (0.02, foil_tray),
    "jar lids": (0.01, jar_lids),
    "bottle caps": (0.005, bottle_caps),
    "spray can": (0.005, spray_can),
    "paint tin": (0.005, paint_tin),
    "cookie tin (hard)": (0.005, cookie_tin),
}
