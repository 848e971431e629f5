"""The statistics behind the ledger: each against a library, a known distribution or a case done by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from paper_repro import evaluate
from paper_repro.evidence import ledger, lines, statistics, tables
from paper_repro.files import ReproError, project_root
from paper_repro.keys import run_folder


def predictions(arm, right, folds, classes=("can", "jar"), repeat=0):
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
            "repeat": repeat,
        }
    )


def write_run(out, arm, fold, repeat=0, right=None, images=(20, 80), hours=1.0):
    """A run's folder as far as the statistics read it; `right` (N,) are its photographs."""
    folder = run_folder(out, arm, fold, repeat)
    folder.mkdir(parents=True)
    facts = {"images": dict(zip(("test", "train"), images, strict=True)), "hours": hours, "threads": 1}
    facts |= {"precision": "32-true", "processor": "any", "git_commit": None}
    (folder / "environment.json").write_text(json.dumps(facts), encoding="utf-8")
    if right is not None:
        table = predictions(arm, right, fold).drop(columns=["arm", "repeat"])
        table["image"] = [f"{fold}/{name}" for name in table["image"]]
        table.to_csv(folder / "predictions.csv", index=False)
    return folder


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

    for fold, images in enumerate([(10, 40), (20, 40)]):
        write_run(tmp_path, "none", fold, images=images)
    assert statistics.size_ratio(tmp_path) == pytest.approx((0.25 + 0.5) / 2)
    write_run(tmp_path, "densenet121", 0, images=(10, 40))
    assert statistics.size_ratio(tmp_path) == pytest.approx((0.25 + 0.5) / 2)
    write_run(tmp_path, "none", 0, repeat=1, images=(30, 40))
    assert statistics.size_ratio(tmp_path) == pytest.approx((0.25 + 0.5 + 0.75) / 3)


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
    assert row["p_holm"] == pytest.approx(row["p"]) and row["images"] == 60 and row["folds"] == row["runs"] == 3


def test_holm_is_over_the_listed_contrasts():
    """Three looks at the same data cost more than one."""
    rng, folds = np.random.default_rng(1), np.repeat(range(5), 40)
    arms = {name: rng.random(200) < share for name, share in (("a", 0.6), ("b", 0.75), ("c", 0.65), ("d", 0.7))}
    table = pd.concat([predictions(name, hits, folds) for name, hits in arms.items()])
    found = statistics.contrasts(table, [("a", "b"), ("a", "c"), ("a", "d")], 0.25)
    smallest = found["p"].idxmin()
    assert found.loc[smallest, "p_holm"] == pytest.approx(min(1, 3 * found.loc[smallest, "p"]))


@pytest.mark.parametrize(
    "difference, low, high, p_holm, found",
    [
        (0.03, 0.01, 0.05, 0.01, "supported"),
        (-0.03, -0.05, -0.01, 0.01, "not supported"),
        (0.00, -0.01, 0.01, 0.9, "not supported"),
        (0.02, -0.02, 0.06, 0.3, "not decidable here"),
    ],
)
def test_verdicts(difference, low, high, p_holm, found):
    """A wide interval decides nothing; one that excludes an advantage worth having speaks against the claim."""
    row = {"difference": difference, "low": low, "high": high, "p_holm": p_holm, "folds": 5}
    assert statistics.verdict(pd.Series(row)) == found


def test_arm_table_and_reading(tmp_path):
    """The table comes from the files alone; a folder without runs is named."""
    for fold in (0, 1):
        write_run(tmp_path, "none", fold, right=[True, True, False, True])
    table = statistics.read_table(tmp_path, "predictions.csv")
    groups = pd.Series(range(8), index=table["image"])
    (row,) = statistics.arm_table(table, groups).to_dict("records")
    assert row["accuracy"] == 0.75 and row["runs"] == 2 and row["images"] == 8
    assert row["accuracy_low"] < 0.75 < row["accuracy_high"]
    with pytest.raises(ReproError, match="holds no ARM/foldK"):
        statistics.read_table(tmp_path / "none", "predictions.csv")


def test_a_pretrained_network_hurt_and_cured(tmp_path):
    """Hurt is read against the contrast's sign; an arm that was not run decides nothing."""

    def run(arm, share):
        for fold, more in enumerate([-2, 1, 0, 2, -1]):
            write_run(tmp_path, arm, fold, right=np.arange(80) < 80 * share + (0 if arm == "none" else more))

    def answered():
        table = statistics.read_table(tmp_path, "predictions.csv")
        return tables.transfer_answers(statistics.contrasts(table, tables.PAIRS["transfer"], 0.25))

    run("none", 0.8)
    assert answered()["verdict"].tolist() == ["not decidable here"] * 4
    run("stage", 0.6)
    run("stage-identity", 0.8)
    answers = answered()
    assert answers["verdict"].tolist() == ["supported", "supported", "not decidable here", "not decidable here"]
    assert answers["evidence"][0].startswith("stage minus none -20.0 points [-2")
    assert answers["evidence"][3] == "block-identity minus block not measured yet"
    run("block", 0.9)
    assert answered()["verdict"][2] == "not supported"


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
    rows = [lines._cost(tmp_path / "cost.csv", arm) for arm in ("block", "none")]
    assert [row["verdict"] for row in rows] == found
    assert "100 parameters, block 120" in rows[0]["evidence"] and "100 parameters, none 90" in rows[1]["evidence"]


def test_pages_and_ledger_are_what_the_committed_predictions_say():
    """No number of a page or of the ledger can drift from the files it comes from."""
    reference = project_root() / "results" / "reference"
    for page, text in ledger.generated(project_root(), reference, ledger.known_groups()).items():
        assert page.read_text(encoding="utf-8") == text, page.name


def test_generated_part_alone_is_replaced():
    """Writing the results twice leaves the page as it was after the first time."""
    begin, end = "<!-- results: generated by python -m paper_repro.evidence.ledger -->", "<!-- end of results -->"
    once = ledger.with_part(f"before\n{begin}\nold\n{end}\nafter\n", "results", "new\n")
    assert once == f"before\n{begin}\nnew\n\n{end}\nafter\n"
    assert ledger.with_part(once, "results", "new\n") == once


TWO_REPEATS = [(repeat, fold) for repeat in (0, 1) for fold in range(5)]


@pytest.fixture
def two_repeats(tmp_path):
    """Ten runs of `none` with 10 of 20 photographs right, ten of `stage` with 11 to 20; `leakage` has `none` on fold 0
    of both repeats, with 15 of 20."""
    for number, (repeat, fold) in enumerate(TWO_REPEATS):
        for arm, hits in (("none", 10), ("stage", 11 + number)):
            write_run(tmp_path / "scratch", arm, fold, repeat, np.arange(20) < hits, hours=0.5)
    for repeat in (0, 1):
        write_run(tmp_path / "leakage", "none", 0, repeat, np.arange(20) < 15)
    return tmp_path


GROUPS = pd.Series(range(100), index=[f"{fold}/{i}.jpg" for fold in range(5) for i in range(20)])


def test_accuracies_of_two_repeats(two_repeats):
    """Ten runs an arm; each photograph counts once per repeat."""
    table = statistics.read_table(two_repeats / "scratch", "predictions.csv")
    assert list(table.groupby(["repeat", "fold"]).groups) == TWO_REPEATS
    correct = statistics.correctness(table)
    assert correct.index.names == ["repeat", "fold", "image"] and len(correct) == 200
    by_run = correct["stage"].groupby(["repeat", "fold"]).mean()
    assert by_run.tolist() == pytest.approx([number / 20 for number in range(11, 21)])
    arms = statistics.arm_table(table, GROUPS).set_index("arm")
    assert arms["runs"].tolist() == [10, 10] and arms["images"].tolist() == [200, 200]
    assert arms["accuracy"].to_dict() == pytest.approx({"none": 0.5, "stage": 0.775})


def test_a_contrast_over_two_repeats_has_one_difference_per_run(two_repeats):
    """Ten differences, not five means; a second repeat that is not whole decides nothing."""
    table = statistics.read_table(two_repeats / "scratch", "predictions.csv")
    (row,) = statistics.contrasts(table, [("none", "stage")], 0.25).to_dict("records")
    by_hand = statistics.corrected_t(np.arange(1, 11) / 20, 0.25)
    assert {name: row[name] for name in by_hand} == pytest.approx(by_hand)
    assert (row["runs"], row["folds"], row["images"]) == (10, 5, 200)
    assert (row["only_a"], row["only_b"]) == (0, 55) and statistics.verdict(row) == "supported"
    part = table[(table["arm"] == "none") | (table["repeat"] == 0) | (table["fold"] < 3)]
    (row,) = statistics.contrasts(part, [("none", "stage")], 0.25).to_dict("records")
    assert (row["runs"], row["folds"]) == (8, 3) and row["p_holm"] < 0.05
    assert statistics.verdict(row) == "not decidable here"


def test_runs_and_leak_of_two_repeats(two_repeats):
    """Every run has a row, and the leak is read over the runs that the random split has."""
    made = tables.run_table(two_repeats)
    scratch = made[made["experiment"] == "scratch"]
    assert list(zip(scratch["repeat"], scratch["fold"], strict=True)) == TWO_REPEATS * 2
    assert scratch["hours"].sum() == 10 and len(made) == 22
    leak = tables.leakage(two_repeats, GROUPS).set_index("split")
    assert leak["images"].tolist() == [40, 40] and leak["accuracy"].to_dict() == {"grouped": 0.5, "random": 0.75}


def test_gates_heat_maps_and_histories_of_two_repeats(tmp_path):
    """A repeat's rows are told apart by its folder and count like the first one's."""
    for repeat in (0, 1):
        folder = write_run(tmp_path, "block", 0, repeat)
        gates = pd.DataFrame({"stage": "layer1", "within": 0.5, "specific": [0.2 + repeat, 0.4], "between": 0.1})
        gates.assign(image=["a.jpg", "b.jpg"]).to_csv(folder / ("gates.csv.gz" if repeat else "gates.csv"), index=False)
        maps = [("gradcam", [0.5 + repeat, 0.5]), ("edges", [0.3, 0.3]), ("uniform", [0.0, 0.0])]
        rows = [
            {"image": image, "layer": "layer3", "grid": "6x6", "map": name, "box_gain": gain}
            for name, gains in maps
            for image, gain in zip(("a.jpg", "b.jpg"), gains, strict=True)
        ]
        pd.DataFrame(rows).to_csv(folder / "measures.csv.gz", index=False)
        pd.DataFrame({"epoch": [1, 2], "train_loss": [1.0, repeat]}).to_csv(folder / "history.csv", index=False)
    groups = pd.Series([0, 1], index=["a.jpg", "b.jpg"])
    agreement = statistics.gate_agreement(tmp_path, groups).loc["layer1"]
    assert agreement["specific"] == pytest.approx((0.2 + 0.4 + 1.2 + 0.4) / 4)
    assert agreement["specific_low"] <= agreement["specific"] <= agreement["specific_high"]
    networks = stats.t.interval(0.95, 1, 0.55, np.std([0.3, 0.8], ddof=1) / np.sqrt(2))
    assert agreement["networks"] == 2
    assert agreement[["specific_networks_low", "specific_networks_high"]].tolist() == pytest.approx(networks)
    assert agreement[["random", "beyond_random", "beyond_random_low"]].isna().all(), "measured before it was"
    for repeat, file in enumerate(("gates.csv", "gates.csv.gz")):
        table = pd.read_csv(run_folder(tmp_path, "block", 0, repeat) / file).assign(random=[0.1 + 0.2 * repeat, 0.3])
        table.to_csv(run_folder(tmp_path, "block", 0, repeat) / file, index=False)
    agreement = statistics.gate_agreement(tmp_path, groups).loc["layer1"]
    beyond = stats.t.interval(0.95, 1, 0.25, np.std([0.3, 0.2], ddof=1) / np.sqrt(2))
    assert agreement[["random", "beyond_random"]].tolist() == pytest.approx([0.25, 0.25])
    assert agreement[["beyond_random_low", "beyond_random_high"]].tolist() == pytest.approx(beyond)
    measures = statistics.read_table(tmp_path, "measures.csv.gz")
    (row,) = evaluate.heatmap_table(measures, "box_gain", groups).to_dict("records")
    assert row["images"] == 4 and row["best trivial"] == "edges" and row["gradcam"] == pytest.approx(0.75)
    assert row["lead"] == pytest.approx(0.45) and row["low"] == pytest.approx(0.2) and row["high"] == pytest.approx(0.7)
    histories = statistics.read_table(tmp_path, "history.csv", "block")[["repeat", "fold", "epoch", "train_loss"]]
    assert histories.to_numpy().tolist() == [[0, 0, 1, 1], [0, 0, 2, 0], [1, 0, 1, 1], [1, 0, 2, 1]]


@pytest.mark.parametrize(
    "runs, fewest",
    [([], 0), ([(0, 0), (0, 1)], 2), ([("none", 0, 0), ("none", 0, 1), ("none", 1, 4)], 1)],
)
def test_fewest_folds_of_any_repeat(runs, fewest):
    assert statistics.fewest_folds(runs) == fewest
