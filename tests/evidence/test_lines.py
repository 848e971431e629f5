"""The second edition's ledger and tables on whole reference runs of made numbers, where each verdict is known."""

import shutil

import numpy as np
import pandas as pd
import pytest
from made import GOOD, GROUPS, write_plan

from paper_repro.evidence import ledger, lines, rules, statistics, tables
from paper_repro.evidence.reference import PLAN
from paper_repro.files import ReproError
from paper_repro.keys import run_folder

SUPPORTED, REFUTED, OPEN = "supported", "not supported", "not decidable here"
BY_DATA = dict.fromkeys(("waste8", "trashnet"), GROUPS)
FIRST = {"C4, beside block": SUPPORTED, "C4, beside none": REFUTED}  # from the committed cost.csv


def judged(reference):
    return lines.ledger(reference, BY_DATA, lines.contrasts(reference, BY_DATA)).set_index(["claim", "data"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a reference run in which all that can be supported is."""
    folder = tmp_path_factory.mktemp("whole")
    write_plan(folder)
    return folder


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "reference")


def test_every_line_where_all_is_as_claimed(whole):
    """C2 stays open, as two CNNs have no five folds. Each line says what it rests on, in a sentence as well."""
    found = judged(whole)
    assert len(found) == 22 and found["sentence"].str.endswith(".").all()
    expected = dict.fromkeys(found.index.unique("claim"), SUPPORTED) | FIRST | {"C2": OPEN}
    for (claim, data), row in found.iterrows():
        assert row["verdict"] == expected[claim], (claim, data, row["evidence"])
        assert row["holds"] == ("general" if data == "both" else "on this data")
    assert found.index[found["status"] == "confirmatory"].tolist() == [("C1", "waste8")]
    gain = found.loc["C1", "waste8"]
    assert (gain["networks"], gain["photographs"], gain["level"]) == (10, 80, 0.05) and gain["low"] > 0
    assert "one module per stage gets" in gain["sentence"] and "new training sets [" in gain["evidence"]
    assert found.loc[("C2", "TrashNet"), "decides"] == "five folds of alexnet and vgg11_bn"
    counts = found["networks"].to_dict()
    assert counts["C3, premise", "waste8"] == 10 and counts["C3, premise", "TrashNet"] == 5
    assert counts["C5, evidence for the class", "TrashNet"] == counts["C5, the cause", "TrashNet"] == 5
    assert counts["C5, on the object", "TrashNet"] == 10
    assert found.loc[("C1, at convergence", "TrashNet"), "evidence"].startswith("at convergence (10 of 10 runs")


def test_intervals_are_those_of_the_tests(whole):
    """A contrast's stands in the table of contrasts; means over networks have the level of their verdict."""
    found, table = judged(whole), lines.contrasts(whole, BY_DATA).set_index(["data", "family", "a", "b"])
    row, line = table.loc["trashnet", "others", "block", "stage"], found.loc["C3", "TrashNet"]
    assert line[["value", "low", "high"]].tolist() == pytest.approx((100 * row[["difference", "low", "high"]]).tolist())
    networks = statistics.read_table(whole / "waste8", "gates.csv*").query("stage == 'layer1'")
    values = networks.groupby(["repeat", "fold"])["specific"].mean().to_numpy()
    low, high = statistics.resampled(values, 0.0).interval(0.05 / 4)
    assert (
        f"layer1: specific {values.mean():.3f} [{low:.3f}, {high:.3f}]"
        in found.loc[("C3, premise", "waste8"), "evidence"]
    )
    assert found.loc[("C3, premise", "waste8"), "level"] == 0.05 / 4


def test_every_line_where_nothing_is_as_claimed(tmp_path):
    """`stage` is the worst arm, its gates, maps and stickers are at their controls or below."""
    everything = {arm: 0.9 for step in PLAN for arm in step.arms} | {"stage": 0.4}
    write_plan(tmp_path, everything, static=0.95, specific=0.1, share=0.3, sticker=0.2, object_gain=0.1)
    found = judged(tmp_path)
    for (claim, data), row in found.iterrows():
        assert row["verdict"] == (FIRST | {"C4, beside block": SUPPORTED}).get(claim, REFUTED), (claim, data, row)
    assert "gets" in found.loc[("C1", "waste8"), "sentence"] and "fewer" in found.loc[("C1", "waste8"), "sentence"]


def test_lines_in_between_name_what_would_decide(tmp_path):
    """A gain of a few photographs, scores that straddle their bounds."""
    close, at_bounds = GOOD | {"none": 0.89, "half": 0.89}, {"specific": 0.5, "share": 0.5, "sticker": 0.3}
    write_plan(tmp_path, close, **at_bounds, object_gain=0.3, independent=("none", "half"))
    found = judged(tmp_path)
    for claim in ("C1", "C1, attention's part"):
        assert found.loc[(claim, "TrashNet"), "verdict"] == OPEN
        assert "photographs" in found.loc[(claim, "TrashNet"), "decides"]
        assert found.loc[(claim, "TrashNet"), "detectable"] > 0
    for claim in ("C3, premise", "C5, evidence for the class", "C5, the cause", "C5, on the object"):
        row = found.loc[claim, "TrashNet"]
        assert row["verdict"] == OPEN and row["detectable"] > 0, claim
        assert "repeats" in row["decides"] or "photographs" in row["decides"], claim
    assert found.loc[("C1", "both"), "verdict"] == OPEN


def test_one_data_set_is_no_general_verdict(copy):
    """The other's runs are not there; a part of the planned ones decides nothing."""
    shutil.rmtree(copy / "trashnet" / "stage" / "repeat1" / "fold4")
    found = judged(copy)
    assert found.loc[("C1", "TrashNet"), "verdict"] == OPEN
    assert "9 of 10 runs" in found.loc[("C1", "TrashNet"), "evidence"]
    assert found.loc[("C1", "TrashNet"), "decides"] == "the other 1 planned runs"
    both = found.loc["C1", "both"]
    assert (both["verdict"], both["holds"]) == ("supported on waste8", "on this data")


def test_few_flips_leave_the_cause_open(tmp_path):
    write_plan(tmp_path, flips=0.4)
    row = judged(tmp_path).loc["C5, the cause", "TrashNet"]
    assert row["verdict"] == OPEN and row["decides"] == "stickers that flip at least half of the photographs"


def test_untied_networks_are_asked_about_the_flipped_photographs(copy):
    """Their scores elsewhere do not count; better than the planted ones' there, they refute the line."""
    for fold in range(5):
        planted, file = (
            run_folder(copy / "planted", f"stage-{n}", fold) / "cause.csv.gz" for n in ("planted", "untied")
        )
        flipped = pd.read_csv(planted)["flipped"]
        table = pd.read_csv(file)
        table.loc[~flipped, "score"] = 1.0
        table.to_csv(file, index=False)
    assert judged(copy).loc[("C5, the cause", "TrashNet"), "verdict"] == SUPPORTED
    for fold in range(5):
        file = run_folder(copy / "planted", "stage-untied", fold) / "cause.csv.gz"
        pd.read_csv(file).assign(score=1.0).to_csv(file, index=False)
    assert judged(copy).loc[("C5, the cause", "TrashNet"), "verdict"] == REFUTED


def test_convergence_is_counted(copy):
    """One run that still learns: the line speaks of 90 epochs."""
    file = run_folder(copy / "long", "stage", 2) / "history.csv"
    history = pd.read_csv(file)
    history["validation_accuracy"] = np.linspace(0, 1, 90)
    history.to_csv(file, index=False)
    row = judged(copy).loc["C1, at convergence", "TrashNet"]
    assert row["evidence"].startswith("after 90 epochs (9 of 10 runs have converged)") and row["verdict"] == SUPPORTED
    changes = tables.converged(copy).set_index(["arm", "repeat", "fold"])["converged"]
    assert changes.sum() == 14 and not changes["stage", 0, 2]


def test_arms_of_two_machines_are_refused(copy):
    file = run_folder(copy / "waste8", "none", 3, 1) / "environment.json"
    file.write_text(file.read_text().replace("any", "another"))
    with pytest.raises(ReproError, match="repeat 1, fold 3: none was trained with processor another"):
        lines.contrasts(copy, BY_DATA)


def test_no_run_is_said(tmp_path):
    """No line is decided or fails, and nothing would have been seen."""
    found = judged(tmp_path)
    assert len(found) == 22 and set(found["verdict"]) == {"not measured yet"}
    assert found["evidence"].str.contains("not measured yet").all() and found["detectable"].isna().all()


def test_the_first_editions_runs_count_where_their_recipe_is_the_same(copy):
    """`scratch` lends its `none`, but not its `stage` at another rate; a run in their place goes before."""
    (copy / "trashnet" / "none" / "fold0").rename(copy / "kept")
    (copy / "trashnet" / "stage" / "fold0").rename(copy / "first")
    assert judged(copy).loc[("C1", "TrashNet"), "networks"] == 9
    for arm, name in (("none", "kept"), ("stage", "first")):
        shutil.copytree(copy / name, run_folder(copy / "scratch", arm, 0))
    runs = statistics.runs_of(copy / "trashnet", "predictions.csv")
    assert runs["none", 0, 0].is_relative_to(copy / "scratch") and ("stage", 0, 0) not in runs
    assert runs["none", 0, 1].is_relative_to(copy / "trashnet")
    assert ("none", 0, 0) not in statistics.runs_of(copy / "trashnet", "measures.csv.gz")
    spent = tables.hours(copy).set_index("row")
    assert spent.loc["trashnet", ["planned", "made"]].tolist() == [39, 38] and spent.loc["trashnet", "hours"] == 19
    assert len(tables.run_table(copy)) == sum(len(step.runs) for step in PLAN)


def test_tables_beside_the_ledger(whole):
    """Arms with other numbers of runs stand apart; classes add up to the gain; each first verdict has its successor."""
    by_runs = [(part["runs"].iloc[0], len(part)) for part in tables.accuracies(whole / "trashnet", GROUPS)]
    assert by_runs == [(10, 4), (5, 4)]
    files = ledger.files(whole, BY_DATA)
    gains = files["by_class.csv"].query("data == 'waste8' and a == 'none' and b == 'stage'")
    table = files["contrasts.csv"].set_index(["data", "a", "b"])
    assert gains["contribution"].sum() == pytest.approx(table.loc[("waste8", "none", "stage"), "difference"])
    became = files["became.csv"].set_index("claim")
    assert set(became.index) == set(tables.BECAME) and became.loc["C1", ["first", "now"]].tolist() == [OPEN, SUPPORTED]
    assert became.loc["C5", "now"].count("supported") == 3
    assert files["hours.csv"]["made"].sum() == sum(len(step.runs) for step in PLAN)
    assert len(files["contrasts.csv"]) == sum(len(f) for families in rules.FAMILIES.values() for f in families.values())


def test_page(whole):
    """The page of results has every line, a table per number of runs and the hours."""
    text = ledger.markdown(whole, BY_DATA, judged(whole).reset_index())
    assert text.count("| **C") == 22 and "| waste8, confirmatory | **supported** |" in text
    assert "| waste8, 10 runs each |" in text and "| TrashNet, 5 runs each |" in text
    assert "| waste8 | 40 of 40 | 8.8 | 20.0 |" in text
    assert "5 of 5 folds, 2 repeats, 80 photographs" in ledger.model_card(whole)
