"""What `reproduce` found, in words: a sentence for each outcome, and the page."""

import json

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from paper_repro.config import load_profile
from paper_repro.evidence.report import accuracy_finding, difference_finding, findings, write_report
from paper_repro.runs import record_completion
from paper_repro.training import train


@pytest.mark.parametrize(
    ("low", "high", "trainings", "says"),
    [
        (0.01, 0.05, 5, "The arm stage is better than none on such photographs."),
        (-0.05, -0.01, 5, "The arm stage is worse than none on such photographs."),
        (-0.015, 0.012, 5, "There is no difference that matters: it is smaller than 2 points, in either direction."),
        (-0.06, 0.1, 5, "With 300 photographs and 5 trainings of each arm this cannot be decided."),
        (0.01, 0.05, 1, "This cannot be decided: each arm was trained once"),
        (-0.06, 0.1, 1, "This cannot be decided: each arm was trained once"),
    ],
)
def test_difference(low, high, trainings, says):
    """Better, worse, equal for practice, or not decidable; the numbers stand before it."""
    text = difference_finding("stage", (low + high) / 2, low, high, 0.05, trainings, 300)
    assert says in text
    assert text.startswith(
        f"The arm stage minus none: {50 * (low + high):+.1f} points (95% interval {100 * low:+.1f} to"
    )


def test_how_many_photographs_it_takes():
    """The width of an interval falls with the square root of their number."""
    text = difference_finding("stage", 0.02, -0.02, 0.06, 0.05, 5, 300)
    assert text.endswith("To tell a difference of 2 points, about 1,200 photographs are needed.")


def test_accuracy():
    """Beside the most frequent class."""
    assert "Always naming the most frequent class would be right for 30.0%." in accuracy_finding(
        "none", 0.5, 0.4, 0.6, 0.3
    )
    assert "not surely more than 45.0%" in accuracy_finding("none", 0.5, 0.4, 0.6, 0.45)


def made(accuracies, folds, images=200):
    """Test predictions of arms with these accuracies, on other photographs in each fold."""
    rng, tables = np.random.default_rng(0), []
    for fold in range(folds):
        for arm, accuracy in accuracies.items():
            right = rng.random(images) < accuracy
            names = [f"fold{fold}/{number}" for number in range(images)]
            truth = np.where(np.arange(images) % 2, "glass", "metal")
            glass = np.where(right == (truth == "glass"), 0.9, 0.1)
            table = pd.DataFrame({"image": names, "fold": fold, "truth": truth, "p_glass": glass, "p_metal": 1 - glass})
            tables.append(table.assign(arm=arm, repeat=0))
    return pd.concat(tables, ignore_index=True)


def said(predictions):
    return findings(predictions, pd.Series(predictions["image"].unique(), predictions["image"].unique()))


def test_findings():
    """A clear difference over five folds is found, one training per arm decides nothing, and one arm is no comparison.
    Two comparisons share the 5 %."""
    lines = said(made({"none": 0.6, "half": 0.6, "stage": 0.9}, folds=5))
    assert len(lines) == 5 and "stage is better than none" in lines[-1] and "97.5% interval" in lines[-1]
    assert "better" not in lines[-2]
    assert "each arm was trained once" in said(made({"none": 0.6, "stage": 0.9}, folds=1))[-1]
    assert "needs the arm none and another one" in said(made({"stage": 0.9}, folds=2))[-1]


def test_the_page(config, tmp_path):
    """Lies in the output folder, begins with the findings and leads to the other pages, whatever their names."""
    out, changed = tmp_path / "out", {"arms": ["none"], "folds": [0], "epochs": 2}
    config = load_profile("smoke", **config.model_dump() | changed)
    record_completion(train(config, "none", 0, out).folder)
    (out / ".settings.json").write_text(json.dumps({"profile": "smoke", "overrides": config.model_dump()}))
    (out / "html").mkdir()
    (out / "html" / "01 & more.html").touch()
    page = BeautifulSoup(write_report(out).read_text(encoding="utf-8"), "html.parser")
    assert page.select_one("main p").text.startswith("The arm none is right for")
    assert page.select_one("main a")["href"] == "html/01%20%26%20more.html"


def test_no_page_without_runs(config, tmp_path):
    """Options for Snakemake may leave the trainings out."""
    (tmp_path / ".settings.json").write_text(json.dumps({"profile": "smoke", "overrides": {"data": config.data}}))
    assert write_report(tmp_path) is None
