"""From prepared photographs to the network's input: the evaluation view, random augmentation, mixing.

What is drawn depends on (seed, epoch, image) or (seed, epoch, batch) alone, never on the number of workers or on what
was drawn before, so a resumed run sees the same pictures as an uninterrupted one.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from paper_repro.config import Config
from paper_repro.stickers import StickerRule, Stickers

# ImageNet's channel mean and standard deviation, which pretrained weights expect.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def to_float(images: np.ndarray) -> Tensor:
    """(N, S, S, 3) uint8 -> (N, 3, S, S) float in [0, 1], channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div_(255)


def normalise(images: Tensor) -> Tensor:
    """[0, 1] -> zero mean and unit variance over ImageNet, per channel; (N, 3, H, W) -> the same."""
    mean, std = (torch.tensor(values, device=images.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def whole(images: Tensor, size: int) -> Tensor:
    """The evaluation view: the whole photograph, or mask, at another size; (N, C, S, S) -> (N, C, size, size)."""
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def to_input(images: np.ndarray, size: int, stickers: Stickers | None = None) -> Tensor:
    """The evaluation view as the network takes it: (N, S, S, 3) uint8 -> (N, 3, size, size), normalised."""
    views = whole(to_float(images), size)
    return normalise(views if stickers is None else stickers.paste(views))


def draw(seed: int, epoch: int, indices: np.ndarray) -> np.ndarray:
    """Ten uniform numbers in [0, 1) per image, (N, 10), keyed on (seed, epoch, image)."""
    return np.stack([np.random.default_rng([seed, epoch, int(index)]).random(10) for index in indices])


def crop_matrices(numbers: np.ndarray, crop_area: float, rotate: bool) -> Tensor:
    """Affine maps (N, 2, 3) from output to input coordinates, both in [-1, 1]: a random crop of `crop_area` to 1 of the
    area and 3/4 to 4/3 in aspect, a mirror image in half the cases and, with `rotate`, a random right angle."""
    area = crop_area + (1 - crop_area) * numbers[:, 0]
    aspect = np.exp((2 * numbers[:, 1] - 1) * np.log(4 / 3))
    width, height = np.minimum(np.sqrt(area * aspect), 1), np.minimum(np.sqrt(area / aspect), 1)
    x, y = (1 - width) * (2 * numbers[:, 2] - 1), (1 - height) * (2 * numbers[:, 3] - 1)
    mirror = np.where(numbers[:, 4] < 0.5, -1.0, 1.0)
    angle = np.floor(4 * numbers[:, 5]) * (np.pi / 2) if rotate else np.zeros(len(numbers))
    cosine, sine = np.round(np.cos(angle)), np.round(np.sin(angle))
    rows = [[width * mirror * cosine, -width * mirror * sine, x], [height * sine, height * cosine, y]]
    return torch.from_numpy(np.array(rows).transpose(2, 0, 1)).float()  # (2, 3, N) -> (N, 2, 3)


def warp(images: Tensor, matrices: Tensor, size: int, mode: str = "bilinear") -> Tensor:
    """Samples (N, C, S, S) -> (N, C, size, size) along `matrices`; mode="nearest" for masks."""
    grid = F.affine_grid(matrices, [len(images), images.shape[1], size, size], align_corners=False)
    return F.grid_sample(images, grid, mode=mode, padding_mode="reflection", align_corners=False)


def jitter(images: Tensor, numbers: np.ndarray, strength: float) -> Tensor:
    """Changes brightness, contrast and saturation, in this order, by 1 ± strength; (N, 3, H, W) in [0, 1]."""
    factors = torch.from_numpy(1 + strength * (2 * numbers[:, 6:9] - 1)).float()  # (N, 3)
    brightness, contrast, saturation = factors.T[..., None, None, None]  # (N, 1, 1, 1) each
    images = images * brightness
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * contrast
    grey = images.mean(dim=1, keepdim=True)
    return (grey + (images - grey) * saturation).clamp_(0, 1)


def training_size(config: Config, epoch: int) -> int:
    """Side of the training views in an epoch, counted from 1, pixels. Small ones first save time (progressive
    learning: Tan and Le, "EfficientNetV2", ICML 2021, section 4, whose regularisation grows too; ours does not)."""
    return config.image_size * 2 // 3 if epoch <= config.small_epochs else config.image_size


def augment(
    images: np.ndarray, indices: np.ndarray, seed: int, epoch: int, config: Config, stickers: Stickers | None = None
) -> Tensor:
    """Training views of the photographs `indices`: (N, S, S, 3) uint8 -> (N, 3, size, size), normalised, with the
    epoch's `training_size`. Stickers are neither cropped nor recoloured."""
    numbers = draw(seed, epoch, indices)
    matrices = crop_matrices(numbers, config.crop_area, config.rotate)
    views = warp(to_float(images), matrices, training_size(config, epoch))
    views = jitter(views, numbers, config.jitter)
    return normalise(views if stickers is None else stickers.paste(views))


def mix(images: Tensor, targets: Tensor, seed: int, epoch: int, batch: int, alpha: float) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al., ICLR 2018): each image and its target blended with another of the batch, the share drawn
    from Beta(alpha, alpha) once per batch. `targets` are class probabilities (N, K)."""
    generator = np.random.default_rng([seed, epoch, batch, 1])  # four numbers: never the stream of an image
    share = float(generator.beta(alpha, alpha))
    partner = torch.from_numpy(generator.permutation(len(images)))
    return torch.lerp(images[partner], images, share), torch.lerp(targets[partner], targets, share)


@dataclass
class TrainingEpoch(torch.utils.data.Dataset):
    """The batches of one epoch: item b is batch b, augmented and mixed, as (images (B, 3, H, W), targets (B, K)).

    images (N, S, S, 3) uint8 and truth (N,) are the data set's, indices its rows to train on. Their order is drawn from
    (seed, epoch); a last incomplete batch is left out, as its statistics would be noisier. `rule` gives each view a
    sticker before it is mixed.
    """

    images: np.ndarray
    truth: np.ndarray
    indices: np.ndarray
    num_classes: int
    seed: int
    epoch: int
    config: Config
    rule: StickerRule | None = None

    def __post_init__(self):
        size = self.config.batch_size
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.indices)
        self.batches = order[: len(order) // size * size].reshape(-1, size)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, batch: int) -> tuple[Tensor, Tensor]:
        indices = self.batches[batch]  # an IndexError ends a loop over the batches
        truth = self.truth[indices]
        stickers = None if self.rule is None else self.rule.draw(truth, indices, self.epoch)
        images = augment(self.images[indices], indices, self.seed, self.epoch, self.config, stickers)
        targets = F.one_hot(torch.from_numpy(truth), self.num_classes).float()
        if self.config.mixup:
            images, targets = mix(images, targets, self.seed, self.epoch, batch, self.config.mixup)
        return images, targets
