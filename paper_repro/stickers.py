"""Stickers of known kind, place and pixels, for any data set: truth for the question whether a map shows what decided.

Each class has a kind of sticker, which differs from the others in shape and colour. A sticker is pasted into the
network's view after cropping and colour jitter, before normalisation and mixing. Its side is a sixth of the view's: 16
px of 96.

What is drawn depends on (seed, epoch, image) in training and on (seed, image) in validation and testing, never on the
number of workers or on what was drawn before.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from paper_repro.files import ReproError

SIDE = 1 / 6  # of a sticker, share of the view's
TIED = 19 / 20  # share of a planted arm's training views whose sticker is of their class's kind
# Colour, and pixels as a function of x, the distance from the vertical axis, in [0, 1], and of y, downwards in [-1, 1].
# So every shape is its own mirror image.
KINDS: dict[str, tuple[tuple[int, int, int], Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "red disc": ((230, 25, 75), lambda x, y: x**2 + y**2 <= 1),
    "green triangle": ((60, 180, 75), lambda x, y: x <= (1 + y) / 2),
    "yellow frame": ((255, 225, 25), lambda x, y: np.maximum(x, abs(y)) >= 0.5),
    "blue plus": ((0, 130, 200), lambda x, y: np.minimum(x, abs(y)) <= 0.35),
    "magenta columns": ((240, 50, 230), lambda x, y: (x <= 0.25) | (x >= 0.6)),
    "cyan hourglass": ((70, 240, 240), lambda x, y: x <= abs(y)),
    "orange diamond": ((245, 130, 48), lambda x, y: x + abs(y) <= 1),
    "violet ring": ((145, 30, 180), lambda x, y: (x**2 + y**2 <= 1) & (x**2 + y**2 >= 0.3)),
    "lime saltire": ((190, 255, 0), lambda x, y: abs(x - abs(y)) <= 0.4),
    "brown tee": ((128, 70, 0), lambda x, y: (y <= -0.3) | (x <= 0.3)),
    "pink bars": ((250, 190, 212), lambda x, y: (abs(y) <= 0.25) | (abs(y) >= 0.6)),
    "navy square": ((0, 0, 128), lambda x, y: x <= 1),
}


@dataclass(frozen=True)
class Stickers:
    """A sticker for each of N views: its kind (N,), the number of the class that it stands for, and its place (N, 2),
    vertical and horizontal, in [0, 1): 0 at the top or left edge, towards 1 at the other."""

    kinds: np.ndarray
    places: np.ndarray

    def masks(self, size: int) -> np.ndarray:
        """The stickers' pixels (N, size, size) bool in views of `size` pixels."""
        side, found = round(size * SIDE), np.zeros((len(self.kinds), size, size), bool)
        corners = np.floor(self.places * (size - side + 1)).astype(int)  # (N, 2)
        for mask, kind, (top, left) in zip(found, self.kinds, corners, strict=True):
            mask[top : top + side, left : left + side] = shape(kind, side)
        return found

    def paste(self, views: Tensor) -> Tensor:
        """Views (N, 3, S, S) in [0, 1] with their stickers; every other pixel is as it was."""
        colours = torch.tensor([colour for colour, _ in KINDS.values()])[self.kinds] / 255  # (N, 3)
        masks = torch.from_numpy(self.masks(views.shape[-1]))  # (N, S, S)
        return torch.where(masks[:, None], colours[:, :, None, None], views)


def shape(kind: int, side: int) -> np.ndarray:
    """The pixels (side, side) bool of a kind of sticker: those whose centre lies in the shape."""
    centres = (2 * np.arange(side) + 1 - side) / side  # exactly symmetric about 0
    y, x = np.meshgrid(centres, abs(centres), indexing="ij")
    return [*KINDS.values()][kind][1](x, y)


@dataclass(frozen=True)
class StickerRule:
    """Which sticker a view gets.

    "planted": the kind is the class's own in 19 of 20 training views, else a wrong one, drawn evenly; in testing always
    a wrong one, drawn evenly. Validation follows training's rule: it chooses the epoch, and we want one in which the
    network relies on the sticker. With wrong stickers it would choose the epoch that relies on it least.
    "untied": the kind is drawn evenly over all classes, whatever the view's class, in every part.

    Args:
        rule: `Arm.stickers`, but for "none".
        num_classes: K, at most 12. ReproError where there are more classes than kinds.
        seed: of the training.
    """

    rule: str
    num_classes: int
    seed: int

    def __post_init__(self):
        if self.num_classes > len(KINDS):
            raise ReproError(
                f"stickers: {self.num_classes} classes are more than the {len(KINDS)} kinds of stickers: "
                f"leave out the arms that end in -{self.rule}, or merge classes"
            )

    def draw(self, truth: np.ndarray, indices: np.ndarray, epoch: int = 0, testing: bool = False) -> Stickers:
        """The stickers of the photographs `indices` (N,), rows of the data set, whose classes are `truth` (N,).

        Args:
            epoch: of training, counted from 1; 0 for validation and testing.
            testing: whether a planted sticker is to be wrong.
        """
        # Four numbers, of which mixing ends in 1 and this in 3: never the stream of a crop or of a mixture.
        keys = ([self.seed, epoch, int(index), 3] for index in indices)
        numbers = np.array([np.random.default_rng(key).random(4) for key in keys]).reshape(-1, 4)
        # With a share of 1 / K the class's own kind is as frequent as each of the others.
        tied = 1 / self.num_classes if self.rule == "untied" else 0 if testing else TIED
        wrong = truth + 1 + np.floor(numbers[:, 1] * (self.num_classes - 1)).astype(np.int64)
        return Stickers(np.where(numbers[:, 0] < tied, truth, wrong % self.num_classes), numbers[:, 2:])
