"""The ledger of claims, and the pages that show it, from the committed files of the reference run."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from paper_repro import evaluate
from paper_repro.config import PLAIN_CNNS
from paper_repro.evidence.reference import PLAN
from paper_repro.evidence.statistics import (
    FOLDS,
    MARGIN,
    UNDECIDED,
    UNMEASURED,
    arm_table,
    classes_of,
    contrasts,
    facts_of,
    gate_agreement,
    heatmap_table,
    non_inferior,
    of_all_runs,
    points,
    read_measures,
    read_runs,
    right,
    size_ratio,
    verdict,
    with_all,
)
from paper_repro.files import ReproError, atomic_write, project_root
from paper_repro.photographs.folds import committed_folds

# ---- the ledger ---------------------------------------------------------------------------------------------------

# The contrasts of docs/protocol.md: experiment -> (a, b), read as b minus a.
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


def ledger(reference: str | Path, groups: pd.Series) -> pd.DataFrame:
    """claim, reads, evidence, verdict and would_decide for C1 to C5, from the files of the reference run alone. What is
    missing among them is "not measured yet", which decides nothing.

    Args:
        reference: a folder with scratch/ARM/foldK and cost.csv (`benchmarks/cost.py`).
        groups: near-duplicate group of every photograph.
    """
    reference = Path(reference)
    predictions = read_runs(reference / "scratch")
    table = arm_table(predictions, groups).set_index("arm")
    share = size_ratio(reference / "scratch")
    pairs = _by_pair(predictions, PAIRS["scratch"], share)
    row, part, against_block = (pairs.loc[pair] for pair in (("none", "stage"), ("half", "stage"), ("block", "stage")))

    one_sided = "" if np.isnan(against_block["lower"]) else f"; one-sided limit {100 * against_block['lower']:+.1f}"
    lines = [
        (
            "C1",
            "SE in the stages improves on the plain ResNet50",
            f"{_accuracy(table, 'none')}, {_accuracy(table, 'stage')}; difference {_difference(row)}",
            verdict(row),
            "more folds and seeds, other data sets",
        ),
        (
            "C1, attention's part",
            "the gain comes from attention, not from smaller residual branches",
            f"{_accuracy(table, 'half')}: no SE, branches times 0.5; stage minus half {_difference(part)}",
            verdict(part),
            "as C1",
        ),
        _cnn_line(predictions, share, groups),
        _premise_line(reference / "scratch", groups),
        (
            "C3",
            "one module per stage suffices",
            f"stage minus block {_difference(against_block)}{one_sided}, margin {-100 * MARGIN:.0f} points",
            non_inferior(against_block),
            "more folds and seeds",
        ),
        *_cost_lines(reference / "cost.csv"),
        _heatmap_line(reference / "scratch", groups),
    ]
    return pd.DataFrame(lines, columns=["claim", "reads", "evidence", "verdict", "would_decide"])


def _by_pair(predictions, pairs, share):
    """`contrasts` by (a, b), with an empty row for a pair that was not run."""
    return contrasts(predictions, pairs, share).set_index(["a", "b"]).reindex(pairs)


def _difference(row):
    """A row of `contrasts` as text."""
    text = points(row["difference"], row["low"], row["high"])
    return text if np.isnan(row["p_holm"]) else f"{text}, Holm p = {row['p_holm']:.3f}"


def _accuracy(table, arm):
    """An arm of `arm_table` as text."""
    if arm not in table.index:
        return f"{arm} {UNMEASURED}"
    found = table.loc[arm]
    return f"{arm} {found['accuracy']:.1%} [{found['accuracy_low']:.1%}, {found['accuracy_high']:.1%}]"


def _cnn_line(predictions, share, groups):
    """C2: `stage` is better than each of the plain CNNs. What is shown are the folds that all of them have."""
    claim = "C2", "it beats traditional CNNs"
    wanted = "five folds of every CNN, each with as much tuning as the ResNets"
    seen = right(predictions)
    arms = [arm for arm in ("stage", *PLAIN_CNNS) if arm in seen]
    folds = list(seen[arms].dropna().index.unique("fold"))
    if "stage" not in arms or len(arms) == 1 or not folds:
        return *claim, UNMEASURED, UNDECIDED, wanted
    verdicts = list(contrasts(predictions, [(arm, "stage") for arm in arms[1:]], share).apply(verdict, axis=1))
    if verdicts == ["supported"] * len(PLAIN_CNNS):
        found = "supported"
    else:
        found = "not supported" if "not supported" in verdicts else UNDECIDED
    table = arm_table(predictions[predictions["fold"].isin(folds)], groups).set_index("arm")
    where = f"fold {folds[0]} alone" if len(folds) == 1 else f"folds {', '.join(map(str, folds))}"
    return *claim, f"{where}: " + ", ".join(_accuracy(table, arm) for arm in arms), found, wanted


def _premise_line(folder, groups):
    """C3's premise: half of the variation between photographs is shared by the blocks of a stage."""
    claim = "C3, premise", "the attention needed inside one stage is consistent"
    runs = of_all_runs(folder, "gates.csv*", "block")
    if not runs:
        return *claim, UNMEASURED, UNDECIDED, "the arm block"
    agreement = gate_agreement(folder, groups)
    found = "; ".join(
        f"{stage}: within {m['within']:.2f}, between {m['between']:.2f}, specific {m['specific']:.2f}"
        for stage, m in agreement.iterrows()
    )
    verdict = "supported" if (agreement["specific_low"] > 0.5).all() else "not supported"
    verdict = with_all(len(runs), verdict)
    return *claim, f"gates of block: {found}", verdict, "other data sets and networks"


def _cost_lines(file):
    """C4 in its two halves: beside a module per block, and beside none at all."""
    if not file.exists():
        yield "C4", "stage is lighter and faster", UNMEASURED, UNDECIDED, "benchmarks/cost.py"
        return
    cost = pd.read_csv(file)
    size = cost.set_index("arm")["parameters"].groupby(level=0).first()
    for other in ("block", "none"):
        speeds = []
        for (px, what), part in cost.groupby(["image_size", "what"]):
            beside = part.set_index("arm")
            ratio, low, high = beside.loc[other, ["stage_ratio", "stage_ratio_low", "stage_ratio_high"]]
            speeds.append((low, high, f"{what} {px} px {ratio:.2f} [{low:.2f}, {high:.2f}]"))
        lighter = size["stage"] < size[other]
        faster, slower = (
            all(test(*speed[:2]) for speed in speeds)
            for test in (lambda low, high: low > 1, lambda low, high: high < 1)
        )
        refuted = slower or not lighter
        found = "supported" if lighter and faster else "not supported" if refuted else UNDECIDED
        yield (
            "C4, beside " + other,
            f"stage is lighter and faster than {other}",
            f"{size['stage']:,} parameters, {other} {size[other]:,}; times as fast: "
            + ", ".join(speed[2] for speed in speeds),
            found,
            "other machines",
        )


def _heatmap_line(folder, groups):
    """C5 at the deepest layer with a grid of 6x6 or more."""
    claim = "C5", "heat maps show what the model looks at"
    if not all(of_all_runs(folder, "measures.csv*", arm) for arm in ("none", "stage")):
        return *claim, UNMEASURED, UNDECIDED, "the arms none and stage"
    measures = read_measures(folder)
    measures = measures[measures["arm"].isin(["none", "stage"])]
    sides = measures.drop_duplicates("layer").set_index("layer")["grid"].str.split("x").str[0].astype(int)
    layer = sides[sides >= 6].index[-1]
    found = heatmap_table(measures[measures["layer"] == layer], "box_gain", groups).set_index("arm")
    parts = [
        f"{arm}: gain {row['gradcam']:.3f}, minus {row['best trivial']} {row['margin']:+.3f} [{row['low']:+.3f}, "
        f"{row['high']:+.3f}]"
        for arm, row in found.loc[["none", "stage"]].iterrows()
    ]
    row = found.loc["stage"]
    verdict = "supported" if row["low"] > 0 else "not supported" if row["high"] < 0 else UNDECIDED
    verdict = with_all(measures[measures["arm"] == "stage"]["fold"].nunique(), verdict)
    return (
        *claim,
        f"{layer}, grid {row['grid']}, energy in the box minus its area: " + "; ".join(parts),
        verdict,
        "masks instead of boxes, more data",
    )


def transfer_answers(reference: str | Path) -> pd.DataFrame:
    """asks, evidence and verdict: does a gate that starts near 0.5 hurt a pretrained network, and is one that starts at
    the identity better? No claim of the abstract; judged by the rules and within the contrasts of docs/protocol.md.
    """
    folder = Path(reference) / "transfer"
    found = _by_pair(read_runs(folder), PAIRS["transfer"], size_ratio(folder))
    rows = []
    for arm in ("stage", "block"):
        hurt, cured = found.loc[("none", arm)], found.loc[(arm, f"{arm}-identity")]
        worse = hurt.copy()
        worse[["difference", "low", "high"]] = -hurt[["difference", "high", "low"]].to_numpy()
        rows += [
            (f"default gates (`{arm}`) hurt", f"{arm} minus none {_difference(hurt)}", verdict(worse)),
            (
                f"identity gates (`{arm}-identity`) are better than default ones",
                f"{arm}-identity minus {arm} {_difference(cured)}",
                verdict(cured),
            ),
        ]
    return pd.DataFrame(rows, columns=["asks", "evidence", "verdict"])


def leakage(reference: str | Path, groups: pd.Series) -> pd.DataFrame:
    """What near-duplicates are worth: the arm `none` on fold 0 under the grouped and under a random split, a row each
    (split, images, accuracy, low, high). The test photographs differ, so the rows are not paired; with one fold each
    they are an estimate of this split's leak, not a test.

    Raises:
        ReproError: one of the two runs is missing.
    """
    rows = []
    for split, experiment in (("grouped", "scratch"), ("random", "leakage")):
        table = read_runs(Path(reference) / experiment)
        part = table[(table["arm"] == "none") & (table["fold"] == 0)]
        found = evaluate.metrics(part, classes_of(table), groups)
        rows.append(
            {
                "split": split,
                "images": len(part),
                "accuracy": found["accuracy"],
                "low": found["accuracy_interval"][0],
                "high": found["accuracy_interval"][1],
            }
        )
    return pd.DataFrame(rows)


def hours(reference: str | Path) -> pd.DataFrame:
    """Every committed run: experiment, arm, fold, hours of training, threads, precision, processor, git_commit."""
    columns = ("arm", "fold", "hours", "threads", "precision", "processor", "git_commit")
    experiments = sorted(folder for folder in Path(reference).iterdir() if folder.is_dir())
    return pd.DataFrame(
        [
            {"experiment": folder.name} | {name: facts[name] for name in columns}
            for folder in experiments
            for facts in facts_of(folder)
        ]
    )


# ---- README -------------------------------------------------------------------------------------------------------

BEGIN, END = "<!-- results: generated by python -m paper_repro.evidence.ledger -->", "<!-- end of results -->"
CARD = "<!-- model card: generated by python -m paper_repro.evidence.ledger -->", "<!-- end of model card -->"


def markdown(reference: str | Path, groups: pd.Series) -> str:
    """The ledger and one table of accuracies per experiment."""
    lines = ["| claim | what it comes to here | evidence |", "|---|---|---|"]
    lines += [
        f"| **{row['claim']}**: {row['reads']} | **{row['verdict']}** | {row['evidence']} |"
        for _, row in ledger(reference, groups).iterrows()
    ]
    for name, pairs in PAIRS.items():
        if not any(Path(reference, name).glob("*/fold*/predictions.csv")):
            continue
        predictions = read_runs(Path(reference, name))
        beside = contrasts(predictions, pairs, size_ratio(Path(reference, name)))
        beside = beside[beside["a"] == "none"].set_index("b")
        lines += ["", f"| {name} | folds | accuracy, % | macro-F1, % | minus `none`, points |", "|---|---|---|---|---|"]
        for _, row in arm_table(predictions, groups).iterrows():
            scores = [
                f"{100 * row[key]:.1f} [{100 * row[f'{key}_low']:.1f}, {100 * row[f'{key}_high']:.1f}]"
                for key in ("accuracy", "macro_f1")
            ]
            gain = "–"
            if row["arm"] in beside.index:
                found = beside.loc[row["arm"]]
                gain = points(found["difference"], found["low"], found["high"]).replace(" points", "", 1)
            lines.append(f"| `{row['arm']}` | {row['folds']} | {scores[0]} | {scores[1]} | {gain} |")
    if any(Path(reference, "transfer").glob("*/fold*/predictions.csv")):
        lines += ["", "| from ImageNet weights | what it comes to here | evidence |", "|---|---|---|"]
        lines += [
            f"| {row['asks']} | **{row['verdict']}** | {row['evidence']} |"
            for _, row in transfer_answers(reference).iterrows()
        ]
    if any(Path(reference, "leakage").glob("none/fold0/predictions.csv")):
        grouped, random = (
            f"{row['accuracy']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"
            for _, row in leakage(reference, groups).iterrows()
        )
        lines += [
            "",
            f"Near-duplicates: `none` on fold 0 has {grouped} where groups stay together, {random} under a "
            "random split (other test photographs, so not paired).",
        ]
    runs, planned = hours(reference), sum(len(step.arms) * len(step.folds) for step in PLAN)
    state = "The reference run is finished" if len(runs) >= planned else "The reference run is under way"
    spent = runs["hours"].sum()
    lines += ["", f"{state}: {len(runs)} of {planned} runs, {spent:.1f} hours of training on one core each."]
    return "\n".join(lines)


def model_card(reference: str | Path) -> str:
    """Per class precision, recall and F1 of `stage` over its folds, and what it is most often taken for."""
    table = read_runs(Path(reference) / "scratch")
    stage = table[table["arm"] == "stage"]
    classes = classes_of(stage)
    found = evaluate.metrics(stage, classes)
    lines = [
        f"`stage`, ResNet50 from scratch, {stage['fold'].nunique()} of {FOLDS} folds, {len(stage)} photographs, "
        "each predicted by a network that never saw it:",
        "",
        "| class | photographs | precision, % | recall, % | F1, % | most often taken for |",
        "|---|---|---|---|---|---|",
    ]
    for number, (name, row) in enumerate(found["per_class"].items()):
        others = np.array(found["confusion"][number])
        others[number] = 0
        taken = f"{classes[others.argmax()]} ({others.max()})" if others.any() else "–"
        scores = " | ".join(f"{100 * row[key]:.1f}" for key in ("precision", "recall", "f1"))
        lines.append(f"| {name} | {row['support']} | {scores} | {taken} |")
    return "\n".join(lines)


def with_part(text: str, part: str, begin: str = BEGIN, end: str = END) -> str:
    """A page's text with its generated part replaced."""
    before, rest = text.split(begin)
    return f"{before}{begin}\n{part}\n{end}{rest.split(end)[1]}"


def main() -> None:
    """Writes results/reference/ledger.csv and the generated parts of README and of the model card."""
    root = project_root()
    reference = root / "results" / "reference"
    groups = committed_folds("trashnet").set_index("image")["group"]
    with atomic_write(reference / "ledger.csv") as path:
        ledger(reference, groups).to_csv(path, index=False)
    for page, part in generated(root, reference, groups).items():
        with atomic_write(page) as path:
            path.write_text(part, encoding="utf-8")


def generated(root: Path, reference: Path, groups: pd.Series) -> dict[Path, str]:
    """The pages that hold generated parts, as they must read."""
    readme, card = root / "README.md", root / "docs" / "model_card.md"
    return {
        readme: with_part(readme.read_text(encoding="utf-8"), markdown(reference, groups)),
        card: with_part(card.read_text(encoding="utf-8"), model_card(reference), *CARD),
    }


if __name__ == "__main__":
    try:
        main()
    except ReproError as error:
        sys.exit(f"error: {error}")
