"""The pages and files that come from the reference run: ledger, tables, README's finding, the results, the model card.

python -m paper_repro.evidence.ledger
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from paper_repro import evaluate
from paper_repro.evidence import finding, lines, statistics, tables
from paper_repro.evidence.rules import FAMILIES
from paper_repro.evidence.statistics import read_table
from paper_repro.files import atomic_write, project_root
from paper_repro.keys import find_runs
from paper_repro.photographs.folds import committed_folds, folds_file
from paper_repro.workflow.processes import run_command

EXPERIMENTS = ("waste8", "trashnet", "long", "planted", "scratch", "transfer")


def markdown(reference: Path, groups: Mapping[str, pd.Series], ledger: pd.DataFrame) -> str:
    """docs/results.md: the ledger, what became of the first verdicts, accuracies, near-duplicates, hours."""
    claims = []
    for row in ledger.itertuples():
        data = f"{row.data}, confirmatory" if row.status == "confirmatory" else row.data
        claims.append((f"**{row.claim}**: {row.reads}", data, f"**{row.verdict}**", row.evidence))
    text = _markdown_table(("claim", "data", "what it comes to here", "evidence"), claims)
    first = tables.became(ledger)
    text += _markdown_table(("claim", "first edition", "now", "what is asked otherwise"), first.to_numpy())
    text += ["", "The first edition's evidence stands in `results/reference/first_ledger.csv`."]
    for name in EXPERIMENTS:
        of_data = groups.get(name, groups["trashnet"])
        for part in tables.accuracies(reference / name, of_data):
            text += _accuracy_table(tables.title(name), part)
    if find_runs(reference / "transfer", "predictions.csv"):
        predictions = read_table(reference / "transfer", "predictions.csv")
        ratio = statistics.size_ratio(reference / "transfer")
        found = statistics.contrasts(predictions, tables.PAIRS["transfer"], ratio)
        answers = tables.transfer_answers(found).itertuples()
        answered = [(row.asks, f"**{row.verdict}**", row.evidence) for row in answers]
        text += _markdown_table(("from ImageNet weights", "what it comes to here", "evidence"), answered)
    if random := find_runs(reference / "leakage", "predictions.csv", "none"):
        table = tables.leakage(reference, groups["trashnet"])[["accuracy", "low", "high"]]
        apart, mixed = (lines.interval(row, ".1%") for row in table.itertuples(index=False))
        beside = f"{mixed} under a random split (other test photographs, so not paired)"
        text += ["", f"Near-duplicates: `none` on {_names(random)} has {apart} where groups stay together, {beside}."]
    spent = tables.hours(reference)
    rows = [(r.row, f"{r.made} of {r.planned}", r.hours_planned, f"{r.hours:.1f}") for r in spent.itertuples()]
    text += _markdown_table(("second edition's runs", "made", "core-hours planned", "spent"), rows)
    made = tables.run_table(reference)
    total = f"All {len(made)} runs of both editions: {made['hours'].sum():.1f} hours of training on one core each."
    return "\n".join([*text[1:], "", total])


def _names(runs: Iterable[tuple]) -> str:
    """Runs (..., repeat, fold) as text: fold 0; folds 0, 1; folds 0, 1 of repeats 0, 1."""
    *_, repeats, folds = (", ".join(map(str, sorted(set(values)))) for values in zip(*runs, strict=True))
    text = f"folds {folds}" if "," in folds else f"fold {folds}"
    return text if repeats == "0" else f"{text} of repeats {repeats}"


def _markdown_table(head: tuple[str, ...], rows: Iterable[Iterable]) -> list[str]:
    """A Markdown table's lines, after an empty one."""
    first, *rest = (f"| {' | '.join(map(str, cells))} |" for cells in (head, *rows))
    return ["", first, "|" + "---|" * len(head), *rest]


def _accuracy_table(experiment: str, table: pd.DataFrame) -> list[str]:
    """The lines of a table of arms with equally many runs: accuracy and macro-F1."""
    rows, count = [], table["runs"].iloc[0]
    for _, row in table.iterrows():
        scores = (100 * row[[name, f"{name}_low", f"{name}_high"]] for name in ("accuracy", "macro_f1"))
        rows.append((f"`{row['arm']}`", *(lines.interval(score, ".1f") for score in scores)))
    runs = f"{count} runs each" if count > 1 else "one run each"
    return _markdown_table((f"{experiment}, {runs}", "accuracy, %", "macro-F1, %"), rows)


def model_card(reference: Path) -> str:
    """The model card's generated part: scores of `stage` per class, and what each is most often taken for; until the
    second edition has a run of it, of the first edition's."""
    edition = "trashnet" if find_runs(reference / "trashnet", "predictions.csv", "stage") else "scratch"
    stage = read_table(reference / edition, "predictions.csv", "stage")
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


def files(reference: Path, groups: Mapping[str, pd.Series]) -> dict[str, pd.DataFrame]:
    """The tables of results/reference that come from the runs there: file name -> table."""
    contrasts = lines.contrasts(reference, groups)
    ledger = lines.ledger(reference, groups, contrasts)
    return {
        "ledger.csv": ledger,
        "contrasts.csv": contrasts,
        "by_class.csv": tables.by_class(reference, groups),
        "convergence.csv": tables.converged(reference),
        "hours.csv": tables.hours(reference),
        "became.csv": tables.became(ledger),
    }


def generated(root: Path, reference: Path, groups: Mapping[str, pd.Series]) -> dict[Path, str]:
    """The tables and the pages that hold generated parts, as they must read."""
    found = files(reference, groups)
    texts = {reference / name: table.to_csv(index=False, float_format="%.6g") for name, table in found.items()}
    ledger = found["ledger.csv"]
    verdicts = _markdown_table(("claim", "what it says", "verdict"), finding.verdicts(ledger))
    parts = {
        root / "README.md": {"finding": " ".join(finding.finding(ledger)), "verdicts": "\n".join(verdicts[1:])},
        root / "docs" / "results.md": {"results": markdown(reference, groups, ledger)},
        root / "docs" / "model_card.md": {"model card": model_card(reference)},
    }
    for page, named in parts.items():
        texts[page] = page.read_text(encoding="utf-8")
        for name, part in named.items():
            texts[page] = with_part(texts[page], name, part)
    return texts


def known_groups() -> dict[str, pd.Series]:
    """Data set -> its photographs' near-duplicate groups, of those whose folds are committed."""
    there = [data for data in FAMILIES if folds_file(data, 0).exists()]
    return {data: committed_folds(data).set_index("image")["group"] for data in there}


def main() -> None:
    """Writes the tables of results/reference and the generated parts of the pages."""
    root = project_root()
    for page, text in generated(root, root / "results" / "reference", known_groups()).items():
        with atomic_write(page) as path:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_command(main)
