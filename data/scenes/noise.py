"""Random textures, fields and folds: what makes a surface look used."""

import numpy as np

TAU = 2 * np.pi


def spectral(size, exponent, rng, stretch_x=1.0, stretch_y=1.0):
    """Noise (size, size) whose amplitude falls as 1 / frequency ** exponent: mean 0, deviation 1, and it tiles.

    exponent 0 is fine grain, 2 is clouds. A stretch below 1 draws the pattern out along that axis, as wood grain is.
    """
    fy = np.fft.fftfreq(size)[:, None] * size * stretch_y
    fx = np.fft.rfftfreq(size)[None] * size * stretch_x
    radius = np.hypot(fx, fy)
    radius[0, 0] = 1
    amplitude = np.fft.rfft2(rng.standard_normal((size, size))) / radius**exponent
    amplitude[0, 0] = 0
    noise = np.fft.irfft2(amplitude, (size, size))
    return (noise / noise.std()).astype(np.float32)


def waves(points, rng, frequency, count=14):
    """A smooth random field at points (N, D) -> (N,): a sum of plane waves, deviation about 1."""
    directions = rng.standard_normal((count, points.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    phases = points @ (directions.T * frequency * rng.uniform(0.6, 1.6, count)) + rng.uniform(0, TAU, count)
    return np.sin(phases).sum(1) * (2 / count) ** 0.5


def wobble(points, seed, frequency):
    """Three independent `waves` as a displacement (N, 3); the same seed gives the same field on other points."""
    return np.stack([waves(points, np.random.default_rng([seed, axis]), frequency) for axis in range(3)], 1)


def creases(points, rng, folds, warp=0.15, frequency=2.0):
    """A crumpled height at points (N, D) -> (N,): flat facets that meet in sharp folds, deviation 0.3.

    It is the difference of two convex polytopes, each the maximum of planes tangent to a paraboloid (their edges are
    those of a Voronoi diagram), summed over three scales. `warp` bends the folds.
    """
    bent = points + 0.3 * warp * np.stack([waves(points, rng, frequency) for _ in range(points.shape[1])], 1)
    low = bent.min(0)
    extent = np.maximum(np.ptp(bent, axis=0), 0.05 * np.ptp(bent, axis=0).max())
    scaled = ((bent - low) / extent.max()).astype(np.float32)
    height = np.zeros(len(scaled), np.float32)
    for count, amplitude in ((folds, 1.0), (5 * folds, 0.45), (22 * folds, 0.16)):
        difference = _polytope(scaled, extent, count, rng) - _polytope(scaled, extent, count, rng)
        height += amplitude * (difference - difference.mean()) / (difference.std() + 1e-9)
    return 0.3 * (height - height.mean()) / (height.std() + 1e-9)


def crumple_field(points, seed, folds):
    """Three independent `creases` as a displacement (N, 3); the same seed gives the same field on other points."""
    return np.stack([creases(points, np.random.default_rng([seed, axis]), folds) for axis in range(3)], 1)


def _polytope(points, extent, count, rng):
    sites = (rng.uniform(-0.1, 1.1, (count, points.shape[1])) * extent / extent.max()).astype(np.float32)
    offsets = rng.uniform(0, 0.15 / count, count) - (sites**2).sum(1)
    highest = np.full(len(points), -9.0, np.float32)
    for start in range(0, count, 64):  # in slices, to spare memory
        part = slice(start, start + 64)
        np.maximum(highest, (2 * points @ sites[part].T + offsets[part]).max(1), out=highest)
    return highest
