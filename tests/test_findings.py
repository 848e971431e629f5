"""Findings say what the numbers say, for either outcome, and nothing that they do not say."""

import numpy as np
import pandas as pd
import pytest

from paper_repro import findings

NAN = float("nan")


def test_numbers():
    """Shares as percentages, differences of shares as points, a rounded zero without a sign."""
    assert findings.number(0.817, "%") == "81.7 %"
    assert findings.number(-0.0561, "points", signed=True) == "−5.6 points"
    assert findings.number(0.2632, signed=True) == "+0.26"
    assert findings.number(-0.0004, "points", signed=True) == "0.0 points" == findings.number(0.0004, "points", True)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            (0.117, 0.056, 0.183),
            "+11.7 points (95 % interval +5.6 points to +18.3 points). So the higher accuracy is that of `b`",
        ),
        (
            (-0.117, -0.183, -0.056),
            "−11.7 points (95 % interval −18.3 points to −5.6 points). So the lower accuracy is that of `b`",
        ),
        ((0.01, -0.03, 0.05), "holds 0, so this does not decide"),
        ((0.01, 0.0, 0.05), "holds 0, so this does not decide"),
        ((0.01, NAN, NAN), "+1.0 points (no interval). Without an interval this decides nothing."),
        ((NAN, NAN, NAN), "was not measured"),
    ],
    ids=["better", "worse", "undecided", "touches 0", "one value", "empty"],
)
def test_difference(found, said):
    text = findings.difference("accuracy", "`a`", "`b`", found)
    assert said in text and "nan" not in text
    assert ("the higher" in text) + ("the lower" in text) == (findings.decided(found) != 0)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((0.8, 0.7, 0.9), "80.0 % (95 % interval 70.0 % to 90.0 %). It is above chance, 22.0 %."),
        ((0.1, 0.05, 0.15), "It is below chance, 22.0 %."),
        ((0.25, 0.2, 0.3), "This does not tell it from chance, 22.0 %."),
        ((0.8, NAN, NAN), "80.0 % (no interval). This does not tell it from chance"),
        ((NAN, NAN, NAN), "The accuracy was not measured."),
    ],
    ids=["above", "below", "undecided", "one value", "empty"],
)
def test_measured(found, said):
    text = findings.measured("The accuracy", found, "%", ("chance", 0.22))
    assert said in text and "nan" not in text


def paired(**columns):
    """Paired values of so many photographs, each a group of its own."""
    count = max(map(len, columns.values()))
    return pd.DataFrame(columns, pd.Index([f"{number}.jpg" for number in range(count)], name="image"))


def test_largest():
    """The largest is named, and called ahead only where the paired interval lies above 0."""
    rng = np.random.default_rng(0)
    hard = rng.normal(size=60)
    clear = findings.largest("gain", paired(a=hard, b=hard + 0.1 + 0.01 * rng.normal(size=60), c=hard - 3))
    assert clear.startswith("The largest mean gain is that of b") and clear.endswith("b is ahead.")
    close = findings.largest("gain", paired(a=rng.normal(size=60), b=rng.normal(size=60)))
    assert "does not decide" in close
    same = findings.largest("gain", paired(a=hard, b=hard))
    assert "does not decide" in same
    ten = findings.largest("accuracy", paired(**{f"class {k}": np.full(5, k / 10) for k in range(10)}), unit="%")
    assert "class 9, 90.0 %, before class 8, 80.0 %" in ten and "+10.0 points" in ten


def test_largest_of_one_and_of_none():
    assert findings.largest("gain", paired(a=[0.1, 0.2])).endswith("there is no other.")
    assert findings.largest("gain", paired(a=[NAN, NAN], b=[0, 1])) == "The gain was not measured."


def test_largest_counts_twins_once():
    """Twins are one group: what two of them show decides less than what two strangers show."""
    table = paired(a=[0.0] * 4, b=[1.0, 1, 1, -0.2])
    groups = pd.Series([0, 0, 0, 1], table.index)
    assert "is ahead" in findings.largest("gain", table.iloc[:3])
    assert "does not decide" in findings.largest("gain", table, groups)
    repeated = table.set_index(pd.Index([0] * 4, name="repeat"), append=True)
    assert findings.largest("gain", repeated, groups) == findings.largest("gain", table, groups)


@pytest.mark.parametrize(
    ("gap", "said"),
    [
        ((0.3, 0.2, 0.4), "are more alike than"),
        ((-0.3, -0.4, -0.2), "are less alike than"),
        ((0.0, -0.1, 0.1), "are not shown to be more or less alike than"),
        ((0.3, NAN, NAN), "are not shown to be"),
        ((NAN, NAN, NAN), "was not measured"),
    ],
    ids=["more", "less", "undecided", "one value", "empty"],
)
def test_agreement(gap, said):
    found = (-0.15, -0.2, -0.1)
    text = findings.agreement("the maps for the two classes", found, "the maps of two photographs", gap)
    assert said in text and "nan" not in text
    assert np.isnan(gap[0]) or f"that of the maps of two photographs is {findings.number(found[0] - gap[0])}" in text


def test_covers():
    """Photographs, near-duplicates and trainings are counted; none is said as well."""
    groups = pd.Series({"a": 0, "b": 0, "c": 1})
    assert findings.covers([], groups) == "No photograph was measured."
    assert findings.covers(["a"], groups).startswith("1 photograph. ")
    assert "2 photographs, no two of them near-duplicates" in findings.covers(["a", "c"], groups)
    assert "3 photographs, in 2 groups of near-duplicates" in findings.covers(["a", "b", "c", "a"], groups, 5)
    assert "trained 5 times" in findings.covers(["a"], networks=5)
    assert "too narrow" in findings.covers(["a", "c"], groups)
    assert "too narrow" not in findings.covers([f"{number}" for number in range(findings.FEW)])


def test_counts():
    assert findings.counts({"glass": 3, "metal": 12, "paper": 0}) == "metal 12, glass 3"
    ten = findings.counts({f"class {k}": k for k in range(10)})
    assert ten == "class 9 9, class 8 8, class 7 7, class 6 6 and 5 others 15"
    assert findings.counts({"glass": 0}) == "none"


def test_names_are_no_markup():
    """A class may be called anything; the sentences show it as it is."""
    assert findings.name("a $x$ *b*\n_c_") == r"a \$x\$ \*b\* \_c\_"
    assert r"\*b\*" in findings.largest("gain", paired(**{"*b*": [1.0, 1], "c": [0.0, 0]}))


def test_seen():
    """An empty sentence leaves no gap."""
    assert findings.seen("One.", "", "Two.").data == "**What we see.** One. Two."


def test_balance():
    """Unequal classes, equal ones, and a class without usable images."""
    text = findings.balance(pd.Series({"paper": 330, "trash": 165, "glass": 165}))
    assert "paper with 330 images" in text and "a ratio of 2.00" in text and "right for 50.0 %" in text
    assert findings.balance(pd.Series({"a": 5, "b": 5})).startswith("All 2 classes have 5 images.")
    assert "ratio" not in findings.balance(pd.Series({"a": 5, "b": 0}))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((0.58, 0.53, 0.63), "a difference of +58.0 points (95 % interval +53.0 points to +63.0 points)."),
        ((-0.1, -0.2, 0.1), "This does not decide which of the two is higher."),
        ((0.0, NAN, NAN), "This does not decide"),
        ((NAN, NAN, NAN), "The accuracy was not measured."),
    ],
    ids=["decided", "undecided", "one value", "empty"],
)
def test_contrast(found, said):
    text = findings.contrast("The accuracy", ("with grouped folds", 0.3), ("with random folds", 0.88), found)
    assert said in text
    assert np.isnan(found[0]) or "is 88.0 % with random folds and 30.0 % with grouped folds" in text


def test_extremes():
    """The lowest and the highest are told apart only by intervals that do not overlap."""
    found = {"a": (0.9, 0.8, 1.0), "b": (0.5, 0.4, 0.6), "c": (NAN, NAN, NAN)}
    text = findings.extremes("recall", found, "%")
    assert "that of b, 50.0 %" in text and "that of a, 90.0 %" in text and text.endswith("do not overlap.")
    assert "do not tell" in findings.extremes("recall", found | {"a": (0.7, 0.55, 0.85)})
    assert "do not tell" in findings.extremes("recall", found | {"a": (1.0, 1.0, 1.0)})
    assert "do not tell" in findings.extremes("recall", {"a": (0.9, NAN, NAN), "b": (0.5, NAN, NAN)})
    assert findings.extremes("recall", {"a": (0.9, 0.8, 1.0)}).endswith("there is no other.")
    assert findings.extremes("recall", {"a": (NAN, NAN, NAN)}) == "The recall was not measured."


def test_confused():
    """The largest entry beside the diagonal, with its row's images."""
    counts = pd.DataFrame([[8, 2], [3, 4]], ["glass", "*b*"], ["glass", "*b*"])
    text = findings.confused(counts)
    assert text.startswith("5 of 17 images") and text.endswith(r"the answer glass for \*b\*: 3 of 7 images.")
    assert findings.confused(counts * np.eye(2, dtype=int)) == "All 12 images got the right answer."


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((0.1, 0.05, 0.15), "+15.0 points). So on the whole the network is too sure of itself."),
        ((-0.1, -0.15, -0.05), "too modest."),
        ((0.01, -0.05, 0.05), "does not decide"),
        ((NAN, NAN, NAN), "was not measured"),
    ],
    ids=["sure", "modest", "undecided", "empty"],
)
def test_calibration(found, said):
    assert said in findings.calibration(found)


def test_calibration_error():
    """An error that chance explains is not called one."""
    assert "8.2 points" in (text := findings.calibration_error("`a`", 0.082, 0.05)) and "is not calibrated." in text
    assert "This does not tell `a` from a calibrated network." in findings.calibration_error("`a`", 0.04, 0.05)
