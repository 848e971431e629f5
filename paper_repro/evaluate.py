"""Test predictions and what is computed from them: accuracy, macro-F1, calibration error, confusion matrix.

Every interval is a 95 % interval of a cluster bootstrap: groups of near-identical photographs are drawn with
replacement, not single images, because the images of one group are not independent.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from paper_repro.files import ReproError

BINS = 15  # of the calibration error, as in Guo et al. 2017
CHUNK = 5_000_000  # groups drawn at a time, which bounds the memory of the bootstrap


def predictions_frame(images, fold: int, truth, probabilities, classes) -> pd.DataFrame:
    """Table of test predictions, one row per image: image, fold, truth (label), p_<class> for every class.

    images (N,) names, truth (N,) class indices, probabilities (N, K) with rows that sum to 1. Raises
    ReproError for probabilities that are no distribution, a truth that is no class, an image given twice.
    """
    truth, probabilities = np.asarray(truth), np.asarray(probabilities)
    if truth.shape != (len(images),) or probabilities.shape != (len(images), len(classes)):
        raise ReproError(
            f"{len(images)} images of {len(classes)} classes need as many truths and rows of "
            f"probabilities, not shapes {truth.shape} and {probabilities.shape}"
        )
    if not np.isin(truth, np.arange(len(classes))).all():
        raise ReproError(f"truth must hold class indices in 0..{len(classes) - 1}, not {np.unique(truth)}")
    frame = pd.DataFrame({"image": images, "fold": fold, "truth": np.asarray(classes, object)[truth]})
    frame = pd.concat([frame, pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])], axis=1)
    _arrays(frame, classes)
    return frame


def read_predictions(path) -> pd.DataFrame:
    """Read a predictions.csv; labels stay text, also where a class is called "null" or "1"."""
    return pd.read_csv(path, dtype={"image": str, "truth": str}, keep_default_na=False)


def metrics(
    predictions: pd.DataFrame, classes, groups: pd.Series | None = None, seed: int = 0, resamples: int = 2000
) -> dict:
    """Measures of one model's test predictions, ready for JSON.

    accuracy, macro_f1 (over all classes; one neither present nor predicted counts 0) and ece (see
    `reliability`), each with `<name>_interval` [low, high]; per_class {label: {precision, recall, f1,
    support}}; confusion, counts with rows = truth; images and groups, their numbers. `groups` maps image
    names to groups; None takes each image as its own group.

    The intervals of accuracy and macro_f1 are percentile intervals. A calibration error is biased upwards by
    the noise in its bins, in a resample once more than in the sample, so that its percentile interval can
    miss even the estimate: it is reflected at the estimate instead (the basic bootstrap), cut at 0 and, where
    needed, widened to hold the estimate. Even so it reaches a calibrated model's 0 in about 6 of 10 samples
    only: compare models by it, do not test one against 0.
    """
    truth, probabilities = _arrays(predictions, classes)
    predicted, labels = probabilities.argmax(1), np.arange(len(classes))
    right = truth == predicted
    scores = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    per_class = [
        dict(zip(("precision", "recall", "f1", "support"), row, strict=True)) for row in np.stack(scores, 1).tolist()
    ]

    present, guessed = np.eye(len(classes))[truth], np.eye(len(classes))[predicted]
    gap = np.eye(BINS)[_bin(probabilities)] * (probabilities.max(1) - right)[:, None]
    sums = np.hstack([present * right[:, None], present, guessed, gap])  # (N, 3 K + BINS)
    group = _group_index(predictions["image"], groups)

    def measures(sums):
        hits, present, guessed, gap = np.split(sums, np.arange(1, 4) * len(classes), axis=1)
        f1 = 2 * hits / np.maximum(present + guessed, 1)
        count = present.sum(1)
        return np.stack([hits.sum(1) / count, f1.mean(1), np.abs(gap).sum(1) / count], axis=1)

    intervals = _bootstrap(sums, group, measures, seed, resamples)
    ece = float(np.abs(gap.sum(0)).sum() / len(truth))
    low, high = intervals[2]
    return {
        "images": len(truth),
        "groups": int(group.max()) + 1,
        "accuracy": float(accuracy_score(truth, predicted)),
        "accuracy_interval": intervals[0],
        "macro_f1": float(scores[2].mean()),
        "macro_f1_interval": intervals[1],
        "ece": ece,
        "ece_interval": [min(ece, max(0.0, 2 * ece - high)), max(ece, 2 * ece - low)],
        "per_class": {
            name: {**row, "support": int(row["support"])} for name, row in zip(classes, per_class, strict=True)
        },
        "confusion": confusion(predictions, classes).to_numpy().tolist(),
    }


def confusion(predictions: pd.DataFrame, classes) -> pd.DataFrame:
    """Confusion matrix in counts: rows are the truth, columns the predicted class."""
    truth, probabilities = _arrays(predictions, classes)
    counts = confusion_matrix(truth, probabilities.argmax(1), labels=np.arange(len(classes)))
    return pd.DataFrame(counts, pd.Index(classes, name="truth"), pd.Index(classes, name="predicted"))


def reliability(predictions: pd.DataFrame, classes) -> pd.DataFrame:
    """Mean confidence and accuracy in 15 equal-width bins ]low, high] of the predicted class's probability.

    The expected calibration error is the mean `|accuracy - confidence|` over these bins, weighted by `count`
    (Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2). Empty bins hold NaN for both.
    """
    truth, probabilities = _arrays(predictions, classes)
    table = pd.DataFrame({"confidence": probabilities.max(1), "accuracy": truth == probabilities.argmax(1)})
    bins = table.groupby(_bin(probabilities)).agg(["mean", "size"]).reindex(range(BINS))
    return pd.DataFrame(
        {
            "low": np.arange(BINS) / BINS,
            "high": np.arange(1, BINS + 1) / BINS,
            "count": bins["accuracy"]["size"].fillna(0).astype(int),
            "confidence": bins["confidence"]["mean"],
            "accuracy": bins["accuracy"]["mean"],
        }
    )


def paired_difference(
    a: pd.DataFrame, b: pd.DataFrame, classes, groups: pd.Series | None = None, seed: int = 0, resamples: int = 2000
) -> dict:
    """Accuracy of `b` minus accuracy of `a` on the same images, with its interval from paired resampling.

    Returns difference, interval [low, high], only_a and only_b (how many images that one alone gets right),
    images. Raises ReproError where the two tables do not hold the same images with the same truth.
    """
    (truth, of_a), (truth_b, of_b) = _arrays(a, classes), _arrays(b, classes)
    if odd := sorted(set(a["image"]) ^ set(b["image"])):
        raise ReproError(
            f"the two models were not tested on the same images: {len(odd)} are in one table "
            f"only, such as {odd[0]!r}; compare runs of the same folds"
        )
    order = pd.Index(b["image"]).get_indexer(a["image"])
    if (truth != truth_b[order]).any():
        name = a["image"].iloc[(truth != truth_b[order]).argmax()]
        raise ReproError(f"{name!r} has another truth in each table; compare runs on the same data")
    right_a, right_b = of_a.argmax(1) == truth, of_b.argmax(1)[order] == truth
    gain = right_b.astype(float) - right_a
    intervals = _bootstrap(
        np.stack([gain, np.ones(len(gain))], 1),
        _group_index(a["image"], groups),
        lambda sums: sums[:, :1] / sums[:, 1:],
        seed,
        resamples,
    )
    return {
        "difference": float(gain.mean()),
        "interval": intervals[0],
        "images": len(truth),
        "only_a": int((right_a & ~right_b).sum()),
        "only_b": int((right_b & ~right_a).sum()),
    }


def mean_interval(
    images: pd.Series, values: pd.Series, groups: pd.Series | None = None, seed: int = 0, resamples: int = 2000
) -> tuple[float, float, float]:
    """(mean, low, high) of a measure of single images, such as a column of `heatmaps.measure`, without NaN."""
    images, values = images[values.notna()], values.dropna()
    if values.empty:
        return np.nan, np.nan, np.nan
    sums = np.stack([values.to_numpy(float), np.ones(len(values))], axis=1)
    [interval] = _bootstrap(sums, _group_index(images, groups), lambda sums: sums[:, :1] / sums[:, 1:], seed, resamples)
    return float(values.mean()), *interval


def _arrays(predictions, classes):
    """(truth (N,) class indices, probabilities (N, K)) of a predictions table, checked."""
    if len(predictions) == 0:
        raise ReproError("the predictions hold no image; check the split")
    columns = [f"p_{name}" for name in classes]
    if columns != [name for name in predictions if name.startswith("p_")]:
        raise ReproError(
            f"the predictions must have the columns {columns}, not {list(predictions)}; they belong to other classes"
        )
    if (repeated := predictions.duplicated([name for name in ("repeat", "image") if name in predictions])).any():
        raise ReproError(
            f"{predictions['image'][repeated].iloc[0]!r} appears more than once in the "
            "predictions; each image is tested in one fold only (of each repeat)"
        )
    truth = pd.Index(classes).get_indexer(predictions["truth"])
    if (truth < 0).any():
        raise ReproError(f"truth {predictions['truth'].iloc[truth.argmin()]!r} is none of {list(classes)}")
    probabilities = predictions[columns].to_numpy(float)
    in_range = ((probabilities >= 0) & np.isfinite(probabilities)).all(1)
    bad = ~(in_range & (np.abs(probabilities.sum(1) - 1) < 2e-3))  # half precision misses 1 by up to 1e-3
    if bad.any():
        raise ReproError(
            f"the probabilities of {predictions['image'].iloc[bad.argmax()]!r} are "
            f"{probabilities[bad.argmax()]}: no distribution over the classes; pass softmax "
            "outputs, and look for a training that diverged"
        )
    return truth, probabilities


def _bin(probabilities):
    """Each image's confidence bin: m for a confidence in ]m / BINS, (m + 1) / BINS]."""
    return np.clip(np.ceil(probabilities.max(1) * BINS).astype(int) - 1, 0, BINS - 1)


def _group_index(images, groups):
    """Each image's group as 0..G-1; an image that comes twice is one group."""
    if groups is None:
        return pd.factorize(images)[0]
    if not isinstance(groups, pd.Series) or not images.isin(groups.index).all():
        raise ReproError(
            'groups must be a Series from every image\'s name to its group, such as folds.set_index("image")["group"]'
        )
    return pd.factorize(groups.loc[images])[0]


def _bootstrap(sums, group, measures, seed, resamples):
    """Percentile intervals [low, high] of the M columns of measures((B, S) sums) -> (B, M); sums (N, S)."""
    per_group = np.zeros((group.max() + 1, sums.shape[1]))
    np.add.at(per_group, group, sums)
    rng, count = np.random.default_rng(seed), len(per_group)
    values, step = [], max(1, CHUNK // count)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        values.append(measures(times @ per_group))
    return np.percentile(np.concatenate(values), [2.5, 97.5], axis=0).T.tolist()
