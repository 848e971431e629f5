"""The ledger of claims, and the pages that show it, from the committed files of the reference run."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from paper_repro import evaluate
from paper_repro.config import PLAIN_CNNS
from paper_repro.evidence import statistics
from paper_repro.evidence.reference import PLAN
from paper_repro.evidence.statistics import RUN, UNDECIDED, UNMEASURED, contrasts, judge, read_table, verdict
from paper_repro.files import atomic_write, project_root
from paper_repro.keys import find_runs
from paper_repro.photographs.folds import committed_folds
from paper_repro.workflow.processes import run_command

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
    """Each claim, our evidence, the verdict and what would decide it, from the folder of the reference run alone."""
    scratch = Path(reference, "scratch")
    predictions, ratio = read_table(scratch, "predictions.csv"), statistics.size_ratio(scratch)
    accuracy = _accuracies(predictions, groups)
    none, half, stage = (accuracy.get(arm, f"{arm} {UNMEASURED}") for arm in ("none", "half", "stage"))
    pairs = contrasts(predictions, PAIRS["scratch"], ratio).set_index(["a", "b"]).reindex(PAIRS["scratch"])
    gain, part, whole = (pairs.loc[pair] for pair in (("none", "stage"), ("half", "stage"), ("block", "stage")))
    limit = "" if np.isnan(whole["lower"]) else f"; one-sided limit {100 * whole['lower']:+.1f}"
    margin = f"{limit}, margin {-100 * statistics.MARGIN:.0f} points"
    better = f"{none}, {stage}; difference {_difference(gain)}", verdict(gain)
    own = f"{half}: no SE, branches times 0.5; stage minus half {_difference(part)}", verdict(part)
    gates, cnns = _premise(scratch, groups), _beside_cnns(predictions, ratio, groups)
    enough = f"stage minus block {_difference(whole)}{margin}", statistics.non_inferior(whole)
    costs, maps = [_cost(Path(reference, "cost.csv"), arm) for arm in ("block", "none")], _heat_maps(scratch, groups)
    rows = [
        ("C1", "SE in the stages improves on the plain ResNet50", *better, "more folds and seeds, other data sets"),
        ("C1, attention's part", "the gain comes from attention, not from smaller residual branches", *own, "as C1"),
        ("C2", "it beats traditional CNNs", *cnns, "five folds of every CNN, each with as much tuning as the ResNets"),
        ("C3, premise", "the attention needed inside one stage is consistent", *gates, "other data sets and networks"),
        ("C3", "one module per stage suffices", *enough, "more folds and seeds"),
        ("C4, beside block", "stage is lighter and faster than block", *costs[0], "other machines"),
        ("C4, beside none", "stage is lighter and faster than none", *costs[1], "other machines"),
        ("C5", "heat maps show what the model looks at", *maps, "masks instead of boxes, more data"),
    ]
    return pd.DataFrame(rows, columns=["claim", "reads", "evidence", "verdict", "would_decide"])


def _beside_cnns(predictions: pd.DataFrame, ratio: float, groups: pd.Series) -> tuple[str, str]:
    """Evidence and verdict of C2: `stage` is better than each plain CNN. Shown are the runs that all of them have."""
    correct = statistics.correctness(predictions)
    arms = [arm for arm in ("stage", *PLAIN_CNNS) if arm in correct]
    runs = correct[arms].dropna().index.droplevel("image").unique()
    if "stage" not in arms or len(arms) == 1 or runs.empty:
        return UNMEASURED, UNDECIDED
    pairs = contrasts(predictions, [(arm, "stage") for arm in arms[1:]], ratio)
    verdicts = pairs.apply(verdict, axis=1).tolist()
    found = judge(verdicts == ["supported"] * len(PLAIN_CNNS), "not supported" in verdicts)
    accuracy = _accuracies(predictions.merge(runs.to_frame(index=False)), groups)
    text = _names(runs) + (" alone: " if len(runs) == 1 else ": ") + ", ".join(accuracy[arm] for arm in arms)
    return text, found


def _premise(folder: Path, groups: pd.Series) -> tuple[str, str]:
    """Evidence and verdict of C3's premise: the blocks of a stage share half of the variation between photographs."""
    runs = find_runs(folder, "gates.csv*", "block")
    if not runs:
        return f"{UNMEASURED}: train the arm block", UNDECIDED
    agreement = statistics.gate_agreement(folder, groups)
    shares = "{row.Index}: within {row.within:.2f}, between {row.between:.2f}, specific {row.specific:.2f}"
    stages = [shares.format(row=row) for row in agreement.itertuples()]
    found = judge((agreement["specific_low"] > 0.5).all(), True, statistics.fewest_folds(runs))
    return f"gates of block: {'; '.join(stages)}", found


def _cost(file: Path, other: str) -> tuple[str, str]:
    """Evidence and verdict of C4 beside one other arm: `stage` has fewer parameters and is faster at every size."""
    if not file.exists():
        return f"{UNMEASURED}: run benchmarks/cost.py", UNDECIDED
    cost = pd.read_csv(file).sort_values(["image_size", "what"], kind="stable")
    size, beside = cost.groupby("arm")["parameters"].first(), cost[cost["arm"] == other]
    lighter = size["stage"] < size[other]
    faster, slower = (beside["stage_ratio_low"] > 1).all(), (beside["stage_ratio_high"] < 1).all()
    found = judge(lighter and faster, slower or not lighter)
    columns = ["stage_ratio", "stage_ratio_low", "stage_ratio_high"]
    speeds = [f"{row['what']} {row['image_size']} px {_interval(row[columns], '.2f')}" for _, row in beside.iterrows()]
    return f"{size['stage']:,} parameters, {other} {size[other]:,}; times as fast: {', '.join(speeds)}", found


def _heat_maps(folder: Path, groups: pd.Series) -> tuple[str, str]:
    """Evidence and verdict of C5 at the deepest layer with a grid of 6x6 or more."""
    none, stage = (find_runs(folder, "measures.csv.gz", arm) for arm in ("none", "stage"))
    if not none or not stage:
        return f"{UNMEASURED}: train the arms none and stage", UNDECIDED
    measures = read_table(folder, "measures.csv.gz").query("arm in ['none', 'stage']")
    sides = measures.drop_duplicates("layer").set_index("layer")["grid"].str.split("x").str[0].astype(int)
    layer = sides[sides >= 6].index[-1]
    table = statistics.heatmap_table(measures[measures["layer"] == layer], "box_gain", groups).set_index("arm")
    gains = []
    for arm, row in table.iterrows():
        margin = _interval(row[["margin", "low", "high"]], "+.3f")
        gains.append(f"{arm}: gain {row['gradcam']:.3f}, minus {row['best trivial']} {margin}")
    row = table.loc["stage"]
    text = f"{layer}, grid {row['grid']}, energy in the box minus its area: {'; '.join(gains)}"
    return text, judge(row["low"] > 0, row["high"] < 0, statistics.fewest_folds(stage))


def transfer_answers(found: pd.DataFrame) -> pd.DataFrame:
    """What the contrasts of `PAIRS["transfer"]` say of gates that start near 0.5, and at 1, in a pretrained network."""
    pairs, rows = found.set_index(["a", "b"]).reindex(PAIRS["transfer"]), []
    for arm in ("stage", "block"):
        hurt, cured = pairs.loc[("none", arm)], pairs.loc[(arm, f"{arm}-identity")]
        worse = hurt.rename({"low": "high", "high": "low"})
        worse[["difference", "low", "high"]] *= -1
        rows.append((f"default gates (`{arm}`) hurt", f"{arm} minus none {_difference(hurt)}", verdict(worse)))
        asks = f"identity gates (`{arm}-identity`) are better than default ones"
        rows.append((asks, f"{arm}-identity minus {arm} {_difference(cured)}", verdict(cured)))
    return pd.DataFrame(rows, columns=["asks", "evidence", "verdict"])


def leakage(reference: str | Path, groups: pd.Series) -> pd.DataFrame:
    """The accuracy of `none` under the grouped and under a random split, over the runs that the random one has."""
    grouped, random = (read_table(Path(reference, name), "predictions.csv", "none") for name in ("scratch", "leakage"))
    both = {"grouped": grouped.merge(random[RUN].drop_duplicates()), "random": random}
    table = statistics.arm_table(pd.concat([part.assign(arm=split) for split, part in both.items()]), groups)
    names = {"arm": "split", "images": "images", "accuracy": "accuracy", "accuracy_low": "low", "accuracy_high": "high"}
    return table.rename(columns=names)[list(names.values())]


def run_table(reference: str | Path) -> pd.DataFrame:
    """Every committed run, its hours of training and what they were spent on."""
    rows, columns = [], ("hours", "threads", "precision", "processor", "git_commit")
    for folder in sorted(path for path in Path(reference).iterdir() if path.is_dir()):
        for run, facts in statistics.read_facts(folder).items():
            rows.append((folder.name, *run, *(facts[name] for name in columns)))
    return pd.DataFrame(rows, columns=["experiment", "arm", "repeat", "fold", *columns])


def _difference(found: pd.Series, full: bool = True) -> str:
    """A row of `contrasts` as text: +1.2 points [-0.3, +2.7], Holm p = 0.100; only `full` has the unit and p."""
    value, low, high = (100 * found[name] for name in ("difference", "low", "high"))
    if np.isnan(value):
        return UNMEASURED
    interval = "(one fold, no interval over folds)" if np.isnan(low) else f"[{low:+.1f}, {high:+.1f}]"
    if not full:
        return f"{value:+.1f} {interval}"
    return f"{value:+.1f} points {interval}" + ("" if np.isnan(low) else f", Holm p = {found['p_holm']:.3f}")


def _interval(row: Iterable[float], form: str) -> str:
    value, low, high = row
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def _accuracies(predictions: pd.DataFrame, groups: pd.Series) -> dict[str, str]:
    """arm -> its name and accuracy as text."""
    table = statistics.arm_table(predictions, groups).set_index("arm")[["accuracy", "accuracy_low", "accuracy_high"]]
    return {arm: f"{arm} {_interval(row, '.1%')}" for arm, row in table.iterrows()}


def _names(runs: Iterable[tuple]) -> str:
    """Runs (..., repeat, fold) as text: fold 0; folds 0, 1; folds 0, 1 of repeats 0, 1."""
    *_, repeats, folds = (", ".join(map(str, sorted(set(values)))) for values in zip(*runs, strict=True))
    text = f"folds {folds}" if "," in folds else f"fold {folds}"
    return text if repeats == "0" else f"{text} of repeats {repeats}"


def _markdown_table(head: tuple[str, ...], rows: Iterable[Iterable]) -> list[str]:
    """A Markdown table's lines, after an empty one."""
    first, *rest = (f"| {' | '.join(map(str, cells))} |" for cells in (head, *rows))
    return ["", first, "|" + "---|" * len(head), *rest]


def markdown(reference: str | Path, groups: pd.Series) -> str:
    """README's generated part: the ledger, accuracies and contrasts per experiment, near-duplicates, hours."""
    claims = ledger(reference, groups).itertuples()
    rows = [(f"**{row.claim}**: {row.reads}", f"**{row.verdict}**", row.evidence) for row in claims]
    lines, found = _markdown_table(("claim", "what it comes to here", "evidence"), rows), {}
    for name, pairs in PAIRS.items():
        folder = Path(reference, name)
        if find_runs(folder, "predictions.csv"):
            predictions = read_table(folder, "predictions.csv")
            found[name] = contrasts(predictions, pairs, statistics.size_ratio(folder))
            lines += _accuracy_table(name, statistics.arm_table(predictions, groups), found[name])
    if "transfer" in found:
        answers = transfer_answers(found["transfer"]).itertuples()
        rows = [(row.asks, f"**{row.verdict}**", row.evidence) for row in answers]
        lines += _markdown_table(("from ImageNet weights", "what it comes to here", "evidence"), rows)
    if random := find_runs(Path(reference, "leakage"), "predictions.csv", "none"):
        table = leakage(reference, groups)[["accuracy", "low", "high"]]
        apart, mixed = (_interval(row, ".1%") for row in table.itertuples(index=False))
        beside = f"{mixed} under a random split (other test photographs, so not paired)"
        lines += ["", f"Near-duplicates: `none` on {_names(random)} has {apart} where groups stay together, {beside}."]
    made = run_table(reference)
    planned = sum(len(step.arms) * len(step.folds) * len(step.repeats) for step in PLAN)
    state = "is finished" if len(made) >= planned else "is under way"
    hours = f"{made['hours'].sum():.1f} hours of training on one core each"
    return "\n".join([*lines[1:], "", f"The reference run {state}: {len(made)} of {planned} runs, {hours}."])


def _accuracy_table(experiment: str, table: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    """The lines of an experiment's table: accuracy and macro-F1 per arm, and its difference from `none`."""
    gains, rows = found[found["a"] == "none"].set_index("b"), []
    for _, row in table.iterrows():
        scores = (100 * row[[name, f"{name}_low", f"{name}_high"]] for name in ("accuracy", "macro_f1"))
        gain = _difference(gains.loc[row["arm"]], full=False) if row["arm"] in gains.index else "–"
        rows.append((f"`{row['arm']}`", row["runs"], *(_interval(score, ".1f") for score in scores), gain))
    return _markdown_table((experiment, "runs", "accuracy, %", "macro-F1, %", "minus `none`, points"), rows)


def model_card(reference: str | Path) -> str:
    """The model card's generated part: scores of `stage` per class, and what each is most often taken for."""
    stage = read_table(Path(reference, "scratch"), "predictions.csv", "stage")
    classes, folds, repeats = statistics.classes_of(stage), stage["fold"].nunique(), stage["repeat"].nunique()
    confusion, rows = evaluate.confusion(stage, classes), []
    for name, row in evaluate.metrics(stage, classes)["per_class"].items():
        others = confusion.loc[name].drop(name)
        taken = f"{others.idxmax()} ({others.max()})" if others.any() else "–"
        rows.append((name, row["support"], *(f"{100 * row[key]:.1f}" for key in ("precision", "recall", "f1")), taken))
    runs = f"{folds} of {statistics.FOLDS} folds" + (f", {repeats} repeats" if repeats > 1 else "")
    seen = f"{stage['image'].nunique()} photographs, each predicted by a network that never saw it"
    columns = ("class", "photographs", "precision, %", "recall, %", "F1, %", "most often taken for")
    return "\n".join([f"`stage`, ResNet50 from scratch, {runs}, {seen}:", *_markdown_table(columns, rows)])


def with_part(text: str, name: str, part: str) -> str:
    """A page's text with its generated part of this name replaced."""
    begin, end = f"<!-- {name}: generated by python -m paper_repro.evidence.ledger -->", f"<!-- end of {name} -->"
    before, rest = text.split(begin)
    return f"{before}{begin}\n{part}\n{end}{rest.split(end)[1]}"


def generated(root: Path, reference: Path, groups: pd.Series) -> dict[Path, str]:
    """ledger.csv and the pages that hold generated parts, as they must read."""
    readme, card = root / "README.md", root / "docs" / "model_card.md"
    return {
        reference / "ledger.csv": ledger(reference, groups).to_csv(index=False),
        readme: with_part(readme.read_text(encoding="utf-8"), "results", markdown(reference, groups)),
        card: with_part(card.read_text(encoding="utf-8"), "model card", model_card(reference)),
    }


def main() -> None:
    """Writes results/reference/ledger.csv and the generated parts of README and of the model card."""
    root, groups = project_root(), committed_folds("trashnet").set_index("image")["group"]
    for page, text in generated(root, root / "results" / "reference", groups).items():
        with atomic_write(page) as path:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_command(main)
