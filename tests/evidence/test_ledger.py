"""The statistics behind the ledger: each against a library, a known distribution or a case done by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from paper_repro.config import PLAIN_CNNS
from paper_repro.evidence import ledger, statistics
from paper_repro.files import ReproError, project_root
from paper_repro.photographs.folds import committed_folds


def predictions(arm, right, folds, classes=("can", "jar")):
    """A table in which the photographs of `right` (N,) are classified correctly."""
    right = np.asarray(right, bool)
    truth = np.where(np.arange(len(right)) % 2 == 0, *classes)
    first = np.where((truth == classes[0]) == right, 0.9, 0.1)
    return pd.DataFrame(
        {
            "image": [f"{i}.jpg" for i in range(len(right))],
            "fold": folds,
            "truth": truth,
            "p_can": first,
            "p_jar": 1 - first,
            "arm": arm,
        }
    )


def write_facts(folder, fold, test, train):
    """A run's folder with environment.json as far as the statistics read it."""
    folder.mkdir(parents=True)
    facts = {"fold": fold, "images": {"test": test, "train": train}}
    (folder / "environment.json").write_text(json.dumps(facts), encoding="utf-8")


def test_corrected_t_without_correction_is_the_paired_t_test():
    """With no shared training data the formula must fall back to the library's one-sample t-test."""
    d = np.random.default_rng(0).normal(0.02, 0.01, 5)
    ours, theirs = statistics.corrected_t(d, 0.0), stats.ttest_1samp(d, 0)
    assert ours["p"] == pytest.approx(theirs.pvalue)
    assert (ours["low"], ours["high"]) == pytest.approx(tuple(theirs.confidence_interval()))
    assert ours["advantage"] == pytest.approx(1 - ours["p"] / 2)


def test_correction_widens_as_published():
    """For five folds n_test / n_train is 1/4, which makes the standard error sqrt(1 + 5/4) = 1.5 times as large."""
    d = np.array([0.01, 0.03, 0.02, 0.00, 0.04])
    plain, corrected = statistics.corrected_t(d, 0.0), statistics.corrected_t(d, 0.25)
    assert corrected["high"] - corrected["low"] == pytest.approx(1.5 * (plain["high"] - plain["low"]))
    assert corrected["lower"] > corrected["low"] and corrected["p"] > plain["p"]


def test_another_arms_runs_do_not_move_the_test(tmp_path):
    """The published p of a contrast must not depend on which other arms were run, and on how many folds."""

    def runs(arm, counts):
        for fold, (test, train) in enumerate(counts):
            write_facts(tmp_path / arm / f"fold{fold}", fold, test, train)

    runs("none", [(10, 40), (20, 40)])
    assert statistics.size_ratio(tmp_path) == pytest.approx((0.25 + 0.5) / 2)
    runs("densenet121", [(10, 40)])
    assert statistics.size_ratio(tmp_path) == pytest.approx((0.25 + 0.5) / 2)


def test_one_fold_has_a_difference_and_no_test():
    """One seed on one fold is an anecdote; it must not come out as a significant difference."""
    found = statistics.corrected_t(np.array([0.3]), 0.25)
    assert found["difference"] == pytest.approx(0.3) and np.isnan(found["p"]) and np.isnan(found["low"])
    assert statistics.verdict(pd.Series({"p_holm": np.nan, "folds": 1, **found})) == "not decidable here"


def test_a_part_of_the_folds_decides_nothing():
    """A clear difference over three of the five folds is no verdict yet."""
    row = {"difference": 0.05, "low": 0.04, "high": 0.06, "lower": 0.042, "p_holm": 0.001}
    for folds, found in ((3, "not decidable here"), (5, "supported")):
        assert statistics.verdict(pd.Series(row | {"folds": folds})) == found
        assert statistics.non_inferior(pd.Series(row | {"folds": folds})) == found


def test_contrasts_pair_the_same_photographs():
    """b gets four more of a's misses right in each fold; the order of the rows does not matter."""
    folds = np.repeat([0, 1, 2], 20)
    a = np.tile([True] * 12 + [False] * 8, 3)
    b = a.copy()
    b[[12, 13, 14, 15, 32, 33, 34, 35, 52, 53, 54]] = True
    table = pd.concat([predictions("a", a, folds), predictions("b", b, folds).sample(frac=1, random_state=0)])
    (row,) = statistics.contrasts(table, [("a", "b"), ("a", "absent")], 0.25).to_dict("records")
    assert row["difference"] == pytest.approx(11 / 60) and (row["only_a"], row["only_b"]) == (0, 11)
    assert row["p_mcnemar"] == pytest.approx(2 * 0.5**11)
    assert row["p_holm"] == pytest.approx(row["p"]) and row["images"] == 60 and row["folds"] == 3


def test_holm_is_over_the_listed_contrasts():
    """Three looks at the same data cost more than one."""
    rng, folds = np.random.default_rng(1), np.repeat(range(5), 40)
    arms = {name: rng.random(200) < share for name, share in (("a", 0.6), ("b", 0.75), ("c", 0.65), ("d", 0.7))}
    table = pd.concat([predictions(name, hits, folds) for name, hits in arms.items()])
    found = statistics.contrasts(table, [("a", "b"), ("a", "c"), ("a", "d")], 0.25)
    smallest = found["p"].idxmin()
    assert found.loc[smallest, "p_holm"] == pytest.approx(min(1, 3 * found.loc[smallest, "p"]))


@pytest.mark.parametrize(
    "row, better, no_worse",
    [
        ({"difference": 0.03, "low": 0.01, "high": 0.05, "lower": 0.012, "p_holm": 0.01}, "supported", "supported"),
        (
            {"difference": -0.03, "low": -0.05, "high": -0.01, "lower": -0.048, "p_holm": 0.01},
            "not supported",
            "not decidable here",
        ),
        (
            {"difference": -0.06, "low": -0.08, "high": -0.04, "lower": -0.07, "p_holm": 0.01},
            "not supported",
            "not supported",
        ),
        (
            {"difference": 0.00, "low": -0.01, "high": 0.01, "lower": -0.008, "p_holm": 0.9},
            "not supported",
            "supported",
        ),
        (
            {"difference": 0.02, "low": -0.02, "high": 0.06, "lower": -0.01, "p_holm": 0.3},
            "not decidable here",
            "supported",
        ),
    ],
)
def test_verdicts(row, better, no_worse):
    """A wide interval decides nothing; one that excludes an advantage worth having speaks against the claim."""
    row = pd.Series(row | {"folds": 5})
    assert statistics.verdict(row) == better
    assert statistics.non_inferior(row) == no_worse


def test_arm_table_and_reading(tmp_path):
    """The table comes from the files alone; a folder without runs is named."""
    for fold in (0, 1):
        folder = tmp_path / "none" / f"fold{fold}"
        folder.mkdir(parents=True)
        part = predictions("none", [True, True, False, True], fold).drop(columns="arm")
        part["image"] = [f"{fold}/{name}" for name in part["image"]]
        part.to_csv(folder / "predictions.csv", index=False)
    table = statistics.read_runs(tmp_path)
    groups = pd.Series(range(8), index=table["image"])
    (row,) = statistics.arm_table(table, groups).to_dict("records")
    assert row["accuracy"] == 0.75 and row["folds"] == 2 and row["images"] == 8
    assert row["accuracy_low"] < 0.75 < row["accuracy_high"]
    with pytest.raises(ReproError, match="holds no ARM/foldK"):
        statistics.read_runs(tmp_path / "none")


@pytest.mark.parametrize(
    "shares, folds, found",
    [
        ((0.5, 0.5, 0.5, 0.5), 5, "supported"),
        ((0.5, 0.5, 0.5, 0.9), 5, "not supported"),
        ((0.5, 0.5, 0.5, 0.7), 5, "not decidable here"),
        ((0.5, 0.5, 0.5), 5, "not decidable here"),
        ((0.5, 0.5, 0.5, 0.5), 1, "not decidable here"),
    ],
)
def test_better_than_cnns_means_than_each_of_them(shares, folds, found):
    """One CNN that `stage` does not beat, one that was not run, or too few folds: the claim is not supported."""

    def arm(name, share):
        which = np.repeat(range(folds), 40)
        spread = [0, 0, 0, 0, 0] if name == "stage" else [-2, 1, 0, 2, -1]  # photographs of 40
        hits = np.concatenate([np.arange(40) < 40 * share + spread[fold] for fold in range(folds)])
        return predictions(name, hits, which)

    table = pd.concat([arm("stage", 0.7), *(arm(*pair) for pair in zip(PLAIN_CNNS, shares, strict=False))])
    groups = pd.Series(range(40 * folds), index=[f"{i}.jpg" for i in range(40 * folds)])
    _, _, evidence, verdict, _ = ledger._cnn_line(table, 0.25, groups)
    assert verdict == found and evidence.startswith("fold 0 alone: stage 70.0%" if folds == 1 else "folds 0, 1, 2")
    assert ledger._cnn_line(arm("stage", 0.7), 0.25, groups)[2:4] == ("not measured yet", "not decidable here")


def test_a_pretrained_network_hurt_and_cured(tmp_path):
    """Hurt is read against the contrast's sign; an arm that was not run decides nothing."""

    def run(arm, share):
        for fold, more in enumerate([-2, 1, 0, 2, -1]):
            folder = tmp_path / "transfer" / arm / f"fold{fold}"
            write_facts(folder, fold, 80, 320)
            hits = np.arange(80) < 80 * share + (0 if arm == "none" else more)
            predictions(arm, hits, fold).drop(columns="arm").to_csv(folder / "predictions.csv", index=False)

    run("none", 0.8)
    assert ledger.transfer_answers(tmp_path)["verdict"].tolist() == ["not decidable here"] * 4
    run("stage", 0.6)
    run("stage-identity", 0.8)
    answers = ledger.transfer_answers(tmp_path)
    assert answers["verdict"].tolist() == ["supported", "supported", "not decidable here", "not decidable here"]
    assert answers["evidence"][0].startswith("stage minus none -20.0 points [-2")
    assert answers["evidence"][3] == "block-identity minus block not measured yet"
    run("block", 0.9)
    assert ledger.transfer_answers(tmp_path)["verdict"][2] == "not supported"


@pytest.mark.parametrize(
    "beside_block, beside_none, found",
    [
        ((1.1, 1.05, 1.2), (0.8, 0.7, 0.9), ["supported", "not supported"]),
        ((1.0, 0.95, 1.1), (1.1, 1.05, 1.2), ["not decidable here", "not supported"]),
        ((0.9, 0.8, 0.95), (0.9, 0.8, 1.1), ["not supported", "not supported"]),
    ],
)
def test_cost_is_judged_beside_block_and_beside_none(tmp_path, beside_block, beside_none, found):
    """Lighter and faster than `block` is no support for lighter and faster than no module at all, which weighs less
    than `stage` whatever the clock says; an interval that holds 1 decides nothing."""
    ratios = {"none": (90, beside_none), "stage": (100, (1, 1, 1)), "block": (120, beside_block)}
    rows = [
        {
            "arm": arm,
            "what": what,
            "image_size": 64,
            "parameters": size,
            "stage_ratio": ratio,
            "stage_ratio_low": low,
            "stage_ratio_high": high,
        }
        for arm, (size, (ratio, low, high)) in ratios.items()
        for what in ("training", "inference")
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "cost.csv", index=False)
    lines = list(ledger._cost_lines(tmp_path / "cost.csv"))
    assert [line[3] for line in lines] == found
    assert "100 parameters, block 120" in lines[0][2] and "100 parameters, none 90" in lines[1][2]


def test_readme_and_ledger_are_what_the_committed_predictions_say():
    """No number of README or the ledger can drift from the files it comes from."""
    reference = project_root() / "results" / "reference"
    if not any(reference.glob("scratch/*/fold*/predictions.csv")):
        pytest.skip("no reference run is committed yet")
    groups = committed_folds("trashnet").set_index("image")["group"]
    for page, text in ledger.generated(project_root(), reference, groups).items():
        assert page.read_text(encoding="utf-8") == text, page.name
    committed = pd.read_csv(reference / "ledger.csv")
    pd.testing.assert_frame_equal(ledger.ledger(reference, groups), committed)


def test_generated_part_alone_is_replaced():
    """Writing the results twice leaves the page as it was after the first time."""
    page = f"before\n{ledger.BEGIN}\nold\n{ledger.END}\nafter\n"
    once = ledger.with_part(page, "new\n")
    assert once == f"before\n{ledger.BEGIN}\nnew\n\n{ledger.END}\nafter\n"
    assert ledger.with_part(once, "new\n") == once
