"""Findings: sentences about a run, from its numbers, in the same words whatever the outcome.

Text in a lesson is true of every run. What depends on the run is said by these functions, which a cell calls beneath
its figure or table. An estimate is (mean, low, high), as `evaluate.mean_interval` returns it; low and high are NaN
where there is no interval, the mean is NaN where nothing was measured. A number comes with a unit: "%" for a share of
1, "points" for a difference of shares, "" for a plain number. Names go through `name`: a class may be called anything.
"""

import math
import re
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from IPython.display import Markdown

from paper_repro.evaluate import mean_interval

Estimate = tuple[float, float, float]  # mean, low, high
FEW = 20  # groups of photographs; a bootstrap of fewer gives intervals that are clearly too narrow


def seen(*sentences: str) -> Markdown:
    """What a cell displays: the sentences as a paragraph that begins with *What we see*."""
    return Markdown(" ".join(["**What we see.**", *filter(None, sentences)]))


def number(value: float, unit: str = "", signed: bool = False) -> str:
    """A number with its unit: 81.7 %, +5.6 points, 0.26. A rounded zero has no sign."""
    digits = 1 if unit else 2
    rounded = round(100 * value if unit else value, digits) + 0.0  # adding 0 turns -0 into 0
    text = f"{rounded:{'+' if signed and rounded else ''}.{digits}f}".replace("-", "−")
    return f"{text} {unit}".strip()


def estimate(found: Estimate, unit: str = "", signed: bool = False) -> str:
    """An estimate as text: 81.7 % (95 % interval 75.6 % to 87.2 %)."""
    mean, low, high = found
    if math.isnan(low):
        return f"{number(mean, unit, signed)} (no interval)"
    return f"{number(mean, unit, signed)} (95 % interval {number(low, unit, signed)} to {number(high, unit, signed)})"


def decided(found: Estimate, bound: float = 0.0) -> int:
    """1 or -1 where the interval lies above or below `bound`, else 0, also where there is no interval."""
    _, low, high = found
    return int(low > bound) - int(high < bound)


def measured(what: str, found: Estimate, unit: str = "", beside: tuple[str, float] | None = None) -> str:
    """One number, such as an accuracy, and whether its interval lies above or below a reference.

    Args:
        what: begins the sentence, such as "The accuracy of `stage`".
        beside: the reference's name, such as "chance", and its value.
    """
    if math.isnan(found[0]):
        return f"{what} was not measured."
    text = f"{what} is {estimate(found, unit)}."
    if beside is None:
        return text
    name, bound = beside
    place = {1: "above", -1: "below"}.get(decided(found, bound))
    reference = f"{name}, {number(bound, unit)}"
    return f"{text} It is {place} {reference}." if place else f"{text} This does not tell it from {reference}."


def difference(what: str, a: str, b: str, found: Estimate, unit: str = "points") -> str:
    """A paired difference, b minus a: who is ahead, or that this run does not decide it.

    Args:
        what: the measure in which they are compared, such as "accuracy".
    """
    if math.isnan(found[0]):
        return f"The difference in {what} between {a} and {b} was not measured."
    text = f"The {what} of {b} minus that of {a} is {estimate(found, unit, signed=True)}."
    if side := decided(found):
        return f"{text} So the {'higher' if side > 0 else 'lower'} {what} is that of {b}."
    if math.isnan(found[1]):
        return f"{text} Without an interval this decides nothing."
    return f"{text} The interval holds 0, so this does not decide which of the two is higher."


def largest(what: str, table: pd.DataFrame, groups: pd.Series | None = None, unit: str = "") -> str:
    """Which of several is largest, and whether that is decided: the largest mean against the second largest.

    Args:
        table: (photographs, names) paired values, indexed by image or by (..., image); rows with NaN are left out.
        groups: image -> near-duplicate group.
    """
    table = table.dropna()
    if table.empty:
        return f"The {what} was not measured."
    order = table.mean().sort_values(ascending=False, kind="stable")
    first = order.index[0]
    text = f"The largest mean {what} is that of {name(first)}, {number(order.iloc[0], unit)}"
    if len(order) == 1:
        return f"{text}; there is no other."
    second = order.index[1]
    gap = table[first] - table[second]
    images = gap.index.to_frame()["image"].reset_index(drop=True)
    found = mean_interval(images, gap.reset_index(drop=True), groups)
    text += f", before {name(second)}, {number(order.iloc[1], unit)}."
    by = estimate(found, "points" if unit == "%" else unit, signed=True)
    if decided(found) > 0:
        return f"{text} The paired difference is {by}: {name(first)} is ahead."
    return f"{text} The paired difference is {by}: it does not decide which of the two is ahead."


def agreement(what: str, found: Estimate, beside: str, gap: Estimate) -> str:
    """How far two maps of a photograph agree, by their rank correlation, beside maps with nothing in common.

    Args:
        what: the two maps, such as "the maps for the two classes", and `found` the mean of their correlation.
        beside: other two maps, such as "the maps of two photographs".
        gap: the correlation of the first two minus that of the others, paired by photograph.
    """
    if math.isnan(found[0]) or math.isnan(gap[0]):
        return f"How far {what} agree was not measured."
    text = f"The mean rank correlation of {what} is {estimate(found)}; that of {beside} is {number(found[0] - gap[0])}."
    if side := decided(gap):
        return f"{text} So {what} are {'more' if side > 0 else 'less'} alike than {beside}."
    return f"{text} So {what} are not shown to be more or less alike than {beside}."


def covers(images: Iterable[str], groups: pd.Series | None = None, networks: int = 1) -> str:
    """What an interval over these photographs is about: their number, their near-duplicates, the networks.

    Args:
        images: the photographs' names; one that stands there twice counts once.
        groups: image -> near-duplicate group.
        networks: trainings of each arm.
    """
    names = pd.Index(images).unique()
    if names.empty:
        return "No photograph was measured."
    count = len(names) if groups is None else groups.loc[names].nunique()
    twins = "no two of them near-duplicates" if count == len(names) else f"in {count:,} groups of near-duplicates"
    text = f"{len(names):,} photographs, {twins}." if len(names) > 1 else "1 photograph."
    if count < FEW:
        text += " So few photographs make an interval too narrow."
    trained = "once" if networks == 1 else f"{networks} times"
    return f"{text} Each arm was trained {trained}: the intervals speak of other photographs, not of other trainings."


def counts(found: Mapping[str, int], most: int = 4) -> str:
    """Counts as a list, the largest first, such as "glass 12, metal 3 and 4 others 5"; zeros are left out."""
    order = sorted(((label, count) for label, count in found.items() if count), key=lambda item: -item[1])
    if not order:
        return "none"
    shown = [f"{name(label)} {count:,}" for label, count in order[:most]]
    if rest := order[most:]:
        return f"{', '.join(shown)} and {len(rest)} others {sum(count for _, count in rest):,}"
    return ", ".join(shown)


def name(text: str) -> str:
    """A name as plain text in Markdown, whatever characters it holds."""
    return re.sub(r"([\\`*_{}\[\]<>()#+.!|$~&-])", r"\\\1", " ".join(text.split()))


def balance(images: pd.Series) -> str:
    """How unequal classes are, and how often one answer for all is right.

    Args:
        images: their number by class.
    """
    order = images.sort_values(ascending=False, kind="stable")
    (first, most), (last, fewest) = (order.index[0], order.iloc[0]), (order.index[-1], order.iloc[-1])
    share = number(most / order.sum(), "%")
    if most == fewest:
        return f"All {len(order)} classes have {most:,} images. One answer for all of them is right for {share}."
    text = f"The largest class is {name(first)} with {most:,} images, the smallest {name(last)} with {fewest:,}"
    ratio = f", a ratio of {number(most / fewest)}" if fewest else ""
    return f"{text}{ratio}. Whoever always answers {name(first)} is right for {share}."


def contrast(what: str, a: tuple[str, float], b: tuple[str, float], found: Estimate, unit: str = "%") -> str:
    """One measure in two conditions, and their paired difference, b minus a.

    Args:
        what: begins the sentence, such as "The accuracy".
        a, b: the condition as the sentence names it, such as "with random folds", and the measure there.
    """
    if math.isnan(found[0]):
        return f"{what} was not measured."
    text = f"{what} is {number(b[1], unit)} {b[0]} and {number(a[1], unit)} {a[0]}: a difference of "
    text += f"{estimate(found, 'points' if unit == '%' else unit, signed=True)}."
    return text if decided(found) else f"{text} This does not decide which of the two is higher."


def extremes(what: str, found: Mapping[str, Estimate], unit: str = "") -> str:
    """The lowest and the highest of several estimates, and whether their intervals overlap.

    An interval without width, as a bootstrap of equal values has it, tells nothing apart.

    Args:
        what: what was estimated for each name, such as "recall".
    """
    known = {label: values for label, values in found.items() if not math.isnan(values[0])}
    if not known:
        return f"The {what} was not measured."
    order = sorted(known, key=lambda label: known[label][0])
    lowest, highest = order[0], order[-1]
    if len(order) == 1:
        return f"The {what} of {name(lowest)} is {estimate(known[lowest], unit)}; there is no other."
    text = f"The lowest {what} is that of {name(lowest)}, {estimate(known[lowest], unit)}"
    text += f"; the highest is that of {name(highest)}, {estimate(known[highest], unit)}."
    wide = all(known[label][1] < known[label][2] for label in (lowest, highest))
    if wide and known[lowest][2] < known[highest][1]:
        return f"{text} The two intervals do not overlap."
    return f"{text} The intervals do not tell the two apart."


def confused(counts: pd.DataFrame) -> str:
    """The most frequent mistake of a confusion matrix in counts (K, K), rows = truth."""
    wrong = counts.to_numpy() * ~np.eye(len(counts), dtype=bool)
    images = f"{counts.to_numpy().sum():,} images"
    if not wrong.any():
        return f"All {images} got the right answer."
    row, column = divmod(int(wrong.argmax()), len(counts))
    truth, answer = name(str(counts.index[row])), name(str(counts.columns[column]))
    text = f"{wrong.sum():,} of {images} got a wrong answer. The most frequent mistake is the answer {answer}"
    return f"{text} for {truth}: {wrong[row, column]:,} of {counts.iloc[row].sum():,} images."


def calibration(found: Estimate) -> str:
    """Whether a network is too sure of itself, from its mean confidence minus its accuracy."""
    if math.isnan(found[0]):
        return "The calibration was not measured."
    text = f"Mean confidence minus accuracy is {estimate(found, 'points', signed=True)}."
    if side := decided(found):
        return f"{text} So on the whole the network is too {'sure of itself' if side > 0 else 'modest'}."
    return f"{text} This does not decide whether the network is too sure of itself or too modest."


def calibration_error(what: str, error: float, chance: float) -> str:
    """Whether a calibration error is larger than chance gives to a calibrated network.

    Args:
        what: the network.
        chance: below this lie 95 % of the calibration errors of a calibrated network with the same confidences.
    """
    text = f"The calibration error of {what} is {number(error, 'points')}. That of a calibrated network with the same "
    text += f"confidences lies below {number(chance, 'points')} in 95 % of all draws."
    if error > chance:
        return f"{text} So {what} is not calibrated."
    return f"{text} This does not tell {what} from a calibrated network."
