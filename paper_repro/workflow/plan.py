"""What a call of `reproduce` comes to: its trainings, the marks of finished ones, an estimate of hours and disk."""

import json
from collections.abc import Iterable
from hashlib import sha256
from itertools import product
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
from IPython.core.inputtransformer2 import TransformerManager

from paper_repro.config import ARMS, Config, load_profile
from paper_repro.files import ReproError, project_root, sha256_file
from paper_repro.keys import (
    code_hash,
    data_stamp,
    find_runs,
    measuring_code,
    regions_stamp,
    run_folder,
    run_key,
    syntax_hash,
)
from paper_repro.workflow.processes import cores

LIKE = ("backbone", "image_size", "epochs", "small_epochs", "batch_size", "precision", "accelerator", "threads")
PAGES = 4 * 2**20  # bytes of an executed notebook, its page and its measures
STEPS, BATCH = 2, 16  # of a trial
CHECKPOINTS, COPIES = 3, 4  # at most so many files at once; each holds network, average, momentum and best epoch


def mark(name: str, notebook: str, *decisive) -> str:
    """The file, seen from the output folder, that stands for a finished notebook, given by its `notebook_hash`."""
    text = json.dumps([notebook, *decisive])
    return f".done/{name}-{sha256(text.encode()).hexdigest()[:12]}"


def notebook_hash(path: Path) -> str:
    """`syntax_hash` of a notebook's code cells; prose and outputs do not count."""
    cells = nbformat.read(path, as_version=4).cells
    plain = TransformerManager()  # turns %magic and !command into Python
    return syntax_hash(plain.transform_cell(cell.source) for cell in cells if cell.cell_type == "code")


def is_valid(mark: str | Path, out: Path) -> bool:
    """Whether what a mark vouches for is still there: nobody deleted it, or made it anew by hand in JupyterLab."""
    place = Path(mark).relative_to(".done")
    of_run = place.parent != Path()  # else of the output folder
    folder = out / place.with_name(place.name.partition("-")[0]) if of_run else out
    hashes = json.loads((out / mark).read_bytes())["sha256"]
    files = all((folder / name).exists() and sha256_file(folder / name) == value for name, value in hashes.items())
    return files and (not of_run or (folder / "done").exists())


def all_runs(config: Config) -> dict[str, tuple[str, int, int]]:
    """A run's folder, seen from the output folder -> (arm, fold, repeat), in the order of the trainings."""
    matrix = product(config.repeats, config.arms, config.folds)
    return {str(run_folder("", arm, fold, repeat)): (arm, fold, repeat) for repeat, arm, fold in matrix}


def training_notebook(arm: str) -> str:
    """Name of the notebook that trains an arm."""
    return "03_stage_se_training" if ARMS[arm].gated else "02_baseline"


def training_marks(config: Config, notebooks: Path) -> dict[str, str]:
    """A run's folder -> the mark of its training."""
    data, measured = data_stamp(config.data), [regions_stamp(config), config.faithfulness_images, measuring_code()]
    names = {training_notebook(arm) for arm in config.arms}
    cells, code = {name: notebook_hash(notebooks / f"{name}.ipynb") for name in names}, code_hash()
    return {
        run: mark(run, cells[training_notebook(arm)], run_key(config, arm, fold, data, repeat, code), measured)
        for run, (arm, fold, repeat) in all_runs(config).items()
    }


def describe(config: Config, out: Path, images: int, classes: int) -> str:
    """How many trainings there are and are done in `out`, with hours and disk of the rest. Makes nothing.

    Args:
        images, classes: how many the data have.
    """
    marks, runs = training_marks(config, project_root() / "notebooks"), all_runs(config)
    missing = [run for run in runs if not ((out / marks[run]).exists() and is_valid(marks[run], out))]
    numbers = ", ".join(f"{name}: {len(getattr(config, name))}" for name in ("arms", "folds", "repeats"))
    lines = [f"{len(runs)} trainings ({numbers}), of which {len(runs) - len(missing)} are done in {out}"]
    if missing:
        arms = [runs[run][0] for run in missing]
        costs, basis = estimate(config, arms, classes)
        hours = images * sum(costs[arm][0] for arm in arms)
        at_once = min(len(arms), max(1, cores() // config.threads))
        together = f"{hours / at_once:.2g} with {at_once} at once, " if at_once > 1 else ""
        lines.append(f"about {hours:.2g} hours of training for the other {len(arms)}, {together}by {basis}")
        lines.append("notebooks and measures of heat maps come on top of it")
        sizes = [4 * costs[arm][1] for arm in arms]
        results = sum(sizes) + PAGES * (len(arms) + 3)
        cache = images * 3 * config.prepared_size**2 + CHECKPOINTS * COPIES * max(sizes) * at_once
        lines.append(f"about {results / 1e9:.2g} GB of disk in {out}, and {cache / 1e9:.2g} GB in the cache folder")
    return "\n".join([*lines, "this was a look ahead: nothing was made"])


def estimate(config: Config, arms: Iterable[str], classes: int) -> tuple[dict[str, tuple[float, int]], str]:
    """Per arm the hours of one training per image of the data and the number of parameters; and by what they are
    known: earlier runs like these on this machine, else a trial of two epochs of a few steps, one on small views."""
    costs = _earlier_costs(config)
    earlier = sorted(set(arms) & set(costs))
    tried = [arm for arm in dict.fromkeys(arms) if arm not in costs]
    costs |= {arm: _tried_cost(config, arm, classes) for arm in tried}
    basis = " and ".join(
        [f"earlier runs of this size on this machine ({', '.join(earlier)})"] * bool(earlier)
        + [f"a trial of {STEPS} small batches ({', '.join(tried)})"] * bool(tried)
    )
    return costs, basis


def _earlier_costs(config: Config) -> dict[str, tuple[float, int]]:
    """Per arm the mean hours per image and the number of parameters of earlier runs like these on this machine."""
    from paper_repro import runs  # it imports torch, which the other commands of this module do not need

    here, rows = runs.environment(config), []
    results = project_root() / "results"
    for folder in (*results.glob("*"), *(results / "reference").glob("*")):
        for (arm, _, _), path in find_runs(folder, "environment.json").items():
            try:
                details, like = json.loads(path.read_bytes()), load_profile(path.with_name("config.yaml"))
                same = all(details[name] == here[name] for name in ("machine", "processor"))
                if same and all(getattr(like, name) == getattr(config, name) for name in LIKE):
                    rows.append((arm, details["hours"] / sum(details["images"].values()), details["parameters"]))
            except (ReproError, OSError, ValueError, KeyError):  # unfinished, or of an earlier edition
                continue
    table = pd.DataFrame(rows, columns=["arm", "hours", "parameters"])
    return {arm: (float(rows["hours"].mean()), int(rows["parameters"].iloc[0])) for arm, rows in table.groupby("arm")}


def _tried_cost(config: Config, arm: str, classes: int) -> tuple[float, int]:
    """Hours per image of the data, and the number of parameters, from a few steps on noise."""
    from paper_repro.data import Dataset
    from paper_repro.photographs.folds import Split
    from paper_repro.training import Trainer

    batch, size = min(config.batch_size, BATCH), config.prepared_size
    trial = config.model_copy(update={"batch_size": batch, "weights": None, "workers": 0})
    rows = np.arange(STEPS * batch)
    images = np.random.default_rng(0).integers(0, 256, (len(rows), size, size, 3), np.uint8)
    names, table = tuple(map(str, range(classes))), pd.DataFrame({"truth": rows % classes})
    dataset = Dataset("trial", names, images, table, None, None, "")
    trainer = Trainer(trial, arm, dataset, Split(rows, rows, rows), 0, Path(), "trial")
    trainer.train_epoch(config.epochs)  # the first steps are slow
    seconds = (config.epochs - config.small_epochs) * trainer.train_epoch(config.epochs)["seconds"]
    if config.small_epochs:
        seconds += config.small_epochs * trainer.train_epoch(1)["seconds"]
    trained = (config.num_folds - 1) / config.num_folds  # training and validation part
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    return seconds * trained / len(rows) / 3600, parameters
