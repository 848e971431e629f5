"""The networks that come with the project: trains them and writes them, made small, to results/reference/networks.

    python -m paper_repro.evidence.packaged [--trashnet PATH] [--rendered PATH] [NAME...]

Each is a run's folder (`runs.load_run("package:trashnet/stage")`). Its weights are rounded to float16 but for vectors,
such as those of BatchNorm. Beside them lies what it has seen (`trust`): features of training photographs, and
a threshold that networks of the same recipe give to photographs of folds that they have not seen. Features and
threshold are those of the rounded networks. A network is refused if rounding changes more than CHANGED of the answers.
"""

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save
from torch import Tensor

from paper_repro import evaluate, runs, trust
from paper_repro.augment import to_input
from paper_repro.config import Config, load_profile
from paper_repro.data import Dataset, load_dataset
from paper_repro.evidence.statistics import read_table
from paper_repro.files import ReproError, check_writable, progress, project_root
from paper_repro.photographs.folds import Split, load_folds, split
from paper_repro.runs import Run
from paper_repro.training import Trainer, train
from paper_repro.workflow.processes import run_command

CHANGED = 0.003  # largest share of answers on unseen photographs that rounding may change
ARMS = ("none", "stage")


class Package(NamedTuple):
    """How the networks of one data set are made.

    folds: the networks of these see their test folds for the threshold. whole: the kept network learns from all
    photographs, else it is that of the only fold. quoted: the experiment in results/reference whose predictions give
    the accuracy; "": those of the folds.
    """

    profile: str
    overrides: dict
    folds: tuple[int, ...]
    whole: bool
    quoted: str
    photographs: str


PLAN = {
    "trashnet": Package(
        "transfer", {}, (0, 1), True, "transfer", "photographs of TrashNet, one piece of garbage on a white board each"
    ),
    "rendered": Package(
        "cpu",
        {"backbone": "resnet18", "image_size": 224},
        (0,),
        False,
        "",
        "path-traced pictures of garbage that come with the project, no photographs",
    ),
}


def rounded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are kept: float16, but vectors and counts as they are. bfloat16 has three bits less."""
    return {name: (value.half() if value.dim() > 1 else value).contiguous() for name, value in state.items()}


def make(name: str, config: Config, arm: str, package: Package, scratch: Path, quoted: pd.DataFrame | None) -> Run:
    """Trains what is missing below `scratch` and writes the network into `runs.PACKAGED`.

    Args:
        name: of the data set.
        quoted: the test predictions that give the accuracy; None: those of the package's folds.

    Raises:
        ReproError: data that cannot work, no room, or too many answers that rounding changes.
    """
    folder = runs.PACKAGED / name / arm
    check_writable(folder)
    dataset, far, tested, changed = load_dataset(config.data, config.prepared_size), [], [], 0
    folds = load_folds(dataset, config)
    for fold in package.folds:
        run = train(config, arm, fold, scratch)
        parts, before = split(folds, fold), run.predictions.filter(like="p_").to_numpy().argmax(axis=1)
        run.model.load_state_dict(rounded(run.model.state_dict()))
        seen = _kept(run.model, dataset, parts.train, config)
        logits, features = trust.answer_all(run.model, _inputs(dataset, parts.test, config))
        far.append(trust.distances(features, seen))
        changed += int((logits.argmax(dim=1).numpy() != before).sum())
        tested.append(run.predictions)
    distances = torch.cat(far)
    if changed > max(1, CHANGED * len(distances)):  # one of a few hundred says nothing
        reason = f"rounding to float16 changes {changed} of {len(distances)} answers"
        raise ReproError(f"{name}/{arm}: {reason}: keep it in single precision")
    details, history, model, learnt = dict(run.environment), run.history, run.model, parts.train
    if package.whole:
        learnt, seed = np.flatnonzero(~dataset.table["excluded"].to_numpy(bool)), config.num_folds
        model, history = train_whole(config, arm, dataset, learnt, seed)
        model.load_state_dict(rounded(model.state_dict()))
        seen = _kept(model, dataset, learnt, config)
        hours = round(float(history["seconds"].sum()) / 3600, 4)
        images = {"train": len(learnt), "validation": 0, "test": 0}
        details |= {"fold": -1, "seed": seed, "key": "", "images": images, "hours": hours}
    weights, familiar = save(rounded(model.state_dict())), trust.to_file(seen)
    details |= {
        "weights": hashlib.sha256(weights).hexdigest(),
        "trained_on": f"{len(learnt):,} {package.photographs}",
        "accuracy_of": f"results/reference/{package.quoted}" if quoted is not None else "the test part of its fold",
        "float16": {"changed": changed, "of": len(distances)},
        "familiar": {
            "sha256": hashlib.sha256(familiar).hexdigest(),
            "threshold": trust.threshold(distances),
            "held_out": len(distances),
        },
        "made": f"python -m paper_repro.evidence.packaged {name}/{arm}",
    }
    predictions = pd.concat(tested, ignore_index=True) if quoted is None else quoted[list(run.predictions)]
    groups = dataset.table.set_index("image")["group"]
    metrics = evaluate.metrics(predictions, run.classes, groups, details["seed"])
    runs.write_files(folder, {trust.FILE: familiar}, outdated=["done"])
    published = config.model_copy(update={"data": name, "boxes": None})
    runs.write_run(folder, published, history, predictions, metrics, details, weights)
    runs.record_completion(folder)
    return runs.load_run(f"{runs.PACKAGE}{name}/{arm}")


def train_whole(
    config: Config, arm: str, dataset: Dataset, rows: np.ndarray, seed: int
) -> tuple[torch.nn.Module, pd.DataFrame]:
    """Trains on the photographs `rows`, with none for validation or testing: the last epoch's network, and the history.
    It does not continue an interrupted training."""
    name, none = f"{arm}, all {len(rows)} photographs", rows[:0]
    trainer = Trainer(config, arm, dataset, Split(rows, none, none), seed, Path(), name)
    history = []
    with progress(config.epochs, name, "epochs") as bar:
        for epoch in range(1, config.epochs + 1):
            history.append({"epoch": epoch, **trainer.train_epoch(epoch)})
            bar.update()
    return trainer.evaluated.cpu().eval(), pd.DataFrame(history)


def _inputs(dataset: Dataset, rows: np.ndarray, config: Config) -> Iterator[Tensor]:
    for start in range(0, len(rows), 128):
        yield to_input(dataset.images[rows[start : start + 128]], config.image_size)


def _kept(model: torch.nn.Module, dataset: Dataset, rows: np.ndarray, config: Config) -> Tensor:
    """`trust.keep` of the photographs `rows`."""
    return trust.keep(trust.answer_all(model, _inputs(dataset, rows, config))[1], seed=0)


def main() -> None:
    """Makes the networks that the command line names."""
    names = [f"{data}/{arm}" for data in PLAN for arm in ARMS]
    parser = argparse.ArgumentParser(prog="paper_repro.evidence.packaged", description=__doc__.splitlines()[0])
    for data in PLAN:
        parser.add_argument(f"--{data}", metavar="PATH", default=data, help="its folder or zip, if it lies elsewhere")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names)}; default: all")
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in names]:  # argparse's choices refuse none at all
        raise ReproError(f"name: '{unknown[0]}' is no network of the project: the names are {', '.join(names)}")
    results = project_root() / "results"
    for name in args.names or names:
        data, arm = name.split("/")
        package = PLAN[data]
        config = load_profile(package.profile, **package.overrides, data=getattr(args, data))
        reference = results / "reference" / package.quoted
        quoted = read_table(reference, "predictions.csv", arm) if package.quoted else None
        run = make(data, config, arm, package, results / "networks" / data, quoted)
        size = sum(path.stat().st_size for path in run.folder.glob("*.safetensors")) / 1e6
        rounding, familiar = run.environment["float16"], run.environment["familiar"]
        print(f"{name}: {size:.1f} MB, accuracy {run.metrics['accuracy']:.1%}; float16 {rounding}; trust {familiar}")


if __name__ == "__main__":
    run_command(main)
