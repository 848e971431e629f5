"""What the object lies on and what lies about; none of it is told the class.

Every random number is drawn before the object's footprint is looked at, so that the object cannot change what is drawn.
"""

import numpy as np
from materials import matte
from meshes import Part, grid, lathe, quads, resample, rotation, sphere
from noise import TAU, spectral, waves
from prints import grime, hsv, plain, random_colour
from scipy.spatial import Delaunay

SIZE = 1024  # of a ground's texture, pixels
Y, X = np.mgrid[0:SIZE, 0:SIZE] / SIZE
REACH = 26  # the ground's half side, in lengths of the object
GROUNDS = {
    "wood": 0.18,
    "table": 0.18,
    "concrete": 0.14,
    "asphalt": 0.14,
    "soil": 0.02,
    "tiles": 0.11,
    "cloth": 0.05,
    "poster": 0.1,
    "grass": 0.08,
}


def ground(rng, footprint):
    """(name of the kind, its parts, mean of its texture (3,)): a relief, finer near the middle, with a tiled texture.

    footprint: corners (K, 2) of the convex outline of what lies on it.
    """
    kind = str(rng.choice(list(GROUNDS), p=list(GROUNDS.values())))
    texture, roughness, specular, relief = {
        "wood": _planks,
        "table": _table,
        "concrete": _concrete,
        "asphalt": _asphalt,
        "soil": _soil,
        "tiles": _tiles,
        "cloth": _cloth,
        "poster": _poster,
        "grass": _earth,
    }[kind](rng)
    texture = np.clip(grime(np.clip(texture, 0, 1), rng, rng.uniform(0, 0.4)), 0.01, 1)
    count = 241
    steps = np.sinh(np.linspace(-1, 1, count) * 3.2) / np.sinh(3.2) * REACH
    places = np.stack(np.meshgrid(steps, steps), 2).reshape(-1, 2)
    turn = rotation((0, 0, 1), rng.uniform(0, TAU))[:2, :2]
    uv = (places / rng.uniform(2.5, 5)) @ turn.T + rng.random(2)
    heights = relief(places)
    heights = heights - np.quantile(heights[np.hypot(*places.T) < 1.4], 0.9)  # the object lies on the bumps
    parts = [Part(np.c_[places, heights], quads(count, count), uv, matte(texture, roughness, specular))]
    blades = _blades(rng, footprint) if kind == "grass" else []
    return kind, parts + blades, texture.mean((0, 1))


def _planks(rng, count=None):
    count = rng.integers(3, 8) if count is None else count
    plank = (Y * count).astype(int)
    start, tone = rng.random(count + 1), rng.uniform(0.78, 1.15, (count + 1, 4))
    piece = ((X * 2 + start[plank]) % 4).astype(int) % 4
    rings = np.sin(9 * spectral(SIZE, 1.7, rng, 0.12, 1) + Y * 60)
    grain = 1 + 0.12 * spectral(SIZE, 0.75, rng, 0.05, 1) + 0.06 * rings + 0.08 * spectral(SIZE, 0.25, rng, 0.03, 1)
    colour = hsv(rng.uniform(0.04, 0.11), rng.uniform(0.25, 0.65), rng.uniform(0.25, 0.8))
    gap = (np.abs((Y * count) % 1 - 0.5) > 0.5 - 0.003 * count) & (count > 1)
    texture = colour * np.where(gap, 0.22, grain * tone[plank, piece])[..., None]
    return texture, rng.uniform(0.25, 0.75), 0.5, _level


def _table(rng):
    return _planks(rng, 1)


def _concrete(rng):
    colour = hsv(rng.uniform(0.05, 0.15), rng.uniform(0.02, 0.2), rng.uniform(0.3, 0.62))
    stains = spectral(SIZE, 1.15, rng)
    cracks = np.exp(-((np.abs(stains) / 0.012) ** 2)) * (spectral(SIZE, 1.8, rng) > 0.9)
    pores = spectral(SIZE, 0.5, rng) > 2.6
    gravel = 0.16 * np.clip(np.abs(spectral(SIZE, 0.75, rng)) - 1.2, 0, 1)
    value = 1 + 0.1 * spectral(SIZE, 1.2, rng) + 0.09 * spectral(SIZE, 0.35, rng) + gravel - 0.5 * cracks - 0.3 * pores
    return colour * np.clip(value, 0.1, 3)[..., None], 0.85, 0.3, _bumps(rng, 0.004, 0)


def _asphalt(rng):
    value = 1 + 0.14 * spectral(SIZE, 1.4, rng) + 0.4 * spectral(SIZE, 0.35, rng)
    chips = (spectral(SIZE, 0.3, rng) > 1.9)[..., None] * rng.uniform(0.05, 0.25)
    return rng.uniform(0.1, 0.3) * np.clip(value, 0.1, 3)[..., None] + chips, 0.85, 0.3, _bumps(rng, 0.016, 0.008)


def _soil(rng):
    colour = hsv(rng.uniform(0.06, 0.11), rng.uniform(0.35, 0.6), rng.uniform(0.22, 0.5))
    stones = (spectral(SIZE, 0.9, rng) > 1.8)[..., None] * rng.uniform(0.05, 0.25)
    clods = 0.3 * np.abs(spectral(SIZE, 1, rng))
    value = 0.85 + 0.14 * spectral(SIZE, 1.2, rng) + 0.26 * spectral(SIZE, 0.5, rng) + clods
    return colour * np.clip(value, 0.15, 3)[..., None] + stones, 0.95, 0.1, _bumps(rng, 0.045, 0.014)


def _tiles(rng):
    count = rng.integers(2, 6)
    x, y = (X * count) % 1, (Y * count) % 1
    from_edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    tile = np.clip((from_edge - 0.015) * 160, 0, 1)[..., None]
    tone = rng.uniform(0.88, 1.08, (count, count))[(Y * count).astype(int), (X * count).astype(int)]
    face = random_colour(rng, (0, 0.3), (0.3, 0.85)) * (tone * (1 + 0.06 * spectral(SIZE, 1.4, rng)))[..., None]
    joint = rng.uniform(0.2, 0.7) * (1 + 0.1 * spectral(SIZE, 0.5, rng))[..., None]
    return face * tile + joint * (1 - tile), rng.uniform(0.12, 0.6), 0.5, _level


def _cloth(rng):
    weave = 0.12 * np.sign(np.sin(X * TAU * 110) * np.sin(Y * TAU * 110))
    pattern = rng.integers(3)  # plain, striped, checked
    stripes = (np.sin(X * TAU * rng.integers(4, 12)) > 0.3) * (pattern > 0) * 1.0
    stripes += (np.sin(Y * TAU * rng.integers(4, 12)) > 0.3) * (pattern > 1)
    share = 0.35 * stripes[..., None]
    colour = random_colour(rng, (0, 0.5), (0.12, 0.8)) * (1 + weave)[..., None]
    texture = (colour * (1 - share) + random_colour(rng, (0, 0.6)) * share) * (1 + 0.05 * spectral(SIZE, 0.2, rng))[
        ..., None
    ]
    seeds = rng.integers(1 << 30, size=2)

    def folds(places):
        soft, sharp = (np.random.default_rng(seed) for seed in seeds)
        return 0.05 * waves(places, soft, 1.3) + 0.045 * np.abs(waves(places, sharp, 2)) ** 1.5

    return texture, 0.95, 0.1, folds


def _poster(rng):
    colour = rng.uniform(0.7, 0.92) * hsv(rng.random(), rng.uniform(0, 0.1), 1)
    value = 1 + 0.015 * spectral(SIZE, 0.8, rng) + 0.03 * spectral(SIZE, 1.8, rng)
    seed = rng.integers(1 << 30)
    return colour * value[..., None], 0.85, 0.3, lambda places: 0.01 * waves(places, np.random.default_rng(seed), 1.2)


def _earth(rng):
    colour = hsv(rng.uniform(0.08, 0.2), 0.45, 0.28) * (1 + 0.3 * spectral(SIZE, 0.5, rng))[..., None]
    seed = rng.integers(1 << 30)
    return colour, 0.9, 0.1, lambda places: 0.03 * waves(places, np.random.default_rng(seed), 2)


def _level(places):
    return np.zeros(len(places))


def _bumps(rng, height, grain):
    seeds = rng.integers(1 << 30, size=3)

    def relief(places):
        wide, narrow, rough = (np.random.default_rng(seed) for seed in seeds)
        bumps = waves(places, wide, 7) + 0.7 * waves(places, narrow, 19)
        return height * bumps + grain * rough.standard_normal(len(places))

    return relief


def _blades(rng, footprint, count=26000):
    """Blades of grass around the footprint: four cross-sections each, bent outwards."""
    radius, angle = 7 * rng.random(count) ** 0.65, rng.uniform(0, TAU, count)  # denser near the object
    foot = np.c_[radius * np.cos(angle), radius * np.sin(angle)]
    length, half_width = rng.uniform(0.12, 0.42, count) * rng.uniform(0.6, 1.1), rng.uniform(0.008, 0.018, count)
    direction, lean = rng.uniform(0, TAU, count), rng.uniform(0.1, 0.9, count)
    hue, shade = rng.uniform(0.17, 0.3), rng.random((count, 2))
    tones = [hsv(hue + x, rng.uniform(0.4, 0.75), rng.uniform(0.3, 0.62)) for x in rng.normal(0, 0.025, 48)]
    texture = np.array(tones)[None] * np.linspace(1.15, 0.45, 32)[:, None, None]  # (32, 48, 3): dark at the foot
    rows = []
    for height, width in ((0, 1), (0.4, 0.9), (0.75, 0.6), (1, 0.05)):
        middle = foot + np.c_[np.cos(direction), np.sin(direction)] * (length * lean * height**2)[:, None]
        side = np.c_[-np.sin(direction), np.cos(direction)] * (half_width * width)[:, None]
        z = length * height * (1 - 0.35 * lean * height)
        rows += [np.c_[middle - side, z], np.c_[middle + side, z]]
    free = Delaunay(footprint).find_simplex(foot) < 0
    vertices = np.stack(rows, 1)[free]  # (blades, 8, 3)
    blade = np.array([(0, 1, 3), (0, 3, 2), (2, 3, 5), (2, 5, 4), (4, 5, 7), (4, 7, 6)])
    triangles = (np.arange(len(vertices))[:, None, None] * 8 + blade).reshape(-1, 3)
    uv = np.repeat(shade[free][:, None], 8, 1)
    uv[..., 1] = np.repeat([0.05, 0.4, 0.75, 0.95], 2)
    return [Part(vertices.reshape(-1, 3), triangles, uv.reshape(-1, 2), matte(texture, 0.6, 0.4))]


def clutter(rng, footprint):
    """Pebbles, leaves and twigs around the footprint; those that would lie under the object are left out."""
    outline = Delaunay(footprint)
    parts = []
    for _ in range(int(rng.choice([0, 0, 2, 4, 8, 14]))):
        angle, radius = rng.uniform(0, TAU), rng.uniform(0.7, 2.4)
        place = radius * np.array([np.cos(angle), np.sin(angle)])
        part = [_pebble, _leaf, _twig][rng.integers(3)](rng)
        part.vertices = part.vertices @ rotation((0, 0, 1), rng.uniform(0, TAU)).T
        part.vertices += [*place, -part.vertices[:, 2].min()]
        if (outline.find_simplex(part.vertices[:, :2]) < 0).all():
            parts.append(part)
    return parts


def _pebble(rng):
    vertices, triangles, uv = sphere(18)
    vertices = vertices * rng.uniform(0.02, 0.08) * rng.uniform(0.5, 1, 3)
    vertices *= (1 + 0.15 * waves(vertices, rng, 3))[:, None]
    return Part(vertices, triangles, uv, matte(rng.uniform(0.2, 0.7) * hsv(0.09, rng.uniform(0, 0.3), 1), 0.8))


def _leaf(rng):
    uv, triangles = grid(20, 30)
    across, along = (uv[:, 0] - 0.5) * 2, uv[:, 1]
    half_width = 0.09 * np.sin(np.pi * along**0.8) + 0.003
    z = 0.05 * np.sin(along * 3 + rng.random() * 3) + 0.06 * across**2 * rng.uniform(-0.5, 1)
    colour = hsv(rng.uniform(0.04, 0.28), rng.uniform(0.4, 0.8), rng.uniform(0.25, 0.7))
    texture = plain(colour) * (1 + 0.1 * spectral(64, 1, rng))[..., None]
    texture[:, 31:33] *= 1.3  # the midrib
    return Part(np.c_[across * half_width, along * 0.3 - 0.15, z], triangles, uv, matte(texture, 0.7))


def _twig(rng):
    length = rng.uniform(0.15, 0.5)
    vertices, triangles, uv = lathe(resample([(0.012, 0), (0.008, length), (0, length)], 20), 10)
    vertices[:, 0] += 0.1 * length * np.sin(vertices[:, 2] / length * 3)
    vertices = vertices @ rotation((1, 0, 0), np.pi / 2).T
    return Part(vertices, triangles, uv, matte(hsv(0.08, 0.4, rng.uniform(0.2, 0.5)), 0.8))
