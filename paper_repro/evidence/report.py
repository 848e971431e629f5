"""What `reproduce` found, in words: a page for somebody who has trained the arms on photographs of their own."""

import json
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from paper_repro import evaluate, webpage
from paper_repro.config import ARMS, load_profile
from paper_repro.data import load_dataset
from paper_repro.evidence import statistics
from paper_repro.evidence.statistics import LEVEL, MARGIN
from paper_repro.files import atomic_write
from paper_repro.keys import run_folder
from paper_repro.workflow.reproduce import SETTINGS

REFERENCE = "none"


def accuracy_finding(arm: str, accuracy: float, low: float, high: float, chance: float) -> str:
    """A sentence on one arm's accuracy with its 95 % interval, beside always naming the most frequent class."""
    found = f"The arm {arm} is right for {accuracy:.1%} of the photographs (95% interval {low:.1%} to {high:.1%})."
    if low > chance:
        return f"{found} Always naming the most frequent class would be right for {chance:.1%}."
    return f"{found} This is not surely more than {chance:.1%}, what always naming the most frequent class gives."


def difference_finding(
    arm: str, value: float, low: float, high: float, level: float, trainings: int, photographs: int
) -> str:
    """A sentence on the difference of an arm to the plain network, and whether it can be decided.

    Args:
        value, low, high: accuracy of `arm` minus that of REFERENCE, and its interval at `level`.
        trainings: of each arm.
        photographs: that both arms were tested on.
    """
    text = f"The arm {arm} minus {REFERENCE}: {100 * value:+.1f} points "
    text += f"({100 * (1 - level):.3g}% interval {100 * low:+.1f} to {100 * high:+.1f})."
    if trainings < 2:
        return (
            f"{text} This cannot be decided: each arm was trained once, and another training may give another "
            "difference. Train on more folds or repeats."
        )
    if low > 0:
        return f"{text} The arm {arm} is better than {REFERENCE} on such photographs."
    if high < 0:
        return f"{text} The arm {arm} is worse than {REFERENCE} on such photographs."
    margin = f"{100 * MARGIN:.0f} points"
    if low > -MARGIN and high < MARGIN:
        return f"{text} There is no difference that matters: it is smaller than {margin}, in either direction."
    needed = photographs * ((high - low) / 2 / MARGIN) ** 2
    return (
        f"{text} With {photographs:,} photographs and {trainings} trainings of each arm this cannot be decided. To "
        f"tell a difference of {margin}, about {max(needed, photographs + 1):,.0f} photographs are needed."
    )


def findings(predictions: pd.DataFrame, groups: pd.Series) -> list[str]:
    """What test predictions say of each arm and of its difference to REFERENCE, a sentence or two each.

    A difference has an interval over photographs and trainings (`statistics.two_way`), with 5 % shared among all arms
    (Bonferroni); with one training of each arm, over photographs alone.

    Args:
        predictions: rows of predictions.csv, with arm, repeat and fold.
        groups: image -> near-duplicate group.
    """
    chance = predictions.drop_duplicates("image")["truth"].value_counts(normalize=True).max()
    table = statistics.arm_table(predictions, groups)
    found = [accuracy_finding(r.arm, r.accuracy, r.accuracy_low, r.accuracy_high, chance) for r in table.itertuples()]
    others = [arm for arm in table["arm"] if arm != REFERENCE]
    if REFERENCE not in set(table["arm"]) or not others:
        return [*found, f"Nothing can be said of differences: that needs the arm {REFERENCE} and another one."]
    correct, level = statistics.correctness(predictions), LEVEL / len(others)
    by_arm = {arm: rows for arm, rows in predictions.groupby("arm")}
    for arm in others:
        difference = (correct[arm] - correct[REFERENCE]).dropna()
        trainings = len(difference.groupby(statistics.RUN))
        if trainings > 1:
            estimate = statistics.two_way(difference, groups)
            value, used, (low, high) = estimate.value, level, estimate.interval(level)
        else:
            pair = evaluate.paired_difference(
                by_arm[REFERENCE], by_arm[arm], statistics.classes_of(predictions), groups
            )
            value, used, (low, high) = pair["difference"], LEVEL, pair["interval"]
        photographs = difference.index.get_level_values("image").nunique()
        found.append(difference_finding(arm, value, low, high, used, trainings, photographs))
    return found


def write_report(out: Path) -> Path | None:
    """Writes index.html into the output folder of `reproduce`; None where no comparable arm has a finished run."""
    settings = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    config = load_profile(settings["profile"], **settings["overrides"])
    tables = []
    for arm, repeat, fold in product(config.arms, config.repeats, config.folds):
        file = run_folder(out, arm, fold, repeat) / "predictions.csv"
        if not ARMS[arm].misled and file.exists() and file.with_name("done").exists():
            tables.append(evaluate.read_predictions(file).assign(arm=arm, repeat=repeat, fold=fold))
    if not tables:
        return None
    predictions = pd.concat(tables, ignore_index=True)
    dataset = load_dataset(config.data, config.prepared_size, boxes=config.boxes)
    lines = findings(predictions, dataset.table.set_index("image")["group"])
    lines.append(
        f"Each of {predictions['image'].nunique():,} photographs of {dataset.name} was predicted by networks that were "
        "trained without it. Photographs of another kind may give other numbers."
    )
    pages = _links(out, sorted((out / "html").glob("*.html")))
    figures = _links(out, sorted((out / "figures").glob("*.png")))
    page = webpage.render(
        "report.html", title=f"What was found: {dataset.name}", lines=lines, pages=pages, figures=figures
    )
    with atomic_write(out / "index.html") as path:
        path.write_text(page, encoding="utf-8")
    return out / "index.html"


def _links(out: Path, files: Iterable[Path]) -> dict[str, str]:
    """Name -> address as seen from `out`."""
    return {file.stem: quote(file.relative_to(out).as_posix()) for file in files}
