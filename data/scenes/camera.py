"""The camera: where it stands, what the object covers of the frame, and how light becomes a picture."""

from dataclasses import dataclass, replace

import numpy as np
from meshes import points_of
from noise import TAU
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

DISTANCE = 4.0  # from the camera to the object after scaling the world; the same in all scenes (see render.py)
AREA = (0.32, 0.54)  # share of the frame that the object's outline covers


@dataclass(frozen=True)
class View:
    """How a picture is taken; drawn without knowledge of the object.

    azimuth, elevation, roll and field of view in radians; area: share of the frame that the object's outline covers;
    place: where the object lies in the room that is left, -1 to 1 per axis; aperture: of the lens, as a length.
    """

    azimuth: float
    elevation: float
    roll: float
    field: float
    area: float
    place: tuple[float, float]
    aperture: float


def draw_view(rng):
    """A view from obliquely above: never edge-on, never straight down."""
    return View(
        azimuth=rng.uniform(0, TAU),
        elevation=np.deg2rad(rng.uniform(38, 64)),
        roll=rng.normal(0, 0.06),
        field=np.deg2rad(rng.uniform(18, 36)),
        area=float(np.exp(rng.uniform(*np.log(AREA)))),
        place=tuple(rng.uniform(-0.5, 0.5, 2)),
        aperture=DISTANCE * rng.choice([0.002, 0.004, 0.01]),
    )


def another_view(view, rng):
    """The same object seen again from a step aside."""
    step = np.deg2rad(rng.uniform(8, 40)) * rng.choice([-1, 1])
    elevation = np.clip(view.elevation + np.deg2rad(rng.uniform(-8, 8)), *np.deg2rad([35, 68]))
    area = float(np.clip(view.area * rng.uniform(0.8, 1.25), *AREA))
    return replace(view, azimuth=view.azimuth + step, elevation=elevation, area=area, roll=rng.normal(0, 0.06))


def framed(view, parts):
    """Where the camera stands so that the parts cover the view's share of the frame.

    Returns:
        origin, target and up (3,) each and the distance; None where the parts would leave the frame.
    """
    vertices = points_of(parts)
    backwards = np.array(
        [
            np.cos(view.elevation) * np.cos(view.azimuth),
            np.cos(view.elevation) * np.sin(view.azimuth),
            np.sin(view.elevation),
        ]
    )
    right = np.cross(-backwards, [0, 0, 1])
    right /= np.linalg.norm(right)
    up = np.cos(view.roll) * np.cross(right, -backwards) + np.sin(view.roll) * right
    right = np.cross(-backwards, up)
    centre = (vertices.min(0) + vertices.max(0)) / 2
    half = np.tan(view.field / 2)
    distance = 1.5 * np.ptp(vertices, axis=0).max() / half
    for _ in range(3):  # the outline's area falls with the square of the distance, nearly
        screen = _project(vertices, centre + backwards * distance, backwards, right, up, half)
        distance *= (_outline_area(screen, parts) / view.area) ** 0.5
    screen = _project(vertices, centre + backwards * distance, backwards, right, up, half)
    room = 1.14 - np.ptp(screen, axis=0) / 2  # the frame may cut a little
    if (room < 0).any():
        return None
    middle = (screen.max(0) + screen.min(0)) / 2
    shift = (middle - room * view.place) * half * distance
    target = centre + right * shift[0] + up * shift[1]
    return target + backwards * distance, target, up, distance


def _project(vertices, origin, backwards, right, up, half):
    """Places (N, 2) on the screen, -1 to 1 within the frame."""
    seen = vertices - origin
    depth = np.maximum(-(seen @ backwards), 1e-3)
    return np.c_[seen @ right, seen @ up] / depth[:, None] / half


def _outline_area(screen, parts, pixels=128):
    """Share of the frame that the parts' outline would cover, also outside the frame."""
    spread = max(1.0, np.abs(screen).max())
    places = (screen / spread + 1) / 2 * (pixels - 1)
    canvas = Image.new("1", (pixels, pixels))
    draw = ImageDraw.Draw(canvas)
    start = 0
    for part in parts:
        corners = places[start + part.triangles]  # (M, 3, 2)
        (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
        for polygon in corners[np.abs(ax * by - ay * bx) > 1].reshape(-1, 6).tolist():
            draw.polygon(polygon, fill=1)
        start += len(part.vertices)
    covered = np.array(canvas)
    column, row = places.round().astype(int).T  # triangles below half a pixel: their corners are enough
    covered[row, column] = True
    return covered.mean() * spread**2


def develop(radiance, irradiance, albedo, rng):
    """From radiance (S, S, 3) to a picture (S, S, 3) uint8: exposure, white balance, curve, vignette, blur, noise.

    Exposure and white balance come from the light on the ground and the ground's mean colour, not from the picture: an
    automatic that looked at the object would write the object's colour into the background.
    """
    expected = irradiance / np.pi * np.sqrt(0.3 * albedo.mean())
    exposure = np.exp(rng.uniform(*np.log([0.36, 0.85]))) / (expected @ [0.21, 0.72, 0.07])
    balance = (irradiance.mean() / irradiance) ** rng.uniform(0.3, 1) * np.exp(rng.normal(0, 0.1, 3))
    image = radiance * exposure * balance
    size = len(image)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    image = image * (1 - rng.uniform(0, 0.25) * (x**2 + y**2) / 2)[..., None]
    filmic = np.clip(image * (2.51 * image + 0.03) / (image * (2.43 * image + 0.59) + 0.14), 0, 1)
    image = 0.7 * filmic + 0.3 * np.clip(1 - np.exp(-1.4 * image), 0, 1)
    image = np.where(image < 0.0031308, image * 12.92, 1.055 * np.clip(image, 1e-6, 1) ** (1 / 2.4) - 0.055)  # sRGB
    image = gaussian_filter(image, (*(rng.uniform(0, 0.45),) * 2, 0))
    grain = rng.uniform(0.002, 0.012)
    image = image + rng.normal(0, grain, image.shape) * (0.5 + 0.5 * np.sqrt(np.clip(image, 0, 1)))
    image = image + rng.normal(0, grain * 0.6, (*image.shape[:2], 1))
    return (255 * np.clip(image, 0, 1) + 0.5).astype(np.uint8)
