"""The tables beside the ledger: accuracies, gains per class, convergence, hours, what became of the first verdicts.

What the first edition asks of its own experiments, from ImageNet weights and of near-duplicates, stands here as well.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from paper_repro.evidence import statistics
from paper_repro.evidence.lines import NAMES
from paper_repro.evidence.reference import PLAN
from paper_repro.evidence.rules import FAMILIES
from paper_repro.evidence.statistics import KEPT, RUN, UNMEASURED, read_table, runs_of, verdict
from paper_repro.files import project_root
from paper_repro.keys import find_runs

# The contrasts of docs/protocol_first.md: experiment -> (a, b), read as b minus a.
PAIRS = {
    "scratch": [("none", "stage"), ("half", "stage"), ("none", "block"), ("block", "stage"), ("none", "half")],
    "transfer": [
        ("none", "stage"),
        ("none", "block"),
        ("none", "stage-identity"),
        ("none", "block-identity"),
        ("stage", "stage-identity"),
        ("block", "block-identity"),
    ],
}
# Claim of the first ledger -> the lines that took its place, and why its verdict may be another one now.
BECAME = {
    "C1": (["C1"], "two data sets and two repeats; one rate for all arms; tested alone, not with four others"),
    "C1, attention's part": (
        ["C1, attention's part", "C1, at convergence"],
        "asked of static gates and of a start at zero as well as of `half`; trained to the end",
    ),
    "C2": (["C2"], "two CNNs have five folds; all four must be beaten"),
    "C3, premise": (["C3, premise"], "networks are the sample, not photographs; beside gates paired at random"),
    "C3": (["C3", "C3, reuse"], "two data sets and two repeats; reuse is asked for by itself"),
    "C4, beside block": (["C4, beside block"], "as before"),
    "C4, beside none": (["C4, beside none"], "as before"),
    "C5": (
        ["C5, evidence for the class", "C5, the cause", "C5, on the object"],
        "three questions for one: the first edition asked only for the object, beside edges that were too weak",
    ),
}


def became(ledger: pd.DataFrame) -> pd.DataFrame:
    """What each verdict of the first edition, as committed, became: claim, first, now, why.

    Args:
        ledger: `lines.ledger`, of which a claim's line on both data sets counts.
    """
    first = pd.read_csv(project_root() / "results" / "reference" / "first_ledger.csv")
    now = ledger.drop_duplicates("claim", keep="last").set_index("claim")["verdict"]
    rows = []
    for claim, before in zip(first["claim"], first["verdict"], strict=True):
        lines, why = BECAME[claim]
        text = now[lines[0]] if len(lines) == 1 else "; ".join(f"{line}: {now[line]}" for line in lines)
        rows.append((claim, before, text, why))
    return pd.DataFrame(rows, columns=["claim", "first", "now", "why"])


def accuracies(folder: Path, groups: pd.Series) -> Iterator[pd.DataFrame]:
    """`statistics.arm_table` of an experiment, a table for all arms with the same number of runs, most runs first.

    Of `scratch`, the arms whose runs do not count in `trashnet`.
    """
    if not runs_of(folder, "predictions.csv"):
        return
    predictions = read_table(folder, "predictions.csv")
    if folder.name == "scratch":
        predictions = predictions[~predictions["arm"].isin(KEPT)]
    table = statistics.arm_table(predictions, groups)
    for _, part in sorted(table.groupby("runs"), key=lambda item: -item[0]):
        yield part


def by_class(reference: str | Path, groups: Mapping[str, pd.Series]) -> pd.DataFrame:
    """`statistics.gain_by_class` of the contrasts of networks, with data, a and b, where two runs or more are there."""
    tables = []
    for data, families in FAMILIES.items():
        folder = Path(reference, data)
        if not runs_of(folder, "predictions.csv"):
            continue
        predictions = read_table(folder, "predictions.csv")
        correct = statistics.correctness(predictions)
        for contrast in [*families["main"], *families["others"]]:
            both = correct.reindex(columns=[contrast.a, contrast.b]).dropna().index
            if both.droplevel("image").nunique() > 1:
                rows = predictions[predictions["repeat"].isin(contrast.repeats)]
                gain = statistics.gain_by_class(rows, contrast.a, contrast.b, groups[data])
                tables.append(gain.assign(data=data, a=contrast.a, b=contrast.b))
    columns = ["data", "a", "b", "class", "photographs", "runs", "difference", "low", "high", "contribution"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def converged(reference: str | Path) -> pd.DataFrame:
    """`statistics.convergence` of the long runs."""
    folder = Path(reference, "long")
    if not runs_of(folder, "history.csv"):
        return pd.DataFrame(columns=["arm", *RUN, "change", "converged"])
    return statistics.convergence(read_table(folder, "history.csv"))


def hours(reference: str | Path) -> pd.DataFrame:
    """Per row of the protocol's table of runs: new runs made, hours planned for all of them and spent so far."""
    rows = []
    for step in PLAN:
        facts = statistics.read_facts(Path(reference, step.folder))
        own = set(find_runs(Path(reference, step.folder), "environment.json"))
        made = [facts[run]["hours"] for run in step.runs if run in own]
        kept = sum(run in facts and run not in own for run in step.runs)
        rows.append((step.row, len(step.runs) - kept, len(made), step.hours, sum(made)))
    return pd.DataFrame(rows, columns=["row", "planned", "made", "hours_planned", "hours"])


def run_table(reference: str | Path) -> pd.DataFrame:
    """Every committed run, its hours of training and what they were spent on."""
    rows, columns = [], ("hours", "threads", "precision", "processor", "git_commit")
    for folder in sorted(path for path in Path(reference).iterdir() if path.is_dir()):
        own, facts = find_runs(folder, "environment.json"), statistics.read_facts(folder)
        rows += [(folder.name, *run, *(facts[run][name] for name in columns)) for run in own]
    return pd.DataFrame(rows, columns=["experiment", "arm", "repeat", "fold", *columns])


def transfer_answers(found: pd.DataFrame) -> pd.DataFrame:
    """What the contrasts of `PAIRS["transfer"]` say of gates that start near 0.5, and at 1, in a pretrained network."""
    pairs, rows = found.set_index(["a", "b"]).reindex(PAIRS["transfer"]), []
    for arm in ("stage", "block"):
        hurt, cured = pairs.loc[("none", arm)], pairs.loc[(arm, f"{arm}-identity")]
        worse = hurt.rename({"low": "high", "high": "low"})
        worse[["difference", "low", "high"]] *= -1
        rows.append((f"default gates (`{arm}`) hurt", f"{arm} minus none {difference(hurt)}", verdict(worse)))
        asks = f"identity gates (`{arm}-identity`) are better than default ones"
        rows.append((asks, f"{arm}-identity minus {arm} {difference(cured)}", verdict(cured)))
    return pd.DataFrame(rows, columns=["asks", "evidence", "verdict"])


def leakage(reference: str | Path, groups: pd.Series) -> pd.DataFrame:
    """The accuracy of `none` under the grouped and under a random split, over the runs that the random one has."""
    grouped, random = (read_table(Path(reference, name), "predictions.csv", "none") for name in ("scratch", "leakage"))
    both = {"grouped": grouped.merge(random[RUN].drop_duplicates()), "random": random}
    table = statistics.arm_table(pd.concat([part.assign(arm=split) for split, part in both.items()]), groups)
    names = {"arm": "split", "images": "images", "accuracy": "accuracy", "accuracy_low": "low", "accuracy_high": "high"}
    return table.rename(columns=names)[list(names.values())]


def difference(found: pd.Series) -> str:
    """A row of `statistics.contrasts` as text: +1.2 points [-0.3, +2.7], Holm p = 0.100."""
    value, low, high = (100 * found[name] for name in ("difference", "low", "high"))
    if np.isnan(value):
        return UNMEASURED
    if np.isnan(low):
        return f"{value:+.1f} points (one fold, no interval over folds)"
    return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}], Holm p = {found['p_holm']:.3f}"


def title(folder: str) -> str:
    """What an experiment's folder is called on a page."""
    more = {"long": "TrashNet, 90 epochs", "planted": "TrashNet, with stickers", "transfer": "from ImageNet weights"}
    more |= {"scratch": "TrashNet, first edition alone (`stage` at 0.045)"}
    return (NAMES | more)[folder]
