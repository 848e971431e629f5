"""The grid pointing game: whether a network's Grad-CAM tells the pictures of a mosaic apart (claim C5).

Four photographs of four classes form a mosaic at twice the input's side. All four classes are asked in turn, and a
map's score is the share of its positive energy in the cell of the class asked (Böhle et al., "Convolutional Dynamic
Alignment Networks for Interpretable Classifications", CVPR 2021; Rao et al., "Towards Better Understanding Attribution
Methods", CVPR 2022, section 3). A map that is the same for every class scores 1/4 on average, exactly. The score does
not say where in a photograph the map lies.
"""

import warnings
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paper_repro.files import ReproError
from paper_repro.gates import given
from paper_repro.gradcam import GradCAM

SIDE = 2  # cells
CELLS = SIDE * SIDE
BATCH = 5  # mosaics at a time


def draw_mosaics(truth: np.ndarray, seed: int | Sequence[int] = 0) -> np.ndarray:
    """Positions (M, 4) in `truth` (N,), class numbers: mosaics of four classes, each photograph in one at most.

    The four classes with the most photographs left are taken, by chance among equals, so that M is as large as it can
    be; which of their photographs and in which cell is chance.

    Raises:
        ReproError: there are fewer than four classes.
    """
    generator = np.random.default_rng(seed)
    left = {label: generator.permutation(np.flatnonzero(truth == label)).tolist() for label in np.unique(truth)}
    if len(left) < CELLS:
        raise ReproError(
            f"the grid pointing game needs photographs of {CELLS} classes that all networks classify correctly, and "
            f"here are {len(left)}: compare fewer or better networks, or take data with more classes"
        )
    mosaics = []
    while True:
        by_number = sorted(generator.permutation([*left]), key=lambda label: -len(left[label]))
        chosen = generator.permutation(by_number[:CELLS])
        if not all(left[label] for label in chosen):
            return np.array(mosaics)
        mosaics.append([left[label].pop() for label in chosen])


def tile(cells: Tensor) -> Tensor:
    """Mosaics (M, C, 2 S, 2 S) of photographs (4 M, C, S, S), row by row."""
    _, channels, height, width = cells.shape
    grid = cells.view(-1, SIDE, SIDE, channels, height, width).permute(0, 3, 1, 4, 2, 5)  # (M, C, 2, S, 2, S)
    return grid.reshape(-1, channels, SIDE * height, SIDE * width)


def shares(maps: Tensor) -> Tensor:
    """Share (N, 4) of the energy of maps (N, h, w), not negative, in each cell, row by row; 1/4 each for an empty map.

    Where h or w is odd, its middle line counts in the cells on both sides.
    """
    pooled = F.adaptive_avg_pool2d(maps[:, None].double(), SIDE).flatten(1)  # (N, h, w) -> (N, 4)
    total = pooled.sum(1, keepdim=True)
    return torch.where(total > 0, pooled / total, 1 / CELLS)


def point(
    model: nn.Module,
    layers: dict[str, nn.Module],
    inputs: Tensor,
    truth: np.ndarray,
    mosaics: np.ndarray,
    cell_gates: bool = False,
) -> pd.DataFrame:
    """Plays the game with Grad-CAM of every layer.

    Args:
        layers: modules of the model, by name.
        inputs: photographs (N, 3, S, S) as the model takes them; truth: their class numbers (N,).
        mosaics: positions (M, 4) of photographs (`draw_mosaics`).
        cell_gates: each cell of the feature maps is multiplied by the gate that its photograph gives alone, in place of
            the mosaic's gate, which mixes four photographs. No gradient passes through these gates.

    Returns:
        A row per layer, mosaic and class asked: layer, grid ("6x6"), mosaic, position (of the photograph whose class is
        asked), share (the score, in [0, 1]) and zero_map (no value above zero, so that share is 1/4).
    """
    device, tables = next(model.parameters()).device, []
    for start in range(0, len(mosaics), BATCH):
        positions = mosaics[start : start + BATCH].ravel()  # (4 B,)
        cells, asked = inputs[positions].to(device), torch.as_tensor(truth[positions])
        pictures = tile(cells).contiguous(memory_format=torch.channels_last)  # (B, 3, 2 S, 2 S)
        pictures = pictures.repeat_interleave(CELLS, dim=0)  # one for each class asked: (4 B, 3, 2 S, 2 S)
        found = {"mosaic": start + np.arange(len(positions)) // CELLS, "position": positions}
        for layer, module in layers.items():
            gates = given(model, _gates_of_cells(model, cells)) if cell_gates else nullcontext()
            with gates, GradCAM(model, module) as gradcam, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about empty maps: they have a column
                cams = gradcam(pictures, asked).cpu()  # (4 B, h, w)
            of_cell = shares(cams).view(-1, CELLS, CELLS)  # (B, class asked, cell)
            row = {"layer": layer, "grid": f"{cams.shape[1]}x{cams.shape[2]}"} | found
            row |= {"share": of_cell.diagonal(dim1=1, dim2=2).flatten().numpy()}
            tables.append(pd.DataFrame(row | {"zero_map": (cams <= 0).flatten(1).all(1).numpy()}))
    return pd.concat(tables, ignore_index=True)


@torch.no_grad()
def _gates_of_cells(model: nn.Module, cells: Tensor) -> dict[str, Tensor]:
    """The gates of photographs (4 B, 3, S, S), laid over their mosaics, one for each class asked: (G, 4 B, C, 2, 2)."""
    laid = {}
    for stage, gate in model(cells, return_gates=True)[1].items():  # (G, 4 B, C)
        grid = gate.unflatten(1, (-1, SIDE, SIDE)).permute(0, 1, 4, 2, 3)  # (G, B, C, 2, 2)
        laid[stage] = grid.repeat_interleave(CELLS, dim=1)
    return laid
