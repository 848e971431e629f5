"""Choosing each arm's learning rate by the validation part of one fold: the same tries for every arm, no test data.

    python -m paper_repro.evidence.tune cpu OUT --arms none stage --rates 0.02 0.05 0.1 [--set '{"epochs": 25}']

Appends one row per training to OUT/tuning.csv and passes over the rows that are there; several processes may share it.
"""

import argparse
from itertools import product
from pathlib import Path

import pandas as pd
from filelock import FileLock

from paper_repro.config import load_profile
from paper_repro.files import atomic_write
from paper_repro.keys import kept_keys
from paper_repro.training import fit
from paper_repro.workflow.parameters import parse_json
from paper_repro.workflow.processes import run_command


def tune(profile: str, out: str | Path, arms: list[str], rates: list[float], **overrides) -> pd.DataFrame:
    """Trains every arm at every rate on fold 0; returns a row per training, with the best epoch's accuracy and loss."""
    file = Path(out) / "tuning.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    for arm, rate in product(arms, rates):
        config = load_profile(profile, **overrides, learning_rate=rate, learning_rates={})
        keys = kept_keys(config, arm, 0, "tuning")
        if read_tuning(file)["key"].isin(keys).any():
            continue
        history = fit(config, arm, 0)
        best = history[history["best"]].iloc[-1]
        hours = history[["seconds", "validation_seconds"]].to_numpy().sum() / 3600
        row = {"arm": arm, "learning_rate": rate, "key": keys[0], "epochs": config.epochs}
        row |= best[["validation_accuracy", "validation_loss"]].to_dict() | {"hours": hours}
        with FileLock(f"{file}.lock"), atomic_write(file) as path:
            pd.concat([read_tuning(file), pd.DataFrame([row])]).to_csv(path, index=False, float_format="%.6g")
    return read_tuning(file)


def read_tuning(file: Path) -> pd.DataFrame:
    """The table so far; empty where there is none."""
    return pd.read_csv(file) if file.exists() else pd.DataFrame({"key": []}, dtype=str)


def smallest_loss(table: pd.DataFrame, arms: list[str]) -> float:
    """The rate with the smallest mean validation loss over these arms, among those that all of them were tried at."""
    losses = table.pivot(index="arm", columns="learning_rate", values="validation_loss").loc[arms]
    return float(losses.mean(skipna=False).idxmin())


def best_rates(table: pd.DataFrame) -> dict[str, float]:
    """The rate of each arm with the best validation accuracy, and among equal ones with the smaller loss."""
    ordered = table.sort_values(["validation_accuracy", "validation_loss"], ascending=[False, True])
    return ordered.groupby("arm", sort=False)["learning_rate"].first().to_dict()


def main() -> None:
    """Tunes what the command line names and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile")
    parser.add_argument("out")
    parser.add_argument("--arms", nargs="+", required=True)
    parser.add_argument("--rates", nargs="+", type=float, required=True)
    parser.add_argument("--set", default="{}", metavar="JSON", help="keys of the profile to replace")
    args = parser.parse_args()
    table = tune(args.profile, args.out, args.arms, args.rates, **parse_json(args.set, "--set"))
    print(table.to_string(index=False), "\nchosen:", best_rates(table))


if __name__ == "__main__":
    run_command(main)
