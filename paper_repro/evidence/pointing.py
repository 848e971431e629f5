"""The grid pointing game (`mosaics`) with the networks of finished runs, kept as a table (claim C5).

    python -m paper_repro.evidence.pointing RUNS OUT none half block stage

The mosaics of a fold are the same for all its networks, so this is a step of its own after their training. Measured
once, a network is passed over until its weights, the mosaics or the code change.
"""

import argparse
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric

from paper_repro import mosaics as game
from paper_repro.arms import stage_layers
from paper_repro.augment import to_input
from paper_repro.config import ARMS
from paper_repro.data import Dataset, load_dataset
from paper_repro.evidence.statistics import correctness
from paper_repro.files import ReproError, atomic_write, csv_bytes
from paper_repro.keys import find_runs, measuring_code, syntax_hash
from paper_repro.mosaics import draw_mosaics, point
from paper_repro.runs import Run, load_run
from paper_repro.workflow.processes import run_command

FILE = "pointing.csv.gz"


def right_in_all(runs: Iterable[Run]) -> list[str]:
    """The test photographs that every one of these runs of one fold classifies correctly, sorted by name."""
    tables = [run.predictions.assign(arm=number, repeat=0) for number, run in enumerate(runs)]
    correct = correctness(pd.concat(tables)).min(axis=1, skipna=False) == 1
    return sorted(correct[correct].index.get_level_values("image"))


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
    code = [measuring_code(), syntax_hash(Path(file).read_text(encoding="utf-8") for file in (game.__file__, __file__))]
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
