"""How the networks that come with the project do on waste8, photographs of another kind. Nothing is set by it.

    python -m paper_repro.evidence.elsewhere WASTE8

Writes results/reference/networks/elsewhere.csv: per class of waste8 the share of photographs that are marked as unlike
TrashNet's, and where a class corresponds to one of TrashNet's, how often the answer is right and how far the confidence
lies from that.
"""

import argparse

import numpy as np
import pandas as pd

from paper_repro import evaluate, runs, trust
from paper_repro.augment import to_input
from paper_repro.data import Dataset, load_dataset
from paper_repro.files import ReproError, atomic_write, csv_bytes
from paper_repro.runs import Run, load_run, packages
from paper_repro.workflow.processes import run_command

# Class of waste8 -> the answers of a network of TrashNet's classes that count as right.
RIGHT = {
    "Aluminium": ("metal",),
    "Carton": ("cardboard", "paper"),
    "Glass": ("glass",),
    "Other Plastics": ("plastic",),
    "Paper and Cardboard": ("cardboard", "paper"),
}


def measure(run: Run, dataset: Dataset) -> pd.DataFrame:
    """What a network says of photographs of other classes, with 95 % intervals over groups of near-duplicates.

    Returns:
        A row per class of `dataset`, for all photographs, and for those of the classes in RIGHT: all of them, the
        unmarked and the marked ones. photographs, their number; marked, the share marked as unlike; accuracy and ece
        (`evaluate.metrics`), NaN for other classes; each with low and high.
    """
    batches = np.array_split(np.arange(len(dataset.table)), len(dataset.table) // 128 + 1)
    inputs = (to_input(dataset.images[rows], run.config.image_size) for rows in batches)
    logits, features = trust.answer_all(run.model, inputs)
    familiar = trust.load_familiar(run)
    if familiar is None:
        raise ReproError(f"{run.folder} does not know what its network has seen: give a network of the project")
    marked = (trust.distances(features, familiar.features) > familiar.threshold).numpy()
    said = np.array(run.classes)[logits.argmax(dim=1).numpy()]
    labels = dataset.table["label"].to_numpy()
    # The answer itself where it counts as right, else the first that would.
    allowed = [RIGHT.get(label, ("",)) for label in labels]
    truth = [answer if answer in names else names[0] for answer, names in zip(said, allowed, strict=True)]
    shares = pd.DataFrame(logits.softmax(dim=1).numpy(), columns=[f"p_{name}" for name in run.classes])
    table = pd.concat([pd.DataFrame({"image": dataset.table["image"], "truth": truth}), shares], axis=1)
    groups, corresponding = dataset.table.set_index("image")["group"], np.isin(labels, list(RIGHT))
    parts = {name: labels == name for name in dataset.classes} | {"all": np.ones(len(labels), bool)}
    parts |= {"corresponding": corresponding, "corresponding, unmarked": corresponding & ~marked}
    parts |= {"corresponding, marked": corresponding & marked}
    rows = []
    for name, part in parts.items():
        if not part.any():
            continue
        share = evaluate.mean_interval(
            table["image"][part], pd.Series(marked[part], table.index[part], dtype=float), groups
        )
        row = {"part": name, "photographs": int(part.sum())}
        row |= dict(zip(("marked", "marked_low", "marked_high"), share, strict=True))
        if corresponding[part].all():
            found = evaluate.metrics(table[part], run.classes, groups)
            for score in ("accuracy", "ece"):
                low, high = found[f"{score}_interval"]
                row |= {score: found[score], f"{score}_low": low, f"{score}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Measures the networks of TrashNet and prints the table."""
    parser = argparse.ArgumentParser(prog="paper_repro.evidence.elsewhere", description=__doc__.splitlines()[0])
    parser.add_argument("waste8", metavar="WASTE8", help="the zip or folder of waste8")
    args = parser.parse_args()
    names = [name for name in packages() if "trashnet" in name]
    if not names:
        raise ReproError("there is no network of TrashNet yet: make it with python -m paper_repro.evidence.packaged")
    tables = []
    for name in names:
        run = load_run(name)
        dataset = load_dataset(args.waste8, run.config.prepared_size)
        if dataset.name != "waste8":
            raise ReproError(f"WASTE8: {args.waste8} is not waste8 but {dataset.name}: give the photographs of waste8")
        tables.append(measure(run, dataset).assign(network=name))
    table = pd.concat(tables, ignore_index=True)
    with atomic_write(runs.PACKAGED / "elsewhere.csv") as path:
        path.write_bytes(csv_bytes(table, "%.4g"))
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    run_command(main)
