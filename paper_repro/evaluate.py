"""Scores of test predictions and of heat maps, with intervals: accuracy, macro-F1, calibration error, gains.

A table of predictions has the columns image, fold, truth (label) and p_<class> for every class. A table of several
repeats has a column `repeat` too; an image then appears once, and counts once, in every repeat.

Every interval is a 95 % interval of a cluster bootstrap, which draws groups of near-identical photographs, as the rows
of one group are not independent: `groups` is a Series from image names to groups, None takes each image as its own.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from paper_repro.files import ReproError

CLAIMED_GRID = 6  # places a side, at least, of the layer at which a heat map's results are claimed (docs/protocol.md)
BINS = 15  # of the calibration error, as in Guo et al. 2017
RESAMPLES = 2000  # of the bootstrap
COMPARED = ("accuracy", "low", "high", "difference", "difference_low", "difference_high")
CHUNK = 5_000_000  # groups drawn at a time, which bounds the memory of the bootstrap


def predictions_frame(images, fold: int, truth, probabilities, classes) -> pd.DataFrame:
    """Table of test predictions, from images (N,) by name, class indices `truth` (N,), probabilities (N, K). Other
    shapes, an index that is no class, a row that is no distribution and an image given twice are a ReproError."""
    truth, probabilities = np.asarray(truth), np.asarray(probabilities)
    needed = (len(images),), (len(images), len(classes))
    if (truth.shape, probabilities.shape) != needed:
        raise ReproError(f"truth and probabilities need the shapes {needed}, not {truth.shape}, {probabilities.shape}")
    if not np.isin(truth, np.arange(len(classes))).all():
        raise ReproError(f"truth must hold class indices in 0..{len(classes) - 1}, not {np.unique(truth)}")
    frame = pd.DataFrame({"image": images, "fold": fold, "truth": np.asarray(classes, object)[truth]})
    frame = frame.join(pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes]))
    _tests(frame, classes)
    return frame


def read_predictions(path) -> pd.DataFrame:
    """Reads a predictions.csv; labels stay text, also where a class is called "null" or "1"."""
    return pd.read_csv(path, dtype={"image": str, "truth": str}, keep_default_na=False)


def metrics(predictions: pd.DataFrame, classes, groups: pd.Series | None = None, seed: int = 0) -> dict:
    """Measures of one model's test predictions, ready for JSON.

    Intervals are percentile intervals but for ece. Noise in its bins biases it upwards, in a resample once more, so its
    interval is reflected at the estimate (the basic bootstrap), cut at 0 and widened to hold the estimate. Even so it
    reaches a calibrated model's 0 in about 6 of 10 samples only: compare models by it, do not test one against 0.

    Returns:
        images and groups, their numbers; accuracy, macro_f1 (over all classes; a class neither present nor predicted
        counts 0) and ece (see `reliability`), in [0, 1], each with `<name>_interval` [low, high]; per_class {label:
        {precision, recall, f1, support}}; confusion, counts with rows = truth.
    """
    tests, counts = _tests(predictions, classes), confusion(predictions, classes)
    truth, predicted, gap = tests["truth"], tests["predicted"], tests["confidence"] - tests["correct"]
    columns = precision_recall_fscore_support(truth, predicted, labels=range(len(classes)), zero_division=0)
    per_class = pd.DataFrame(dict(zip(("precision", "recall", "f1", "support"), columns, strict=True)), classes)
    values = {
        "confusion": np.eye(counts.size)[truth * len(classes) + predicted].reshape(-1, *counts.shape),  # (N, K, K)
        "gap": np.eye(BINS)[tests["bin"]] * gap.to_numpy()[:, None],  # (N, BINS)
    }

    def scores(sums):
        matrices = sums["confusion"]  # (B, K, K)
        hits, count = np.diagonal(matrices, axis1=1, axis2=2), matrices.sum((1, 2))
        f1 = 2 * hits / np.maximum(matrices.sum(1) + matrices.sum(2), 1)
        return {"accuracy": hits.sum(1) / count, "macro_f1": f1.mean(1), "ece": np.abs(sums["gap"]).sum(1) / count}

    group = _group_index(predictions["image"], groups)
    intervals = _bootstrap(values, group, scores, seed)
    found: dict = {"images": len(tests), "groups": int(group.max()) + 1}
    for name, [estimate] in scores({name: value.sum(0, keepdims=True) for name, value in values.items()}).items():
        low, high = intervals[name]
        if name == "ece":
            low, high = min(estimate, max(0.0, 2 * estimate - high)), max(estimate, 2 * estimate - low)
        found |= {name: float(estimate), f"{name}_interval": [float(low), float(high)]}
    return found | {"per_class": per_class.to_dict("index"), "confusion": counts.to_numpy().tolist()}


def confusion(predictions: pd.DataFrame, classes) -> pd.DataFrame:
    """Confusion matrix (K, K) in counts: rows are the truth, columns the predicted class."""
    tests = _tests(predictions, classes)
    counts = confusion_matrix(tests["truth"], tests["predicted"], labels=range(len(classes)))
    return pd.DataFrame(counts, pd.Index(classes, name="truth"), pd.Index(classes, name="predicted"))


def reliability(predictions: pd.DataFrame, classes) -> pd.DataFrame:
    """low, high, count, confidence and accuracy (NaN where empty) of 15 equal bins ]low, high] of the confidence.

    Confidence is the predicted class's probability. The expected calibration error (Guo et al. 2017, "On Calibration of
    Modern Neural Networks", section 2) is the mean `|accuracy - confidence|` over these bins, weighted by `count`.
    """
    bins = _tests(predictions, classes).rename(columns={"correct": "accuracy"}).groupby("bin")
    table = pd.DataFrame({"low": np.arange(BINS) / BINS, "high": np.arange(1, BINS + 1) / BINS})
    table["count"] = bins.size().reindex(table.index, fill_value=0)
    return table.join(bins[["confidence", "accuracy"]].mean())


def paired_difference(a: pd.DataFrame, b: pd.DataFrame, classes, groups: pd.Series | None = None) -> dict:
    """difference, accuracy of `b` minus that of `a`, and its interval [low, high] from paired resampling; images, their
    number; only_a and only_b, how many only that model classifies correctly. Both tables hold the same images, in the
    same repeats, with the same truth; else a ReproError."""
    tests_a, tests_b = _tests(a, classes), _tests(b, classes)
    if len(unpaired := tests_a.index.symmetric_difference(tests_b.index)):
        repeat, image = unpaired[0]
        raise ReproError(
            f"the two models were not tested on the same images: {len(unpaired)} are in one table only, such as "
            f"{image!r} in repeat {repeat}; compare runs of the same folds and repeats"
        )
    both = tests_a.add_suffix("_a").join(tests_b.add_suffix("_b")).reset_index()  # in the order of a
    if (differs := both["truth_a"] != both["truth_b"]).any():
        image = both["image"][differs].iloc[0]
        raise ReproError(f"{image!r} has another truth in each table; compare runs on the same data")
    gain = both["correct_b"].astype(int) - both["correct_a"]
    mean, *interval = mean_interval(both["image"], gain, groups)
    only_a, only_b = int((gain < 0).sum()), int((gain > 0).sum())
    return {"difference": mean, "interval": interval, "images": len(both), "only_a": only_a, "only_b": only_b}


def mean_interval(images: pd.Series, values: pd.Series, groups: pd.Series | None = None) -> tuple[float, float, float]:
    """(mean, low, high) of a measure of single images, such as a column of `heatmaps.measure`; NaN is left out."""
    images, values = images[values.notna()], values.dropna()
    if values.empty:
        return np.nan, np.nan, np.nan
    sums = {"total": values.to_numpy(float), "count": np.ones(len(values))}
    found = _bootstrap(sums, _group_index(images, groups), lambda sums: {"mean": sums["total"] / sums["count"]}, seed=0)
    return float(values.mean()), *found["mean"]


def compared(right: pd.DataFrame, reference: str, groups: pd.Series | None = None) -> pd.DataFrame:
    """Accuracies on the same photographs, and their paired differences to one of them, with intervals.

    Args:
        right: (photographs, names), whether each answer is correct; indexed by image or by (repeat, image).
        reference: the column that the others are compared with.
        groups: image -> near-duplicate group.

    Returns:
        A row per name: accuracy, low, high; difference, its accuracy minus that of the reference, difference_low and
        difference_high, which are NaN for the reference itself.
    """
    images, values = right.index.to_frame()["image"].reset_index(drop=True), right.astype(float).reset_index(drop=True)
    rows = {}
    for name in values:
        gap = values[name] - (values[reference] if name != reference else np.nan)
        found = *mean_interval(images, values[name], groups), *mean_interval(images, gap, groups)
        rows[name] = dict(zip(COMPARED, found, strict=True))
    return pd.DataFrame.from_dict(rows, orient="index")


def claimed_layer(grids: Mapping[str, Sequence[int]]) -> str | None:
    """The deepest layer with `CLAIMED_GRID` places a side or more; None where every grid is coarser.

    Args:
        grids: layer -> its map's grid (h, w), from the input on.
    """
    return next((layer for layer in reversed([*grids]) if min(grids[layer]) >= CLAIMED_GRID), None)


def heatmap_table(measures: pd.DataFrame, column: str, groups: pd.Series | None = None) -> pd.DataFrame:
    """A measure of heat maps per arm and layer: each map's mean, and Grad-CAM minus the best trivial map.

    Args:
        measures: rows of `heatmaps.measure` with the columns arm and repeat; a row without `column` is left out.

    Returns:
        arm, layer, grid, images, a column per map, best trivial (the trivial map with the largest mean), lead (the
        mean paired difference), low and high (its interval).
    """
    rows = []
    for names, part in measures.dropna(subset=column).groupby(["arm", "layer", "grid"], sort=False):
        wide = part.pivot(index=["repeat", "image"], columns="map", values=column)  # (images, maps)
        best = wide.drop(columns="gradcam").mean().idxmax()
        lead = (wide["gradcam"] - wide[best]).reset_index(name="lead")
        mean, low, high = mean_interval(lead["image"], lead["lead"], groups)
        row = dict(zip(("arm", "layer", "grid"), names, strict=True)) | {"images": len(wide)} | wide.mean().to_dict()
        rows.append(row | {"best trivial": best, "lead": mean, "low": low, "high": high})
    return pd.DataFrame(rows)


def _tests(predictions, classes):
    """Checked predictions, a row per (repeat, image): truth and predicted (class indices), confidence, correct, bin."""
    if len(predictions) == 0:
        raise ReproError("the predictions hold no image; check the split")
    columns = [f"p_{name}" for name in classes]
    if columns != [name for name in predictions if name.startswith("p_")]:
        raise ReproError(f"the predictions have the columns {list(predictions)}, not {columns}: give their own classes")
    index = pd.MultiIndex.from_frame(predictions.assign(repeat=predictions.get("repeat", 0))[["repeat", "image"]])
    if index.has_duplicates:
        repeat, image = index[index.duplicated()][0]
        raise ReproError(f"{image!r} appears more than once in the predictions of repeat {repeat}: keep one row")
    truth = pd.Index(classes).get_indexer(predictions["truth"])
    if (truth < 0).any():
        raise ReproError(f"truth {predictions['truth'].iloc[truth.argmin()]!r} is none of {list(classes)}")
    probabilities = predictions[columns].to_numpy(float)
    sum_is_1 = np.abs(probabilities.sum(1) - 1) < 2e-3  # half precision misses 1 by up to 1e-3
    if (bad := ~((probabilities >= 0).all(1) & sum_is_1)).any():
        raise ReproError(
            f"the probabilities of {predictions['image'][bad].iloc[0]!r} are {probabilities[bad][0]}: "
            "no distribution over the classes; pass softmax outputs, and look for a training that diverged"
        )
    tests = pd.DataFrame({"truth": truth, "predicted": probabilities.argmax(1)}, index)
    tests["confidence"], tests["correct"] = probabilities.max(1), tests["truth"] == tests["predicted"]
    tests["bin"] = (np.ceil(tests["confidence"] * BINS).astype(int) - 1).clip(0, BINS - 1)  # ]m / BINS, (m + 1) / BINS]
    return tests


def _group_index(images, groups):
    """Each image's group as 0..G-1; an image that comes twice is one group."""
    if groups is None:
        return pd.factorize(images)[0]
    if not isinstance(groups, pd.Series) or not images.isin(groups.index).all():
        raise ReproError('groups must name every image\'s group, as the Series folds.set_index("image")["group"] does')
    return pd.factorize(groups.loc[images])[0]


def _bootstrap(values, group, scores, seed):
    """95 % percentile interval {name: [low, high]} of every score over resampled groups.

    values: {name: (N, ...)}, to be summed; scores: from the sums of B resamples {name: (B, ...)} to {name: (B,)}.
    """
    count, per_group = group.max() + 1, {}
    for name, value in values.items():
        per_group[name] = np.zeros((count, *value.shape[1:]))
        np.add.at(per_group[name], group, value)
    rng, step, chunks = np.random.default_rng(seed), max(1, CHUNK // count), []
    for start in range(0, RESAMPLES, step):
        drawn = [rng.integers(count, size=count) for _ in range(min(step, RESAMPLES - start))]
        times = np.stack([np.bincount(groups, minlength=count) for groups in drawn], dtype=float)  # (B, G)
        chunks.append(pd.DataFrame(scores({name: np.tensordot(times, sums, 1) for name, sums in per_group.items()})))
    return pd.concat(chunks).quantile([0.025, 0.975]).to_dict("list")
