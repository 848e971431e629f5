"""The rules of docs/protocol.md, second edition: families of contrasts, the level of each, verdicts, power.

python -m paper_repro.evidence.rules    # what the first edition's runs say under them: results/reference/second_rules
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import brentq

from paper_repro.evidence import statistics
from paper_repro.evidence.statistics import FOLDS, LEVEL, MARGIN, RUN, UNDECIDED, Estimate, judge
from paper_repro.files import ReproError, atomic_write, project_root
from paper_repro.photographs.folds import committed_folds
from paper_repro.workflow.processes import run_command

POWER = 0.8
PERSISTENT = 0.5  # of a photograph's variance, where one repeat cannot tell how much of it the next one repeats
MOST_REPEATS = 100  # a line that needs more counts as one that no number of repeats decides


class Contrast(NamedTuple):
    """Accuracy of arm `b` minus that of arm `a`: is b better, or (`no_worse`) at most MARGIN worse?"""

    a: str
    b: str
    repeats: tuple[int, ...] = (0,)  # planned, of five folds each: a part of them decides nothing, others do not count
    no_worse: bool = False


MAIN = (Contrast("none", "stage", (0, 1)),)
OTHERS = (
    Contrast("half", "stage", (0, 1)),
    Contrast("none-zero", "stage"),
    Contrast("none", "half", (0, 1)),
    Contrast("none", "block", (0, 1)),
    Contrast("block", "stage", (0, 1), no_worse=True),
    Contrast("stage_recompute", "stage", no_worse=True),
)
CNNS = (Contrast("densenet121", "stage"), Contrast("mobilenet_v3_large", "stage"))
LONG, LONG_BESIDE = (Contrast("none", "stage"),), (Contrast("half", "stage"),)  # 90 epochs; the second decides nothing
STATIC = ", static gates"  # after an arm's name: its networks with their gates' means over the training photographs
STATIC_GATES = (Contrast(f"stage{STATIC}", "stage", (0, 1)), Contrast(f"block{STATIC}", "block", (0, 1)))
# Of the first edition's networks no weights are left, so that `block` is measured in repeat 1 alone.
STATIC_GATES_TRASHNET = (STATIC_GATES[0], STATIC_GATES[1]._replace(repeats=(1,)))
# Data set -> its families, each Holm-corrected on its own. The controls and the CNNs are planned on TrashNet alone.
FAMILIES = {
    "waste8": {
        "main": MAIN,
        "others": tuple(contrast for contrast in OTHERS if len(contrast.repeats) == 2),
        "static gates": STATIC_GATES,
    },
    "trashnet": {
        "main": MAIN,
        "others": OTHERS,
        "cnns": CNNS,
        "static gates": STATIC_GATES_TRASHNET,
        "long": LONG,
        "long, beside": LONG_BESIDE,
    },
}
CONFIRMATORY = ("waste8", "none", "stage")  # photographs unseen when the protocol was written


def check_machines(facts: Mapping[tuple[str, int, int], dict], family: Sequence[Contrast]) -> None:
    """Raises a ReproError where two arms of a contrast were trained on one fold by different types of machine.

    Args:
        facts: `statistics.read_facts` of an experiment's folder.
    """
    for contrast in family:
        for (arm, repeat, fold), own in facts.items():
            other = facts.get((contrast.b, repeat, fold))
            if arm != contrast.a or other is None:
                continue
            for name in ("precision", "processor"):
                if own[name] != other[name]:
                    raise ReproError(
                        f"repeat {repeat}, fold {fold}: {arm} was trained with {name} {own[name]}, {contrast.b} with "
                        f"{other[name]}: train both on one type of machine"
                    )


def family_table(
    correct: pd.DataFrame, family: Sequence[Contrast], groups: pd.Series, size_ratio: float
) -> pd.DataFrame:
    """A family's contrasts on one data set, with the verdict of each.

    Args:
        correct: `statistics.correctness`, a column per arm.
        groups: image -> near-duplicate group; size_ratio: `statistics.size_ratio`.

    Returns:
        A row per contrast: a, b, asks ("better" or "no worse"); runs, folds (of the planned repeat with the fewest),
        photographs; difference (of `statistics.two_way`); level of the test; low and high, the interval at that level
        (one-sided for "no worse": each limit has that level); p; p_holm (NaN before all planned runs are there);
        verdict. Beside it, deciding nothing: new_low, new_high and new_p of the corrected resampled t-test ("new
        training sets", same level, p not corrected); better, within, worse, its posterior probabilities with regard to
        -+MARGIN; detectable, the difference that would have been seen with 80 % power; more_repeats, more_photographs
        (`needed`), where it is undecided. NaN where it cannot be said.
    """
    found = []
    for contrast in family:
        there = {contrast.a, contrast.b} <= set(correct)
        gain = (correct[contrast.b] - correct[contrast.a]).dropna() if there else pd.Series(index=correct.index[:0])
        gain = gain[gain.index.get_level_values("repeat").isin(contrast.repeats)].astype(float)
        new = statistics.resampled(gain.groupby(RUN).mean().to_numpy(), size_ratio)
        found.append((contrast, gain, statistics.two_way(gain, groups), new))
    folds = [planned_folds(gain, contrast.repeats) for contrast, gain, *_ in found]
    p = np.array([_p(contrast, estimate) for contrast, _, estimate, _ in found])
    p_holm, levels = statistics.holm(np.where(np.array(folds) == FOLDS, p, np.nan))
    rows = []
    for i, ((contrast, gain, estimate, new), level) in enumerate(zip(found, levels, strict=True)):
        coverage = 2 * level if contrast.no_worse else level
        (low, high), (new_low, new_high) = estimate.interval(coverage), new.interval(coverage)
        row: dict[str, Any] = {"a": contrast.a, "b": contrast.b, "asks": "no worse" if contrast.no_worse else "better"}
        row |= {"runs": estimate.freedom + 1, "folds": folds[i], "photographs": len(gain)}
        row |= {"difference": estimate.value, "level": level, "low": low, "high": high, "p": p[i]}
        row["p_holm"] = p_holm[i] if folds[i] == FOLDS else np.nan
        row["verdict"] = _verdict(row)
        row |= {"new_low": new_low, "new_high": new_high, "new_p": _p(contrast, new), "better": new.above(MARGIN)}
        row |= {"within": new.above(-MARGIN) - new.above(MARGIN), "worse": 1 - new.above(-MARGIN)}
        row |= dict.fromkeys(("detectable", "more_repeats", "more_photographs"), np.nan)
        if estimate.freedom > 0:
            row["detectable"] = noncentrality(estimate.freedom, level, contrast.no_worse) * estimate.error
            if row["verdict"] == UNDECIDED and row["folds"] == FOLDS:
                row["more_repeats"], row["more_photographs"] = needed(contrast, gain, groups, level)
        rows.append(row)
    return pd.DataFrame(rows)


def _p(contrast: Contrast, estimate: Estimate) -> float:
    """Two-sided against no difference, or one-sided against -MARGIN."""
    return 1 - estimate.above(-MARGIN) if contrast.no_worse else estimate.p()


def planned_folds(gain: pd.Series, repeats: tuple[int, ...]) -> int:
    """The number of folds in the planned repeat that has the fewest, of values whose index names repeat and fold."""
    counts = gain.groupby(RUN).size().groupby("repeat").size()
    return int(counts.reindex(repeats, fill_value=0).min())


def _verdict(row: Mapping) -> str:
    """The verdict on "better" or "no worse", as the table of docs/protocol.md has it."""
    rejected = row["p_holm"] <= LEVEL
    if row["asks"] == "no worse":
        return judge(rejected, row["high"] < -MARGIN, row["folds"])
    return judge(rejected and row["difference"] > 0, rejected or row["high"] < MARGIN, row["folds"])


def all_of(verdicts: Iterable[str]) -> str:
    """The verdict on a claim of several parts, such as C2, one part per CNN: all must hold, and one can refute it."""
    found = set(verdicts)
    return judge(found == {"supported"}, "not supported" in found)


def general(verdicts: Mapping[str, str]) -> str:
    """The verdict over data sets: one for all of `FAMILIES` where they agree, else it names the data it holds for.

    Args:
        verdicts: data set -> verdict on the same claim.
    """
    decided = {data: verdict for data, verdict in verdicts.items() if verdict != UNDECIDED}
    if not decided:
        return UNDECIDED
    if set(decided) == set(FAMILIES) and len(set(decided.values())) == 1:
        return next(iter(decided.values()))
    return ", ".join(f"{verdict} on {data}" for data, verdict in decided.items())


def status(data: str, a: str, b: str) -> str:
    """Whether a contrast was named before its photographs were seen."""
    return "confirmatory" if (data, a, b) == CONFIRMATORY else "exploratory"


def noncentrality(freedom: int, level: float, one_sided: bool = False) -> float:
    """How many standard errors a true difference needs for 80 % power at this level."""
    critical = float(stats.t.ppf(1 - (level if one_sided else level / 2), freedom))
    return float(brentq(lambda shift: stats.nct.sf(critical, freedom, shift) - POWER, 0, 10 * critical))


def needed(contrast: Contrast, gain: pd.Series, groups: pd.Series, level: float) -> tuple[float, float]:
    """How many repeats, or else photographs, would decide an undecided line with 80 % power at its level.

    The observed difference is taken for the true one; it must clear 0 or the MARGIN, whichever is farther (for "no
    worse": -MARGIN). The variance of the mean has three parts: photographs that answer alike in every repeat, the
    rest of the photographs, and runs. Repeats make the last two smaller, photographs the first two.

    Args:
        gain: paired differences, index (repeat, fold, image), of two runs or more.

    Returns:
        repeats with today's photographs; photographs with today's runs. inf where no number would do.
    """
    mean, runs, found = gain.mean(), len(gain.groupby(RUN)), statistics.variances(gain, groups)
    repeats, images = gain.index.unique("repeat").size, gain.index.unique("image").size
    distance = abs(mean + MARGIN) if contrast.no_worse else max(abs(mean), MARGIN - mean)
    photographs, lasting = repeats * found.cell, PERSISTENT * repeats * found.cell  # variances in one repeat
    if repeats > 1:
        lasting = min(max(0.0, repeats * (found.group - found.cell) / (repeats - 1)), photographs)
    passing = photographs - lasting
    run = max(0.0, found.two_way - lasting - passing / repeats) * runs

    def allowed(k: int) -> float:  # the largest variance with which k runs would decide
        return (distance / noncentrality(k - 1, level, contrast.no_worse)) ** 2

    def decides(more: int) -> bool:
        k = runs * more // repeats
        return lasting + passing / more + run / k <= allowed(k)

    room = allowed(runs) - run / runs
    factor = (lasting + passing / repeats) / room if room > 0 else np.inf
    return next(filter(decides, range(repeats, MOST_REPEATS + 1)), np.inf), float(np.ceil(images * factor))


def repeats_needed(found: Estimate, bound: float, level: float) -> float:
    """How many repeats of five networks would show with 80 % power that a mean over networks is not `bound`, if the one
    that was found is the true one; inf where MOST_REPEATS would not do."""
    spread = found.error * (found.freedom + 1) ** 0.5

    def decides(repeats: int) -> bool:
        k = FOLDS * repeats
        return noncentrality(k - 1, level) * spread / k**0.5 <= abs(found.value - bound)

    return next(filter(decides, range(1, MOST_REPEATS + 1)), np.inf)


def kept_runs(reference: Path, groups: pd.Series) -> dict[str, pd.DataFrame]:
    """What the first edition's runs on TrashNet say under these rules where they can: file name -> table.

    They are one repeat, so one repeat is asked of every contrast. All of it is exploratory, and `stage` and
    `stage_recompute` have the first edition's learning rate.
    """
    folder = reference / "scratch"
    predictions, ratio = statistics.read_table(folder, "predictions.csv"), statistics.size_ratio(folder)
    facts, tables = statistics.read_facts(folder), []
    correct = statistics.correctness(predictions)
    for name in ("main", "others", "cnns"):
        family = [contrast._replace(repeats=(0,)) for contrast in FAMILIES["trashnet"][name]]
        check_machines(facts, family)
        table = family_table(correct, family, groups, ratio)
        table.insert(0, "status", [status("trashnet", row.a, row.b) for row in table.itertuples()])
        table.insert(0, "family", name)
        tables.append(table)
    pairs = [(contrast.a, contrast.b) for contrast in (*MAIN, *OTHERS) if len(contrast.repeats) == 2]
    gains = [statistics.gain_by_class(predictions, a, b, groups).assign(a=a, b=b) for a, b in pairs]
    return {
        "contrasts.csv": pd.concat(tables, ignore_index=True),
        "by_class.csv": pd.concat(gains, ignore_index=True).set_index(["a", "b"]).reset_index(),
        "convergence.csv": statistics.convergence(statistics.read_table(folder, "history.csv")),
    }


def main() -> None:
    """Writes results/reference/second_rules and prints its tables."""
    reference, groups = (
        project_root() / "results" / "reference",
        committed_folds("trashnet").set_index("image")["group"],
    )
    for name, table in kept_runs(reference, groups).items():
        with atomic_write(reference / "second_rules" / name) as path:
            table.to_csv(path, index=False, float_format="%.6g")
        print(f"\n{name}\n{table.round(4).to_string(index=False)}")


if __name__ == "__main__":
    run_command(main)
