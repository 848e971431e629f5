"""The reference run: what is still to be made, and what is committed: numbers, nothing that shows a photograph."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from paper_repro.config import ARMS, PLAIN_CNNS, load_profile
from paper_repro.data import load_dataset
from paper_repro.evidence import reference, statistics, tables
from paper_repro.evidence.reference import COMPRESSED, FILES, PLAN, collect, missing
from paper_repro.evidence.rules import FAMILIES, STATIC
from paper_repro.evidence.tune import best_rates, read_tuning, smallest_loss
from paper_repro.files import ReproError, project_root
from paper_repro.keys import find_runs, learning_rate, run_folder, run_key
from paper_repro.photographs.folds import load_folds
from paper_repro.training import data_key

RESULTS = project_root() / "results" / "reference"
# The first edition's rates: its runs are still those of their recipe, data and code.
FIRST = {"stage": 0.045, "stage_recompute": 0.045, "stage_output": 0.045}
FIRST |= {"vgg11_bn": 0.005, "alexnet": 0.045, "mobilenet_v3_large": 0.045}


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


def test_wrong_data_is_the_users_mistake(tmp_path, monkeypatch):
    """Said in one line, with exit status 2; so is a path that was not given."""
    command = [sys.executable, "-m", "paper_repro.evidence.reference", "--trashnet", tmp_path / "absent.zip", "planted"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith(f"error: data: {tmp_path / 'absent.zip'} does not exist")
    monkeypatch.setattr(sys, "argv", ["reference", "--trashnet", "x.zip"])
    with pytest.raises(ReproError, match="waste8: it needs the photographs of waste8: .* --waste8"):
        reference.main()  # without a row: all of them


def test_profiles_hold_the_rates_that_were_tuned():
    """All ResNet arms have the rate with the smallest mean validation loss of four of them, each plain CNN its own; an
    arm from ImageNet weights has that of its best validation accuracy."""
    tuning, config = read_tuning(RESULTS / "scratch" / "tuning.csv"), load_profile("cpu")
    common = smallest_loss(tuning, ["none", "half", "block", "stage"])
    for arm in (arm for arm in ARMS if arm not in PLAIN_CNNS):
        assert learning_rate(config, arm) == common == 0.015, arm
    for arm in PLAIN_CNNS:
        assert learning_rate(config, arm) == smallest_loss(tuning, [arm]), arm
    config = load_profile("transfer")
    for arm, rate in best_rates(read_tuning(RESULTS / "transfer" / "tuning.csv")).items():
        assert learning_rate(config, arm) == rate, arm
    assert learning_rate(config, "stage-double") == learning_rate(config, "stage")


def test_smallest_loss_is_over_rates_that_all_arms_tried():
    table = pd.DataFrame(
        [("a", 0.1, 1.0), ("a", 0.2, 0.9), ("b", 0.1, 1.0), ("b", 0.2, 1.2), ("a", 0.3, 0.1)],
        columns=["arm", "learning_rate", "validation_loss"],
    )
    assert smallest_loss(table, ["a", "b"]) == 0.1 and smallest_loss(table, ["a"]) == 0.3


def test_plan_is_the_protocols():
    """Rows in its order, with their arms, runs and hours; what the first edition made is not made again."""
    text = (project_root() / "docs" / "protocol.md").read_text(encoding="utf-8").split("\n## Runs\n")[1]
    text = text.split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n") if line.startswith("|")]
    spent = tables.hours(RESULTS)
    assert len(rows) - 2 == len(PLAN) == len(spent)
    for (what, arms, repeats, runs, hours), step, row in zip(rows[2:], PLAN, spent.itertuples(), strict=True):
        assert what.split(",")[0].lower() == step.row and repeats.startswith(f"{len(step.repeats)} × {len(step.folds)}")
        assert sorted(step.arms) == sorted(arms.replace("`", "").split(", "))
        assert (float(hours), int(runs)) == (step.hours, row.planned)
    planned = {(step.data, arm) for step in PLAN for arm in step.arms if step.folder != "long"}
    asked = {
        (d, arm) for d, f in FAMILIES.items() for name, c in f.items() if name != "long" for x in c for arm in x[:2]
    }
    assert {(data, arm) for data, arm in asked if STATIC not in arm} <= planned


@pytest.fixture
def fold(tmp_path, monkeypatch):
    """fold(**machines) -> what is to be made of the row trashnet, where `arm=machine` are runs of today's key."""
    monkeypatch.setattr(reference, "_machine", lambda details, precision: details.get("processor", "here"))
    monkeypatch.setattr(reference, "environment", lambda config: {"processor": "here"})
    config, (_, step, controls, *_) = load_profile("cpu"), PLAN

    def to_make(row="trashnet", **machines):
        chosen = {"trashnet": step, "controls": controls}[row]
        for arm, machine in machines.items():
            folder = run_folder(tmp_path / "trashnet", arm, 0)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "environment.json").write_text(json.dumps({"processor": machine, "precision": "any"}))
        monkeypatch.setattr(reference, "missing", lambda config, arms, *rest: [a for a in arms if a not in machines])
        return reference.to_make(config, chosen, 0, tmp_path / "trashnet")

    return to_make


def test_arms_of_a_fold_come_from_one_machine(fold):
    """What another type of machine made of an unfinished fold is made again; a finished fold of one machine is not."""
    assert fold(none="here", half="here") == ["stage", "block"]
    assert fold(none="there", half="there") == ["none", "stage", "half", "block"]
    everything = dict.fromkeys(("none", "stage", "half", "block"), "there")
    assert fold(**everything) == []
    assert fold(**everything | {"none": "here"}) == ["stage", "half", "block"]
    with pytest.raises(
        ReproError, match="controls, repeat 0, fold 0: .* was trained on there, and this machine is here"
    ):
        fold("controls", **everything)


def test_look_ahead_counts_and_makes_nothing(photographs, tmp_path, monkeypatch):
    """A line per row with the hours that it takes by earlier runs or a trial."""
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        reference, "estimate", lambda config, arms, classes: (dict.fromkeys(arms, (0.01, 1)), "a trial")
    )
    small = {"image_size": 32, "num_folds": 3}
    step = PLAN[0]._replace(profile="smoke", overrides=small, folds=(0, 1, 2))
    with pytest.raises(ReproError, match="--waste8: .* is not waste8 but .*: give the photographs of waste8"):
        list(reference.look_ahead({"waste8": str(photographs)}, [step], tmp_path / "results"))
    step = step._replace(data=photographs.name)
    (line,) = reference.look_ahead({photographs.name: str(photographs)}, [step], tmp_path / "results")
    assert line == "waste8: 24 of 24 runs to make, 8.8 core-hours planned, about 12 of training by a trial"
    assert not (tmp_path / "results").exists()


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
@pytest.mark.parametrize(
    "experiment, profile, overrides",
    [
        ("scratch", "cpu", {"learning_rates": FIRST}),
        ("transfer", "transfer", {}),
        ("leakage", "cpu", {"grouped": False}),
        ("trashnet", "cpu", {}),
    ],
)
def test_committed_runs_count_under_todays_code(trashnet_zip, experiment, profile, overrides):
    """What stands in results/reference would not be made again: recipe, data and code are still those of the runs."""
    runs = statistics.runs_of(RESULTS / experiment, "environment.json")
    assert len(runs) >= 1
    config = load_profile(profile, **overrides, data=str(trashnet_zip))
    for repeat, fold in sorted({run[1:] for run in runs}):
        arms = [arm for arm, *place in runs if place == [repeat, fold]]
        assert missing(config, arms, fold, RESULTS / experiment, repeat) == [], (repeat, fold)
