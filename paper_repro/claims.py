"""From the committed predictions of the reference run to the tables and the ledger of claims.

The verdict on a difference rests on the corrected resampled t-test over folds (Nadeau and Bengio, "Inference for the
Generalization Error", Machine Learning 52, 2003, section 5), Holm-corrected over the contrasts of one experiment:
folds share their training data, so a plain t-test would take five dependent differences for independent ones. McNemar's
test over photographs and the probability of an advantage stand beside it and decide nothing.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from paper_repro import evaluate
from paper_repro.files import ReproError

LEVEL = 0.05
MARGIN = 0.02  # of non-inferiority, in accuracy: fixed in docs/protocol.md


def read_runs(folder: str | Path) -> pd.DataFrame:
    """All test predictions below `folder` (ARM/foldK/predictions.csv) with a column `arm`; nothing else is opened.

    Raises:
        ReproError: no run there.
    """
    files = sorted(Path(folder).glob("*/fold*/predictions.csv"))
    if not files:
        raise ReproError(f"{folder} holds no ARM/foldK/predictions.csv: run `make reproduce`, or name another folder")
    return pd.concat([evaluate.read_predictions(file).assign(arm=file.parts[-3]) for file in files], ignore_index=True)


def classes_of(predictions: pd.DataFrame) -> list[str]:
    """The classes, in the order of their columns."""
    return [name[2:] for name in predictions if name.startswith("p_")]


def arm_table(predictions: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
    """Per arm the accuracy and macro-F1 over all photographs of its folds, with 95 % intervals drawn by groups."""
    classes, rows = classes_of(predictions), []
    for arm, part in predictions.groupby("arm", sort=False):
        found = evaluate.metrics(part, classes, groups)
        row = {"arm": arm, "folds": part["fold"].nunique(), "images": found["images"]}
        for name in ("accuracy", "macro_f1", "ece"):
            low, high = found[f"{name}_interval"]
            row |= {name: found[name], f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def right(predictions: pd.DataFrame) -> pd.DataFrame:
    """(fold, image) x arm: whether the most probable class is the true one; NaN where an arm did not see the image."""
    classes = np.array(classes_of(predictions))
    guess = classes[predictions[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)]
    table = predictions.assign(right=(guess == predictions["truth"]).astype(float))
    return table.pivot(index=["fold", "image"], columns="arm", values="right")


def corrected_t(differences: np.ndarray, test_share: float, level: float = LEVEL) -> dict:
    """Corrected resampled t-test of k differences (k,) between two arms, one per fold.

    t = mean / sqrt((1 / k + n_test / n_train) variance), k - 1 degrees of freedom. Returns difference, low, high (of
    the 1 - level interval), p (two-sided), advantage (the probability that the second arm is better: the posterior of
    Benavoli et al., JMLR 18, 2017, section 3, which has the same distribution) and lower (the one-sided limit at the
    same level, for non-inferiority). NaN but for the difference where k < 2; where the differences are all equal the
    interval is the point.

    Args:
        test_share: n_test / n_train.
    """
    k, mean = len(differences), float(np.mean(differences))
    if k < 2:
        return {"difference": mean} | dict.fromkeys(("low", "high", "lower", "p", "advantage"), np.nan)
    scale = float(np.sqrt((1 / k + test_share) * np.var(differences, ddof=1)))
    if scale == 0:
        return {"difference": mean, "low": mean, "high": mean, "lower": mean, "p": float(mean == 0),
                "advantage": 0.5 + 0.5 * np.sign(mean)}
    two, one = stats.t.ppf([1 - level / 2, 1 - level], k - 1) * scale
    return {"difference": mean, "low": mean - two, "high": mean + two, "lower": mean - one,
            "p": float(2 * stats.t.sf(abs(mean) / scale, k - 1)), "advantage": float(stats.t.cdf(mean / scale, k - 1))}


def contrasts(predictions: pd.DataFrame, pairs: Sequence[tuple[str, str]], test_share: float) -> pd.DataFrame:
    """Every listed pair (a, b), as accuracy of b minus accuracy of a over their common folds.

    Columns: those of `corrected_t`, p_holm (over the pairs with two folds or more), images, only_a and only_b
    (photographs that one alone gets right) and p_mcnemar (exact). A pair with an arm that is not there is left out.
    """
    seen, rows = right(predictions), []
    for a, b in pairs:
        if a in seen and b in seen:
            both = seen[[a, b]].dropna()
            by_fold = both.groupby("fold").mean()
            only_a, only_b = int((both[a] > both[b]).sum()), int((both[b] > both[a]).sum())
            table = [[0, only_a], [only_b, 0]]
            rows.append({"a": a, "b": b, "folds": len(by_fold), "images": len(both)}
                        | corrected_t((by_fold[b] - by_fold[a]).to_numpy(), test_share)
                        | {"only_a": only_a, "only_b": only_b, "p_mcnemar": float(mcnemar(table, exact=True).pvalue)})
    found = pd.DataFrame(rows)
    tested = found["p"].notna()
    found["p_holm"] = np.nan
    if tested.any():
        found.loc[tested, "p_holm"] = multipletests(found.loc[tested, "p"], LEVEL, method="holm")[1]
    return found


def verdict(row: pd.Series) -> str:
    """What a contrast "b is better than a" comes to."""
    if np.isnan(row["p_holm"]):
        return "not decidable here"
    if row["p_holm"] < LEVEL:
        return "supported" if row["difference"] > 0 else "not supported"
    return "not supported" if row["high"] < MARGIN else "not decidable here"


def non_inferior(row: pd.Series) -> str:
    """What a contrast comes to as the claim "b is at most MARGIN worse than a"."""
    if np.isnan(row["lower"]):
        return "not decidable here"
    if row["lower"] > -MARGIN:
        return "supported"
    return "not supported" if row["high"] < -MARGIN else "not decidable here"


def test_share(folder: str | Path) -> float:
    """n_test / n_train of the runs below `folder`, from their environment.json, mean over the runs."""
    counts = [json.loads(file.read_text())["images"] for file in Path(folder).glob("*/fold*/environment.json")]
    return float(np.mean([count["test"] / count["train"] for count in counts]))


def points(value: float, low: float, high: float) -> str:
    """A difference in accuracy as text: +1.2 points [-0.3, +2.7]."""
    if np.isnan(low):
        return f"{100 * value:+.1f} points (one fold, no interval over folds)"
    return f"{100 * value:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
