"""A look ahead: what is done, what is missing, and what that takes; nothing is made by looking."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from paper_repro import runs
from paper_repro.config import load_profile
from paper_repro.files import ReproError, sha256_file
from paper_repro.photographs.folds import committed_folds
from paper_repro.workflow import plan
from paper_repro.workflow import reproduce as workflow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(monkeypatch, tmp_path, write_notebook):
    """Two arms, two folds; a project with short notebooks, and a cache folder that is not there yet."""
    for name in ("02_baseline", "03_stage_se_training"):
        write_notebook(tmp_path / "notebooks" / f"{name}.ipynb", "arm = 'none'", "pass")
    monkeypatch.setattr(plan, "project_root", lambda: tmp_path)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "cache"))
    return load_profile("smoke", arms=["none", "stage"], folds=[0, 1], epochs=4, warmup_epochs=1)


def finish(config, out, run):
    """What a finished training leaves behind."""
    (out / run).mkdir(parents=True)
    (out / run / "metrics.json").write_text("{}")
    (out / run / "done").touch()
    mark = out / plan.training_marks(config, plan.project_root() / "notebooks")[run]
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps({"sha256": {"metrics.json": sha256_file(out / run / "metrics.json")}}))
    return mark


def test_finished_trainings_are_counted(config, tmp_path, monkeypatch):
    """Those whose mark is of today's recipe and whose files are as they were; hours are of the others."""
    monkeypatch.setattr(plan, "_earlier_costs", lambda config: {"none": (0.01, 10**6), "stage": (0.02, 2 * 10**6)})
    monkeypatch.setattr(plan, "cores", lambda: 1)
    out = tmp_path / "out"
    text = plan.describe(config, out, images=100, classes=6)
    assert "4 trainings (arms: 2, folds: 2, repeats: 1), of which 0 are done" in text
    assert (
        "about 6 hours of training for the other 4, by earlier runs of this size on this machine (none, stage)" in text
    )
    assert not out.exists()
    for run in ("none/fold0", "stage/fold1"):
        finish(config, out, run)
    assert "of which 2 are done" in plan.describe(config, out, 100, 6)
    assert "about 3 hours of training for the other 2" in plan.describe(config, out, 100, 6)
    (out / "none" / "fold0" / "metrics.json").write_text("changed")
    (out / "stage" / "fold1" / "done").unlink()
    before = sorted(out.rglob("*"))
    assert "of which 0 are done" in plan.describe(config, out, 100, 6)
    assert sorted(out.rglob("*")) == before
    other = load_profile("smoke", arms=["none"], folds=[0], epochs=5, warmup_epochs=1)
    marks = [set(plan.training_marks(each, tmp_path / "notebooks").values()) for each in (config, other)]
    assert len(marks[0]) == 4 and len(marks[1]) == 1 and not marks[0] & marks[1]


def test_nothing_is_left_to_do(config, tmp_path):
    """Then neither hours nor disk are spoken of, and nothing is tried."""
    for run in plan.all_runs(config):
        finish(config, tmp_path / "out", run)
    text = plan.describe(config, tmp_path / "out", 100, 6)
    assert "of which 4 are done" in text and "hours" not in text and "GB" not in text


def test_a_mark_of_a_repeat_is_checked_in_its_folder(config, tmp_path):
    """The folder of repeat 1 is one deeper."""
    repeated = config.model_copy(update={"repeats": [0, 1]})
    mark = finish(repeated, tmp_path, "stage/repeat1/fold1").relative_to(tmp_path)
    assert plan.is_valid(mark, tmp_path)
    shutil.rmtree(tmp_path / "stage" / "repeat1" / "fold1")
    assert not plan.is_valid(mark, tmp_path)


def test_only_runs_like_these_on_this_machine_tell_the_hours(config, tmp_path, monkeypatch):
    """Another size or processor does not count; several runs are averaged."""
    here = runs.environment(config) | {"images": {"train": 6, "test": 4}, "parameters": 5}
    reference = ROOT / "results" / "reference" / "scratch" / "none" / "fold0" / "config.yaml"
    like = load_profile(reference)
    for fold, changes in enumerate([{"hours": 1}, {"hours": 3}, {"hours": 50, "processor": "another"}]):
        folder = tmp_path / "results" / "x" / "none" / f"fold{fold}"
        folder.mkdir(parents=True)
        (folder / "environment.json").write_text(json.dumps(here | changes))
        shutil.copy(reference, folder)
    assert plan._earlier_costs(like) == {"none": (0.2, 5)}
    assert plan._earlier_costs(like.model_copy(update={"image_size": 64})) == {}


def test_a_trial_gives_hours_and_leaves_nothing(config, tmp_path):
    """A few steps on noise, without the weights that the profile starts from."""
    small = config.model_copy(update={"image_size": 32, "weights": "/nowhere.pth", "batch_size": 4, "small_epochs": 2})
    hours, parameters = plan._tried_cost(small, "stage", 6)
    assert 0 < hours < 1 and 11e6 < parameters < 12e6
    assert not (tmp_path / "cache").exists()


def test_the_counts_of_trashnet_are_right():
    """So that a look ahead need not download it."""
    folds = committed_folds("trashnet")
    assert (len(folds), folds["image"].str.split("/").str[0].nunique()) == workflow.TRASHNET


@pytest.fixture
def divided(tmp_path):
    for name in ("train/a/0", "train/b/1", "test/a/2", "test/b/3"):
        path = tmp_path / "divided" / f"{name}.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path)
    return str(tmp_path / "divided")


def test_divided_data_have_one_fold(divided, tmp_path, monkeypatch, capsys):
    """A profile's five folds become the published one, and it is said; asked for by name they are refused."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(workflow, "_run", lambda *details: 0)
    out = tmp_path / "out"
    assert workflow.reproduce("cpu", {"data": divided}, out, []) == 0
    assert json.loads((out / ".settings.json").read_text())["overrides"]["folds"] == [0]
    assert "comes divided: this split is kept, as fold 0 and the only one" in capsys.readouterr().out
    assert workflow.reproduce("cpu", {"data": divided, "folds": [0]}, out, []) == 0
    with pytest.raises(ReproError, match="comes with a split of its own, which is fold 0, the only one: set folds to"):
        workflow.reproduce("cpu", {"data": divided, "folds": [0, 1]}, out, [])


def test_a_dry_run_starts_nothing(divided, tmp_path, monkeypatch, capsys):
    """Not even the output folder; wrong data are refused as ever."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(workflow, "_run", None)
    monkeypatch.setattr(plan, "_earlier_costs", lambda config: dict.fromkeys(config.arms, (0.01, 10**6)))
    assert workflow.reproduce("cpu", {"data": divided}, tmp_path / "out", [], dry_run=True) == 0
    assert "4 trainings (arms: 4, folds: 1, repeats: 1), of which 0 are done" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    with pytest.raises(ReproError, match="nowhere does not exist"):
        workflow.reproduce("cpu", {"data": "/nowhere"}, tmp_path / "out", [], dry_run=True)
