"""A whole reference run of made numbers with known answers, as far as the ledger reads it."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from paper_repro.evidence.pointing import FILE
from paper_repro.evidence.reference import PLAN
from paper_repro.files import project_root
from paper_repro.keys import run_folder

CLASSES = ("can", "jar", "lid", "mug")
IMAGES = 80
GROUPS = pd.Series(range(IMAGES), index=[f"{i}.jpg" for i in range(IMAGES)])
STAGES = ("layer1", "layer2", "layer3", "layer4")
# What an arm gets right, of the photographs; the arms that are not named, half of them.
GOOD = {"stage": 0.9, "block": 0.9, "stage_recompute": 0.9}


def write_plan(
    reference: Path,
    right=GOOD,
    static=0.5,
    specific=0.8,
    share=0.8,
    sticker=0.8,
    object_gain=0.5,
    flips=0.9,
    independent=(),
):
    """All runs of the plan, those of the first edition included.

    Args:
        right: arm -> the share of photographs that it gets right; static: of `stage` and `block` with static gates.
        specific, share, sticker, object_gain: means of the gates' agreement, of the grid pointing game, of the planted
            networks' score and of the energy on the object. Their controls score 0.1, 0.25, 0.3 and 0.3.
        flips: the share of photographs that the sticker flips.
        independent: arms that are right on other photographs than the rest.
    """
    dealt = [np.random.default_rng(repeat).permutation(IMAGES) % 5 for repeat in (0, 1)]
    for step in PLAN:
        for arm, repeat, fold in step.runs:
            folder = run_folder(reference / step.folder, arm, fold, repeat)
            folder.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng([repeat, fold])  # the same for all arms
            images = np.flatnonzero(dealt[repeat] == fold)
            luck, other_luck = rng.random((2, len(images)))
            luck = other_luck if arm in independent else luck
            write_run(folder, images, luck < right.get(arm, 0.5))
            if arm in ("stage", "block"):
                table = pd.DataFrame(
                    {"image": names(images), "own": luck < right.get(arm, 0.5), "static": luck < static}
                )
                table.astype({"own": int, "static": int}).to_csv(folder / "static_gates.csv.gz", index=False)
            if arm == "block":
                write_gates(folder, images, specific + 0.02 * rng.normal())
            if arm == "stage" and step.folder == "trashnet":
                write_measures(folder, images, object_gain + 0.02 * rng.normal(size=len(images)))
            if step.row == "planted":
                score = sticker if arm == "stage-planted" else 0.3
                flipped = luck < flips if arm == "stage-planted" else luck < 0
                write_cause(folder, images, score + 0.02 * rng.normal(size=len(images)), flipped)
    for data, repeats in (("waste8", (0, 1)), ("trashnet", (1,))):
        write_pointing(reference / data, repeats, share)
    shutil.copy(project_root() / "results" / "reference" / "cost.csv", reference)


def names(images):
    return [f"{i}.jpg" for i in images]


def write_run(folder, images, right):
    """predictions, history of 90 epochs that has converged, and facts."""
    truth = images % 4
    guess = np.where(right, truth, (truth + 1) % 4)
    table = pd.DataFrame({"image": names(images), "fold": int(folder.name[4:]), "truth": np.array(CLASSES)[truth]})
    for number, name in enumerate(CLASSES):
        table[f"p_{name}"] = np.where(guess == number, 0.7, 0.1)
    table.to_csv(folder / "predictions.csv", index=False)
    pd.DataFrame({"epoch": range(1, 91), "validation_accuracy": 0.8}).to_csv(folder / "history.csv", index=False)
    facts = {"images": {"test": len(images), "train": IMAGES - 2 * len(images)}, "hours": 0.5, "threads": 1}
    facts |= {"precision": "32-true", "processor": "any", "git_commit": None}
    (folder / "environment.json").write_text(json.dumps(facts), encoding="utf-8")


def write_gates(folder, images, specific):
    rows = [(name, stage, 0.9, specific, 0.5, 0.1) for name in names(images) for stage in STAGES]
    table = pd.DataFrame(rows, columns=["image", "stage", "within", "specific", "between", "random"])
    table.to_csv(folder / "gates.csv.gz", index=False)


def write_measures(folder, images, gain):
    maps = {"gradcam": gain, "edges": 0.3, "uniform": 0.0}
    tables = [pd.DataFrame({"image": names(images), "map": name, "box_gain": value}) for name, value in maps.items()]
    grids = zip(STAGES, ("24x24", "12x12", "6x6", "3x3"), strict=True)
    table = pd.concat([part.assign(layer=layer, grid=grid) for layer, grid in grids for part in tables])
    table.to_csv(folder / "measures.csv.gz", index=False)


def write_cause(folder, images, score, flipped):
    maps = {"gradcam": score, "edges": 0.3}
    tables = [pd.DataFrame({"image": names(images), "map": name, "score": value}) for name, value in maps.items()]
    table = pd.concat([part.assign(layer="layer3", grid="6x6", flipped=flipped) for part in tables])
    table.to_csv(folder / "cause.csv.gz", index=False)


def write_pointing(folder, repeats, share):
    rng = np.random.default_rng(0)
    rows = [
        ("stage", gates, "layer4", "6x6", repeat, fold, mosaic, f"{image}.jpg", value + 0.02 * rng.normal(), False)
        for repeat in repeats
        for fold in range(5)
        for gates, value in (("mosaic", share), ("cell", 0.9))
        for mosaic in range(3)
        for image in range(4 * mosaic, 4 * mosaic + 4)
    ]
    columns = ["arm", "gates", "layer", "grid", "repeat", "fold", "mosaic", "image", "share", "zero_map"]
    table = pd.DataFrame(rows, columns=columns).assign(truth="can", key="any")
    (folder / FILE).write_bytes(gzip.compress(table.to_csv(index=False).encode()))
