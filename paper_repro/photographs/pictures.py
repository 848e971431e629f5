"""From a picture file, maybe a stranger's, to an upright RGB image, and the one geometry of image, mask and box.

A photograph is squashed to a square, whole and without a border, so a point keeps its place as a fraction of the frame:
(0, 0) is the upper left corner, (1, 1) the lower right one, for the photograph, its square and every map of it.
"""

import contextlib
import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import BITSPERSAMPLE, SAMPLEFORMAT

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


def from_array(array: np.ndarray) -> Image.Image:
    """A photograph given as a uint8 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): grey, RGB, or RGB and alpha.

    Raises:
        ValueError: another type or shape, or no pixels.
    """
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (3,), (4,)):
        found = f"{array.dtype.name} of shape {array.shape}"
        raise ValueError(f"an array must be uint8 of shape (H, W) or (H, W, 1, 3 or 4), this one is {found}")
    if not array.size:
        raise ValueError(f"an array of shape {array.shape} has no pixels")
    return Image.fromarray(array[:, :, 0] if array.shape[2:] == (1,) else array)


def upright_rgb(image: Image.Image) -> Image.Image:
    """The picture as 8-bit RGB, turned as its EXIF orientation says; what is transparent becomes white.

    Raises:
        ValueError: pixel values of which the range is not known.
    """
    white, transparent = _white_level(image), _transparent_value(image)  # a loaded picture no longer tells
    image.load()
    with contextlib.suppress(Exception):  # damaged EXIF raises errors of many types and does not spoil the pixels
        if image.getexif().get(Base.Orientation, 1) != 1:  # else a copy would be made
            image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # Pillow's own conversion would cut at 255
        samples = np.asarray(image)
        grey = (samples / (white / 255) + 0.5).astype(np.uint8)
        if transparent is not None:
            grey[samples == transparent] = 255
        image = Image.fromarray(grey)
    elif transparent is not None:
        image = image.copy()
        image.info["transparency"] = transparent
    if image.has_transparency_data:
        image = image.convert("LA") if image.mode == "La" else image  # Pillow has no direct way
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _white_level(image: Image.Image) -> int:
    """The sample that stands for white in a picture of one channel of more than 8 bits; else a ValueError."""
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    signed_or_float = set(tags.get(SAMPLEFORMAT, (1,))) != {1}
    is_32_bit = image.mode == "I" and image.format not in ("PNG", "PPM")  # Pillow scales PPM's samples to 65535
    if image.mode == "F" or signed_or_float or is_32_bit:
        raise ValueError("its pixels are signed, float or 32-bit numbers of unknown range: save it with 8 or 16 bits")
    return 4095 if tags.get(BITSPERSAMPLE) == (12,) else 65535


def _transparent_value(image: Image.Image) -> int | tuple[int, ...] | None:
    """The grey or colour that a PNG declares transparent, where Pillow's samples are no longer those of the file."""
    value = image.info.get("transparency")
    if value is None or image.mode.startswith("I"):
        return value
    tiles = getattr(image, "tile", None) if image.format == "PNG" else None
    stored = tiles[0][3] if tiles else None  # as long as the picture is not loaded
    if stored == "RGB;16B":  # Pillow keeps the upper byte of each sample
        return tuple(sample >> 8 for sample in value)
    if stored in ("L;2", "L;4"):  # and widens these samples to 8 bits
        return value * {"L;2": 85, "L;4": 17}[stored]
    return None


def squash(image: Image.Image, size: int) -> np.ndarray:
    """The whole RGB photograph as (size, size, 3) uint8, each pixel averaged over what it covers."""
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2))


def to_frame(boxes: np.ndarray | list, width: int, height: int) -> np.ndarray:
    """Pascal VOC boxes (k, 4), pixels counted from 1 and included, as fractions (k, 4) x0, y0, x1, y1 of the frame."""
    return (np.asarray(boxes, float).reshape(-1, 4) - (1, 1, 0, 0)) / (width, height, width, height)


def reason_for(error: Exception) -> str:
    """Why a file cannot be used, on one line."""
    return " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
