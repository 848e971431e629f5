"""Paper: crumpled balls and sheets, newspapers, letters, envelopes, bags, cups, plates.

A sheet of paper does not stretch: crumpled, it breaks into flat facets that meet in sharp folds. `crumpled` makes
them by midpoint displacement, as one makes mountains: every edge gets a vertex at its middle, which is shifted by a
random share of the edge's length; then again with the smaller edges.
"""

import numpy as np
from materials import matte
from meshes import (
    Part,
    at_rest,
    buckled,
    cut_out,
    dented,
    displaced,
    folded,
    grid,
    lathe,
    moved,
    piled,
    resample,
    rotation,
    swept,
    turned,
    wrapped,
)
from noise import TAU, creases, spectral, waves, wobble
from PIL import Image, ImageDraw
from prints import (
    board,
    font,
    grime,
    ink,
    label,
    page,
    paper_white,
    plain,
    printed_board,
    random_colour,
    text_block,
    to_array,
    word,
)
from scipy.spatial import ConvexHull, Delaunay


def paper(texture, roughness=0.9):
    """The material of a sheet: more matte than plastic, and never quite white."""
    return matte(0.86 * np.asarray(texture), roughness, 0.15)


def fibrous(rng, colour, size=512):
    """Unprinted paper: a colour with a faint grain."""
    return np.clip(
        np.asarray(colour) * (1 + 0.015 * spectral(size, 0.4, rng) + 0.015 * spectral(size, 1.5, rng))[..., None], 0, 1
    )


def small_print(rng, colour, copies=3, width=900, height=512):
    """Paper of one colour with a small name and small print, side by side."""
    picture = Image.new("RGB", (width, height), ink(colour))
    draw = ImageDraw.Draw(picture)
    tone = ink(random_colour(rng, (0.3, 0.9), (0.15, 0.5)))
    step = width / copies
    name, face, top = word(rng), font(rng, height * rng.uniform(0.07, 0.13)), height * rng.uniform(0.25, 0.6)
    for copy in range(copies):
        left = (copy + 0.3) * step
        draw.text((left, top), name, font=face, fill=tone)
        if rng.random() < 0.7:
            below = top + 1.3 * face.size
            text_block(draw, rng, (left, below, left + 0.4 * step, below + 0.13 * height), height // 36, tone)
    if rng.random() < 0.35:
        band = height * rng.uniform(0.75, 0.9)
        draw.rectangle([0, band, width, band + height * rng.uniform(0.01, 0.08)], fill=tone)
    return to_array(picture)


# ------------------------------------------------------------------------------------------------------------ crumpling


def crumpled(rng, vertices, triangles, flat, rough, levels):
    """A surface broken into facets, finer and finer: (vertices, triangles, flat).

    Args:
        vertices, triangles: of a coarse mesh.
        flat: what is carried along, such as places in the texture: a middle gets the mean of its edge's ends.
        rough: how far an edge's middle is shifted across the surface, as a share of its length.
    """
    for level in range(levels):
        edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), 1)
        edges, number = np.unique(edges, axis=0, return_inverse=True)
        first, second, third = number.reshape(3, -1) + len(vertices)
        start, end = vertices[edges[:, 0]], vertices[edges[:, 1]]
        shift = rng.normal(0, 1, start.shape) * np.linalg.norm(end - start, axis=1, keepdims=True)
        vertices = np.vstack([vertices, (start + end) / 2 + rough * 0.75**level * shift])
        flat = np.vstack([flat, (flat[edges[:, 0]] + flat[edges[:, 1]]) / 2])
        a, b, c = triangles.T
        corners = [(a, first, third), (first, b, second), (third, second, c), (first, second, third)]
        triangles = np.concatenate([np.stack(corner, 1) for corner in corners])
    return vertices, triangles, flat


def crumpled_page(rng, width, depth, relief, folds):
    """A sheet that was crumpled and spread out again: (vertices, triangles, uv)."""
    sides = np.linspace(-0.5, 0.5, 5)
    edge = np.concatenate([np.c_[sides, 0 * sides + s] for s in (-0.5, 0.5)])
    inside = rng.uniform(-0.46, 0.46, (folds, 2))
    uv = np.unique(np.round(np.vstack([edge, edge[:, ::-1], inside]), 6), axis=0)
    flat = uv * [width, depth]
    triangles = Delaunay(flat).simplices
    heights = relief * rng.normal(0, 1, len(flat)) + 0.6 * relief * waves(flat, rng, 3)
    pulled = flat * (1 - 1.2 * relief) + rng.normal(0, 0.35 * relief, flat.shape)
    return crumpled(rng, np.c_[pulled, heights], triangles, uv + 0.5, 0.05 + 0.15 * relief, 4)


def ball(rng):
    """A sheet pressed to a ball in the fist: facets at all scales, with edges of the sheet that stand off."""
    count = rng.integers(55, 110)
    points = rng.normal(size=(count, 3))
    for _ in range(12):  # spread them evenly
        apart = points[:, None] - points[None]
        points = points + 0.3 * (apart / (1e-2 + (apart**2).sum(2, keepdims=True)) ** 1.5).mean(1)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    triangles = ConvexHull(points).simplices
    radius = rng.uniform(0.7, 1.08, (count, 1))
    vertices, fine, _ = crumpled(rng, points * radius, triangles, points, rng.uniform(0.08, 0.12), 3)
    facets = np.arange(len(fine)) % len(triangles)  # the coarse facet that each fine one is part of
    material = paper(grime(page(rng, kind=_page_kind(rng)), rng, rng.uniform(0, 0.4)))
    scale = rng.uniform(0.25, 0.45)
    parts = [_pasted(rng, vertices, fine, facets, scale, material)]
    for _ in range(rng.integers(2, 5)):
        parts.append(_loose_edge(rng, vertices, fine, facets, scale, material))
    stretch = rng.uniform(0.72, 1, 3)
    return moved(parts, np.diag(stretch)), "any"


def _page_kind(rng):
    return rng.choice(["letter", "notes", "news", "flyer", "blank"], p=[0.22, 0.2, 0.1, 0.06, 0.42])


def _pasted(rng, vertices, triangles, facets, scale, material):
    """A part whose facets, numbered per triangle, each show another place of the sheet, in another direction."""
    turn = rng.uniform(0, TAU, facets.max() + 1)[facets][:, None]
    shift = rng.random((facets.max() + 1, 1, 2))[facets]
    corners = vertices[triangles]
    outwards = corners.mean(1)
    east = np.cross([0.3, 0.2, 1], outwards)
    east /= np.linalg.norm(east, axis=1, keepdims=True)
    north = np.cross(outwards, east)
    x, y = (corners * east[:, None]).sum(2), (corners * north[:, None]).sum(2)
    cosine, sine = np.cos(turn), np.sin(turn)
    uv = scale * np.stack([cosine * x - sine * y, (sine * x + cosine * y) / 1.4], 2) + shift
    return Part(corners.reshape(-1, 3), np.arange(3 * len(triangles)).reshape(-1, 3), uv.reshape(-1, 2), material)


def _loose_edge(rng, vertices, triangles, facets, scale, material):
    """A fold of a ball's sheet that stands off, cut along a straight edge."""
    outwards = rng.normal(size=3)
    outwards /= np.linalg.norm(outwards)
    along = np.cross(outwards, rng.normal(size=3))
    along /= np.linalg.norm(along)
    across = np.cross(outwards, along)
    reach = vertices @ along
    reach = np.where(np.abs(reach - 0.4) < 0.08, 0.4, reach)
    lifted = vertices + (reach - vertices @ along)[:, None] * along
    away = np.clip((reach + 0.6), 0, None)
    lifted = lifted * (1.01 + rng.uniform(0.05, 0.22) * away[:, None] ** 2)
    width = rng.uniform(0.45, 0.7)
    inside = (vertices @ outwards > 0.3) & (reach <= 0.401) & (np.abs(vertices @ across) < width)
    chosen = inside[triangles].all(1)
    return _pasted(rng, lifted, triangles[chosen], facets[chosen], scale, material)


def crumpled_sheet(rng):
    """A page that was crumpled and spread out, more or less."""
    relief = rng.uniform(0.05, 0.12)
    vertices, triangles, uv = crumpled_page(rng, 1, rng.uniform(1, 1.4), relief, rng.integers(25, 90))
    part = Part(vertices, triangles, uv, paper(grime(page(rng, kind=_page_kind(rng)), rng, rng.uniform(0, 0.5))), True)
    if rng.random() < 0.6:
        bend = rng.uniform(0.4, 2.2), rng.uniform(0.1, 0.5)
        folded([part], [(rng.uniform(-0.1, 0.3), rng.uniform(0, TAU), *bend)])
    return [part], "flat"


def tissue(rng):
    """A paper tissue, soft and thin: it could be cloth."""
    vertices, triangles, uv = crumpled_page(rng, 1, 1, rng.uniform(0.08, 0.16), rng.integers(30, 60))
    embossed = fibrous(rng, paper_white(rng))
    part = Part(vertices, triangles, uv, paper(grime(embossed, rng, rng.uniform(0, 0.8)), 0.97))
    folded([part], [(rng.uniform(-0.05, 0.25), rng.uniform(0, TAU), rng.uniform(0.8, 2.4), 0.3)])
    return [part], "flat"


# ------------------------------------------------------------------------------------------------------ sheets and more


def sheet(rng, width, depth, texture, columns=70, rows=90, wavy=0.015):
    """A flat sheet with faint waves."""
    uv, triangles = grid(columns, rows)
    flat = (uv - 0.5) * [width, depth]
    height = wavy * waves(flat, rng, 3) + 0.2 * wavy * creases(flat, rng, 6, 0.05)
    return [Part(np.c_[flat, height], triangles, uv, paper(texture, 0.85))]


def sheets(rng):
    """Some sheets that lie on each other askew: flat, with a corner turned up, or folded as in an envelope."""
    pieces = []
    kind = rng.choice(["letter", "notes", "news", "blank", "flyer"], p=[0.4, 0.25, 0.05, 0.15, 0.15])
    in_thirds = rng.random() < 0.3
    up, down = rng.uniform(0.3, 1.6), rng.uniform(0.1, 1.0) * rng.choice([1, -0.5])
    for number in range(rng.integers(1, 3) if in_thirds else rng.integers(2, 6)):
        if rng.random() < 0.4:
            kind = rng.choice(["letter", "notes", "blank", "flyer"])
        piece = sheet(rng, 1, 1.4, page(rng, kind=kind))
        if in_thirds:
            folded(piece, [(0.23, np.pi / 2, up, 0.03), (0.23, -np.pi / 2, down, 0.03)])
        elif rng.random() < 0.5:
            corner = rng.choice([1, -1]) * rng.uniform(0.6, 1.2) + rng.choice([0, np.pi])
            folded(piece, [(rng.uniform(0.35, 0.6), corner, rng.uniform(0.6, 2.8), rng.uniform(0.04, 0.5))])
        askew = 0.03 if in_thirds else 0.35
        moved(piece, rotation((0, 0, 1), askew * rng.normal()), (*rng.normal(0, 0.2 * askew, 2), 0.03 * number))
        pieces += piece
    return pieces, "placed"


def newspaper(rng):
    """A newspaper of several leaves: folded in half, or open with its leaves rising from the fold."""
    leaves = rng.integers(3, 8)
    step, seed = 0.012, rng.integers(1 << 30)
    tone, dirt = 0.92 * paper_white(rng), rng.uniform(0, 0.4)
    shut = rng.random() < 0.6
    parts = []
    for number in range(leaves):
        if number in (0, leaves - 1):  # the others hardly show
            texture = page(rng, 1000, 720, "news")
            texture = grime(np.clip(texture * tone / np.median(texture, (0, 1)), 0, 1), rng, dirt)
        leaf = sheet(rng, 1.6, 1.1, texture, 150, 70, 0.004)
        if number == 0 and shut:
            leaf[0].uv[:, 0] = 1 - leaf[0].uv[:, 0]  # its outside is seen
        parts += moved(leaf, shift=(*rng.normal(0, 0.008, 2), number * step))
    if shut:
        folded(parts, [(0, 0.0, rng.uniform(0.93, 0.985) * np.pi, np.pi * (leaves * step + 0.015))])
        if rng.random() < 0.4:
            folded(parts, [(rng.uniform(0, 0.3), np.pi / 2, rng.uniform(0.2, 1.2), 0.15)])
    else:
        for number, leaf in enumerate(parts):
            curl = rng.uniform(0.05, 0.5) * (0.3 + number / leaves)
            folded([leaf], [(0.02, 0.0, curl, 0.3), (0.02, np.pi, curl * rng.uniform(0.5, 1.2), 0.3)])
    amount = rng.uniform(0.012, 0.05)
    displaced(parts, lambda points: amount * wobble(points * [1, 1, 0.2], seed, 3))
    return parts, "placed"


def torn_page(rng):
    """A page torn to pieces, with the pale fibres of the tear."""
    pieces = []
    texture = page(rng, kind=rng.choice(["letter", "notes", "news", "flyer"]))
    for _ in range(rng.integers(3, 8)):
        seed = rng.integers(1 << 30)
        angles = np.sort(rng.uniform(0, TAU, 5)) + [0, 0.2, 0.4, 0.6, 0.8]
        reach = rng.uniform(0.24, 0.42, 5)

        def outside(points, angles=angles, reach=reach, seed=seed):
            sides = points @ np.stack([np.cos(angles), np.sin(angles)]) - reach
            box = np.abs(points).max(1) - 0.42
            tear = 0.02 * waves(points, np.random.default_rng(seed), 9) + 0.006 * waves(
                points, np.random.default_rng(seed), 60
            )
            return np.maximum(sides.max(1), box) + tear

        flat, triangles, _ = cut_out(outside, (-0.5, -0.5), (0.5, 0.5), 110)
        offset = rng.uniform(0.3, 0.7, 2)
        height = 0.02 * waves(flat, rng, 4) + 0.02 * creases(flat, rng, 6, 0.05)
        piece = [Part(np.c_[flat, height], triangles, flat * [0.9, 0.65] + offset, paper(texture))]
        rim = flat * 1.03
        pale = 0.5 * texture.mean((0, 1)) + 0.48
        piece.append(Part(np.c_[rim, height - 0.006], triangles, flat, paper(np.clip(pale, 0, 1))))
        if rng.random() < 0.6:
            folded(piece, [(rng.uniform(0, 0.15), rng.uniform(0, TAU), rng.uniform(0.3, 1.8), rng.uniform(0.02, 0.3))])
        pieces.append(at_rest(piece, "flat", rng))
    return piled(pieces, rng, 0.28), "placed"


def envelope(rng):
    """An envelope: its front with stamp and address or window, or its back with the flap, shut or torn open."""
    width, depth = 1.3, rng.uniform(0.65, 0.95)
    colour = paper_white(rng)
    front, back = _envelope_front(rng, colour), _envelope_back(rng, colour)
    dirt = rng.uniform(0, 0.5)
    uv, triangles = grid(100, 80)
    flat = (uv - 0.5) * [width, depth]
    seed, amount, folds = rng.integers(1 << 30), rng.uniform(0.01, 0.07), rng.integers(4, 14)
    swollen = np.clip(16 * uv.prod(1) * (1 - uv).prod(1), 0, 1) ** 0.5 * rng.uniform(0.01, 0.04)
    parts = [
        Part(np.c_[flat, swollen], triangles, uv, paper(grime(back, rng, dirt))),
        Part(np.c_[flat, -swollen * 0.4], triangles[:, ::-1], uv * [-1, 1] + [1, 0], paper(grime(front, rng, dirt))),
    ]
    side, flap_triangles = grid(80, 40)
    half = width / 2 * (1 - side[:, 1] * rng.uniform(0.75, 0.95))
    flap = np.c_[(2 * side[:, 0] - 1) * half, depth / 2 + side[:, 1] * depth * 0.55, 0 * half]
    flap = [Part(flap, flap_triangles, side, paper(fibrous(rng, colour)))]
    angle = rng.uniform(0.9, 0.99) * np.pi if rng.random() < 0.4 else rng.uniform(0.2, 2.4)
    parts += moved(folded(flap, [(depth / 2, np.pi / 2, angle, 0.05)]), shift=(0, 0, 0.006))

    def field(points):
        rise = amount * creases(points[:, :2], np.random.default_rng(seed), folds, 0.05)
        return np.c_[0 * rise, 0 * rise, rise + 0.012 * waves(points[:, :2], np.random.default_rng(seed), 3)]

    displaced(parts, field)
    if rng.random() < 0.5:
        moved(parts, rotation((1, 0, 0), np.pi))
    return parts, "placed"


def _envelope_front(rng, colour):
    picture = Image.new("RGB", (640, 420), ink(colour))
    draw = ImageDraw.Draw(picture)
    picture.paste(Image.fromarray((255 * label(rng, 80, 95)).astype(np.uint8)), (535, 22))
    dark = (40, 40, 60)
    if rng.random() < 0.4:
        draw.rounded_rectangle([60, 210, 330, 330], 14, fill=(205, 208, 210), outline=(150, 150, 150))
        text_block(draw, rng, (85, 230, 300, 320), 20, dark)
    else:
        text_block(draw, rng, (280, 220, 560, 340), 24, dark)
    text_block(draw, rng, (25, 25, 220, 90), 14, dark)
    if rng.random() < 0.5:
        for wave in range(5):
            line = [(x, 40 + 14 * wave + 5 * np.sin(x / 12)) for x in range(400, 560, 4)]
            draw.line(line, fill=(60, 60, 70), width=2)
    return to_array(picture)


def _envelope_back(rng, colour):
    picture = Image.new("RGB", (640, 420), ink(colour))
    draw = ImageDraw.Draw(picture)
    shade = ink(np.asarray(colour) * 0.72)
    for corner in (0, 640):
        draw.line([(corner, 420), (320, 190)], fill=shade, width=3)
        draw.line([(corner, 0), (320, 235)], fill=shade, width=2)
    return to_array(picture)


# --------------------------------------------------------------------------------------------------- bags, cups, plates


def bag(rng):
    """A paper bag with a square bottom, open above, sharply creased; some with twisted handles."""
    width, height, deep = 0.5, rng.uniform(0.85, 1.2), rng.uniform(0.4, 0.65)
    outline = np.vstack([[(0, 0), (0.5 * width, 0)], np.c_[[width] * 10, np.linspace(0, height, 10)]])
    vertices, triangles, uv = lathe(outline, 33, 9, 1, deep)
    to_middle = 1 - np.abs(vertices[:, 1]) / (deep * width)
    narrow = np.clip(to_middle, 0, 1) * (np.abs(vertices[:, 0]) > 0.8 * width) * vertices[:, 2] / height
    vertices[:, 0] -= np.sign(vertices[:, 0]) * narrow * rng.uniform(0.05, 0.3)
    vertices = vertices + rng.normal(0, 0.012, vertices.shape)
    vertices, triangles, uv = crumpled(rng, vertices, triangles, uv, rng.uniform(0.05, 0.1), 3)
    colour = paper_white(rng)
    if rng.random() < 0.3:
        colour = np.array([0.72, 0.55, 0.38]) * rng.uniform(0.8, 1.15)
    ground = board(rng, colour)
    print_share = rng.choice([0, 0.5, 0.85])
    texture = (1 - print_share) * ground + print_share * small_print(rng, colour, 2, 512)
    parts = [Part(vertices, triangles, uv, paper(texture), faceted=True)]
    if rng.random() < 0.35:
        angle = np.linspace(0, np.pi, 40)
        for y in (-1, 1):
            path = np.c_[0.2 * np.cos(angle), 0 * angle + y * deep * width, height - 0.05 + 0.28 * np.sin(angle)]
            parts.append(Part(*swept(path, 0.014, 0.014, (0, 1, 0.01)), paper(np.clip(colour * 0.95, 0, 1))))
    amount, seed, folds = rng.uniform(0.08, 0.25), rng.integers(1 << 30), rng.integers(12, 26)

    def field(points):
        loose = np.clip(points[:, 2:] / height + 0.25, 0, 1)
        shift = [creases(points, np.random.default_rng([seed, axis]), folds, 0.03) for axis in range(3)]
        return amount * np.stack(shift, 1) * loose * [1, 1, 0.5]

    return displaced(parts, field), "any" if rng.random() < 0.65 else "upright"


def cup(rng, coated=False):
    """A paper cup: rolled rim, a seam down its side, matte and sparsely printed; kinked where it was gripped."""
    height, foot, mouth = rng.uniform(0.75, 1.15), rng.uniform(0.27, 0.32), rng.uniform(0.38, 0.46)
    lift = 0.07
    base = [(0, lift), (foot * 0.95, lift), (foot * 0.97, 0), (foot, 0)]
    outer = resample([*base, (mouth, height)], 110)
    turn = np.linspace(-0.5 * np.pi, 1.1 * np.pi, 14)
    rim = np.c_[mouth + 0.004 + 0.022 * np.cos(turn), height + 0.022 * np.sin(turn)]
    colour = paper_white(rng) if rng.random() < 0.7 else random_colour(rng, (0.15, 0.5), (0.35, 0.9))
    texture = label(rng, 900, 512) if coated else small_print(rng, colour)
    texture[:, :14] *= 0.8  # the seam
    texture[:, 14:18] *= 0.6
    white = paper_white(rng)
    inside = resample([(0, lift + 0.01), (foot * 0.98, lift + 0.01), (mouth - 0.008, height)], 80)
    stain = grime(plain(white, 256), rng, rng.choice([0.0, 0.9]))
    parts = [
        turned(outer, paper(grime(texture, rng, rng.uniform(0, 0.5)), 0.4 if coated else 0.85), 140),
        turned(rim, paper(white, 0.7), 140),
        turned(inside, paper(stain, 0.6), 140),
    ]
    if not coated:
        parts.append(wrapped(outer, 0.01, height, paper(fibrous(rng, colour)), 0.007, 0.045, 12))  # glued over itself
        if rng.random() < 0.4:
            parts.append(_sleeve(rng, outer, height))
    if rng.random() < 0.35:
        flat = rng.uniform(0.2, 0.55)
        moved(parts, np.diag([1 + 0.45 * (1 - flat), flat, 1]))  # trodden on
    elif rng.random() < 0.85:
        _gripped(parts, rng, rng.uniform(0.12, 0.3), height)
    buckled(parts, rng, rng.uniform(0.03, 0.14), rng.integers(1, 4))
    return parts, "any" if rng.random() < 0.7 else "upright"


def _sleeve(rng, outer, height):
    """The ribbed band of board around a cup for hot drinks."""
    low, high = height * rng.uniform(0.22, 0.34), height * rng.uniform(0.66, 0.8)
    band = wrapped(outer, low, high, None, 0.016, count=500)
    ribs = 0.006 * np.sin(band.uv[:, 0] * TAU * rng.integers(45, 70))
    band.vertices[:, :2] *= 1 + ribs[:, None] / np.hypot(*band.vertices[:, :2].T)[:, None]
    ground = board(rng)
    band.material = paper(printed_board(rng, ground) if rng.random() < 0.5 else ground)
    return band


def _gripped(parts, rng, depth, height):
    """The side of a cup bent in at a few places, each a kink like a roof with a sharp ridge."""
    for _ in range(rng.integers(1, 4)):
        side, level, half = rng.uniform(0, TAU), height * rng.uniform(0.45, 1.0), rng.uniform(0.25, 0.5) * height
        push = depth * rng.uniform(0.4, 1)

        def field(points, side=side, level=level, half=half, push=push):
            inward = -np.array([np.cos(side), np.sin(side), 0])
            facing = np.clip(-(points @ inward) - 0.1, 0, None)
            roof = np.clip(1 - np.abs(points[:, 2] - level) / half, 0, 1)
            return (np.minimum(3.2 * push, 0.75) * facing * roof)[:, None] * inward

        displaced(parts, field)


def coated_cup(rng):
    """A paper cup with a glossy print all over: it could be plastic."""
    return cup(rng, coated=True)


def plate(rng):
    """Paper plates with a fluted rim, one or two, often folded by use."""
    radius = 0.6
    profile = resample([(0, 0), (0.4, 0), (0.46, 0.06), (radius, 0.09)], 90, 0.8)
    vertices, triangles, uv = lathe(profile, 361)
    beyond = np.clip((np.hypot(*vertices[:, :2].T) - 0.43) / 0.17, 0, 1)
    vertices[:, 2] += 0.011 * beyond * np.sin(uv[:, 0] * TAU * rng.integers(60, 90))
    colour = paper_white(rng)
    texture = fibrous(rng, colour)
    if rng.random() < 0.4:
        texture[rng.integers(15, 60) : rng.integers(70, 150)] = random_colour(rng, (0.3, 0.8))
    part = Part(vertices, triangles, uv, paper(grime(texture, rng, rng.uniform(0.2, 0.9))))
    parts = [part]
    if rng.random() < 0.75:
        folded(parts, [(rng.uniform(-0.1, 0.3), rng.uniform(0, TAU), rng.uniform(0.3, 2.2), rng.uniform(0.02, 0.1))])
    dented(parts, rng, 0.03, presses=0)
    return parts, "placed"


KINDS = {
    "ball": (0.1, ball),
    "crumpled sheet": (0.7, crumpled_sheet),
    "sheets": (0.04, sheets),
    "newspaper": (0.09, newspaper),
    "torn page": (0.015, torn_page),
    "envelope": (0.015, envelope),
    "bag": (0.01, bag),
    "cup": (0.005, cup),
    "plate": (0.005, plate),
    "tissue (hard)": (0.01, tissue),
    "coated cup (hard)": (0.01, coated_cup),
}
