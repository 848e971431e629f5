"""The reference run of docs/protocol.md: makes what is missing of it and keeps the small files of finished runs.

    python -m paper_repro.evidence.reference DATA [scratch | transfer | leakage ...]

DATA is TrashNet's zip or folder. A run is missing unless results/reference holds it under the key that recipe, data and
code give today, so that the hours can be spread over sessions and machines. Kept are numbers only: no weights, no
executed notebook and no figure, which may show photographs.
"""

import argparse
import gzip
import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from paper_repro.config import Config, load_profile
from paper_repro.data import load_dataset
from paper_repro.files import ReproError, atomic_write, project_root
from paper_repro.keys import kept_keys
from paper_repro.photographs.folds import load_folds
from paper_repro.training import data_key
from paper_repro.workflow.processes import cores
from paper_repro.workflow.reproduce import reproduce

LARGE = ("measures.csv", "gates.csv")
FILES = ("config.yaml", "history.csv", "predictions.csv", "metrics.json", "environment.json", "done")  # done last


@dataclass(frozen=True)
class Step:
    """Some arms of an experiment on some folds."""

    experiment: str
    profile: str
    arms: tuple[str, ...]
    folds: tuple[int, ...]
    overrides: dict = field(default_factory=dict)


# docs/protocol.md, in the order in which the runs are made: fold by fold, what the verdicts rest on first.
PLAN = (
    Step("scratch", "cpu", ("none", "stage", "half", "block"), (0, 1, 2, 3, 4)),
    Step("transfer", "transfer", ("none", "stage", "stage-identity", "block", "block-identity"), (0, 1, 2, 3, 4)),
    Step("transfer", "transfer", ("stage-double",), (0,)),
    Step("leakage", "cpu", ("none",), (0,), {"grouped": False}),
    Step(
        "scratch",
        "cpu",
        (
            "stage_recompute",
            "stage_output",
            "none-shuffled",
            "alexnet",
            "vgg11_bn",
            "densenet121",
            "mobilenet_v3_large",
        ),
        (0,),
    ),
)


def missing(config: Config, arms: tuple[str, ...], fold: int, kept: Path) -> list[str]:
    """The arms of which `kept` holds no run of this fold under the key of today."""
    dataset = load_dataset(config.data, config.prepared_size, boxes=config.boxes)
    data = data_key(dataset, load_folds(dataset, config))

    def key(arm):
        try:
            return json.loads((kept / arm / f"fold{fold}" / "environment.json").read_text(encoding="utf-8"))["key"]
        except FileNotFoundError:
            return None

    return [arm for arm in arms if key(arm) not in kept_keys(config, arm, fold, data)]


def make(data: str, experiments: list[str]) -> None:
    """Trains what is missing, as many runs at once as there are cores, and collects after each such batch.

    Raises:
        ReproError: a value is impossible, or a run failed; what was collected stays.
    """
    results = project_root() / "results"
    for step in PLAN:
        if step.experiment not in experiments:
            continue
        kept, out = results / "reference" / step.experiment, results / step.experiment
        for fold in step.folds:
            overrides = step.overrides | {"data": data, "folds": [fold]}
            config = load_profile(step.profile, **overrides)
            arms = missing(config, step.arms, fold, kept)
            at_once = max(1, cores() // config.threads)
            for start in range(0, len(arms), at_once):
                batch = overrides | {"arms": arms[start : start + at_once]}
                print(f"{step.experiment}, fold {fold}: {', '.join(batch['arms'])}", flush=True)
                status = reproduce(step.profile, batch, out, ["--until", "train"])
                if status:
                    raise ReproError(
                        f"a run of {step.experiment} failed (status {status}); the first error above "
                        "says why: mend it and call again"
                    )
                print(*collect(out, kept), sep="\n", flush=True)


def collect(runs: str | Path, reference: str | Path) -> list[Path]:
    """Copies every finished ARM/foldK of `runs` that `reference` does not hold yet and returns their folders there.

    The large tables are rounded to five significant digits and compressed, which makes them a tenth of the size; the
    bytes depend on their content alone.

    Raises:
        ReproError: no finished run there.
    """
    finished, written = sorted(Path(runs).glob("*/fold*/done")), []
    if not finished:
        raise ReproError(f"{runs} holds no finished run (ARM/foldK/done): make some with `make reproduce`")
    for done in finished:
        source, target = done.parent, Path(reference) / done.parent.relative_to(runs)
        if (target / "done").exists() and (target / "done").read_bytes() == done.read_bytes():
            continue
        for name in LARGE:
            if (source / name).exists():
                table = pd.read_csv(source / name, keep_default_na=False, na_values=[""])
                with atomic_write(target / f"{name}.gz") as path:
                    path.write_bytes(gzip.compress(table.to_csv(index=False, float_format="%.5g").encode(), mtime=0))
        for name in FILES:
            with atomic_write(target / name) as path:
                shutil.copyfile(source / name, path)
        written.append(target)
    return written


def main() -> int:
    parser = argparse.ArgumentParser(prog="paper_repro.evidence.reference", description=__doc__.splitlines()[0])
    parser.add_argument("data", help="TrashNet's zip or folder")
    known = list(dict.fromkeys(step.experiment for step in PLAN))
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=f"default: {' '.join(known)}")
    args = parser.parse_args()
    unknown = set(args.experiments) - set(known)
    if unknown:
        parser.error(f"no experiment {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    try:
        make(args.data, args.experiments or known)
    except ReproError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
