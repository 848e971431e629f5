"""Predictions tables and the measures computed from them."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from paper_repro import evaluate
from paper_repro.files import ReproError, project_root

CLASSES = ("box", "null", "1")


def make_predictions(count=200, seed=0, skill=1.0):
    """A predictions table of a model with some skill."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=count)
    logits = rng.normal(size=(count, 3))
    logits[np.arange(count), truth] += skill
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return evaluate.predictions_frame([f"a/{i}.jpg" for i in range(count)], 2, truth, probabilities, CLASSES)


def test_predictions_frame_survives_csv(tmp_path):
    """Labels such as "null" and "1" come back from the file as they were, and so do the numbers."""
    frame = make_predictions()
    assert list(frame) == ["image", "fold", "truth", "p_box", "p_null", "p_1"]
    frame.to_csv(tmp_path / "predictions.csv", index=False)
    back = evaluate.read_predictions(tmp_path / "predictions.csv")
    pd.testing.assert_frame_equal(frame, back, rtol=1e-12, check_dtype=False)
    assert evaluate.metrics(back, CLASSES) == evaluate.metrics(frame, CLASSES)


@pytest.mark.parametrize(
    "row, message",
    [
        ([np.nan, 0.5, 0.5], "a/1.jpg"),
        ([np.inf, 0, 0], "a/1.jpg"),
        ([0.5, 0.4, 0.0], "no distribution"),
        ([1.5, -0.5, 0.0], "no distribution"),
    ],
)
def test_bad_probabilities_are_named(row, message):
    """A diverged model is an error that names the image, not an accuracy."""
    with pytest.raises(ReproError, match=message):
        evaluate.predictions_frame(["a/0.jpg", "a/1.jpg"], 0, [0, 1], [[1, 0, 0], row], CLASSES)


def test_other_bad_tables_are_errors():
    """Repeated images, a truth or columns of other classes, wrong shapes and empty tables are refused."""
    frame = make_predictions(4)
    for bad in (
        pd.concat([frame, frame]),
        frame.assign(truth="glass"),
        frame.rename(columns={"p_1": "p_2"}),
        frame.assign(p_more=0.0),
        frame.iloc[:0],
    ):
        with pytest.raises(ReproError):
            evaluate.metrics(bad, CLASSES)
    for truth in ([0, 3], [0, -1], [0]):
        with pytest.raises(ReproError):
            evaluate.predictions_frame(["a", "b"], 0, truth, np.full((2, 3), 1 / 3), CLASSES)


def test_metrics_agree_with_sklearn_and_are_json(monkeypatch):
    """Point values equal scikit-learn's, lie inside their intervals, and the whole survives JSON."""
    monkeypatch.setattr(evaluate, "RESAMPLES", 300)
    frame = make_predictions()
    found = evaluate.metrics(frame, CLASSES)
    predicted = np.array(CLASSES)[frame[["p_box", "p_null", "p_1"]].to_numpy().argmax(1)]
    assert found["accuracy"] == pytest.approx(accuracy_score(frame["truth"], predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(frame["truth"], predicted, average="macro"))
    assert np.trace(found["confusion"]) == round(found["accuracy"] * 200)
    assert sum(row["support"] for row in found["per_class"].values()) == 200
    for name in ("accuracy", "macro_f1", "ece"):
        low, high = found[f"{name}_interval"]
        assert 0 <= low <= found[name] <= high <= 1
    assert json.loads(json.dumps(found)) == found


def test_confusion_has_truth_in_rows():
    """A box taken for "1" is counted in row box, column "1"."""
    frame = evaluate.predictions_frame(["a"], 0, [0], [[0.1, 0.2, 0.7]], CLASSES)
    table = evaluate.confusion(frame, CLASSES)
    assert table.loc["box", "1"] == 1 and table.to_numpy().sum() == 1
    assert table.index.name == "truth" and table.columns.name == "predicted"


def test_calibration_error_by_hand():
    """Two bins: confidence 0.9 right once in two, confidence 0.6 right always: ECE = (0.4 + 0.4) / 2."""
    probabilities = [[0.9, 0.1, 0]] * 2 + [[0.6, 0.4, 0]] * 2
    frame = evaluate.predictions_frame(list("abcd"), 0, [0, 1, 0, 0], probabilities, CLASSES)
    assert evaluate.metrics(frame, CLASSES)["ece"] == pytest.approx(0.4)
    bins = evaluate.reliability(frame, CLASSES)
    assert bins["count"].tolist() == [0] * 8 + [2] + [0] * 4 + [2, 0]
    gap = (bins["confidence"] - bins["accuracy"]).abs() * bins["count"]
    assert gap.sum() / 4 == pytest.approx(0.4)


def test_interval_of_calibration_error_is_not_pushed_up(monkeypatch):
    """A calibrated model's interval reaches 0 in half of the samples; a percentile interval never does."""
    monkeypatch.setattr(evaluate, "RESAMPLES", 200)
    rng, reached = np.random.default_rng(0), 0
    for _ in range(30):
        probabilities = rng.dirichlet(np.ones(3), size=400)
        truth = (rng.random((400, 1)) > probabilities.cumsum(1)).sum(1)
        frame = evaluate.predictions_frame([str(i) for i in range(400)], 0, truth, probabilities, CLASSES)
        reached += evaluate.metrics(frame, CLASSES)["ece_interval"][0] == 0
    assert reached >= 12


def test_interval_covers_and_is_seeded():
    """The accuracy's interval has the width of theory, depends on the seed alone, and widens over groups."""
    frame = make_predictions(1000)
    found = evaluate.metrics(frame, CLASSES)
    low, high = found["accuracy_interval"]
    theory = 2 * 1.96 * np.sqrt(found["accuracy"] * (1 - found["accuracy"]) / 1000)
    assert high - low == pytest.approx(theory, rel=0.1)
    assert evaluate.metrics(frame, CLASSES) == found

    hundred = make_predictions(100)
    tens = pd.concat([hundred.assign(image=hundred["image"] + f"#{i}") for i in range(10)])
    groups = pd.Series(tens["image"].str.split("#").str[0].to_numpy(), index=tens["image"])
    alone, grouped = (evaluate.metrics(tens, CLASSES, g)["accuracy_interval"] for g in (None, groups))
    assert grouped[1] - grouped[0] == pytest.approx(np.sqrt(10) * (alone[1] - alone[0]), rel=0.15)
    with pytest.raises(ReproError, match="groups"):
        evaluate.metrics(tens, CLASSES, groups.iloc[1:])


def test_paired_difference():
    """The difference is b minus a, whatever the order of rows, and pairing makes its interval narrow."""
    a = make_predictions(300)
    b = a.copy()
    columns = ["p_box", "p_null", "p_1"]
    wrong = a[columns].to_numpy().argmax(1) != pd.Index(CLASSES).get_indexer(a["truth"])
    for i in a.index[wrong][:30]:
        b.loc[i, columns] = [float(a.loc[i, "truth"] == name) for name in CLASSES]
    found = evaluate.paired_difference(a, b.sample(frac=1, random_state=0), CLASSES)
    assert found["difference"] == pytest.approx(0.1) and (found["only_a"], found["only_b"]) == (0, 30)
    assert 0.06 < found["interval"][0] < 0.1 < found["interval"][1] < 0.14
    with pytest.raises(ReproError, match="same images"):
        evaluate.paired_difference(a, b.iloc[1:], CLASSES)
    with pytest.raises(ReproError, match="another truth"):
        evaluate.paired_difference(a, b.assign(truth="box"), CLASSES)


def test_mean_interval_leaves_out_missing_values():
    """The interval has the width of theory; missing values and second rows of an image do not narrow it."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"image": [str(i) for i in range(400)], "gain": rng.normal(1, 2, 400)})
    mean, low, high = evaluate.mean_interval(table["image"], table["gain"])
    assert mean == pytest.approx(table["gain"].mean())
    assert high - low == pytest.approx(2 * 1.96 * 2 / np.sqrt(400), rel=0.1)
    twice = pd.concat([table, table, table.assign(gain=np.nan)])
    assert evaluate.mean_interval(twice["image"], twice["gain"]) == pytest.approx((mean, low, high), abs=0.05)
    assert np.isnan(evaluate.mean_interval(table["image"], table["gain"] * np.nan)).all()


@pytest.mark.parametrize("run", ["scratch/none/fold0", "scratch/block/fold4", "transfer/stage/fold2"])
def test_metrics_of_kept_runs_stay(run):
    """The predictions of a run of the reference give its metrics.json, byte for byte but for a matrix product."""
    root = project_root()
    folder = root / "results/reference" / run
    groups = pd.read_csv(root / "data/splits/trashnet.csv").set_index("image")["group"]
    predictions = evaluate.read_predictions(folder / "predictions.csv")
    kept = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    found = evaluate.metrics(predictions, list(kept["per_class"]), groups, seed=int(folder.name[4:]))
    # Sums of fractions: a processor's order of summation shows in the last digit.
    assert found.pop("ece_interval") == pytest.approx(kept.pop("ece_interval"), rel=1e-12)
    assert json.dumps(found) == json.dumps(kept)


def test_repeats_count_apart_and_share_their_groups():
    """An image may appear once per repeat; both rows are one group, so a copied repeat narrows no interval."""
    frame = make_predictions()
    twice = pd.concat([frame.assign(repeat=0), frame.assign(repeat=1)])
    once, found = evaluate.metrics(frame, CLASSES), evaluate.metrics(twice, CLASSES)
    assert (found["images"], found["groups"]) == (400, 200)
    for name in ("accuracy_interval", "macro_f1_interval", "ece_interval"):
        assert found[name] == pytest.approx(once[name])
    assert evaluate.confusion(twice, CLASSES).equals(2 * evaluate.confusion(frame, CLASSES))
    with pytest.raises(ReproError, match="'a/0.jpg' appears more than once in the predictions of repeat 1"):
        evaluate.metrics(pd.concat([twice, frame.assign(repeat=1)]), CLASSES)


def test_paired_difference_aligns_repeats():
    """Rows are compared within their repeat, in any order; a repeat that one table lacks is an error."""
    a = make_predictions()
    perfect = a.assign(**{f"p_{name}": (a["truth"] == name).astype(float) for name in CLASSES})
    first = pd.concat([a.assign(repeat=0), a.assign(repeat=1)])
    second = pd.concat([a.assign(repeat=0), perfect.assign(repeat=1)])
    found = evaluate.paired_difference(first, second.sample(frac=1, random_state=0), CLASSES)
    gain = 1 - evaluate.metrics(a, CLASSES)["accuracy"]
    assert found["difference"] == pytest.approx(gain / 2) and found["only_a"] == 0 and found["images"] == 400
    assert found["interval"] == pytest.approx(np.array(evaluate.paired_difference(a, perfect, CLASSES)["interval"]) / 2)
    assert evaluate.paired_difference(a, second[second["repeat"] == 0], CLASSES)["difference"] == 0
    with pytest.raises(ReproError, match="in repeat 1; compare runs of the same folds and repeats"):
        evaluate.paired_difference(a, second, CLASSES)


def test_compared_has_the_intervals_of_metrics_and_of_the_paired_difference():
    """Each network beside the reference on the same draws of groups; the reference has no difference to itself."""
    a = make_predictions()
    perfect = a.assign(**{f"p_{name}": (a["truth"] == name).astype(float) for name in CLASSES})
    groups = pd.Series(np.arange(200) // 2, a["image"])
    right = {
        name: frame[[f"p_{name}" for name in CLASSES]].to_numpy().argmax(1)
        == pd.Index(CLASSES).get_indexer(frame["truth"])
        for name, frame in {"none": a, "stage": perfect}.items()
    }
    found = evaluate.compared(pd.DataFrame(right, pd.Index(a["image"])), "none", groups)
    metrics, pair = evaluate.metrics(a, CLASSES, groups), evaluate.paired_difference(a, perfect, CLASSES, groups)
    assert found.loc["none", ["accuracy", "low", "high"]].tolist() == pytest.approx(
        [metrics["accuracy"], *metrics["accuracy_interval"]]
    )
    assert found.loc["stage"].tolist() == pytest.approx([1, 1, 1, pair["difference"], *pair["interval"]])
    assert found.loc["none"].isna().sum() == 3


def test_claimed_layer():
    """The deepest one with six places a side; None where every grid is coarser."""
    grids = {"layer1": (16, 16), "layer2": (8, 6), "layer3": (8, 5)}
    assert evaluate.claimed_layer(grids) == "layer2"
    assert evaluate.claimed_layer({"layer3": (5, 8)}) is None
