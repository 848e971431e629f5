"""How wide and how reliable the two tests of a difference are, simulated from the first edition's variances.

python -m paper_repro.evidence.simulation [--samples 2000] [--seed 0]
"""

import argparse
from collections.abc import Sequence
from itertools import combinations, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from paper_repro.evidence import statistics
from paper_repro.evidence.rules import PERSISTENT
from paper_repro.evidence.statistics import LEVEL, RUN
from paper_repro.files import project_root
from paper_repro.photographs.folds import committed_folds
from paper_repro.workflow.processes import run_command

ARMS = ("none", "half", "block", "stage")


class Spread(NamedTuple):
    """Standard deviations of differences between two arms, in accuracy."""

    photograph: float  # of one photograph's -1, 0 or 1 within a run
    run: float  # of a run's mean, its photographs' part included


def spread(predictions: pd.DataFrame) -> Spread:
    """Root mean squares over all pairs of the four ResNet arms."""
    correct, found = statistics.correctness(predictions), []
    for a, b in combinations(ARMS, 2):
        by_run = (correct[b] - correct[a]).dropna().groupby(RUN)
        found.append((by_run.var().mean(), by_run.mean().var()))
    return Spread(*np.sqrt(np.mean(found, axis=0)))


def simulate(
    sizes: Spread,
    folds: Sequence[pd.DataFrame],
    size_ratio: float,
    difference: float = 0.0,
    reaction: float = 0.0,
    persistent: float = PERSISTENT,
    samples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Both tests on made differences of a known mean.

    A photograph's difference is the true one plus its own part (a share of it the same in every repeat), a part of its
    run, and, where arms react differently to training sets, a part common to all runs: they share training data. All
    parts are normal; near-duplicates are independent.

    Args:
        folds: per repeat a table with image, group and fold.
        size_ratio: n_test / n_train, for the corrected test.
        difference: the true difference in accuracy.
        reaction: the correlation of the differences of two runs. The corrected test takes it to be
            n_test / (n_test + n_train).
        persistent: the share of a photograph's variance that every repeat has alike.

    Returns:
        test -> half_width (mean of the 95 % interval's) and decides, the share of samples in which the test finds the
        second arm better at the 5 % level (two-sided); its size, 2.5 % at best, where the difference is 0.
    """
    rng, groups = np.random.default_rng(seed), folds[0].set_index("image")["group"]
    rows = pd.concat([table.assign(repeat=repeat) for repeat, table in enumerate(folds)])
    index = pd.MultiIndex.from_frame(rows[[*RUN, "image"]])
    image, run = pd.factorize(rows["image"])[0], index.droplevel("image").factorize()[0]
    runs = run.max() + 1
    common = reaction * sizes.run**2
    own = sizes.run**2 - common - sizes.photograph**2 * np.mean(1 / np.bincount(run))
    found = []
    for _ in range(samples):
        lasting, passing = rng.standard_normal(image.max() + 1)[image], rng.standard_normal(len(image))
        photographs = persistent**0.5 * lasting + (1 - persistent) ** 0.5 * passing
        by_run = own**0.5 * rng.standard_normal(runs)[run] + common**0.5 * rng.standard_normal()
        values = pd.Series(difference + sizes.photograph * photographs + by_run, index)
        for test, estimate in (
            ("two-way", statistics.two_way(values, groups)),
            ("new training sets", statistics.resampled(values.groupby(RUN).mean().to_numpy(), size_ratio)),
        ):
            low, high = estimate.interval(LEVEL)
            found.append({"test": test, "half_width": (high - low) / 2, "decides": low > 0})
    return pd.DataFrame(found).groupby("test", sort=False).mean()


def table(reference: Path, samples: int, seed: int) -> pd.DataFrame:
    """`simulate` on TrashNet's folds: one and two repeats, no difference and 4 points, arms that react to training sets
    alike and differently, and half-widths where photographs answer afresh or alike in every repeat."""
    sizes, ratio = spread(statistics.read_table(reference, "predictions.csv")), statistics.size_ratio(reference)
    folds = [committed_folds("trashnet", repeat).query("not excluded") for repeat in (0, 1)]
    most, rows = ratio / (1 + ratio), []
    designs = [(*design, PERSISTENT) for design in product((1, 2), (0.0, 0.04), (0.0, most / 2, most))]
    for repeats, difference, reaction, persistent in [*designs, (2, 0.0, 0.0, 0.0), (2, 0.0, 0.0, 1.0)]:
        found = simulate(sizes, folds[:repeats], ratio, difference, reaction, persistent, samples, seed)
        facts = {"runs": f"{repeats} x 5", "difference": difference, "reaction": reaction, "persistent": persistent}
        rows.append(found.reset_index().assign(**facts))
    return pd.concat(rows, ignore_index=True)[[*facts, "test", "half_width", "decides"]]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="paper_repro.evidence.simulation", description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    reference = project_root() / "results" / "reference" / "scratch"
    sizes = spread(statistics.read_table(reference, "predictions.csv"))
    print(f"standard deviations: runs {100 * sizes.run:.2f} points, photographs {sizes.photograph:.3f}")
    print(table(reference, args.samples, args.seed).round(4).to_string(index=False))


if __name__ == "__main__":
    run_command(main)
