"""From a picture file, maybe a stranger's, to an upright RGB image, and the one geometry of image, mask and box.

A photograph is squashed to a square, whole and without a border, so a point keeps its place as a fraction of the frame:
(0, 0) is the upper left corner, (1, 1) the lower right one, for the photograph, its square and every map of it.
"""

import contextlib
import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")  # all that Pillow may try; EPS would run a program
PIXEL_LIMIT = 89_478_485  # Pillow warns from here on and refuses only twice as many


def square_picture(data: bytes, size: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Decodes one still picture: its square (size, size, 3) uint8 RGB, and its upright width and height in pixels.

    Raises:
        ValueError: not a picture, or one that cannot be used; the message is the reason.
        Exception: damaged data, of whatever type Pillow and its decoders raise.
    """
    if not data:
        raise ValueError("the file is empty")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        kind = "text, maybe a web page" if data.lstrip()[:1] in (b"<", b"{") else "no known type of picture"
        raise ValueError(f"its content is {kind}") from None
    width, height = image.size
    if width * height > PIXEL_LIMIT:
        raise ValueError(f"{width}x{height} pixels are over the limit of {PIXEL_LIMIT:,}")
    if getattr(image, "is_animated", False) and image.format != "MPO":  # a phone's MPO adds previews to a photograph
        count = getattr(image, "n_frames", "several")
        raise ValueError(f"it holds {count} pictures, animated or paged, instead of one")
    image.draft(None, (3 * size // 2, 3 * size // 2))  # decodes a JPEG at a half, quarter or eighth above this
    stored = image.size
    upright = upright_rgb(image)
    if upright.size != stored:
        width, height = height, width
    return squash(upright, size), (width, height)


def upright_rgb(image: Image.Image) -> Image.Image:
    """The picture as 8-bit RGB, turned as its EXIF orientation says (`image` too); what is transparent becomes white.

    Raises:
        ValueError: pixel values of which the range is not known.
    """
    image.load()
    with contextlib.suppress(Exception):  # damaged EXIF raises errors of many types and does not spoil the pixels
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F" or (image.mode == "I" and np.asarray(image).max() > 65535):
        raise ValueError("its pixels are 32-bit numbers of unknown range: save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # Pillow's own conversion would cut at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535) / 257 + 0.5).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def squash(image: Image.Image, size: int) -> np.ndarray:
    """The whole RGB photograph as (size, size, 3) uint8, each pixel averaged over what it covers."""
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2))


def to_frame(boxes: np.ndarray | list, width: int, height: int) -> np.ndarray:
    """Pascal VOC boxes (k, 4), pixels counted from 1 and included, as fractions (k, 4) x0, y0, x1, y1 of the frame."""
    return (np.asarray(boxes, float).reshape(-1, 4) - (1, 1, 0, 0)) / (width, height, width, height)


def reason_for(error: Exception) -> str:
    """Why a file cannot be used, on one line."""
    return " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
