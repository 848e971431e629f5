"""Where the light comes from: a room, a studio, an overcast or a sunny sky, as a map of the surroundings."""

import numpy as np
from noise import TAU, spectral
from prints import random_colour
from scipy.ndimage import gaussian_filter

HEIGHT, WIDTH = 256, 512
LIGHTS = {"room": 0.46, "studio": 0.28, "overcast": 0.1, "sun": 0.16}
ELEVATION = (np.pi / 2 - (np.arange(HEIGHT) + 0.5) / HEIGHT * np.pi)[:, None]  # (HEIGHT, 1), radians, up is positive
AZIMUTH = ((np.arange(WIDTH) + 0.5) / WIDTH * TAU)[None]  # (1, WIDTH)
UP = np.clip(np.sin(ELEVATION), 0, 1)[..., None]  # (HEIGHT, 1, 1)


def surrounding_light(rng):
    """(name of the kind, radiance (HEIGHT, WIDTH, 3) float32 over elevation and azimuth)."""
    kind = str(rng.choice(list(LIGHTS), p=list(LIGHTS.values())))
    light = {"room": _room, "studio": _studio, "overcast": _overcast, "sun": _sunny}[kind](rng)
    light = light * (1 + 0.06 * spectral(WIDTH, 1.2, rng)[:HEIGHT])[..., None]
    return kind, np.clip(gaussian_filter(light, (0.8, 0.8, 0)), 0.003, None).astype(np.float32)


def irradiance(light):
    """The light (3,) that falls on level ground, as a hand-held meter reads it: it knows nothing of the object."""
    weight = np.clip(np.sin(ELEVATION), 0, None) * np.cos(ELEVATION)  # cosine law times the size of a map's pixel
    return (light * weight[..., None]).sum((0, 1)) * (np.pi / HEIGHT) * (TAU / WIDTH)


def _warm(amount):
    return np.array([1, 1 - 0.12 * amount, 1 - 0.28 * amount])


def _rectangle(light, azimuth, elevation, half_width, half_height, colour, bars=0):
    """Paints a window, lamp or piece of furniture; bars: how many panes a window has."""
    x = ((AZIMUTH - azimuth + np.pi) % TAU - np.pi) / half_width
    y = (ELEVATION - elevation) / half_height
    inside = (np.abs(x) < 1) & (np.abs(y) < 1)
    if bars:
        inside &= (np.abs((x * bars + 1) % 1 - 0.5) < 0.45) & (np.abs(y) > 0.05)
    light[inside] = colour


def _room(rng):
    light = np.zeros((HEIGHT, WIDTH, 3))
    light[:] = random_colour(rng, (0, 0.25), (0.3, 0.8)) * 0.35 * (0.6 + 0.4 * UP)
    light[ELEVATION[:, 0] > 0.9] = 0.4  # the ceiling
    light[ELEVATION[:, 0] < 0] = random_colour(rng, (0.1, 0.5), (0.1, 0.4)) * 0.3
    for _ in range(rng.integers(3, 8)):
        colour = random_colour(rng, (0, 0.7), (0.05, 0.6)) * 0.3
        size = rng.uniform(0.05, 0.4), rng.uniform(0.1, 0.4)
        _rectangle(light, rng.uniform(0, TAU), rng.uniform(-0.1, 0.3), *size, colour)
    for _ in range(rng.integers(1, 4)):  # windows
        daylight = np.array([0.9, 0.97, 1.1]) * rng.uniform(6, 20)
        size = rng.uniform(0.15, 0.45), rng.uniform(0.15, 0.32)
        _rectangle(light, rng.uniform(0, TAU), rng.uniform(0.35, 0.7), *size, daylight, rng.integers(0, 4))
    for _ in range(rng.integers(0, 4)):  # lamps
        lamp = _warm(rng.uniform(0.2, 1)) * rng.uniform(6, 20)
        _rectangle(light, rng.uniform(0, TAU), rng.uniform(0.95, 1.3), 0.3, rng.uniform(0.04, 0.12), lamp)
    return light


def _studio(rng):
    light = np.zeros((HEIGHT, WIDTH, 3))
    light[:] = rng.uniform(0.05, 0.3) * (0.5 + 0.5 * UP)
    for _ in range(rng.integers(2, 5)):  # soft boxes
        box = _warm(rng.uniform(-0.3, 0.6)) * rng.uniform(3, 12)
        size = rng.uniform(0.15, 0.5), rng.uniform(0.1, 0.35)
        _rectangle(light, rng.uniform(0, TAU), rng.uniform(0.3, 1.1), *size, box)
    return light


def _overcast(rng):
    return _open_sky(rng, top=np.array([0.95, 0.98, 1.05]) * rng.uniform(1, 1.6), horizon=np.array([0.6, 0.62, 0.64]))


def _sunny(rng):
    light = _open_sky(rng, top=np.array([0.18, 0.33, 0.7]), horizon=np.array([0.75, 0.82, 0.92]))
    azimuth, height = rng.uniform(0, TAU), rng.uniform(0.45, 1.2)
    towards = np.sin(ELEVATION) * np.sin(height) + np.cos(ELEVATION) * np.cos(height) * np.cos(AZIMUTH - azimuth)
    light += np.exp((towards - 1) / 0.0016)[..., None] * rng.uniform(90, 260) * _warm(rng.uniform(0.1, 1.1))
    return light + np.exp((towards - 1) / 0.03)[..., None] * 2


def _open_sky(rng, top, horizon):
    """A sky with clouds above a dark line of houses and trees."""
    light = horizon * (1 - UP**0.5) + top * UP**0.5 + np.zeros((HEIGHT, WIDTH, 3))
    cloud = np.clip(spectral(WIDTH, 1.6, rng)[:HEIGHT] * 0.5 + 0.3, 0, 1)[..., None] * rng.uniform(0, 0.6)
    light = light * (1 - cloud) + cloud
    houses = ((rng.random(24) > 0.6) * rng.random(24))[np.arange(WIDTH) * 24 // WIDTH]
    skyline = 0.12 + 0.1 * spectral(WIDTH, 1.3, rng)[:1] + 0.1 * houses[None]
    light[(skyline > ELEVATION) & (ELEVATION > 0)] = random_colour(rng, (0.1, 0.5), (0.08, 0.3))
    light[ELEVATION[:, 0] <= 0] = random_colour(rng, (0, 0.3), (0.15, 0.4))
    return light
