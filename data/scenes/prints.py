"""Colours and printed textures: pages, brand prints, board. A texture is a float array (height, width, 3) in [0, 1]."""

import numpy as np
from noise import TAU, spectral
from PIL import Image, ImageDraw, ImageFont

FACES = ["Sans", "Sans-Bold", "Serif", "Serif-Bold", "SansCondensed-Bold", "Serif-BoldItalic"]  # of the font DejaVu
SYLLABLES = (
    *("ka", "ro", "mi", "ta", "lo", "ne", "si", "va", "du", "pe"),
    *("zo", "fi", "la", "bu", "re", "co", "ny", "ti", "sa", "mo"),
)
INKS = [(0.16, 0.13, 0.12), (0.47, 0.12, 0.11), (0.1, 0.18, 0.39), (0.12, 0.31, 0.2)]  # of stamps on boxes
DIRT = np.array([0.45, 0.36, 0.25])


def hsv(hue, saturation, value):
    """A colour (3,) from hue, saturation and value in [0, 1]; a hue outside wraps around."""
    sector, fraction = divmod((hue % 1) * 6, 1)
    p, q, t = value * (1 - saturation), value * (1 - fraction * saturation), value * (1 - (1 - fraction) * saturation)
    sectors = [(value, t, p), (q, value, p), (p, value, t), (p, q, value), (t, p, value), (value, p, q)]
    return np.array(sectors[int(sector) % 6])


def random_colour(rng, saturation=(0.2, 0.95), value=(0.25, 0.95)):
    """A colour (3,) of any hue."""
    return hsv(rng.random(), rng.uniform(*saturation), rng.uniform(*value))


def plain(colour, size=64):
    """A texture of one colour."""
    return np.ones((size, size, 3)) * np.asarray(colour)


def to_array(picture):
    """A PIL picture as a texture."""
    return np.asarray(picture.convert("RGB"), np.float32) / 255


def ink(colour):
    """A colour as PIL wants it."""
    return tuple(int(255 * channel) for channel in np.clip(colour, 0, 1))


def word(rng, fewest=2, most=4):
    """A made-up word of syllables."""
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.integers(fewest, most + 1)))


def font(rng, size):
    """One of Debian's DejaVu fonts; package fonts-dejavu."""
    return ImageFont.truetype(f"/usr/share/fonts/truetype/dejavu/DejaVu{rng.choice(FACES)}.ttf", int(size))


def text_block(draw, rng, box, size, colour):
    """Fills box (x0, y0, x1, y1), pixels, with lines of made-up words."""
    x0, y, x1, bottom = box
    face = font(rng, size)
    while y + size < bottom:
        x, end = x0, x1 if rng.random() > 0.15 else x0 + (x1 - x0) * rng.uniform(0.3, 0.9)
        while True:
            text = word(rng, 1, 4)
            width = draw.textlength(text, font=face)
            if x + width > end:
                break
            draw.text((x, y), text, font=face, fill=colour)
            x += width + size * 0.35
        y += size * 1.35


def grime(texture, rng, amount):
    """The texture with stains and dirt spots; amount 0 leaves it as it is, 1 is very dirty."""
    height, width = texture.shape[:2]
    spots = np.clip(spectral(256, 1.5, rng) - rng.uniform(0.8, 1.6), 0, 1) + 0.6 * (spectral(256, 0.7, rng) > 2.6)
    spots = np.asarray(Image.fromarray(spots.astype(np.float32)).resize((width, height)))[..., None] * amount
    return np.clip(texture * (1 - spots) + texture * DIRT * spots, 0, 1)


# ---------------------------------------------------------------------------------------------------------------- paper


def paper_white(rng):
    """The colour of a sheet: white, cream, grey, kraft brown or tinted."""
    tint = rng.random()
    if tint < 0.28:
        return np.array([1, 1, 1]) * rng.choice([0.97, 0.9, 0.8]) - rng.uniform(0, 0.04, 3) * [0, 0.5, 1]
    if tint < 0.5:
        return hsv(rng.uniform(0.06, 0.1), rng.uniform(0.25, 0.5), rng.uniform(0.35, 0.75))
    return hsv(rng.random(), rng.uniform(0.08, 0.7), rng.uniform(0.2, 0.9))


def page(rng, width=512, height=724, kind=None):
    """A sheet of paper: kind is "letter", "notes", "news", "flyer" or "blank"; drawn where it is None."""
    kind = kind or rng.choice(["letter", "notes", "news", "flyer", "blank"], p=[0.36, 0.2, 0.2, 0.1, 0.14])
    if kind == "flyer":
        return label(rng, width, height)
    sheet = Image.new("RGB", (width, height), ink(paper_white(rng)))
    draw = ImageDraw.Draw(sheet)
    black = tuple(int(x) for x in rng.integers(15, 70, 3))
    if kind == "letter":
        text_block(draw, rng, (40, 40, width - 40, 90), 30, black)
        text_block(draw, rng, (40, 110, width - 40, height - 40), rng.choice([12, 15, 19]), black)
        if rng.random() < 0.4:
            top = rng.integers(120, height - 220)
            draw.rectangle([60, top, width - 60, top + 150], fill=ink(random_colour(rng, (0.1, 0.7))))
    if kind == "notes":
        for y in range(60, height - 30, 26):
            draw.line([0, y, width, y], fill=(150, 170, 210), width=2)
        for y in range(60, height - 120, 26):
            x = np.arange(40, rng.integers(150, width - 40), 3)
            pen = y - 8 + np.cumsum(rng.normal(0, 2.2, len(x))) * 0.3 + 5 * np.sin(x * rng.uniform(0.4, 0.6))
            draw.line(list(zip(x, np.clip(pen, y - 18, y), strict=True)), fill=(30, 40, 120), width=2)
    if kind == "news":
        _newspaper(sheet, draw, rng, black)
    return to_array(sheet)


def _newspaper(sheet, draw, rng, black):
    """A headline over columns, each with a grey picture now and then."""
    width, height = sheet.size
    columns = rng.integers(2, 5)
    column = (width - 30) / columns
    text_block(draw, rng, (15, 10, width - 10, 70), 50, black)
    for number in range(columns):
        x, y = 15 + number * column, 80
        if rng.random() < 0.6:
            tall = int(rng.integers(80, 200))
            grey = Image.fromarray(np.clip(128 + 55 * spectral(128, 1.3, rng), 0, 255).astype(np.uint8))
            sheet.paste(grey.resize((int(column - 10), tall)), (int(x), y))
            y += tall + 8
        text_block(draw, rng, (x, y, x + column - 10, height - 10), 11, black)


# -------------------------------------------------------------------------------------------------------------- brands


def label(rng, width=512, height=512, base=None):
    """A made-up brand print: a ground, two or three shapes in a small palette, one brand name, small print, a bar code.

    Args:
        base: its ground colour (3,); drawn where it is None.
    """
    ground = random_colour(rng, (0.05, 0.85), (0.2, 0.95)) if base is None else np.asarray(base)
    light = hsv(rng.random(), rng.uniform(0, 0.2), rng.uniform(0.85, 1))
    accent = random_colour(rng, (0.4, 0.9), (0.3, 0.9))
    dark = ground * 0.35
    ramp = np.linspace(0, 1, height)[:, None, None] * rng.choice([0, 0.25, 0.6])
    shaded = np.broadcast_to(ground * (1 - ramp) + accent * ramp, (height, width, 3))
    picture = Image.fromarray((255 * shaded).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(1, 3)):
        _shape(draw, rng, width, height, ink([light, accent, dark][rng.integers(3)]))
    _brand(picture, rng, ink(light if ground.mean() < 0.55 else dark))
    x, y = rng.uniform(0.05, 0.6) * width, rng.uniform(0.6, 0.78) * height
    text_block(
        draw,
        rng,
        (x, y, x + width * 0.3, y + height * 0.2),
        max(7, height // 45),
        ink(light if ground.mean() < 0.55 else dark),
    )
    if rng.random() < 0.6:
        _bar_code(draw, rng, rng.uniform(0, width * 0.8), rng.uniform(0, height * 0.8), width * 0.16, height * 0.12)
    return to_array(picture)


def _shape(draw, rng, width, height, colour):
    x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.1, 0.35) * width
    kind = rng.integers(4)
    if kind == 0:
        draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)
    elif kind == 1:
        draw.rectangle([0, y, width, y + r * 0.6], fill=colour)
    elif kind == 2:
        draw.polygon([(0, y), (width, y - r), (width, y + r * 0.4), (0, y + r * 1.4)], fill=colour)
    else:
        swing = [(i * width / 40, y + r * 0.4 * np.sin(i / 40 * TAU)) for i in range(41)]
        draw.line(swing, fill=colour, width=int(r * 0.3))


def _brand(picture, rng, colour):
    """The brand's name, written once or twice around."""
    width, height = picture.size
    face = font(rng, height * rng.uniform(0.12, 0.22))
    name = word(rng, 2, 3)
    name = name.upper() if rng.random() < 0.5 else name.title()
    stencil = Image.new("L", (int(face.getlength(name)) + 20, int(face.size * 1.4)), 0)
    ImageDraw.Draw(stencil).text((10, 0), name, font=face, fill=255)
    if rng.random() < 0.35:
        stencil = stencil.rotate(rng.choice([90, 12]), expand=True)
    if stencil.width > width * 0.9:
        stencil = stencil.resize((int(width * 0.9), max(1, int(stencil.height * width * 0.9 / stencil.width))))
    y = int(height * rng.uniform(0.15, 0.5))
    for shift in (0,) if rng.random() < 0.5 else (-width // 4, width // 4):
        picture.paste(Image.new("RGB", stencil.size, colour), (width // 2 - stencil.width // 2 + shift, y), stencil)


def _bar_code(draw, rng, x, y, width, height):
    draw.rectangle([x, y, x + width, y + height], fill=(245, 245, 245))
    bar = x + 5
    while bar < x + width * 0.92:
        thick = rng.integers(1, 5)
        draw.rectangle([bar, y + 4, bar + (thick - 1), y + height * 0.85], fill=(10, 10, 10))
        bar += thick + rng.integers(2, 5)


# --------------------------------------------------------------------------------------------------------------- board


def board_colour(rng):
    """Of cardboard: brown, white, grey, or tinted through."""
    kind = rng.random()
    if kind < 0.38:
        return hsv(rng.uniform(0.06, 0.1), rng.uniform(0.25, 0.52), rng.uniform(0.45, 0.78))
    if kind < 0.68:
        return np.array([1, 0.99, 0.96]) * rng.uniform(0.35, 0.9)
    return hsv(rng.random(), rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.85))


def board(rng, colour=None, size=512):
    """Unprinted board: fibres, the shadow lines of the flutes beneath, stains."""
    colour = board_colour(rng) if colour is None else np.asarray(colour)
    value = (
        1 + 0.035 * spectral(size, 0.6, rng, 0.15, 1) + 0.02 * spectral(size, 0, rng) + 0.05 * spectral(size, 1.6, rng)
    )
    value += 0.014 * np.sin(np.arange(size) * TAU * 42 / size)[None]
    return grime(np.clip(colour * value[..., None], 0, 1), rng, rng.uniform(0, 0.6))


def printed_board(rng, ground, size=512):
    """Board with a stamp, handling arrows, or a paper sticker. ground: a texture of `board`."""
    picture = Image.fromarray((255 * ground).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    colour = ink(INKS[rng.integers(len(INKS))])
    if rng.random() < 0.65:
        x, y = rng.uniform(0.08, 0.4, 2) * size
        face = font(rng, rng.uniform(0.08, 0.17) * size)
        draw.text((x, y), word(rng).upper(), font=face, fill=colour)
        top = y + face.size * 1.2
        text_block(draw, rng, (x, top, x + size * 0.4, top + size * 0.13), size // 32, colour)
    if rng.random() < 0.5:
        for place in (0.66, 0.79):
            x, y, w = size * place, size * 0.78, size * 0.045
            draw.polygon([(x, y - w * 2), (x - w, y - w), (x + w, y - w)], fill=colour)
            draw.rectangle([x - w * 0.35, y - w, x + w * 0.35, y + w], fill=colour)
    if rng.random() < 0.3:
        x, y = rng.uniform(0.1, 0.5, 2) * size
        draw.rectangle([x, y, x + 0.36 * size, y + 0.24 * size], fill=(238, 236, 230))
        text_block(draw, rng, (x + 8, y + 8, x + 0.33 * size, y + 0.22 * size), size // 30, (20, 20, 20))
    printed = to_array(picture)
    changed = np.abs(printed - ground).sum(2, keepdims=True) > 0.03
    return np.where(changed, printed * (0.85 + 0.15 * ground / ground.mean()), ground)  # the fibres show through


def flutes(rng, colour=None):
    """Corrugation seen on a cut edge (32, 512, 3): two liners and the wave between them, dark in its hollows."""
    colour = hsv(rng.uniform(0.06, 0.1), 0.42, 0.62) if colour is None else np.asarray(colour) * 0.95
    x, y = np.arange(512)[None], np.arange(32)[:, None]
    from_wave = np.abs(y - (16 + 11 * np.sin(x * TAU * 40 / 512)))
    solid = np.clip(1.4 - from_wave / 4, 0, 1) + (y < 5) + (y > 26)
    return np.clip(solid, 0.22, 1)[..., None] * colour
