"""The reference run: what is still to be made, and what is committed: numbers, nothing that shows a photograph."""

import json

import pandas as pd
import pytest

from paper_repro.config import load_profile
from paper_repro.data import load_dataset
from paper_repro.evidence.reference import FILES, PLAN, collect, missing
from paper_repro.evidence.tune import chosen, read
from paper_repro.files import ReproError, project_root
from paper_repro.keys import learning_rate, run_key
from paper_repro.photographs.folds import load_folds
from paper_repro.training import data_key

# docs/protocol.md: an arm that is a variant of another takes that arm's rate.
VARIANTS = {
    "scratch": {"stage_recompute": "stage", "stage_output": "stage", "none-shuffled": "none"},
    "transfer": {"stage-double": "stage"},
}


def test_numbers_alone_are_collected_from_finished_runs(tmp_path):
    """Executed notebooks and unfinished runs stay behind; a second call finds nothing new, until a run was redone."""
    for fold in (0, 1):
        folder = tmp_path / "runs" / "none" / f"fold{fold}"
        folder.mkdir(parents=True)
        for name in (*FILES, "02_baseline.ipynb"):
            (folder / name).write_text(name)
        pd.DataFrame({"image": ["null"], "gain": [1 / 3]}).to_csv(folder / "measures.csv", index=False)
    (folder / "done").unlink()
    (written,) = collect(tmp_path / "runs", tmp_path / "reference")
    assert sorted(path.name for path in written.iterdir()) == sorted([*FILES, "measures.csv.gz"])
    table = pd.read_csv(written / "measures.csv.gz", keep_default_na=False)
    assert table["image"][0] == "null" and table["gain"][0] == pytest.approx(1 / 3, rel=1e-4)
    before = (written / "measures.csv.gz").read_bytes()
    assert collect(tmp_path / "runs", tmp_path / "reference") == []
    (tmp_path / "runs" / "none" / "fold0" / "done").write_text("made again")
    assert collect(tmp_path / "runs", tmp_path / "reference") == [written]
    assert (written / "measures.csv.gz").read_bytes() == before
    assert not (tmp_path / "reference" / "none" / "fold1").exists()


def test_no_finished_run_is_an_error(tmp_path):
    with pytest.raises(ReproError, match="holds no finished run"):
        collect(tmp_path, tmp_path / "reference")


def test_profiles_hold_the_rates_that_were_tuned():
    """Each arm's learning rate is the one that its validation accuracies chose; a variant has that of its arm."""
    for experiment, profile in (("scratch", "cpu"), ("transfer", "transfer")):
        table = read(project_root() / "results" / "reference" / experiment / "tuning.csv")
        config = load_profile(profile)
        for arm, rate in (chosen(table) if len(table) else {}).items():
            assert learning_rate(config, arm) == rate, arm
        for variant, arm in VARIANTS[experiment].items():
            assert learning_rate(config, variant) == learning_rate(config, arm), variant


def test_plan_runs_what_is_missing(tmp_path, monkeypatch):
    """A committed run of today's key is not made again; one of another recipe, and one that is not there, is."""
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "cache"))
    config = load_profile("smoke", image_size=32)
    assert missing(config, ("none", "stage"), 0, tmp_path) == ["none", "stage"]
    dataset = load_dataset("synthetic", config.prepared_size)
    key = run_key(config, "none", 0, data_key(dataset, load_folds(dataset, config)))
    (tmp_path / "none" / "fold0").mkdir(parents=True)
    (tmp_path / "none" / "fold0" / "environment.json").write_text(json.dumps({"key": key}))
    assert missing(config, ("none", "stage"), 0, tmp_path) == ["stage"]
    assert missing(config.model_copy(update={"epochs": 11}), ("none",), 0, tmp_path) == ["none"]


@pytest.mark.trashnet
def test_committed_runs_count_under_todays_code(trashnet_zip):
    """What stands in results/reference would not be made again: recipe, data and code are still those of the runs."""
    for step in PLAN:
        kept = project_root() / "results" / "reference" / step.experiment
        for fold in step.folds:
            config = load_profile(step.profile, **step.overrides, data=str(trashnet_zip), folds=[fold])
            there = tuple(arm for arm in step.arms if (kept / arm / f"fold{fold}").exists())
            assert missing(config, there, fold, kept) == [], (step.experiment, fold)
