"""From seeds to a picture and its mask: an object of a class on surroundings that know nothing of it.

Needs the path tracer Mitsuba 3 and the denoiser Open Image Denoise; README.md says how to install them.
"""

import gc
import os
import tempfile
from dataclasses import dataclass

import cardboard
import drjit
import glass
import metal
import mitsuba as mi
import mitsuba_oidn
import numpy as np
import paper
import plastic
import trash
from camera import DISTANCE, another_view, develop, draw_view, framed
from light import irradiance, surrounding_light
from materials import bare_metal, clear, film, matte
from meshes import Part, at_rest, moved, points_of
from scipy import ndimage
from scipy.spatial import ConvexHull
from surroundings import clutter, ground

MAKERS = {module.__name__: module.KINDS for module in (cardboard, glass, metal, paper, plastic, trash)}
OBJECT, GROUND, CLUTTER, LIGHT, VIEW, FILM = range(6)  # streams of random numbers, one per concern
VISIBLE = (0.08, 0.70)  # share of the frame that the visible object covers
ATTEMPTS = 40  # objects that are tried on one place, and views that a twin is tried from


@dataclass(frozen=True)
class Seeds:
    """What a picture is made of, as one number per concern; a twin shares some of them with its original.

    thing: the object's; place: ground and clutter; light; view; step: of another view of the same, 0 for the original.
    """

    thing: int
    place: int
    light: int
    view: int
    step: int = 0


@dataclass(frozen=True)
class Picture:
    """A rendered picture: image (S, S, 3) uint8, mask (S, S) bool of the visible object, and the facts of its scene."""

    image: np.ndarray
    mask: np.ndarray
    facts: dict


def start(threads=1):
    """Chooses Mitsuba's variant for processors without a GPU."""
    mi.set_variant("llvm_ad_rgb")
    mi.set_log_level(mi.LogLevel.Error)
    drjit.set_thread_count(threads)


def photograph(label, seed, seeds, size=256, samples=16, kind=None, attempt=None):
    """The picture of an object of class `label`.

    The place, the light and the view are drawn first and stay. Objects are then drawn until one fits the frame, is
    visible and stands out from the ground: so nothing but the object depends on the class.

    Args:
        seed: of the whole data set.
        kind: name of the kind of object; drawn where it is None.
        attempt: the object that an earlier picture took, for a twin; None: the first that fits.

    Raises:
        RuntimeError: no object fits.
    """
    for number in range(ATTEMPTS) if attempt is None else [attempt]:
        name, parts = _draw_object(label, [seed, seeds.thing, OBJECT, number], kind)
        view = draw_view(_stream(seed, seeds.view, VIEW))
        frame = framed(view, parts)
        if seeds.step:
            first, rng = view, _stream(seed, seeds.step, VIEW)
            for _ in range(ATTEMPTS):
                view = another_view(first, rng)
                frame = framed(view, parts)
                if frame is not None:
                    break
        if frame is None:
            continue
        picture = _shoot(parts, view, frame, seed, seeds, size, samples)
        low, high = VISIBLE
        if attempt is None and not (low <= picture.mask.mean() <= high and _stands_out(picture)):
            continue
        facts = {"kind": name, "attempt": number} | picture.facts
        return Picture(picture.image, picture.mask, facts)
    raise RuntimeError(f"no object of {label} fits the scene {seeds}")


def _stream(seed, number, concern):
    return np.random.default_rng([seed, number, concern])


def _draw_object(label, entropy, kind):
    """(kind, parts at rest with a diagonal of 2)."""
    rng = np.random.default_rng(entropy)
    kinds = MAKERS[label]
    drawn = str(rng.choice(list(kinds), p=[weight for weight, _ in kinds.values()]))
    kind = kind or drawn
    parts = at_rest(*kinds[kind][1](rng), rng)
    return kind, moved(parts, scale=2 / np.linalg.norm(np.ptp(points_of(parts), axis=0)))


def _shoot(parts, view, frame, seed, seeds, size, samples):
    vertices = points_of(parts)
    corners = vertices[:: max(1, len(vertices) // 3000), :2]
    corners = corners[ConvexHull(corners).vertices]
    ground_kind, below, albedo = ground(_stream(seed, seeds.place, GROUND), corners)
    about = clutter(_stream(seed, seeds.place, CLUTTER), corners)
    light_kind, light = surrounding_light(_stream(seed, seeds.light, LIGHT))
    origin, target, up, distance = frame
    scale = DISTANCE / distance
    for group in (parts, below, about):
        moved(group, scale=scale)
    camera = dict(origin=origin * scale, target=target * scale, up=up, field=view.field, aperture=view.aperture)
    scene = _scene(parts, below + about, light)
    mask = _mask(scene, camera, size)
    radiance = _radiance(scene, camera, size, samples)
    image = develop(radiance, irradiance(light), albedo, _stream(seed, seeds.view, FILM))
    facts = {"ground": ground_kind, "light": light_kind, "clutter": len(about)}
    facts |= {"azimuth": np.rad2deg(view.azimuth) % 360, "elevation": np.rad2deg(view.elevation)}
    facts |= {"field": np.rad2deg(view.field), "aperture": view.aperture, "area": mask.mean()}
    return Picture(image, mask, {key: round(float(x), 4) if isinstance(x, float) else x for key, x in facts.items()})


def _stands_out(picture):
    """Whether half of the object's outline differs in colour from what lies beside it."""
    inside = picture.mask & ~ndimage.binary_erosion(picture.mask, iterations=5)
    outside = ndimage.binary_dilation(picture.mask, iterations=6) & ~ndimage.binary_dilation(picture.mask, iterations=1)
    edge = picture.mask & ~ndimage.binary_erosion(picture.mask, border_value=1)
    colours = []
    for band in (inside, outside):
        weight = ndimage.gaussian_filter(band.astype(float), 4) + 1e-6
        sums = ndimage.gaussian_filter(picture.image / 255.0 * band[..., None], (4, 4, 0))
        colours.append((sums / weight[..., None])[edge])  # (edge, 3)
    return np.mean(np.abs(colours[0] - colours[1]).max(1) > 0.08) > 0.5


# -------------------------------------------------------------------------------------------------------------- Mitsuba


def _scene(parts, others, light):
    """The scene; its objects' names begin with "o".

    Mitsuba compiles a kernel per scene, in which the kinds of materials and the size of the world are fixed. A far,
    hidden triangle of each material, at the same place in all scenes, makes one kernel serve them all.
    """
    towards = mi.ScalarTransform4f().rotate([1, 0, 0], 90)
    description = {"type": "scene", "light": {"type": "envmap", "bitmap": mi.Bitmap(light), "to_world": towards}}
    rng = np.random.default_rng(0)
    materials = [matte((0, 0, 0)), bare_metal(rng, 0.2, "Al"), clear(), film((1, 1, 1))]
    places = np.array([(-90, -90, -90), (90, -90, -90), (-90, 90, -90), (90, 90, 90)], float)
    for place, material in zip(places, materials, strict=True):
        corners = place + np.array([(0, 0, 0), (-0.01 * np.sign(place[0]), 0, 0), (0, -0.01 * np.sign(place[1]), 0)])
        others = [*others, Part(corners, [(0, 1, 2)], np.zeros((3, 2)), material)]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        for letter, group in (("o", parts), ("s", others)):
            for number, part in enumerate(group):
                path = f"{folder}/{letter}{number:03d}.ply"
                _write_ply(part, path)
                description[f"{letter}{number:03d}"] = {"type": "ply", "filename": path, "bsdf": part.material}
        gc.collect()  # frees the scene before: its numbers are used again, and so is its kernel
        return mi.load_dict(description, parallel=False, optimize=False)


def _write_ply(part, path):
    vertices, triangles, uv = part.vertices, part.triangles, part.uv
    if part.faceted:  # every triangle has vertices of its own
        vertices, uv = vertices[triangles].reshape(-1, 3), uv[triangles].reshape(-1, 2)
        triangles = np.arange(len(vertices)).reshape(-1, 3)
    rows = np.hstack([vertices, _normals(vertices, triangles), uv * [1, -1] + [0, 1]]).astype("<f4")
    faces = np.empty(len(triangles), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, triangles
    columns = "".join(f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz", "u", "v"))
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(rows)}\n{columns}"
    header += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    with open(path, "wb") as file:
        file.write(header.encode() + rows.tobytes() + faces.tobytes())


def _normals(vertices, triangles):
    """Smooth normals (N, 3); vertices at one place share theirs, which closes the seams of textures."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    faces = np.cross(b - a, c - a)
    place = np.unique(np.round(vertices / 1e-5).astype(np.int64), axis=0, return_inverse=True)[1].ravel()
    sums = np.zeros((place.max() + 1, 3))
    for corner in range(3):
        np.add.at(sums, place[triangles[:, corner]], faces)
    normals = sums[place]
    return normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12)


def _sensor(camera, size, samples, pinhole):
    look = {name: [float(x) for x in camera[name]] for name in ("origin", "target", "up")}
    picture = {"type": "hdrfilm", "width": size, "height": size, "rfilter": {"type": "box"}}
    picture |= {"pixel_format": "rgb", "component_format": "float32"}
    sensor = {"type": "perspective" if pinhole else "thinlens", "fov": float(np.rad2deg(camera["field"]))}
    sensor |= {"near_clip": 0.01, "far_clip": 200.0, "to_world": mi.ScalarTransform4f().look_at(**look)}
    sensor |= {"film": picture, "sampler": {"type": "independent", "sample_count": samples}}
    if not pinhole:
        sensor |= {"aperture_radius": float(camera["aperture"]), "focus_distance": DISTANCE}
    return mi.load_dict(sensor)


def _mask(scene, camera, size, rays=4):
    """(size, size) bool: at least half of rays x rays rays through a pixel meet the object first; without specks."""
    shapes = scene.shapes()
    numbers = [int(drjit.reinterpret_array(mi.UInt32, mi.ShapePtr(shape))[0]) for shape in shapes]
    is_object = np.zeros(max(numbers) + 1, bool)
    is_object[numbers] = [shape.id().startswith("o") for shape in shapes]
    which = mi.load_dict({"type": "aov", "aovs": "shape:shape_index"})
    sensor = _sensor(camera, size * rays, 1, pinhole=True)
    hit = np.array(mi.render(scene, sensor=sensor, integrator=which, spp=1, seed=0))[..., -1].round().astype(int)
    mask = is_object[hit].reshape(size, rays, size, rays).mean((1, 3)) >= 0.5
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    if count:
        areas = ndimage.sum_labels(mask, pieces, range(1, count + 1))
        mask = np.isin(pieces, 1 + np.flatnonzero(areas >= 0.01 * areas.max()))
    return mask


def _radiance(scene, camera, size, samples, batches=4):
    """(size, size, 3) float64, denoised. Samples far above the median of the batches are cut: single bright sparks."""
    path = {"type": "path", "max_depth": 14, "rr_depth": 6}
    integrator = mi.load_dict({"type": "aov", "aovs": "albedo:albedo,normal:sh_normal", "image": path})
    sensor = _sensor(camera, size, samples // batches, pinhole=False)
    layers = [
        np.nan_to_num(
            np.array(mi.render(scene, sensor=sensor, integrator=integrator, spp=samples // batches, seed=batch))
        )
        for batch in range(batches)
    ]  # each (size, size, 9): colour, albedo, normal
    colours = np.stack([layer[..., :3] for layer in layers])
    median = np.median(colours, 0)
    colour = np.minimum(colours, 4 * median + 0.3 * median.mean() + 1e-3).mean(0)
    albedo, normal = (np.mean([layer[..., part] for layer in layers], 0) for part in (slice(3, 6), slice(6, 9)))
    guides = {"albedo": np.clip(albedo, 0, 1), "normal": normal}
    guides = {name: np.ascontiguousarray(guide, np.float32) for name, guide in guides.items()}
    return np.asarray(mitsuba_oidn.denoise(np.ascontiguousarray(colour, np.float32), hdr=True, **guides), np.float64)
