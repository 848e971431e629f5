"""The embedded data set: pieces of garbage of TrashNet's six classes, drawn by code, with their exact masks.

Every picture is a function of (seed, index), whatever the number of pictures or their order. Area, position,
rotation, perspective, light, background and clutter are drawn alike for all classes, and the classes' colours
overlap: it takes form, material and markings to tell a class.

This module makes the scene and puts the object into it; `painters` paints the object. Coordinates in the
frame run from 0 to 1: a scene is the same at every size in pixels. Unfinished pictures are (3, S, S) float32.
"""

import hashlib
import inspect
import math
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFilter

from paper_repro import painters
from paper_repro.files import progress, sha256_file
from paper_repro.painters import PAINTERS, Patch, fraction, random_colour, words
from paper_repro.photographs import prepared

CLASSES = tuple(PAINTERS)  # TrashNet's, in alphabetical order
COUNT = 900  # pictures in the data set
SUPERSAMPLING = 2  # samples per pixel along each axis
AREA = (0.18, 0.44)  # wanted share of the frame; a long object that would not fit is made smaller
OVERHANG = 0.04  # how far an object may reach out of the frame


def prepare(size: int) -> Path:
    """The prepared folder (`photographs.prepared`) of the data set; drawn where that was not done before."""
    code = [sha256_file(module) for module in (__file__, inspect.getfile(painters))]
    return prepared.prepare([size, COUNT, code], lambda new: _fill(new, size))


def _fill(folder: Path, size: int) -> None:
    with progress(COUNT, f"drawing the synthetic pictures at {size} px", "pictures"):
        images, masks, truth = make(COUNT, size, seed=0)
    np.save(folder / "images.npy", images)
    np.save(folder / "masks.npy", masks)
    labels = [CLASSES[number] for number in truth]
    table = pd.DataFrame({"image": [f"{label}/{label}{number:04}.png" for number, label in enumerate(labels)]})
    table = table.assign(label=labels, bytes=images[0].nbytes, width=size, height=size)
    table["sha256"] = [hashlib.sha256(image).hexdigest() for image in images]
    prepared.write_manifest(folder, table.assign(problem="", group=table.index, excluded=False))


def draw(index: int, size: int, seed: int, empty: bool = False) -> tuple[np.ndarray, np.ndarray, int]:
    """Draw picture number `index`: image (size, size, 3) uint8 RGB, mask (size, size) bool, class index.

    The mask holds the pixels of which the object covers at least half. `empty` leaves the object and its
    shadow out of the scene: what a network says of that picture, it says of the background.
    """
    count = len(CLASSES)
    order = np.random.default_rng([seed, index // count, count]).permutation(count)  # each class once in six
    truth = int(order[index % count])
    scene_rng, pose_rng, light_rng, noise_rng = np.random.default_rng([seed, index]).spawn(4)
    samples = size * SUPERSAMPLING
    picture = _background(scene_rng, samples)
    towards_light = light_rng.uniform(0, 2 * math.pi)  # angle in the frame
    coverage = np.zeros((samples, samples), np.float32)
    if not empty:
        picture, coverage = _place(PAINTERS[CLASSES[truth]], picture, towards_light, pose_rng)
    picture = _pool(picture * _illumination(light_rng, towards_light, samples))
    picture = np.clip(picture + noise_rng.normal(0, 0.012, (size, size)), 0, 1)
    return (picture * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0).copy(), _pool(coverage) >= 0.5, truth


def make(count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first `count` pictures: images (N, S, S, 3) uint8, masks (N, S, S) bool, truth (N,) int64."""
    images = np.empty((count, size, size, 3), np.uint8)
    masks = np.empty((count, size, size), bool)
    truth = np.empty(count, np.int64)
    for i in range(count):
        images[i], masks[i], truth[i] = draw(i, size, seed)
    return images, masks, truth


def _pool(samples):
    """Mean over each pixel's samples: (..., K*S, K*S) to (..., S, S)."""
    k = SUPERSAMPLING
    return sum(samples[..., i::k, j::k] for i in range(k) for j in range(k)) / k**2


def _noise(rng, samples, rows, columns):
    """Smooth noise (samples, samples), about -1 to 1, from a random grid of rows by columns."""
    grid = Image.fromarray(rng.uniform(-1, 1, (rows, columns)).astype(np.float32))
    return np.asarray(grid.resize((samples, samples), Image.Resampling.BICUBIC))


def _background(rng, samples):
    """Wood, concrete, cloth, grass, print or tiles, with clutter on it: (3, samples, samples)."""
    across, down = np.meshgrid(*[np.linspace(0, 1, samples, dtype=np.float32)] * 2)
    turn, pitch = rng.uniform(0, math.pi), rng.uniform(3, 8)
    x = across * math.cos(turn) + down * math.sin(turn)
    y = down * math.cos(turn) - across * math.sin(turn)
    rough = _noise(rng, samples, 6, 6) * 0.5 + _noise(rng, samples, 24, 24) * 0.5
    base = random_colour(rng, saturation=(0, 0.22), value=(0.35, 0.9))
    kind = rng.choice(["wood", "concrete", "cloth", "grass", "print", "tiles"])
    if kind == "wood":
        base = random_colour(rng, (0.04, 0.12), (0.2, 0.6), (0.35, 0.9))
        tone = rng.uniform(-0.12, 0.12, 16).astype(np.float32)[np.floor(y * pitch * 0.6).astype(int) % 16]
        grain = np.sin(y * rng.uniform(60, 110) + rough * 5 + np.sin(x * 5) * 3) * 0.06
        shade = 1 + tone + grain - 0.4 * (fraction(y * pitch * 0.6) < 0.04)
    elif kind == "concrete":
        base = random_colour(rng, saturation=(0, 0.12), value=(0.35, 0.85))
        shade = 1 + rough * 0.14 + _noise(rng, samples, 60, 60) * 0.1
        shade -= 0.35 * (np.abs(x - 0.5 + rough * 0.06) < 0.006)
    elif kind == "cloth":
        checks = sum((fraction(c * pitch) < 0.5) * np.float32(rng.uniform(-0.2, 0.2)) for c in (x, y))
        shade = 1 + checks + np.sin(x * 150) * np.sin(y * 150) * 0.1 + rough * 0.12
    elif kind == "grass":
        base = random_colour(rng, (0.1, 0.32), (0.2, 0.45), (0.35, 0.7))
        blades = _noise(rng, samples, 14, 70) * 0.25 + _noise(rng, samples, 40, 40) * 0.2
        shade = 1 + blades + rough * 0.15
    elif kind == "print":
        shade = 1 + rough * 0.03 - 0.3 * words(fraction(x), fraction(y), rng, int(pitch * 3))
    else:
        joint = np.minimum(fraction(x * pitch), fraction(y * pitch)) < 0.06
        shade = 1 + rough * 0.08 - 0.3 * joint
    picture = np.clip(base * shade * 255, 0, 255).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(2, 6)):
        _clutter(pen, rng, samples)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1), np.float32) / 255


def _clutter(pen, rng, samples):
    """One distractor of no class: a disc, a ring, a scrap or a twig."""
    centre, angle = rng.uniform(0, samples, 2), rng.uniform(0, math.pi)
    length, ratio = rng.uniform(0.02, 0.07) * samples, rng.uniform(0.3, 1)
    colour = tuple(int(c * 255) for c in random_colour(rng, saturation=(0, 0.6)).ravel())
    axis = np.array([math.cos(angle), math.sin(angle)]) * length
    side = np.array([-axis[1], axis[0]]) * ratio
    box = [*(centre - length * ratio), *(centre + length * ratio)]
    kind = rng.choice(["disc", "ring", "scrap", "twig"])
    if kind == "disc":
        pen.ellipse(box, fill=colour)
    elif kind == "ring":
        pen.ellipse(box, outline=colour, width=max(1, int(length * 0.25)))
    elif kind == "scrap":
        corners = (axis + side, axis - side, -axis - side, side - axis)
        pen.polygon([tuple(centre + c) for c in corners], fill=colour)
    else:
        bend = (-2 * axis, side / 2, 2 * axis)
        pen.line([tuple(centre + c) for c in bend], fill=colour, width=max(1, samples // 80))


def _illumination(rng, towards_light, samples):
    """Factor (3, samples, samples): a gradient, a colour cast, sometimes the shadow of a post."""
    across, down = np.meshgrid(*[np.linspace(-1, 1, samples, dtype=np.float32)] * 2)
    cos, sin = math.cos(towards_light), math.sin(towards_light)
    level = rng.uniform(0.8, 1.12) * (1 + rng.uniform(0, 0.3) * (across * cos + down * sin))
    if rng.random() < 0.25:
        distance = np.abs(down * cos - across * sin + rng.uniform(-0.7, 0.7))
        level *= 1 - rng.uniform(0.2, 0.4) * np.clip((rng.uniform(0.1, 0.4) - distance) / 0.05, 0, 1)
    return level * rng.uniform(0.88, 1.12, (3, 1, 1)).astype(np.float32)


def _place(paint, scene, towards_light, rng):
    """Paint an object and its shadow: the picture, and the object's coverage (0 or 1) of every sample."""
    samples = scene.shape[-1]
    turn, stretch, wanted = rng.uniform(-0.8, 0.8), rng.uniform(0.9, 1.12), rng.uniform(*AREA)
    tilt, position, object_seed = rng.uniform(-0.14, 0.14, 2), rng.random(2), rng.integers(2**32)
    away, depth = rng.uniform(0.01, 0.05) * samples, rng.uniform(0.3, 0.6)
    cos, sin = math.cos(turn), math.sin(turn)
    matrix = np.array([(cos * stretch, -sin / stretch, 0), (sin * stretch, cos / stretch, 0), (*tilt, 1)])
    light = (0.65 * math.cos(towards_light - turn), 0.65 * math.sin(towards_light - turn), 0.76)

    # A coarse look at the object tells its area and extent: scale it to the wanted area and find it a place.
    step = 0.05
    u, v = np.meshgrid(*[np.arange(-1.2 + step / 2, 1.2, step, dtype=np.float32)] * 2)
    _, inside = paint(Patch(u, v, light, np.eye(3), scene), np.random.default_rng(object_seed))
    x, y, w = matrix @ np.stack([u[inside], v[inside], np.ones(inside.sum())])
    area = (np.linalg.det(matrix) / w**3).sum() * step**2  # det / w^3: a homography's change of area
    low, high = (np.array([extreme(x / w), extreme(y / w)]) for extreme in (np.min, np.max))
    scale = min(math.sqrt(wanted / area), (1 + OVERHANG) / (high - low).max())
    shift = position * (1 + 2 * OVERHANG - scale * (high - low)) - OVERHANG - scale * low
    matrix = np.array([(scale, 0, shift[0]), (0, scale, shift[1]), (0, 0, 1)]) @ matrix

    # Then paint the samples around it.
    left, top = np.clip((scale * low + shift - 0.03) * samples, 0, samples).astype(int)
    right, bottom = np.clip((scale * high + shift + 0.03) * samples, 0, samples).astype(int)
    x, y = np.meshgrid((np.arange(left, right) + 0.5) / samples, (np.arange(top, bottom) + 0.5) / samples)
    u, v, w = np.linalg.inv(matrix) @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    u, v = ((c / w).astype(np.float32).reshape(x.shape) for c in (u, v))
    colour, inside = paint(Patch(u, v, light, matrix, scene), np.random.default_rng(object_seed))
    coverage = np.zeros((samples, samples), np.float32)
    coverage[top:bottom, left:right] = inside

    shadow = Image.fromarray((coverage * 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(samples * 0.025))
    move = (1, 0, away * math.cos(towards_light), 0, 1, away * math.sin(towards_light))
    moved = np.asarray(shadow.transform(shadow.size, Image.Transform.AFFINE, move), np.float32) / 255
    picture = scene * (1 - depth * moved)
    part = picture[:, top:bottom, left:right]
    np.copyto(part, colour, where=inside)
    return picture, coverage
