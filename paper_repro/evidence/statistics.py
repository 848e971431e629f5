"""Tables, intervals and tests from the files of finished runs.

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
from paper_repro.config import ARMS
from paper_repro.files import ReproError

LEVEL = 0.05
MARGIN = 0.02  # of non-inferiority, in accuracy: fixed in docs/protocol.md
FOLDS = 5
UNMEASURED, UNDECIDED = "not measured yet", "not decidable here"


def read_runs(folder: str | Path) -> pd.DataFrame:
    """All test predictions below `folder` (ARM/foldK/predictions.csv) with a column `arm`; nothing else is opened.

    Raises:
        ReproError: no run there.
    """
    files = of_all_runs(folder, "predictions.csv")
    if not files:
        raise ReproError(f"{folder} holds no ARM/foldK/predictions.csv: run `make reproduce`, or name another folder")
    return pd.concat([evaluate.read_predictions(file).assign(arm=file.parts[-3]) for file in files], ignore_index=True)


def of_all_runs(folder, name, arm="*"):
    """A file of every run below the folder, in the order of the arms in `ARMS`, then of the folds."""
    return sorted(Path(folder).glob(f"{arm}/fold*/{name}"), key=lambda file: (list(ARMS).index(file.parts[-3]), file))


def tables(files):
    """The rows of all files, with columns arm and fold."""
    return pd.concat(
        [
            pd.read_csv(file, keep_default_na=False, na_values=[""]).assign(
                arm=file.parts[-3], fold=int(file.parts[-2][4:])
            )
            for file in files
        ],
        ignore_index=True,
    )


def facts_of(folder):
    """environment.json of every run below the folder."""
    return [json.loads(file.read_text(encoding="utf-8")) for file in of_all_runs(folder, "environment.json")]


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
    return table.pivot(index=["fold", "image"], columns="arm", values="right")[list(table["arm"].unique())]


def corrected_t(differences: np.ndarray, size_ratio: float, level: float = LEVEL) -> dict:
    """Corrected resampled t-test of k differences (k,) between two arms, one per fold.

    t = mean / sqrt((1 / k + n_test / n_train) variance), k - 1 degrees of freedom. Returns difference, low, high (of
    the 1 - level interval), p (two-sided), advantage (the probability that the second arm is better: the posterior of
    Benavoli et al., JMLR 18, 2017, section 3, which has the same distribution) and lower (the one-sided limit at the
    same level, for non-inferiority). NaN but for the difference where k < 2; where the differences are all equal the
    interval is the point.

    Args:
        size_ratio: n_test / n_train.
    """
    k, mean = len(differences), float(np.mean(differences))
    if k < 2:
        return {"difference": mean} | dict.fromkeys(("low", "high", "lower", "p", "advantage"), np.nan)
    scale = float(np.sqrt((1 / k + size_ratio) * np.var(differences, ddof=1)))
    if scale == 0:
        return {
            "difference": mean,
            "low": mean,
            "high": mean,
            "lower": mean,
            "p": float(mean == 0),
            "advantage": 0.5 + 0.5 * np.sign(mean),
        }
    two, one = stats.t.ppf([1 - level / 2, 1 - level], k - 1) * scale
    return {
        "difference": mean,
        "low": mean - two,
        "high": mean + two,
        "lower": mean - one,
        "p": float(2 * stats.t.sf(abs(mean) / scale, k - 1)),
        "advantage": float(stats.t.cdf(mean / scale, k - 1)),
    }


def contrasts(predictions: pd.DataFrame, pairs: Sequence[tuple[str, str]], size_ratio: float) -> pd.DataFrame:
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
            rows.append(
                {"a": a, "b": b, "folds": len(by_fold), "images": len(both)}
                | corrected_t((by_fold[b] - by_fold[a]).to_numpy(), size_ratio)
                | {"only_a": only_a, "only_b": only_b, "p_mcnemar": float(mcnemar(table, exact=True).pvalue)}
            )
    found = pd.DataFrame(
        rows,
        columns=[
            "a",
            "b",
            "folds",
            "images",
            "difference",
            "low",
            "high",
            "lower",
            "p",
            "advantage",
            "only_a",
            "only_b",
            "p_mcnemar",
        ],
    )
    tested = found["p"].notna()
    found["p_holm"] = np.nan
    if tested.any():
        found.loc[tested, "p_holm"] = multipletests(found.loc[tested, "p"], LEVEL, method="holm")[1]
    return found


def with_all(folds, found):
    """The verdict `found` where all folds are there: a look at a part of the run must not become one."""
    return found if folds >= FOLDS else UNDECIDED


def verdict(row: pd.Series) -> str:
    """What a contrast "b is better than a" comes to."""
    if row["p_holm"] < LEVEL:
        found = "supported" if row["difference"] > 0 else "not supported"
    else:
        found = "not supported" if row["high"] < MARGIN else UNDECIDED
    return with_all(row["folds"], found)


def non_inferior(row: pd.Series) -> str:
    """What a contrast comes to as the claim "b is at most MARGIN worse than a"."""
    found = "supported" if row["lower"] > -MARGIN else "not supported" if row["high"] < -MARGIN else UNDECIDED
    return with_all(row["folds"], found)


def size_ratio(folder: str | Path) -> float:
    """n_test / n_train, mean over the folds that have a run below `folder`, from their environment.json. Each fold
    counts once, so that one more arm on some of the folds changes no other arm's test.
    """
    shares = {facts["fold"]: facts["images"]["test"] / facts["images"]["train"] for facts in facts_of(folder)}
    return float(np.mean(list(shares.values())))


def points(value: float, low: float, high: float) -> str:
    """A difference in accuracy as text: +1.2 points [-0.3, +2.7]."""
    if np.isnan(value):
        return UNMEASURED
    if np.isnan(low):
        return f"{100 * value:+.1f} points (one fold, no interval over folds)"
    return f"{100 * value:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"


def gate_agreement(folder: str | Path, groups: pd.Series) -> pd.DataFrame:
    """Mean within, between and specific per stage over all photographs of the arm `block`, and specific's interval.

    Raises:
        ReproError: no run of that arm.
    """
    files = of_all_runs(folder, "gates.csv*", "block")
    if not files:
        raise ReproError(f"{folder} holds no block/foldK/gates.csv: train the arm block (notebook 03)")
    table = tables(files)
    means = table.groupby("stage")[["within", "between", "specific"]].mean()
    for stage, part in table.groupby("stage"):
        means.loc[stage, ["specific_low", "specific_high"]] = evaluate.mean_interval(
            part["image"], part["specific"], groups
        )[1:]
    return means


def read_histories(folder: str | Path) -> pd.DataFrame:
    """history.csv of all runs below `folder`, with columns arm and fold."""
    return tables(of_all_runs(folder, "history.csv"))


def read_measures(folder: str | Path) -> pd.DataFrame:
    """All heat map measures below `folder`, with columns arm and fold."""
    return tables(of_all_runs(folder, "measures.csv*"))


def heatmap_table(measures: pd.DataFrame, column: str, groups: pd.Series) -> pd.DataFrame:
    """Per arm and layer: each map's mean of `column`, and Grad-CAM minus the best trivial map, paired, with its
    95 % interval drawn by groups."""
    rows = []
    for (arm, layer, grid), part in measures.dropna(subset=column).groupby(["arm", "layer", "grid"], sort=False):
        wide = part.pivot(index="image", columns="map", values=column)  # (images, maps)
        best = wide.drop(columns="gradcam").mean().idxmax()
        margin = (wide["gradcam"] - wide[best]).reset_index()
        mean, low, high = evaluate.mean_interval(margin["image"], margin[0], groups)
        rows.append(
            {"arm": arm, "layer": layer, "grid": grid, "images": len(wide)}
            | wide.mean().to_dict()
            | {"best trivial": best, "margin": mean, "low": low, "high": high}
        )
    return pd.DataFrame(rows)
