"""Shapes as triangles: grids, turned bodies, panels; and what happens to them: bending, dents, crumpling.

Lengths are in units of about the object's size; z is up.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from noise import TAU, creases, waves
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import ConvexHull


@dataclass
class Part:
    """A mesh of one material.

    vertices (N, 3), triangles (M, 3) int, uv (N, 2) places in the texture, material: a description for Mitsuba,
    faceted: the triangles are shaded flat, not smooth.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    material: Any
    faceted: bool = False

    def __post_init__(self):
        self.vertices, self.uv = np.asarray(self.vertices, float), np.asarray(self.uv, float)
        self.triangles = np.asarray(self.triangles, np.int32)


# --------------------------------------------------------------------------------------------------------------- shapes


def quads(columns, rows):
    """Triangles of a grid of vertices, row after row."""
    index = np.arange(columns * rows).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1].ravel(), index[:-1, 1:].ravel(), index[1:, 1:].ravel(), index[1:, :-1].ravel()
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def grid(columns, rows):
    """(uv in [0, 1]² of a grid of vertices, its triangles)."""
    u, v = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    return np.stack([u.ravel(), v.ravel()], 1), quads(columns, rows)


def border(columns, rows):
    """Indices of a grid's outer vertices, once around and back to the first."""
    index = np.arange(columns * rows).reshape(rows, columns)
    return np.r_[index[0], index[1:, -1], index[-1, -2::-1], index[-2::-1, 0]]


def resample(points, count, smooth=0.0):
    """A line (K, 2) as `count` points at equal steps; `smooth` rounds its corners (percent of its length)."""
    points = np.asarray(points, float)
    along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    steps = np.linspace(0, along[-1], count)
    line = np.stack([np.interp(steps, along, points[:, axis]) for axis in range(2)], 1)
    if smooth:
        line = gaussian_filter1d(line, smooth * count / 100, axis=0, mode="nearest")
        line[0], line[-1] = points[0], points[-1]
    return line


def lathe(profile, count=96, power=2.0, wide=1.0, deep=1.0):
    """A profile (K, 2) of (radius, z) turned about z: (vertices, triangles, uv); u runs around, v along the profile.

    power above 2 makes the section a rounded square, `wide` and `deep` stretch x and y.
    """
    profile = np.asarray(profile, float)
    angle = np.linspace(0, TAU, count)
    cosine, sine = np.cos(angle), np.sin(angle)
    section = (np.abs(cosine) ** power + np.abs(sine) ** power) ** (-1 / power)
    x, y = np.outer(profile[:, 0], cosine * section) * wide, np.outer(profile[:, 0], sine * section) * deep
    vertices = np.stack([x, y, np.repeat(profile[:, 1:2], count, 1)], 2).reshape(-1, 3)
    along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(profile, axis=0), axis=1))]
    uv = np.stack([np.tile(angle / TAU, len(profile)), np.repeat(along / along[-1], count)], 1)
    return vertices, quads(count, len(profile)), uv


def turned(profile, material, count=96, **section):
    """`lathe` as a part."""
    return Part(*lathe(profile, count, **section), material)


def hollow(outer, wall, floor=None):
    """The closed profile of a vessel: up the line `outer`, over the rim and down inside, `wall` thick."""
    outer = np.asarray(outer, float)
    tangent = np.gradient(outer, axis=0)
    inward = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    inward /= np.linalg.norm(inward, axis=1, keepdims=True) + 1e-9
    inner = outer + inward * wall
    inner[:, 0], inner[:, 1] = np.maximum(inner[:, 0], 0), np.maximum(inner[:, 1], floor or wall)
    inner[0, 0] = 0
    rim = outer[-1] + (inner[-1] - outer[-1]) / 2 + np.array([0, wall / 2])
    return np.vstack([outer, rim, inner[::-1]])


def wrapped(outer, bottom, top, material, offset=0.006, share=1.0, count=96, **section):
    """A label around a turned body: between the heights bottom and top, `share` of the way around.

    outer: the body's profile, from the axis at its foot upwards.
    """
    heights = np.linspace(bottom, top, 40)
    side = outer[np.argmax(outer[:, 0] > 0.05) :]
    order = np.argsort(side[:, 1])
    radius = np.interp(heights, side[order, 1], side[order, 0]) + offset
    vertices, triangles, uv = lathe(np.c_[radius, heights], count, **section)
    if share < 1:
        angle = uv[:, 0] * share * TAU
        around = np.repeat(radius, count)
        vertices = np.c_[around * np.cos(angle), around * np.sin(angle), np.repeat(heights, count)]
    return Part(vertices, triangles, uv, material)


def cap(radius, height, material, ridges=40, ridge=0.012, flare=0.0, count=181):
    """A lid or bottle cap (list of one part), open below, its top near z = 0; its texture lies on the top.

    ridges: how many around the skirt, `ridge` high; flare: how much wider the skirt ends, as of a crown cap.
    """
    low, wide, wall = -height, radius * (1 + flare), 0.06 * radius
    top = [(0, 0), (radius * 0.72, 0), (radius * 0.76, wall), (radius * 0.9, wall), (radius, -0.1 * height)]
    skirt = [(wide, low * 0.93), (wide + 0.4 * wall, low * 0.96), (wide + 0.2 * wall, low)]
    inside = [(wide - 0.4 * wall, low * 0.95), (radius - 0.6 * wall, -0.3 * height), (0, -0.25 * height)]
    vertices, triangles, uv = lathe(resample(top + skirt + inside, 90, 0.4), count)
    below = np.clip(-vertices[:, 2] / height - 0.2, 0, 0.8)
    vertices[:, :2] *= 1 + (ridge / radius * 1.25 * below * np.sin(uv[:, 0] * TAU * ridges))[:, None]
    return [Part(vertices, triangles[:, ::-1], vertices[:, :2] / (2.1 * wide) + 0.5, material)]


def sphere(count=60):
    """A unit sphere: (vertices, triangles, uv)."""
    angle = np.linspace(0, np.pi, count)
    return lathe(np.stack([np.sin(angle), -np.cos(angle)], 1), 2 * count)


def panel(origin, edge_u, edge_v, thickness, face, rim, bulge=0.0, count=10):
    """A board (list of three parts): a corner, two edges (3,) each, the materials of its faces and of its cut rim."""
    origin, edge_u, edge_v = (np.asarray(vector, float) for vector in (origin, edge_u, edge_v))
    normal = np.cross(edge_u, edge_v)
    normal /= np.linalg.norm(normal)
    uv, triangles = grid(count, count)
    swell = bulge * np.sin(np.pi * uv[:, 0]) * np.sin(np.pi * uv[:, 1])
    middle = origin + uv[:, :1] * edge_u + uv[:, 1:] * edge_v + swell[:, None] * normal
    half = normal * thickness / 2
    around = middle[border(count, count)]
    return [
        Part(middle + half, triangles, uv, face),
        Part(middle - half, triangles[:, ::-1], uv, face),
        ribbon(around + half, around - half, rim),
    ]


def ribbon(upper, lower, material):
    """The strip between two lines (N, 3) of equal length; its texture runs along them in true length."""
    along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(upper, axis=0), axis=1))]
    uv = np.vstack([np.c_[along, along * 0], np.c_[along, along * 0 + 1]])
    return Part(np.vstack([upper, lower]), quads(len(upper), 2), uv, material, faceted=True)


def crumpled_sheet(rng, width, depth, amount, folds=22, count=150):
    """A sheet full of folds, drawn together where it is folded: (vertices, triangles, uv)."""
    uv, triangles = grid(count, count)
    flat = np.c_[(uv[:, 0] - 0.5) * width, (uv[:, 1] - 0.5) * depth]
    z = amount * (creases(flat, rng, folds, 0.1, 3) + 0.3 * creases(flat * 2, rng, folds * 2, 0.1, 6))
    z += 0.35 * amount * ((flat / [width, depth]) ** 2).sum(1) * rng.uniform(-1, 3)
    x = flat[:, 0] * (1 - 0.3 * amount) + 0.6 * amount * creases(flat, rng, folds, 0.1, 3)
    y = flat[:, 1] * (1 - 0.3 * amount) + 0.6 * amount * creases(flat, rng, folds, 0.1, 3)
    return np.c_[x, y, z], triangles, uv


def swept(path, half_widths, half_heights, up=(0, 0, 1), dish=0.0, count=24):
    """An ellipse drawn along a path (N, 3), closed at both ends: (vertices, triangles, uv); v runs along.

    Half the width (across `up`) and half the height are numbers or one number a point; `dish` lifts the sides, as of a
    spoon, by that much at the edge.
    """
    path = np.asarray(path, float)
    tangent = np.gradient(path, axis=0)
    side = np.cross(up, tangent)
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    normal = np.cross(tangent, side)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    ends = np.r_[0, np.ones(len(path)), 0]
    rows = np.r_[0, np.arange(len(path)), len(path) - 1]
    widths = np.broadcast_to(half_widths, len(path))[rows] * ends
    heights = np.broadcast_to(half_heights, len(path))[rows] * ends
    lift = np.broadcast_to(dish, len(path))[rows] * ends
    angle = np.linspace(0, TAU, count)
    across = np.outer(widths, np.cos(angle))
    above = np.outer(heights, np.sin(angle)) + np.outer(lift, np.cos(angle) ** 2)
    vertices = path[rows][:, None] + across[..., None] * side[rows][:, None] + above[..., None] * normal[rows][:, None]
    u, v = np.meshgrid(np.linspace(0, 1, count), rows / (len(path) - 1))
    return vertices.reshape(-1, 3), quads(count, len(rows)), np.stack([u.ravel(), v.ravel()], 1)


def cut_out(distance, low, high, count=150):
    """The shape where distance(points (N, 2)) -> (N,) is negative, cut from a flat sheet between two corners.

    Returns its points (N, 2), triangles, and each point's depth within the shape. `distance` is the signed distance to
    the outline, at least near it: vertices near the outline are pulled onto it, so that the cut is smooth.
    """
    low, high = np.asarray(low, float), np.asarray(high, float)
    step = (high - low).max() / count
    columns, rows = np.ceil((high - low) / step).astype(int) + 1
    uv, triangles = grid(columns, rows)
    points = low + uv * (high - low)
    for _ in range(2):
        here = distance(points)
        slope = np.stack([distance(points + shift) - here for shift in 1e-4 * np.eye(2)], 1) / 1e-4
        pull = slope * (here / np.maximum((slope**2).sum(1), 0.1))[:, None]
        points = points - pull * (np.abs(here) < 0.7 * step)[:, None]
    here = distance(points)
    triangles = triangles[(here[triangles] < 0.1 * step).all(1)]
    used, triangles = np.unique(triangles, return_inverse=True)
    return points[used], triangles.reshape(-1, 3), np.maximum(-here[used], 0)


def thick(upper, lower, triangles, uv, face, rim):
    """Two like sheets (N, 3) and the wall between their outlines: the parts of a plate of any outline."""
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), 1)
    edges, times = np.unique(edges, axis=0, return_counts=True)
    start, end = edges[times == 1].T
    below = len(upper)
    wall = np.concatenate([np.stack([start, end, end + below], 1), np.stack([start, end + below, start + below], 1)])
    return [
        Part(upper, triangles, uv, face),
        Part(lower, triangles[:, ::-1], uv, face),
        Part(np.vstack([upper, lower]), wall, np.vstack([uv, uv]), rim, faceted=True),
    ]


# ------------------------------------------------------------------------------------------------- moving and deforming


def rotation(axis, angle):
    """The matrix (3, 3) of a turn about an axis (3,), angle in radians (Rodrigues' formula)."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def points_of(parts):
    """All vertices (N, 3) of a list of parts."""
    return np.vstack([part.vertices for part in parts])


def moved(parts, turn=None, shift=None, scale=1.0):
    """The parts, turned, scaled, then shifted in place."""
    for part in parts:
        if turn is not None:
            part.vertices = part.vertices @ np.asarray(turn).T
        part.vertices = part.vertices * scale + (0 if shift is None else np.asarray(shift))
    return parts


def displaced(parts, field):
    """The parts, every vertex shifted by field(points (N, 3)) -> (N, 3): one field for all, so they stay together."""
    shifts = np.split(field(points_of(parts)), np.cumsum([len(part.vertices) for part in parts])[:-1])
    for part, shift in zip(parts, shifts, strict=True):
        part.vertices = part.vertices + shift
    return parts


def dented(parts, rng, amount, presses=None, crush=0.0, frequency=2.5):
    """The parts with soft dents, `presses` sides pressed flat (drawn where it is None), and crushed along z.

    amount about 0.05 is a bump, 0.2 is trodden on; crush 0 to 1 is the share of the height that is lost, about.
    """
    vertices = points_of(parts)
    low, high = vertices.min(0), vertices.max(0)
    size, radius = (high - low).max(), (high - low)[:2].max() / 2
    presses = rng.integers(1, 4) if presses is None else presses
    sides = [(rng.uniform(0, TAU), rng.uniform(0.15, 0.85), rng.uniform(0.5, 1)) for _ in range(presses)]
    phases = rng.uniform(0, TAU, 3)
    seeds = rng.integers(1 << 30, size=3)

    def field(points):
        scaled = 3 * (points - low) / size
        shift = (
            np.stack([waves(scaled, np.random.default_rng(seed), frequency) for seed in seeds], 1) * amount * size / 4
        )
        for angle, height, strength in sides:
            normal = np.array([np.cos(angle), np.sin(angle), 0.3 * np.sin(5 * angle)])
            centre = low + (high - low) * [0.5, 0.5, height]
            above = (points - centre) @ normal - radius * (1 - 3.2 * amount * strength)
            near = np.exp(-(((points[:, 2] - centre[2]) / (radius * 1.2)) ** 2))
            shift -= (np.clip(above, 0, None) * near)[:, None] * normal
        if crush:
            z = (points[:, 2] - low[2]) / (high[2] - low[2])
            around = np.arctan2(points[:, 1], points[:, 0])
            middle = np.sin(np.pi * np.clip(z, 0, 1)) ** 0.7
            buckle = 0.5 * np.abs(np.sin(z * np.pi * 3 + phases[0] + np.sin(3 * around + phases[1]))) - 0.42
            shift[:, :2] += points[:, :2] * (middle * crush * buckle)[:, None]
            shift[:, 2] -= (points[:, 2] - low[2]) * crush * 0.5
            shift[:, 0] += middle * crush * 0.25 * radius * np.sin(z * 4 + phases[2])
            shift[:, 2] += crush * 0.25 * points[:, 0] * z * np.cos(phases[2])
        return shift

    return displaced(parts, field)


def folded(parts, folds):
    """The parts of a sheet that lies near z = 0, folded along straight creases.

    folds: (distance of the crease from the origin, direction away from it, angle to turn up, width of the bend) each;
    what lies beyond the crease turns. Creases must not cross on the sheet; of nested ones the outermost comes first.
    """
    for part in parts:
        flat = part.vertices[:, :2].copy()
        for distance, direction, angle, width in folds:
            away = np.array([np.cos(direction), np.sin(direction)])
            angle = angle if abs(angle) > 1e-3 else 1e-3
            beyond = flat @ away - distance
            here = part.vertices[:, :2] @ away - distance
            turn = angle * np.clip(beyond / width, 0, 1)
            radius = width / angle  # of the bend; its centre is that far above the sheet
            to_centre = radius - part.vertices[:, 2]
            rest = np.where(beyond > width, here - width, 0)
            along = to_centre * np.sin(turn) + rest * np.cos(turn)
            height = radius - to_centre * np.cos(turn) + rest * np.sin(turn)
            part.vertices[:, :2] += np.where(beyond > 0, along - here, 0)[:, None] * away
            part.vertices[:, 2] = np.where(beyond > 0, height, part.vertices[:, 2])
    return parts


def buckled(parts, rng, depth, count=3, push=0.85):
    """The parts, dented as stiff board is: what lies beyond a plane is pressed towards it, which leaves a sharp crease.

    depth: of the deepest dent, as a share of the size; the planes cut off corners and edges of the upper half.
    push: 1 presses flat, 2 mirrors in the plane; above 1 the two faces of a thin wall change places.
    """
    vertices = points_of(parts)
    centre = (vertices.min(0) + vertices.max(0)) / 2
    size = np.ptp(vertices, axis=0).max()
    for _ in range(count):
        normal = rng.normal(size=3) * [1, 1, 0.7] + [0, 0, 0.25]
        normal /= np.linalg.norm(normal)
        reach = ((points_of(parts) - centre) @ normal).max() - size * depth * rng.uniform(0.4, 1)
        for part in parts:
            beyond = np.maximum((part.vertices - centre) @ normal - reach, 0)
            part.vertices = part.vertices - push * beyond[:, None] * normal
    return parts


def at_rest(parts, rest, rng):
    """The parts as they come to lie on z = 0, centred, turned to any side.

    rest: "any" rolls onto a stable side; "upright" stands; "flat" lies as it is or, in a quarter of the cases, on its
    face, and sinks in by its lowest points; "placed" lies as it is.
    """
    if rest == "any":
        moved(parts, rotation(rng.normal(size=3), rng.uniform(0, TAU)))
        _roll(parts)
    if rest == "flat" and rng.random() < 0.25:
        moved(parts, rotation((np.cos(rng.uniform(0, TAU)), 1, 0), np.pi))
    moved(parts, rotation((0, 0, 1), rng.uniform(0, TAU)))
    vertices = points_of(parts)
    low, high = vertices.min(0), vertices.max(0)
    deepest = len(vertices) // 400 if rest in ("flat", "placed") else 0
    floor = np.partition(vertices[:, 2], deepest)[deepest]
    return moved(parts, shift=(-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -floor))


def piled(pieces, rng, spread, tries=14):
    """Pieces (lists of parts, each at rest on z = 0) strewn close together without cutting into each other: all parts.

    Every piece is dropped at the best of some random places, near the middle and low. spread: how far they scatter;
    small makes a heap, large a scatter on the ground.
    """
    cell = 0.03
    highest = {}  # of what lies there already, by cell of the ground
    for number, piece in enumerate(pieces):
        points = points_of(piece)
        best = None
        for shift in rng.normal(0, spread if number else 1e-6, (tries, 2)):
            cells = np.floor((points[:, :2] + shift) / cell).astype(int)
            below = np.array([highest.get(key, 0.0) for key in map(tuple, cells[:: max(1, len(cells) // 1500)])])
            lift = max(0.0, (below - points[:: max(1, len(cells) // 1500), 2]).max()) if below.any() else 0.0
            cost = 3 * lift + np.hypot(*shift)
            if best is None or cost < best[0]:
                best = cost, shift, lift, cells
        _, shift, lift, cells = best
        moved(piece, shift=(*shift, lift))
        for key, z in zip(map(tuple, cells), points[:, 2] + lift, strict=True):
            highest[key] = max(highest.get(key, 0.0), z)
    return [part for piece in pieces for part in piece]


def _roll(parts):
    """Turns the parts onto faces of their convex hull until the centre lies above the face below it."""
    for _ in range(25):
        vertices = points_of(parts)
        hull = ConvexHull(vertices[:: max(1, len(vertices) // 4000)])
        centre = hull.points[hull.vertices].mean(0)
        normals, offsets = hull.equations[:, :3], hull.equations[:, 3]
        downwards = -normals[:, 2]
        distance = np.full(len(normals), np.inf)
        below = downwards > 1e-9
        distance[below] = -(normals[below] @ centre + offsets[below]) / downwards[below]
        face = normals[np.argmin(distance)]
        axis = np.cross(face, [0, 0, -1])
        angle = np.arctan2(np.linalg.norm(axis), -face[2])
        if angle < 1e-3:
            break
        moved(parts, rotation(axis if np.linalg.norm(axis) > 1e-9 else (1, 0, 0), angle))
