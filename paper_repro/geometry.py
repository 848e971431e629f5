"""The one geometry of image, mask and box.

A photograph is squashed to a square, whole and without a border, so a point keeps its place as a fraction of the
frame: (0, 0) is the upper left corner, (1, 1) the lower right one, for the photograph, its square and every map of it.
"""

import numpy as np
from PIL import Image


def squash(image: Image.Image, size: int) -> np.ndarray:
    """The whole RGB photograph as (size, size, 3) uint8, each pixel averaged over what it covers."""
    small = image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2)
    return np.asarray(small)


def to_frame(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pascal VOC boxes (k, 4) xmin, ymin, xmax, ymax, in pixels that are counted from 1 and included, as fractions
    x0, y0, x1, y1 of the frame."""
    return (np.asarray(boxes, float).reshape(-1, 4) - (1, 1, 0, 0)) / (width, height, width, height)
