"""One notebook by hand, with papermill or nbval alone and from another folder: our command is no condition."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paper_repro.runs import load_run

pytestmark = pytest.mark.workflow

ROOT = Path(__file__).resolve().parents[2]


def test_papermill_alone(tmp_path, monkeypatch):
    """The notebook finds the project, trains, and leaves a finished run, which opens."""
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "cache"))
    recipe = "overrides: {epochs: 1, warmup_epochs: 0, batch_size: 64, faithfulness_images: 1, threads: 1}"
    command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks" / "02_baseline.ipynb"), "executed.ipynb"]
    command += ["-k", "python3", "-p", "out", str(tmp_path / "results"), "-p", "fold", "1", "-y", recipe]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    run = load_run(tmp_path / "results" / "none" / "fold1")
    assert run.fold == 1 and len(run.history) == 1 and len(run.measures)


def test_nbval_alone(tmp_path, copy_project):
    """The outputs of a single notebook are compared from a working directory outside the project."""
    project = copy_project(tmp_path / "project")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-cell-timeout", "300"]
    command += ["--nbval-kernel-startup-timeout", "300", str(project / "notebooks" / "01_data_exploration.ipynb")]
    environment = os.environ | {"PAPER_REPRO_CACHE": str(tmp_path / "cache")}
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert result.returncode == 0 and " passed" in result.stdout, result.stdout[-3000:]
