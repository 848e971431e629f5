"""The grid pointing game: whether a network's Grad-CAM tells the pictures of a mosaic apart (claim C5).

    python -m paper_repro.evidence.pointing RUNS OUT none half block stage

Four test photographs of four classes form a mosaic at twice the input's side. All four classes are asked in turn, and a
map's score is the share of its positive energy in the cell of the class asked (Böhle et al., "Convolutional Dynamic
Alignment Networks for Interpretable Classifications", CVPR 2021; Rao et al., "Towards Better Understanding Attribution
Methods", CVPR 2022, section 3). A map that is the same for every class scores 1/4 on average, exactly. The score does
not say where in a photograph the map lies.

The mosaics of a fold are the same for all its networks, so this is a step of its own after their training. Measured
once, a network is passed over until its weights, the mosaics or the code change.
"""

import argparse
import gzip
import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from paper_repro.arms import stage_layers
from paper_repro.augment import to_input
from paper_repro.config import ARMS
from paper_repro.data import Dataset, load_dataset
from paper_repro.evidence.statistics import correctness
from paper_repro.files import ReproError, atomic_write, csv_bytes
from paper_repro.gates import given
from paper_repro.gradcam import GradCAM
from paper_repro.keys import find_runs, measuring_code, syntax_hash
from paper_repro.runs import Run, load_run
from paper_repro.workflow.processes import run_command

SIDE = 2  # cells
CELLS = SIDE * SIDE
BATCH = 5  # mosaics at a time
FILE = "pointing.csv.gz"


def right_in_all(runs: Iterable[Run]) -> list[str]:
    """The test photographs that every one of these runs of one fold classifies correctly, sorted by name."""
    tables = [run.predictions.assign(arm=number, repeat=0) for number, run in enumerate(runs)]
    correct = correctness(pd.concat(tables)).min(axis=1, skipna=False) == 1
    return sorted(correct[correct].index.get_level_values("image"))


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


def point_run(run: Run, dataset: Dataset, images: Sequence[str], mosaics: np.ndarray) -> pd.DataFrame:
    """`point` at all layers of a run, with image (its name) in place of position, truth (its class) and gates:
    "mosaic", and for a network with SE modules "cell" as well.

    Args:
        dataset: what the run was trained on; images: names of photographs; mosaics: positions (M, 4) among them.

    Raises:
        ReproError: the run was trained on other data.
    """
    if run.environment["data"] != dataset.fingerprint:
        raise ReproError(f"{run.folder} was trained on other data than {dataset.name}: give the data of the run")
    rows = pd.Index(dataset.table["image"]).get_indexer(images)
    inputs, truth = to_input(dataset.images[rows], run.config.image_size), dataset.table["truth"].to_numpy()[rows]
    torch.set_num_threads(run.config.threads)
    model = run.model.to(Fabric(accelerator=run.config.accelerator, devices=1).device)
    ways = {"mosaic": False, "cell": True} if ARMS[run.arm].gated else {"mosaic": False}
    try:
        parts = {
            name: point(model, stage_layers(model), inputs, truth, mosaics, by_cell) for name, by_cell in ways.items()
        }
    finally:
        model.cpu()  # where `run.predict` expects it
    found = pd.concat(parts, names=["gates"]).reset_index("gates").reset_index(drop=True)
    position = found.pop("position")
    names, labels = (np.asarray(values, object) for values in (images, run.classes))
    return found.assign(image=names[position], truth=labels[truth[position]])


def whole_folds(runs: Mapping[tuple, Path], arms: Sequence[str]) -> dict[tuple, Path]:
    """The runs (arm, repeat, fold) of these arms whose fold has all of them."""
    named = {run: path for run, path in runs.items() if run[0] in arms}
    count = Counter(run[1:] for run in named)
    return {run: path for run, path in named.items() if count[run[1:]] == len(arms)}


def point_runs(folder: str | Path, out: str | Path, arms: Sequence[str]) -> pd.DataFrame:
    """Plays the game with the finished runs of these arms below `folder`, and keeps the table as `OUT/pointing.csv.gz`.

    A fold that lacks one of the arms is passed over; what the table has of it stays. The mosaics of a fold come from
    the photographs that all its runs of these arms classify correctly; an arm whose labels mean nothing is measured on
    them and does not choose.

    Returns:
        The columns of `point_run`, with arm, repeat, fold and key.

    Raises:
        ReproError: no such fold, or too few classes.
    """
    file, folder = Path(out, FILE), Path(folder)
    known = {run: path.parent for run, path in whole_folds(find_runs(folder), arms).items()}
    if not known:
        raise ReproError(
            f"{folder} holds no fold with finished runs of {', '.join(arms)}: run `make reproduce` for them"
        )
    tables, here = dict(iter(read_pointing(file).groupby("key"))), {run[1:] for run in known}
    order = [key for key, part in tables.items() if (part["repeat"].iloc[0], part["fold"].iloc[0]) not in here]
    code = [measuring_code(), syntax_hash([Path(__file__).read_text(encoding="utf-8")])]
    for (repeat, fold), names in groupby(sorted(known, key=lambda run: run[1:]), key=lambda run: run[1:]):
        runs = {name: load_run(known[name]) for name in names}
        choosing = [run for run in runs.values() if ARMS[run.arm].labels != "shuffled"]
        if not choosing:
            raise ReproError(
                f"arms: none of {', '.join(arms)} in fold {fold} learnt labels that mean something: add one"
            )
        config = choosing[0].config
        dataset = load_dataset(config.data, config.prepared_size, boxes=config.boxes)
        images = right_in_all(choosing)
        truth = dataset.table.set_index("image").loc[images, "truth"].to_numpy()
        mosaics = draw_mosaics(truth, [repeat, fold])
        for name, run in runs.items():
            placed = [images[position] for position in mosaics.ravel()]
            decisive = [name, run.environment["weights"], dataset.fingerprint, placed, code]
            key = hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:12]
            order.append(key)
            if key not in tables:
                found = point_run(run, dataset, images, mosaics)
                tables[key] = found.assign(**dict(zip(("arm", "repeat", "fold"), name, strict=True)), key=key)
                _write(file, tables.values())
    _write(file, [tables[key] for key in order])  # without those that are out of date
    return read_pointing(file)


def _write(file: Path, tables: Iterable[pd.DataFrame]) -> None:
    with atomic_write(file) as path:
        path.write_bytes(gzip.compress(csv_bytes(pd.concat(tables), "%.5g"), mtime=0))


def read_pointing(file: Path) -> pd.DataFrame:
    """The table so far; empty where there is none."""
    if not file.exists():
        return pd.DataFrame({"key": []}, dtype=str)
    return pd.read_csv(file, dtype={"image": str, "truth": str, "key": str}, keep_default_na=False)


def by_network(table: pd.DataFrame) -> pd.DataFrame:
    """A row per arm, gates, layer and network of `point_runs`: grid, mosaics, share (the mean) and empty, the part of
    the maps that are."""
    columns = ["arm", "gates", "layer", "grid", "repeat", "fold"]
    networks = table.groupby(columns, sort=False)
    means = networks.agg(mosaics=("mosaic", "nunique"), share=("share", "mean"), empty=("zero_map", "mean"))
    return means.reset_index()


def main() -> None:
    """Plays the game with the runs that the command line names and prints the mean scores."""
    parser = argparse.ArgumentParser(prog="paper_repro.evidence.pointing", description=__doc__.splitlines()[0])
    parser.add_argument("runs", help="folder of the runs, such as results/scratch")
    parser.add_argument("out", help=f"folder of {FILE}, such as results/reference/scratch")
    parser.add_argument("arms", nargs="+", choices=ARMS, metavar="arm", help="the arms to compare")
    args = parser.parse_args()
    print(by_network(point_runs(args.runs, args.out, args.arms)).to_string(index=False, float_format="%.3f"))


if __name__ == "__main__":
    run_command(main)
