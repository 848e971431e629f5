"""The reference run: what is still to be made, and what is committed: numbers, nothing that shows a photograph."""

import json
import subprocess
import sys
from itertools import product

import pandas as pd
import pytest

from paper_repro.config import load_profile
from paper_repro.data import load_dataset
from paper_repro.evidence.reference import COMPRESSED, FILES, PLAN, collect, missing
from paper_repro.evidence.tune import best_rates, read_tuning
from paper_repro.files import ReproError, project_root
from paper_repro.keys import find_runs, learning_rate, run_folder, run_key
from paper_repro.photographs.folds import load_folds
from paper_repro.training import data_key

# docs/protocol.md: an arm that is a variant of another takes that arm's rate.
VARIANTS = {
    "scratch": {"stage_recompute": "stage", "stage_output": "stage", "none-shuffled": "none"},
    "transfer": {"stage-double": "stage"},
}


def write_finished(folder):
    """A finished run's folder, with what must stay behind."""
    folder.mkdir(parents=True)
    for name in (*FILES, "02_baseline.ipynb", "weights.safetensors"):
        (folder / name).write_text(f"{name} of {folder}")
    for name in COMPRESSED:
        pd.DataFrame({"image": ["null"], "within": [1 / 3]}).to_csv(folder / name, index=False)


def test_numbers_alone_are_collected_from_finished_runs(tmp_path):
    """Weights, executed notebooks and unfinished runs stay behind; a second call finds nothing new, until a run or its
    measures were made again."""
    source, runs, reference = tmp_path / "runs" / "none" / "fold0", tmp_path / "runs", tmp_path / "reference"
    for fold, absent in enumerate([None, "done", "measures.json"]):
        write_finished(run_folder(runs, "none", fold))
        if absent:
            (run_folder(runs, "none", fold) / absent).unlink()
    (written,) = collect(runs, reference)
    assert sorted(path.name for path in written.iterdir()) == sorted([*FILES, "gates.csv.gz", "static_gates.csv.gz"])
    assert all((written / name).read_bytes() == (source / name).read_bytes() for name in FILES)
    table = pd.read_csv(written / "gates.csv.gz", keep_default_na=False)
    assert table["image"][0] == "null" and table["within"][0] == pytest.approx(1 / 3, rel=1e-4)
    before = (written / "gates.csv.gz").read_bytes()
    assert collect(runs, reference) == []
    for name in ("done", "measures.json"):
        (source / name).write_text("made again")
        (source / "measures.csv.gz").write_text(f"after {name}")
        assert collect(runs, reference) == [written]
        assert (written / "gates.csv.gz").read_bytes() == before
        assert (written / "measures.csv.gz").read_text() == f"after {name}"
    assert [path.name for path in (reference / "none").iterdir()] == ["fold0"]


def test_runs_of_every_repeat_are_collected(tmp_path):
    """They keep their place, from which alone their repeat is known."""
    for repeat in (0, 1, 12):
        write_finished(run_folder(tmp_path / "runs", "stage", 3, repeat))
    written = collect(tmp_path / "runs", tmp_path / "reference")
    assert written == [run_folder(tmp_path / "reference", "stage", 3, repeat) for repeat in (0, 1, 12)]
    assert list(find_runs(tmp_path / "reference", "gates.csv.gz")) == [
        ("stage", 0, 3),
        ("stage", 1, 3),
        ("stage", 12, 3),
    ]


def test_the_measure_of_the_cause_is_collected(tmp_path):
    """As it is, of the arms with stickers, which alone have it."""
    for arm in ("stage-planted", "stage"):
        write_finished(run_folder(tmp_path / "runs", arm, 0))
    (run_folder(tmp_path / "runs", "stage-planted", 0) / "cause.csv.gz").write_bytes(b"packed")
    collect(tmp_path / "runs", tmp_path / "reference")
    (found,) = find_runs(tmp_path / "reference", "cause.csv.gz").items()
    assert found[0] == ("stage-planted", 0, 0) and found[1].read_bytes() == b"packed"


def test_no_finished_run_is_an_error(tmp_path):
    with pytest.raises(ReproError, match="holds no finished run"):
        collect(tmp_path, tmp_path / "reference")


def test_wrong_data_is_the_users_mistake(tmp_path):
    """Said in one line, with exit status 2."""
    command = [sys.executable, "-m", "paper_repro.evidence.reference", tmp_path / "absent.zip", "leakage"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith(f"error: data: {tmp_path / 'absent.zip'} does not exist")


def test_profiles_hold_the_rates_that_were_tuned():
    """Each arm's learning rate is the one that its validation accuracies chose; a variant has that of its arm."""
    for experiment, profile in (("scratch", "cpu"), ("transfer", "transfer")):
        table = read_tuning(project_root() / "results" / "reference" / experiment / "tuning.csv")
        config = load_profile(profile)
        for arm, rate in (best_rates(table) if len(table) else {}).items():
            assert learning_rate(config, arm) == rate, arm
        for variant, arm in VARIANTS[experiment].items():
            assert learning_rate(config, variant) == learning_rate(config, arm), variant


@pytest.mark.parametrize("repeat", [0, 1])
def test_plan_runs_what_is_missing(photographs, tmp_path, monkeypatch, repeat):
    """A committed run of today's key is not made again; one of another recipe or repeat, and an absent one, is."""
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "cache"))
    config = load_profile("smoke", image_size=32, data=str(photographs))
    assert missing(config, ("none", "stage"), 0, tmp_path, repeat) == ["none", "stage"]
    dataset = load_dataset(config.data, config.prepared_size)
    key = run_key(config, "none", 0, data_key(dataset, load_folds(dataset, config, repeat)), repeat)
    for place in (0, 1):  # a copy in the other repeat's place is no run of that repeat
        folder = run_folder(tmp_path, "none", 0, place)
        folder.mkdir(parents=True)
        (folder / "environment.json").write_text(json.dumps({"key": key}))
    assert missing(config, ("none", "stage"), 0, tmp_path, repeat) == ["stage"]
    assert missing(config, ("none",), 0, tmp_path, 1 - repeat) == ["none"]
    assert missing(config.model_copy(update={"epochs": 11}), ("none",), 0, tmp_path, repeat) == ["none"]


@pytest.mark.trashnet
def test_committed_runs_count_under_todays_code(trashnet_zip):
    """What stands in results/reference would not be made again: recipe, data and code are still those of the runs."""
    for step in PLAN:
        kept = project_root() / "results" / "reference" / step.experiment
        for repeat, fold in product(step.repeats, step.folds):
            config = load_profile(step.profile, **step.overrides, data=str(trashnet_zip), folds=[fold])
            there = tuple(arm for arm in step.arms if run_folder(kept, arm, fold, repeat).exists())
            assert missing(config, there, fold, kept, repeat) == [], (step.experiment, repeat, fold)
