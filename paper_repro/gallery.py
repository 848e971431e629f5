"""The test photographs of one fold, what networks say of them and where they look, as lessons 5 and 6 show them."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from paper_repro.arms import stage_layers
from paper_repro.augment import to_input, whole
from paper_repro.data import Dataset, load_originals
from paper_repro.gradcam import GradCAM
from paper_repro.heatmaps import box_mask
from paper_repro.photographs.folds import load_folds, split
from paper_repro.runs import Run

SHOWN = 256  # side of a photograph in a figure, pixels


@dataclass(frozen=True)
class Gallery:
    """N test photographs, in the order of their rows in the data set, and the networks by arm.

    positions (N,) in the data set; names and truth (class numbers) (N,); images (N, S, S, 3) uint8, for the eye; inputs
    (N, 3, H, W), for the networks; of each arm its run, probabilities (N, K) as stored, predicted (N,) class numbers.
    """

    dataset: Dataset
    runs: dict[str, Run]
    positions: np.ndarray
    names: np.ndarray
    truth: np.ndarray
    images: np.ndarray
    inputs: Tensor
    probabilities: dict[str, np.ndarray]
    predicted: dict[str, np.ndarray]

    @property
    def right(self) -> np.ndarray:
        """Whether each network is right, (N, arms)."""
        return np.stack([guess == self.truth for guess in self.predicted.values()], axis=1)

    def cams(self, arm: str, layer: str, rows: Sequence[int], target_class=None) -> Tensor:
        """Raw maps (n, h, w) of an arm's network at a stage for photographs `rows`; `target_class` as for GradCAM."""
        model = self.runs[arm].model
        with GradCAM(model, stage_layers(model)[layer]) as gradcam, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about empty maps: figures hatch them
            return gradcam(self.inputs[rows], target_class)

    def grids(self, arm: str) -> dict[str, tuple[int, int]]:
        """The grid (h, w) of each stage's maps."""
        maps = {layer: self.cams(arm, layer, [0]) for layer in stage_layers(self.runs[arm].model)}  # (1, h, w) each
        return {layer: (cam.shape[1], cam.shape[2]) for layer, cam in maps.items()}

    def pick(self, condition: np.ndarray, count: int) -> list[int]:
        """The first photographs for which `condition` (N,) holds, of different classes."""
        rows = pd.Series(np.flatnonzero(condition))
        return rows.groupby(self.truth[rows]).first().sort_values().tolist()[:count]

    def pick_right(self, count: int) -> list[int]:
        """Photographs that all networks get right; where there is none, any photographs."""
        all_right = np.asarray(self.right.all(axis=1))
        return self.pick(all_right, count) or self.pick(np.ones_like(all_right), count)

    def region(self, row: int, size: int, boxed: bool = False) -> np.ndarray:
        """Where a photograph's object is, (size, size) bool: its mask, else its boxes. `boxed`: the box of its mask.

        Nowhere, where the data set has neither.
        """
        position, masks, boxes = self.positions[row], self.dataset.masks, self.dataset.boxes
        if masks is None:
            return box_mask(np.empty((0, 4)) if boxes is None else boxes[position], size)
        resized = whole(torch.tensor(masks[position])[None, None].float(), size)[0, 0]  # (size, size)
        mask = np.greater(resized.numpy(), 0.5)
        return np.any(mask, axis=1, keepdims=True) & np.any(mask, axis=0) if boxed else mask

    def line(self, arm: str, row: int, panels: list[tuple], note: str = "") -> dict:
        """A row for `figures.heatmap_gallery`, with the photograph's name and the arm.

        Args:
            panels: (title, raw cam) of each map; note: begins the caption.
        """
        (picture,) = load_originals(self.runs[arm].config.data, [self.names[row]], SHOWN)
        said, position, classes = self.predicted[arm][row], self.positions[row], self.dataset.classes
        answer = f"{classes[said]} {self.probabilities[arm][row, said]:.0%}"
        return {
            "image": picture,
            "panels": panels,
            "right": bool(said == self.truth[row]),
            "name": self.names[row],
            "arm": arm,
            "mask": None if self.dataset.masks is None else self.dataset.masks[position],
            "boxes": None if self.dataset.boxes is None else self.dataset.boxes[position],
            "caption": f"{note}truth {classes[self.truth[row]]}\n{arm}: {answer}",
        }


def open_gallery(runs: Mapping[str, Run], dataset: Dataset, repeat: int = 0) -> Gallery:
    """The gallery of runs (arm -> run) of one fold and repeat.

    Args:
        dataset: what the runs were trained on.
    """
    run = next(iter(runs.values()))
    positions = split(load_folds(dataset, run.config, repeat), run.fold).test
    names, truth = (dataset.table[column].to_numpy()[positions] for column in ("image", "truth"))
    stored = {arm: run.predictions.set_index("image").loc[names] for arm, run in runs.items()}
    probabilities = {arm: table.filter(regex="^p_").to_numpy() for arm, table in stored.items()}
    return Gallery(
        dataset=dataset,
        runs=dict(runs),
        positions=positions,
        names=names,
        truth=truth,
        images=dataset.images[positions],
        inputs=to_input(dataset.images[positions], run.config.image_size),
        probabilities=probabilities,
        predicted={arm: values.argmax(axis=1) for arm, values in probabilities.items()},
    )
