"""The reference run of docs/protocol.md: makes what is missing of it and keeps the small files of finished runs.

    python -m paper_repro.evidence.reference DATA [scratch | transfer | leakage ...]

A run is missing unless results/reference holds it under the key that recipe, data and code give today. Only numbers
are kept: no weights, and no executed notebook or figure, which may show photographs.
"""

import argparse
import gzip
import shutil
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from paper_repro.config import PLAIN_CNNS, Config, load_profile
from paper_repro.data import load_dataset
from paper_repro.evidence.statistics import read_facts
from paper_repro.files import ReproError, atomic_write, project_root
from paper_repro.keys import find_runs, kept_keys
from paper_repro.photographs.folds import load_folds
from paper_repro.training import data_key
from paper_repro.workflow.processes import cores, run_command
from paper_repro.workflow.reproduce import reproduce

LAST = ("measures.json", "done")  # they say which measures and which run the other files are
FILES = ("config.yaml", "history.csv", "predictions.csv", "metrics.json", "environment.json", "measures.csv.gz", *LAST)
COMPRESSED = ("gates.csv", "static_gates.csv")  # of networks with gates


class Step(NamedTuple):
    """Some arms of an experiment on some folds of some repeats."""

    experiment: str
    profile: str
    arms: tuple[str, ...]
    folds: tuple[int, ...]
    repeats: tuple[int, ...] = (0,)
    overrides: dict = {}


# docs/protocol.md, in the order in which the runs are made: fold by fold, what the verdicts rest on first.
PLAN = (
    Step("scratch", "cpu", ("none", "stage", "half", "block"), (0, 1, 2, 3, 4)),
    Step("transfer", "transfer", ("none", "stage", "stage-identity", "block", "block-identity"), (0, 1, 2, 3, 4)),
    Step("transfer", "transfer", ("stage-double",), (0,)),
    Step("leakage", "cpu", ("none",), (0,), overrides={"grouped": False}),
    Step("scratch", "cpu", ("stage_recompute", "stage_output", "none-shuffled", *PLAIN_CNNS), (0,)),
)


def missing(config: Config, arms: tuple[str, ...], fold: int, kept: Path, repeat: int = 0) -> list[str]:
    """The arms of which `kept` holds no run of this fold and repeat under the key of today."""
    dataset = load_dataset(config.data, config.prepared_size, boxes=config.boxes)
    data, facts = data_key(dataset, load_folds(dataset, config, repeat)), read_facts(kept)
    keys = {arm: facts.get((arm, repeat, fold), {"key": None})["key"] for arm in arms}
    return [arm for arm in arms if keys[arm] not in kept_keys(config, arm, fold, data, repeat)]


def make(data: str, experiments: list[str]) -> None:
    """Trains what is missing, as many runs at once as there are cores, and collects after each such batch.

    Raises:
        ReproError: a value is impossible, or a run failed.
    """
    results = project_root() / "results"
    for step in (step for step in PLAN if step.experiment in experiments):
        kept, out = results / "reference" / step.experiment, results / step.experiment
        for repeat, fold in product(step.repeats, step.folds):
            overrides = step.overrides | {"data": data, "folds": [fold], "repeats": [repeat]}
            config = load_profile(step.profile, **overrides)
            arms = missing(config, step.arms, fold, kept, repeat)
            at_once = max(1, cores() // config.threads)
            for start in range(0, len(arms), at_once):
                batch = arms[start : start + at_once]
                print(f"{step.experiment}, repeat {repeat}, fold {fold}: {', '.join(batch)}", flush=True)
                if status := reproduce(step.profile, overrides | {"arms": batch}, out, ["--until", "train"]):
                    raise ReproError(f"a run failed (status {status}): mend the first error above and call again")
                print(*collect(out, kept), sep="\n", flush=True)


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
    """Makes the experiments that the command line names."""
    known = list(dict.fromkeys(step.experiment for step in PLAN))
    parser = argparse.ArgumentParser(prog="paper_repro.evidence.reference", description=__doc__.splitlines()[0])
    parser.add_argument("data", help="TrashNet's zip or folder")
    parser.add_argument("experiments", nargs="*", choices=known, help="default: all of them")
    args = parser.parse_args()
    make(args.data, args.experiments or known)


if __name__ == "__main__":
    run_command(main)
