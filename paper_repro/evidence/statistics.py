"""Tables, intervals and tests from the files of finished runs. A run is an arm's training on one fold of one repeat.

Two tests of a difference in accuracy stand here. `two_way` asks about other photographs and other runs on the same
training data. `resampled` asks about new training sets as well: runs share training data, and it allows for that. The
second edition of docs/protocol.md decides by the first one (`evidence.rules`), the first edition by the second one
(`contrasts`, with Holm's correction over the contrasts of one experiment; McNemar's test decides nothing).
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.sandwich_covariance import cov_cluster_2groups

from paper_repro import evaluate
from paper_repro.config import ARMS, PLAIN_CNNS
from paper_repro.files import ReproError
from paper_repro.keys import find_runs

LEVEL = 0.05
MARGIN = 0.02  # of non-inferiority, in accuracy: fixed in docs/protocol.md
LAST_EPOCHS, SETTLED = 10, 0.01  # a run has converged when its last ten epochs change accuracy by less than a point
FOLDS = 5
UNMEASURED, UNDECIDED = "not measured yet", "not decidable here"
RUN = ["repeat", "fold"]  # what identifies a run of one arm
# Arms of which the first edition's runs on TrashNet (`scratch`) count in the second one (`trashnet`), as these have the
# same recipe; and what counts of them: their maps and gates were measured otherwise.
KEPT, OF_KEPT = ("none", "half", "block", *PLAIN_CNNS), ("environment.json", "predictions.csv")


class Estimate(NamedTuple):
    """A mean difference with its standard error and the degrees of freedom of its t; error NaN with one run."""

    value: float
    error: float
    freedom: int

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The two-sided interval with the coverage 1 - level."""
        half = float(stats.t.ppf(1 - level / 2, self.freedom)) * self.error
        return self.value - half, self.value + half

    def p(self) -> float:
        """The two-sided p-value of the hypothesis that there is no difference."""
        return float(2 * stats.t.sf(abs(self._t(0)), self.freedom))

    def above(self, bound: float) -> float:
        """The probability that the true value lies above `bound`, under a flat prior.

        Equally: one minus the one-sided p-value of the hypothesis that it is `bound` or less.
        """
        return float(stats.t.cdf(self._t(bound), self.freedom))

    def _t(self, bound: float) -> float:
        gap = self.value - bound
        return gap / self.error if self.error != 0 else np.nan_to_num(gap * np.inf)  # 0 where the gap is 0


class Variances(NamedTuple):
    """Variances of a mean difference, clustered by near-duplicate group, by run, and by both at once (`cell`)."""

    group: float
    run: float
    cell: float

    @property
    def two_way(self) -> float:
        """By group plus by run minus by both at once. Where that is not positive, which chance can do, the larger of
        the first two stands for it."""
        both = self.group + self.run - self.cell
        return both if both > 0 else max(self.group, self.run)


def runs_of(folder: str | Path, file: str, arm: str = "*") -> dict[tuple[str, int, int], Path]:
    """`find_runs`, and in a folder called `trashnet` also the kept runs of `scratch` beside it, where it has none of
    its own in their place."""
    found = find_runs(folder, file, arm)
    if Path(folder).name == "trashnet" and file in OF_KEPT:
        earlier = find_runs(Path(folder).with_name("scratch"), file, arm)
        found = {run: path for run, path in earlier.items() if run[0] in KEPT} | found
    order = list(ARMS)
    return dict(sorted(found.items(), key=lambda item: (order.index(item[0][0]), *item[0][1:])))


def read_table(folder: str | Path, file: str, arm: str = "*") -> pd.DataFrame:
    """The rows of one file (a pattern is allowed) of every run of `runs_of`, with columns arm, repeat and fold.

    Raises:
        ReproError: no run has such a file.
    """
    paths = runs_of(folder, file, arm)
    if not paths:
        where = f"{arm.replace('*', 'ARM')}/foldK/{file}"
        raise ReproError(f"{folder} holds no {where}: run `make reproduce`, or name another folder")
    as_text = {"image": str, "truth": str}  # also where a class is called "null" or "1"
    read = partial(pd.read_csv, dtype=as_text, keep_default_na=False, na_values=[""])
    tables = [read(path).assign(arm=name, repeat=repeat, fold=fold) for (name, repeat, fold), path in paths.items()]
    return pd.concat(tables, ignore_index=True)


def read_facts(folder: str | Path) -> dict[tuple[str, int, int], dict]:
    """(arm, repeat, fold) -> the content of environment.json, of every run of `runs_of`."""
    paths = runs_of(folder, "environment.json")
    return {run: json.loads(path.read_text(encoding="utf-8")) for run, path in paths.items()}


def size_ratio(folder: str | Path) -> float:
    """n_test / n_train, mean over the folds of every repeat that have a run below `folder`, each once for all arms."""
    images = {(repeat, fold): facts["images"] for (_, repeat, fold), facts in read_facts(folder).items()}
    return float(np.mean([counts["test"] / counts["train"] for counts in images.values()]))


def fewest_folds(runs: Iterable[tuple]) -> int:
    """The number of folds in the repeat that has the fewest, of an arm's runs (..., repeat, fold); 0 without a run."""
    return min(Counter(repeat for *_, repeat, _ in runs).values(), default=0)


def classes_of(predictions: pd.DataFrame) -> list[str]:
    """The classes, in the order of their columns."""
    return [name[2:] for name in predictions if name.startswith("p_")]


def arm_table(predictions: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
    """Accuracy, macro-F1 and calibration error per arm over all predictions of its runs; see `evaluate.metrics`."""
    classes, rows = classes_of(predictions), []
    for arm, part in predictions.groupby("arm", sort=False):
        found = evaluate.metrics(part, classes, groups)
        row = {"arm": arm, "runs": len(part[RUN].drop_duplicates()), "images": found["images"]}
        for name in ("accuracy", "macro_f1", "ece"):
            low, high = found[f"{name}_interval"]
            row |= {name: found[name], f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def correctness(predictions: pd.DataFrame) -> pd.DataFrame:
    """(repeat, fold, image) x arm: 1 where the most probable class is the true one, else 0; NaN without prediction."""
    guess = predictions[[f"p_{name}" for name in classes_of(predictions)]].idxmax(axis=1).str[2:]
    table = predictions.assign(correct=(guess == predictions["truth"]).astype(float))
    return table.pivot(index=[*RUN, "image"], columns="arm", values="correct")[table["arm"].unique().tolist()]


def variances(differences: pd.Series, groups: pd.Series) -> Variances:
    """Variances of the mean of paired differences with clusters (Cameron, Gelbach and Miller, JBES 29, 2011).

    They are those of statsmodels' OLS on a constant with `cov_type="cluster"`; each has its factor g / (g - 1) for g
    clusters.

    Args:
        differences: index (repeat, fold, image), from two runs or more.
        groups: image -> near-duplicate group.
    """
    run = differences.index.droplevel("image").factorize()[0]
    group = pd.factorize(groups.loc[differences.index.get_level_values("image")])[0]
    fit = OLS(differences.to_numpy(), np.ones(len(differences))).fit()
    both, by_group, by_run = (float(found.item()) for found in cov_cluster_2groups(fit, group, run))
    return Variances(by_group, by_run, by_group + by_run - both)


def two_way(differences: pd.Series, groups: pd.Series) -> Estimate:
    """The mean of paired differences, clustered two ways (`variances`), with k - 1 degrees of freedom for k runs."""
    k, mean = len(differences.groupby(RUN)), float(differences.mean())
    return Estimate(mean, variances(differences, groups).two_way ** 0.5 if k > 1 else np.nan, k - 1)


def resampled(differences: np.ndarray, size_ratio: float) -> Estimate:
    """The corrected resampled t of k differences (k,), one per run.

    The standard error is sqrt((1 / k + size_ratio) variance), with size_ratio = n_test / n_train and k - 1 degrees of
    freedom (Nadeau and Bengio, Machine Learning 52, 2003, section 5; for repeats: Bouckaert and Frank, PAKDD 2004).
    With the ratio 0 it is the plain t over networks. `Estimate.above` is then the posterior of Benavoli et al., JMLR
    18, 2017, section 3.
    """
    k, mean = len(differences), float(np.mean(differences)) if len(differences) else np.nan
    error = float(np.sqrt((1 / k + size_ratio) * np.var(differences, ddof=1))) if k > 1 else np.nan
    return Estimate(mean, error, k - 1)


def holm(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Holm's corrected p-values (m,) and the level (m,) at which each verdict is taken.

    The i-th smallest of m p-values is tested at 5 % / (m - i + 1) as long as all smaller ones were rejected; those that
    are not rejected share the level at which the first of them failed. Therefore the interval at a hypothesis's level
    excludes its bound exactly where Holm rejects it. A NaN, a contrast without all its runs, counts as 1.
    """
    # Not statsmodels' multipletests, which collects garbage at every call: a second in a process that holds torch.
    filled = np.where(np.isnan(p), 1.0, p)
    order, remaining = np.argsort(filled, kind="stable"), np.arange(len(p), 0, -1)
    corrected = np.minimum(1, np.maximum.accumulate(filled[order] * remaining))
    rejected = corrected <= LEVEL
    levels = LEVEL / np.where(rejected, remaining, (~rejected).sum())
    back = np.argsort(order)
    return corrected[back], levels[back]


def corrected_t(differences: np.ndarray, size_ratio: float) -> dict:
    """`resampled` as the first edition reports it.

    Returns:
        difference, low and high (95 %), lower (the one-sided 95 % limit, for non-inferiority), p (two-sided) and
        advantage (the probability that the second arm is better). NaN but for the difference where k < 2.
    """
    found = resampled(differences, size_ratio)
    (low, high), (lower, _) = found.interval(), found.interval(2 * LEVEL)
    limits = {"difference": found.value, "low": low, "high": high, "lower": lower}
    return limits | {"p": found.p(), "advantage": found.above(0)}


def contrasts(predictions: pd.DataFrame, pairs: Sequence[tuple[str, str]], size_ratio: float) -> pd.DataFrame:
    """Every listed pair (a, b) as accuracy of b minus accuracy of a over the runs that both have.

    Returns:
        A row per pair whose arms are there: a, b, runs, folds (of the repeat with the fewest), images (pairs of
        predictions), the values of `corrected_t`, only_a and only_b (predictions that one alone gets right), p_mcnemar
        (exact) and p_holm (over the pairs with two runs or more).
    """
    correct, rows = correctness(predictions), []
    for a, b in pairs:
        if not {a, b} <= set(correct):
            continue
        both = correct[[a, b]].dropna()
        by_run = both.groupby(RUN).mean()
        only_a, only_b = int((both[a] > both[b]).sum()), int((both[b] > both[a]).sum())
        row = {"a": a, "b": b, "runs": len(by_run), "folds": fewest_folds(by_run.index), "images": len(both)}
        row |= corrected_t((by_run[b] - by_run[a]).to_numpy(), size_ratio) | {"only_a": only_a, "only_b": only_b}
        rows.append(row | {"p_mcnemar": float(mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue)})
    columns = "a b runs folds images difference low high lower p advantage only_a only_b p_mcnemar"
    found = pd.DataFrame(rows, columns=columns.split())
    found["p_holm"] = np.nan
    if (tested := found["p"].notna()).any():
        found.loc[tested, "p_holm"] = holm(found.loc[tested, "p"].to_numpy())[0]
    return found


def judge(supported: bool, refuted: bool, folds: int = FOLDS) -> str:
    """The verdict: `supported` comes before `refuted`, and fewer than all folds decide nothing."""
    if folds < FOLDS or not (supported or refuted):
        return UNDECIDED
    return "supported" if supported else "not supported"


def verdict(row: pd.Series) -> str:
    """The verdict on "b is better than a" from a row of `contrasts`."""
    significant = row["p_holm"] < LEVEL
    return judge(significant and row["difference"] > 0, significant or row["high"] < MARGIN, row["folds"])


def gain_by_class(predictions: pd.DataFrame, a: str, b: str, groups: pd.Series) -> pd.DataFrame:
    """Accuracy of b minus accuracy of a per true class, paired, with a 95 % interval of `two_way`.

    Returns:
        A row per class: class, photographs (pairs of predictions), runs, difference, low, high, and contribution, the
        class's part of the gain over all photographs; the contributions add up to it.
    """
    truth = predictions.drop_duplicates("image").set_index("image")["truth"]
    correct, rows = correctness(predictions), []
    gain = (correct[b] - correct[a]).dropna()
    true_class = truth.loc[gain.index.get_level_values("image")].to_numpy()
    for name in classes_of(predictions):
        part = gain[true_class == name]
        found = two_way(part, groups)
        low, high = found.interval()
        row = {"class": name, "photographs": len(part), "runs": found.freedom + 1, "difference": found.value}
        rows.append(row | {"low": low, "high": high, "contribution": part.sum() / len(gain)})
    return pd.DataFrame(rows)


def convergence(histories: pd.DataFrame) -> pd.DataFrame:
    """Per run (arm, repeat, fold): how much its last ten epochs change validation accuracy, and whether it converged.

    Args:
        histories: the rows of history.csv, in the order of the epochs, of runs of more than ten epochs.
    """
    accuracy = histories.groupby(["arm", *RUN], sort=False)["validation_accuracy"]
    change = accuracy.apply(lambda values: values.iloc[-1] - values.iloc[-1 - LAST_EPOCHS])
    return pd.DataFrame({"change": change, "converged": change.abs() < SETTLED}).reset_index()


def gate_agreement(folder: str | Path, groups: pd.Series) -> pd.DataFrame:
    """How far the gates of a stage's blocks agree in the arm `block`; the columns of `heatmaps.gate_agreement`.

    A correlation of two gates is the share of their variation that they have in common, if each is a common part plus
    one of its own, equally large in both: above 0.5 the common part is the larger one. Gates paired at random give
    `random`, and for specific 0.

    Returns:
        A row per stage: the means of within, between and specific over all photographs, specific_low and specific_high
        over groups of photographs (these networks, other photographs); random, NaN for runs measured before it was;
        networks, their number; for specific and for beyond_random = within - random the mean over networks with its
        95 % t-interval (other networks): specific_networks_low and _high, beyond_random, beyond_random_low and _high.
    """
    table = read_table(folder, "gates.csv*", "block")
    table["beyond_random"] = table["within"] - table.get("random", np.nan)
    means = table.groupby("stage")[["within", "between", "specific"]].mean()
    means["random"] = table["within"].sub(table["beyond_random"]).groupby(table["stage"]).mean()
    for stage, part in table.groupby("stage"):
        _, *interval = evaluate.mean_interval(part["image"], part["specific"], groups)
        means.loc[stage, ["specific_low", "specific_high"]] = interval
        networks = part.groupby(RUN)[["specific", "beyond_random"]].mean()
        means.loc[stage, ["networks", "beyond_random"]] = len(networks), networks["beyond_random"].mean()
        for name, prefix in (("specific", "specific_networks"), ("beyond_random", "beyond_random")):
            limits = resampled(networks[name].to_numpy(), 0.0).interval()
            means.loc[stage, [f"{prefix}_low", f"{prefix}_high"]] = limits
    return means
