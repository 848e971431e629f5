"""The reference run of docs/protocol.md, second edition: makes what is missing and keeps the small files of its runs.

    python -m paper_repro.evidence.reference --trashnet ZIP --waste8 ZIP [--dry-run] [waste8 | trashnet | controls ...]

The rows of the protocol's table are made in its order, fold by fold, as many runs at once as there are cores. A run is
missing unless results/reference holds it under the key that recipe, data and code give today. Only numbers are kept
there: no weights, which stay below results, and no executed notebook or figure, which may show photographs. The folders
scratch, transfer and leakage are the first edition's; of scratch the runs of `statistics.KEPT` count in trashnet.
"""

import argparse
import gzip
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from paper_repro.config import Config, load_profile
from paper_repro.data import load_dataset
from paper_repro.evidence.pointing import point_runs, whole_folds
from paper_repro.evidence.statistics import read_facts
from paper_repro.files import ReproError, atomic_write, project_root
from paper_repro.keys import find_runs, kept_keys
from paper_repro.photographs.folds import load_folds
from paper_repro.runs import environment
from paper_repro.training import data_key, pick_precision
from paper_repro.workflow.plan import estimate
from paper_repro.workflow.processes import cores, run_command
from paper_repro.workflow.reproduce import reproduce

LAST = ("measures.json", "done")  # they say which measures and which run the other files are
FILES = ("config.yaml", "history.csv", "predictions.csv", "metrics.json", "environment.json", "measures.csv.gz", *LAST)
COMPRESSED = ("gates.csv", "static_gates.csv")  # of networks with gates


class Step(NamedTuple):
    """A row of the protocol's table: some arms of an experiment on some folds of some repeats."""

    row: str
    folder: str  # below results and results/reference
    data: str
    profile: str
    arms: tuple[str, ...]
    hours: float  # planned for the new runs, on one core
    repeats: tuple[int, ...] = (0,)
    folds: tuple[int, ...] = (0, 1, 2, 3, 4)
    overrides: dict = {}
    mosaics: bool = False  # whether its arms play the grid pointing game

    @property
    def runs(self) -> list[tuple[str, int, int]]:
        """(arm, repeat, fold) of all its runs, fold by fold."""
        return [(arm, repeat, fold) for repeat, fold, arm in product(self.repeats, self.folds, self.arms)]


RESNETS = ("none", "stage", "half", "block")
PLAN = (
    Step("waste8", "waste8", "waste8", "waste8", RESNETS, 8.8, (0, 1), mosaics=True),
    Step("trashnet", "trashnet", "trashnet", "cpu", RESNETS, 5.5, (0, 1), mosaics=True),
    Step("controls", "trashnet", "trashnet", "cpu", ("none-zero", "stage_recompute"), 2.2),
    Step("cnns", "trashnet", "trashnet", "cpu", ("densenet121", "mobilenet_v3_large"), 2.2),
    Step("planted", "planted", "trashnet", "cpu", ("stage-planted", "stage-untied"), 2.2),
    Step(
        "long",
        "long",
        "trashnet",
        "cpu",
        ("none", "stage", "half"),
        9.9,
        overrides={"epochs": 90, "small_epochs": 60},
    ),
)


def missing(config: Config, arms: Sequence[str], fold: int, kept: Path, repeat: int = 0) -> list[str]:
    """The arms of which `kept` holds no run of this fold and repeat under the key of today."""
    dataset = load_dataset(config.data, config.prepared_size, boxes=config.boxes)
    data, facts = data_key(dataset, load_folds(dataset, config, repeat)), read_facts(kept)
    keys = {arm: facts.get((arm, repeat, fold), {"key": None})["key"] for arm in arms}
    return [arm for arm in arms if keys[arm] not in kept_keys(config, arm, fold, data, repeat)]


def to_make(config: Config, step: Step, fold: int, kept: Path, repeat: int = 0) -> list[str]:
    """The arms of a step to train on a fold: those that are `missing`, and those whose runs come from another type of
    machine or another precision than the rest of the fold, as such arms are not compared.

    Raises:
        ReproError: this machine is of another type than the one that made an earlier row of this fold.
    """
    absent, here = missing(config, step.arms, fold, kept, repeat), _machine(environment(config), pick_precision(config))
    rows = [row for row in PLAN[: [row.row for row in PLAN].index(step.row) + 1] if row.folder == step.folder]
    compared = {arm for row in rows if repeat in row.repeats for arm in row.arms} - set(absent)
    facts = read_facts(kept)
    made = {arm: facts[run] for arm in compared if (run := (arm, repeat, fold)) in facts}
    machines = {arm: _machine(details, details["precision"]) for arm, details in made.items()}
    if not absent and len(set(machines.values())) <= 1:
        return []
    strange = {arm: machine for arm, machine in machines.items() if machine != here}
    for arm, machine in strange.items():
        if arm not in step.arms:
            raise ReproError(
                f"{step.row}, repeat {repeat}, fold {fold}: {arm} was trained on {machine}, and this machine is "
                f"{here}: call this on a machine of that type"
            )
    return [arm for arm in step.arms if arm in absent or arm in strange]


def _machine(details: Mapping, precision: str) -> str:
    return f"{details['processor']} in {precision}"


def _folds(step: Step, paths: Mapping[str, str | None]) -> Iterator[tuple[int, int, dict, Config]]:
    """(repeat, fold, what it replaces in the profile, the configuration) of each fold of a step.

    Raises:
        ReproError: the path of its data was not given, or it is of another data set.
    """
    if not (data := paths.get(step.data)):
        raise ReproError(
            f"{step.row}: it needs the photographs of {step.data}: give their zip or folder as --{step.data}"
        )
    found = load_dataset(data, load_profile(step.profile, data=data).prepared_size).name
    if found != step.data:
        raise ReproError(f"--{step.data}: {data} is not {step.data} but {found}: give the photographs of {step.data}")
    for repeat, fold in product(step.repeats, step.folds):
        overrides = step.overrides | {"data": data, "folds": [fold], "repeats": [repeat]}
        yield repeat, fold, overrides, load_profile(step.profile, **overrides)


def make(paths: Mapping[str, str | None], steps: Sequence[Step], results: Path) -> None:
    """Trains and measures what is missing, as many runs at once as there are cores; collects after each such batch.

    Args:
        paths: data set -> its zip or folder.
        results: the folder that holds the runs' folders and `reference`.

    Raises:
        ReproError: a value is impossible, a run failed, or it would not be comparable (`to_make`).
    """
    for step in steps:
        kept, out = results / "reference" / step.folder, results / step.folder
        for repeat, fold, overrides, config in _folds(step, paths):
            arms, at_once = to_make(config, step, fold, kept, repeat), max(1, cores() // config.threads)
            here = _machine(environment(config), pick_precision(config))
            for (arm, *place), file in find_runs(out, "environment.json").items():
                # A run of another type of machine has the same key and would pass for a new one.
                details = json.loads(file.read_text(encoding="utf-8"))
                if arm in arms and place == [repeat, fold] and _machine(details, details["precision"]) != here:
                    shutil.rmtree(file.parent)
            for start in range(0, len(arms), at_once):
                batch = arms[start : start + at_once]
                print(f"{step.row}, repeat {repeat}, fold {fold}: {', '.join(batch)}", flush=True)
                if status := reproduce(step.profile, overrides | {"arms": batch}, out, ["--until", "train"]):
                    raise ReproError(f"a run failed (status {status}): mend the first error above and call again")
                print(*collect(out, kept), sep="\n", flush=True)
        if step.mosaics and whole_folds(find_runs(out), step.arms):
            point_runs(out, kept, step.arms)


def look_ahead(paths: Mapping[str, str | None], steps: Sequence[Step], results: Path) -> Iterator[str]:
    """A line per step: how many of its runs are to be made, the hours planned for it, and those estimated here."""
    for step in steps:
        arms, kept = [], results / "reference" / step.folder
        for repeat, fold, _, config in _folds(step, paths):
            arms += to_make(config, step, fold, kept, repeat)
        line = f"{step.row}: {len(arms)} of {len(step.runs)} runs to make, {step.hours} core-hours planned"
        if arms:
            dataset = load_dataset(config.data, config.prepared_size, boxes=config.boxes)
            costs, basis = estimate(config, arms, len(dataset.classes))
            hours = len(dataset.table) * sum(costs[arm][0] for arm in arms)
            line += f", about {hours:.2g} of training by {basis}"
        yield line


def collect(runs: str | Path, reference: str | Path) -> list[Path]:
    """Copies the small files of finished and measured runs below `runs` that `reference` does not hold yet; the folders
    that were written. The tables of gates are rounded to five significant digits and compressed, equal content to equal
    bytes.

    Raises:
        ReproError: no finished and measured run there.
    """
    written, finished = [], [path.parent for path in find_runs(runs).values() if len(_last(path.parent)) == len(LAST)]
    if not finished:
        raise ReproError(f"{runs} holds no finished run (ARM/foldK/done, measures.json): call `make reproduce`")
    for source in finished:
        target = Path(reference, source.relative_to(runs))
        if _last(target) == _last(source):
            continue
        for name in (name for name in COMPRESSED if (source / name).exists()):
            table = pd.read_csv(source / name, keep_default_na=False, na_values=[""])
            with atomic_write(target / f"{name}.gz") as path:
                path.write_bytes(gzip.compress(table.to_csv(index=False, float_format="%.5g").encode(), mtime=0))
        stickers = ["cause.csv.gz"] if (source / "cause.csv.gz").exists() else []
        for name in (*stickers, *FILES):
            with atomic_write(target / name) as path:
                shutil.copyfile(source / name, path)
        written.append(target)
    return written


def _last(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in LAST if (folder / name).exists()]


def main() -> None:
    """Makes the rows that the command line names."""
    known = {step.row: step for step in PLAN}
    parser = argparse.ArgumentParser(prog="paper_repro.evidence.reference", description=__doc__.splitlines()[0])
    for data in dict.fromkeys(step.data for step in PLAN):
        parser.add_argument(f"--{data}", metavar="PATH", help="its zip or folder")
    parser.add_argument("--dry-run", action="store_true", help="say how many runs and hours; make nothing")
    parser.add_argument("rows", nargs="*", metavar="row", help=f"{', '.join(known)}; default: all")
    args = parser.parse_args()
    if unknown := [row for row in args.rows if row not in known]:  # argparse's choices refuse none at all
        raise ReproError(f"row: '{unknown[0]}' is no row: the rows are {', '.join(known)}")
    steps, results = [known[row] for row in args.rows or known], project_root() / "results"
    if args.dry_run:
        for line in look_ahead(vars(args), steps, results):
            print(line, flush=True)
    else:
        make(vars(args), steps, results)


if __name__ == "__main__":
    run_command(main)
