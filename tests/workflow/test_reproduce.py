"""The workflow: what runs again and what does not, and that no ending leaves anything wrong behind."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from paper_repro.workflow import reproduce as workflow

pytestmark = pytest.mark.workflow

ROOT = Path(__file__).resolve().parents[2]
ARMS = ["none", "stage"]
# Seconds after which Snakemake has surely taken note of a mark. It deletes the mark of a job that it still takes for
# running when it is stopped; that notebook is executed once more, and loads its weights instead of training.
NOTED = 8
TRAININGS = ["--", "--until", "train"]  # options for Snakemake: the trainings alone
PARAMETERS = 'profile = "smoke"\ndata = None\nout = "results/smoke"\noverrides = {}\n'
# As paper_repro.runs.record_completion, without its import of torch.
COMPLETE = (
    "import json, os, pathlib\n_ = pathlib.Path(os.environ['PAPER_REPRO_RECORD'])"
    ".write_text(json.dumps({'folder': str(folder)}))"
)
TRAINING = """\
import os, pathlib, time
folder = pathlib.Path(out) / arm / (f"repeat{repeat}/fold{fold}" if repeat else f"fold{fold}")
folder.mkdir(parents=True, exist_ok=True)
(folder / "kernel").write_text(str(os.getpid()))  # a comment
if arm == os.environ.get("SLOW_ARM"):
    time.sleep(600)
(folder / "metrics.json").write_text(f"{overrides}")"""


@pytest.fixture
def project(tmp_path, write_notebook, photographs):
    """A project with the real Snakefile and profiles, and notebooks that take no time."""
    folder = tmp_path / "a project (ü)"
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    shutil.copytree(photographs, folder / "data" / "rendered")
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "pyproject.toml").touch()
    notebooks = folder / "notebooks"
    shared = "import pathlib\nfolder = pathlib.Path(out)"
    write_notebook(notebooks / "01_data_exploration.ipynb", PARAMETERS, shared, COMPLETE)
    for name in ("02_baseline", "03_stage_se_training"):
        write_notebook(
            notebooks / f"{name}.ipynb", PARAMETERS + 'arm = "none"\nfold = 0\nrepeat = 0', TRAINING, COMPLETE
        )
    for name in ("04_confusion_matrices", "05_heatmap_gallery", "06_heatmap_tests"):
        write_notebook(
            notebooks / f"{name}.ipynb", PARAMETERS + "arms = []\nfolds = []\nrepeats = []", shared, COMPLETE
        )
    return folder


def command(*options, **overrides):
    overrides = {"arms": ARMS, "folds": [0], "threads": 1} | overrides
    return [sys.executable, "-m", "paper_repro", "reproduce", "--set", json.dumps(overrides), *options]


def reproduce(project, *options, **overrides):
    """Runs the workflow to its end; returns the names of the executed notebooks, with the arm for trainings."""
    result = subprocess.run(command(*options, **overrides), cwd=project, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Everything is done" in result.stdout
    executed = re.findall(r"executing (\d\d)_\w+\.ipynb -> (?:(\w+)/)?", result.stdout)
    return sorted(f"{number} {arm}".strip() for number, arm in executed)


def start(project, *options, slow_arm="", **overrides):
    """The workflow as a running process whose training of `slow_arm` does not come to its end."""
    return subprocess.Popen(
        command(*options, **overrides),
        cwd=project,
        env=os.environ | {"SLOW_ARM": slow_arm},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(pattern, results, process):
    """The file that fits the pattern, as soon as it holds something; fails when the process ends before."""
    while not (found := [path for path in results.glob(pattern) if path.stat().st_size]):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    return found[0]


def wait_for_note(results, process):
    """Waits until the training of `none` has its mark and Snakemake has taken note of it (see `NOTED`)."""
    wait_for(".done/none/fold0-*", results, process)
    time.sleep(NOTED)


def assert_ends(process_id, seconds=5):
    deadline = time.monotonic() + seconds
    while Path("/proc", process_id).exists():
        assert time.monotonic() < deadline, f"process {process_id} still there after {seconds} s"
        time.sleep(0.05)


def children(process_id):
    """Ids of a process's children and theirs, parents first."""
    found = []
    for task in Path("/proc", str(process_id), "task").glob("*/children"):
        for child in task.read_text().split():
            found += [child, *children(child)]
    return found


def edit(notebook, old, new):
    node = nbformat.read(notebook, as_version=4)
    for cell in node.cells:
        cell.source = cell.source.replace(old, new)
    node.cells.append(nbformat.v4.new_markdown_cell("More prose."))
    nbformat.write(node, notebook)


def test_runs_what_is_out_of_date_and_no_more(project):
    """A second call does nothing; a changed parameter or cell runs what depends on it; comments and prose run nothing;
    a run that is deleted or made anew by hand is made again."""
    everything = ["01", "02 none", "03 stage", "04", "05", "06"]
    assert reproduce(project) == everything
    results = project / "results" / "smoke"
    assert {path.name for path in (results / "html").iterdir()} == {
        "01_data_exploration.html",
        "02_baseline-none-fold0.html",
        "03_stage_se_training-stage-fold0.html",
        "04_confusion_matrices.html",
        "05_heatmap_gallery.html",
        "06_heatmap_tests.html",
    }
    edit(project / "notebooks" / "03_stage_se_training.ipynb", "# a comment", "# another")
    assert reproduce(project) == []
    slower = {"learning_rates": {"stage": 0.01}}
    assert reproduce(project, **slower) == ["03 stage", "04", "05", "06"]
    assert "0.01" in (results / "stage" / "fold0" / "metrics.json").read_text()
    edit(project / "notebooks" / "05_heatmap_gallery.ipynb", "folder =", "place = folder =")
    (results / "none" / "fold0" / "metrics.json").write_text("made anew in JupyterLab")
    (results / "01_data_exploration.ipynb").unlink()
    assert reproduce(project, **slower) == ["01", "02 none", "04", "05", "06"]
    assert reproduce(project, arms=["none"]) == ["04", "05", "06"]


def test_pictures_added_to_a_linked_class_folder_count(project, tmp_path):
    """What the reader of the data sees makes everything run again."""
    for name in ("elsewhere", "photographs/glass"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.png").touch()
    (tmp_path / "photographs" / "metal").symlink_to(tmp_path / "elsewhere")
    options = {"arms": ["none"], "data": str(tmp_path / "photographs")}
    assert reproduce(project, **options) == ["01", "02 none", "04", "05", "06"]
    assert reproduce(project, **options) == []
    (tmp_path / "elsewhere" / "2.png").touch()
    assert reproduce(project, **options) == ["01", "02 none", "04", "05", "06"]


def test_measures_and_repeats(project):
    """More images to measure open every training's notebook again; a further repeat runs beside the first, in folders
    and pages of its own."""
    none = {"arms": ["none"]}
    assert reproduce(project, **none) == ["01", "02 none", "04", "05", "06"]
    assert reproduce(project, **none, faithfulness_images=9) == ["02 none", "04", "05", "06"]
    assert reproduce(project, **none, faithfulness_images=9, repeats=[0, 1]) == ["02 none", "04", "05", "06"]
    results = project / "results" / "smoke"
    assert {path.parent.name for path in results.glob("none/**/done")} == {"fold0"}
    assert (results / "none" / "repeat1" / "fold0" / "done").exists()
    assert (results / "html" / "02_baseline-none-repeat1-fold0.html").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_by_a_signal(project, number):
    """The whole run stops at a signal, leaves no kernel, and continues where it was; what was finished stays so."""
    results = project / "results" / "smoke"
    process = start(project, *TRAININGS, slow_arm="stage")
    kernel = wait_for("stage/fold0/kernel", results, process)
    wait_for_note(results, process)
    process.send_signal(number)
    output, _ = process.communicate()
    assert process.returncode == 128 + number, output
    assert_ends(kernel.read_text())
    assert not (results / "stage" / "fold0" / "done").exists()
    assert list((results / "stage" / "fold0" / "logs").glob("*.ipynb"))
    assert reproduce(project, *TRAININGS) == ["03 stage"]


@pytest.mark.parametrize("victim", ["paper_repro", "snakemake", "paper_repro.workflow.execute"])
def test_killed(project, victim):
    """Whichever of the processes is killed outright, the others end too, no lock stays, and the next call continues."""
    results = project / "results" / "smoke"
    process = start(project, *TRAININGS, slow_arm="stage")
    kernel = wait_for("stage/fold0/kernel", results, process).read_text()
    wait_for_note(results, process)
    family = [str(process.pid), *children(process.pid)]
    killed = [p for p in family if victim == Path("/proc", p, "cmdline").read_text().split("\0")[2]]
    os.kill(int(killed[-1]), signal.SIGKILL)
    process.communicate()
    assert process.returncode != 0
    assert_ends(kernel)
    for member in family:
        assert_ends(member)
    assert reproduce(project, *TRAININGS) == ["03 stage"]


@pytest.mark.parametrize("seed", range(10 if os.environ.get("PAPER_REPRO_ENDURANCE") else 2))
def test_killed_at_a_random_moment(project, seed):
    """Killed at any moment, a run that Snakemake has noted as finished is not redone; another is not counted."""
    results = project / "results" / "smoke"
    process = start(project, *TRAININGS)
    time.sleep(random.Random(seed).uniform(1, 15))
    marks = [mark for mark in (results / ".done").glob("*/*") if time.time() - mark.stat().st_mtime > NOTED]
    finished = {mark: mark.read_bytes() for mark in marks}
    process.kill()
    process.communicate()
    for _ in range(100):  # the processes it started follow it
        again = subprocess.run(command(*TRAININGS), cwd=project, capture_output=True, text=True)
        if "another process is working on" not in again.stderr:
            break
        time.sleep(0.1)
    assert again.returncode == 0, again.stdout + again.stderr
    for arm in ARMS:
        done = (results / arm / "fold0" / "done").read_bytes()
        (mark,) = (results / ".done" / arm).glob("fold0-*")
        assert mark.read_bytes() == done == finished.get(mark, done)


def test_two_at_once(project):
    """A second call into the same folder is refused with one clear line, and the first one is not disturbed."""
    first = start(project, *TRAININGS, slow_arm="stage")
    kernel = wait_for("stage/fold0/kernel", project / "results" / "smoke", first)
    second = subprocess.run(command(), cwd=project, capture_output=True, text=True)
    assert second.returncode == 2
    assert re.fullmatch(r"error: another process is working on .*/results/smoke: .*\n", second.stderr)
    assert first.poll() is None and Path("/proc", kernel.read_text()).exists()
    first.terminate()
    first.communicate()


def test_failure_keeps_what_was_finished(project):
    """A failing notebook is named with its error; the run of an earlier call stays as it was."""
    run = project / "results" / "smoke" / "none" / "fold0"
    reproduce(project, *TRAININGS)
    earlier = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    edit(project / "notebooks" / "02_baseline.ipynb", "folder =", "raise ValueError('wrong here')\nfolder =")
    process = start(project, *TRAININGS)
    output, _ = process.communicate()
    assert process.returncode == 1
    assert "error: 02_baseline.ipynb: code cell [3] raised ValueError: wrong here" in output
    assert "error: not everything could be made" in output
    assert {path: path.read_bytes() for path in run.iterdir() if path.is_file()} == earlier


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--profile", "smok"], "profile: 'smok' is no profile (did you mean 'smoke'?)"),
        (["--set", '{"epoch": 2}'], "epoch: no such key (did you mean 'epochs'?)"),
        (["--set", "epochs=2"], "SET: epochs=2 is no JSON object"),
        (["--data", "/nowhere/photos.zip"], "data: /nowhere/photos.zip does not exist: correct the path"),
        (["--profile", "waste8"], "data: .*/waste8.zip does not exist: it is the profile's own: data/README.md says"),
        (["--set", '{"weights": "/nowhere/w.pth"}'], "weights: /nowhere/w.pth does not exist: correct the path"),
        (["--out", "results/reference"], "OUT: .* is the committed reference run"),
        (["--out", "pyproject.toml/x"], "cannot write to"),
    ],
)
def test_refused_before_work(project, options, message):
    """What is wrong with the call is said in one line, before anything starts."""
    result = subprocess.run(
        [sys.executable, "-m", "paper_repro", "reproduce", *options], cwd=project, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert re.match(f"error: {message.replace('(', '[(]').replace(')', '[)]').replace('?', '[?]')}", result.stderr)
    assert result.stderr.count("\n") == 1
    assert not (project / "results").exists()


def test_data_that_cannot_be_read_are_refused_before_work(project, tmp_path):
    """In one line, by the reader's own reason; Snakemake, which lists the data too, is not started."""
    (tmp_path / "photographs" / "glass").mkdir(parents=True)
    (tmp_path / "photographs" / "glass" / "again").symlink_to(tmp_path / "photographs")
    result = subprocess.run(
        command("--data", str(tmp_path / "photographs")), cwd=project, capture_output=True, text=True
    )
    assert result.returncode == 2 and not (project / "results").exists()
    assert re.fullmatch("error: data: .* are one folder by a link: remove the link\n", result.stderr)


@pytest.mark.parametrize(
    ("options", "cluster"),
    [
        ([], False),
        (["--dry-run"], False),
        (["--executor=slurm", "--jobs", "8"], True),
        (["--workflow-profile", "profiles/slurm"], True),
    ],
)
def test_on_a_cluster(project, monkeypatch, options, cluster):
    """Where the notebooks run elsewhere, this machine's cores and GPU are no limit, and Snakemake is ended by the
    signal at which it cancels what it has submitted."""
    calls, out = [], project / "results" / "smoke"
    monkeypatch.chdir(project)
    monkeypatch.setattr(workflow, "_run", lambda command, lock, ending: calls.append((command, ending)) or 0)
    assert workflow.reproduce("smoke", {}, out, options) == 0
    ((given, ending),) = calls
    assert {option in given for option in ("--cores", "--resources", "--quiet")} == {not cluster}
    assert ending == (signal.SIGINT if cluster else signal.SIGTERM)
    assert given[len(given) - len(options) :] == options
    assert json.loads((out / ".settings.json").read_text())["cluster"] == cluster


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_passes_values_on(project):
    """make hands PROFILE, DATA, OUT and SET on whatever characters they hold, and DATA as seen by the caller."""
    shutil.copy(ROOT / "Makefile", project)
    (project / "constraints.txt").touch()
    (project / ".venv" / "bin").mkdir(parents=True)
    python = project / ".venv" / "bin" / "python"
    python.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "import json, os, sys; print(json.dumps(sys.argv[1:] + '
        '[os.environ.get(\'CALLER\')]))" "$@"\n'
    )
    python.chmod(0o755)
    (project / ".venv" / "torch").touch()
    (project / ".venv" / "installed").touch()
    values = {"PROFILE": "cpu", "DATA": 'it\'s a "set" (ü)', "OUT": "results/o p", "SET": '{"epochs": 2}'}
    printed = subprocess.run(
        [
            "make",
            "-C",
            project,
            "--no-print-directory",
            "reproduce",
            *(f"{key}={value}" for key, value in values.items()),
        ],
        cwd=project.parent,
        env=os.environ | {"PWD": str(project.parent)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    given = json.loads(printed)
    assert given[:3] == ["-m", "paper_repro", "reproduce"]
    assert given[3:11] == ["--profile", "cpu", "--data", values["DATA"], "--out", values["OUT"], "--set", values["SET"]]
    assert given[11] == str(project.parent)


def test_the_real_notebooks_end_to_end(tmp_path):
    """Notebooks 01 to 06 as they are, with networks that learn nothing (a learning rate of nearly zero), so that no
    processor's rounding decides what they show: all of them reach their end, 04 says that the accuracies are not above
    chance, a run's folder holds what later notebooks rely on, figures and pages lie where the closing lines say, and a
    run opens and predicts."""
    out = tmp_path / "results"
    tiny = {"epochs": 2, "batch_size": 64, "faithfulness_images": 1, "learning_rate": 1e-9}
    result = subprocess.run(
        command("--out", str(out), **tiny),
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PAPER_REPRO_CACHE": str(tmp_path / "cache")},
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    for arm, notebook in (("none", "02_baseline"), ("stage", "03_stage_se_training")):
        names = {path.name for path in (out / arm / "fold0").iterdir()}
        assert names >= {
            "config.yaml",
            "history.csv",
            "predictions.csv",
            "measures.csv.gz",
            "measures.json",
            "weights.safetensors",
            "metrics.json",
            "environment.json",
            f"{notebook}.ipynb",
            "done",
        }
        assert f"html/{notebook}-{arm}-fold0.html" in result.stdout
    assert f"What was found: {out / 'index.html'}" in result.stdout
    assert "each arm was trained once" in (out / "index.html").read_text()
    page = (out / "html" / "04_confusion_matrices.html").read_text()
    for arm in ARMS:
        assert f"The accuracy of <code>{arm}</code> is" in page
    assert "the most frequent class" in page and "It is above the most frequent class" not in page
    figures = {path.stem for path in (out / "figures").glob("*.png")}
    assert figures and figures == {path.stem for path in (out / "figures").glob("*.svg")}
    code = (
        "import sys; from PIL import Image; from paper_repro.runs import load_run; "
        "print(load_run(sys.argv[1]).predict(Image.new('RGB', (40, 30))).round(3).to_csv())"
    )
    predicted = subprocess.run(
        [sys.executable, "-c", code, str(out / "stage" / "fold0")],
        cwd=ROOT,
        text=True,
        capture_output=True,
        env=os.environ | {"PAPER_REPRO_CACHE": str(tmp_path / "cache")},
    )
    assert predicted.stdout.startswith(",cardboard,glass,"), predicted.stderr
