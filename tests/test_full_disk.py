"""A full or read-only disk, a real one that root can mount: a clear error, and nothing that was good is lost.

What every user can test of it stands beside the other tests of checkpoints, data and the workflow.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
import torch

from paper_repro import checkpoint, evaluate, runs
from paper_repro.data import load_dataset
from paper_repro.files import ReproError, project_root
from paper_repro.photographs import downloads
from paper_repro.training import Trainer, train

FULL = "No space left on device"


def contents(folder):
    """Every file below a folder, but for locks."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock")}


def finished_run(config, out):
    """A finished run of arm `none`."""
    run = train(config, "none", 0, out)
    runs.record_completion(run.folder)
    return run


@pytest.fixture
def other(config):
    """The same with another recipe, whose run replaces the finished one."""
    return config.model_copy(update={"weight_decay": 0.1})


def test_checkpoint(disk):
    """The two before stay and load; with space again, the save succeeds."""
    for epoch in (1, 2):
        checkpoint.save(disk.folder, epoch, {"epoch": epoch, "weights": torch.ones(100_000)})
    before = contents(disk.folder)
    disk.limit(free=200_000)
    with pytest.raises(ReproError, match=f"{FULL}.*free some space or choose another folder"):
        checkpoint.save(disk.folder, 3, {"epoch": 3, "weights": torch.ones(100_000)})
    assert contents(disk.folder) == before and checkpoint.load_newest(disk.folder)["epoch"] == 2
    disk.limit(free=10**6)
    checkpoint.save(disk.folder, 3, {"epoch": 3, "weights": torch.ones(100_000)})
    assert checkpoint.load_newest(disk.folder)["epoch"] == 3


def test_training(disk, config, tmp_path, monkeypatch):
    """A disk that fills up during the training: the next call continues from the checkpoint before, unlabelled."""
    save, saved = checkpoint.save, []

    def save_and_fill(folder, epoch, state):
        save(folder, epoch, state)
        saved.append(epoch)
        disk.limit(free=10**6)

    monkeypatch.setenv("PAPER_REPRO_CACHE", str(disk.folder / "cache"))
    monkeypatch.setattr(checkpoint, "save", save_and_fill)
    with pytest.raises(ReproError, match=f"{FULL}.*PAPER_REPRO_CACHE"):
        train(config, "none", 0, tmp_path)
    assert saved == [1]
    disk.limit(free=2 * 10**9)
    monkeypatch.setattr(checkpoint, "save", lambda *values: save(*values) or saved.append(values[1]))
    run = train(config, "none", 0, tmp_path)
    assert saved == [1, 2, 3] and run.environment["continued"] == []


def test_weights(disk, config, other, monkeypatch):
    """No room for the weights of a new run: the finished one that it was to replace still opens."""
    run = finished_run(config, disk.folder)
    before, metrics = contents(run.folder), evaluate.metrics
    monkeypatch.setattr(evaluate, "metrics", lambda *a, **k: disk.limit(free=10**6) or metrics(*a, **k))
    with pytest.raises(ReproError, match=f"cannot write .*weights.safetensors .{FULL}"):
        train(other, "none", 0, disk.folder)
    assert contents(run.folder) == before
    pd.testing.assert_frame_equal(runs.load_run(run.folder).predictions, run.predictions)


def test_results(disk, config, other, monkeypatch):
    """No room for the results: all files of the finished run stay, and the new one is not trained again for them."""
    run = finished_run(config, disk.folder)
    before = contents(run.folder)
    disk.limit(free=3 * 4096)  # enough for some of its files
    with pytest.raises(ReproError, match=f"cannot write .*fold0.*{FULL}"):
        train(other, "none", 0, disk.folder)
    assert contents(run.folder) == before and runs.load_run(run.folder).environment == run.environment
    disk.limit(free=10**8)
    monkeypatch.setattr(Trainer, "train_epoch", lambda *_: pytest.fail("trained again"))
    assert train(other, "none", 0, disk.folder).config == other


def test_preparation(disk, photographs, monkeypatch):
    """No room for the prepared pictures: nothing counts as prepared; with space again, all is."""
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(disk.folder / "cache"))
    disk.limit(free=100_000)
    with pytest.raises(ReproError, match=f"cannot write the prepared data .*{FULL}.*free some space"):
        load_dataset(photographs, 42)
    assert contents(disk.folder) == {}
    disk.limit(free=10**6)
    assert len(load_dataset(photographs, 42).images) == 48


def test_download(disk, monkeypatch):
    """No room for a download: nothing of it stays."""
    content = bytes(10**6)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    monkeypatch.setattr("time.sleep", lambda seconds: None)  # pooch's pause between two attempts
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(disk.folder / "cache"))
    disk.limit(free=200_000)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/set.zip"
        with pytest.raises(ReproError, match=f"could not download .*{FULL}.*put the file by hand into"):
            downloads.download(downloads.Source(url, len(content), hashlib.sha256(content).hexdigest()))
        server.shutdown()
    assert contents(disk.folder) == {}


def test_notebook(disk, write_notebook, tmp_path):
    """No room for an executed notebook: the one of an earlier execution stays, and the message names the disk."""
    (disk.folder / "lesson.ipynb").write_text("finished earlier")
    notebook = write_notebook(tmp_path / "lesson.ipynb", "size = 1", "print('much' * 100_000)")
    disk.limit(free=50_000)
    result = subprocess.run(
        [sys.executable, "-m", "paper_repro.workflow.execute", notebook, "--output", disk.folder / "lesson.ipynb"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2 and result.stderr.splitlines()[-1].startswith("error: ")
    assert FULL in result.stderr and "free some space" in result.stderr
    assert (disk.folder / "lesson.ipynb").read_text() == "finished earlier"


def test_workflow(disk):
    """No room for a whole run's first file: refused before anything starts."""
    (disk.folder / "earlier").write_text("finished earlier")
    disk.limit(free=0)
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "paper_repro",
            "reproduce",
            "--out",
            disk.folder,
            "--set",
            json.dumps({"arms": ["none"]}),
        ],
        cwd=project_root(),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2 and result.stderr.startswith("error: cannot write ") and FULL in result.stderr
    assert set(contents(disk.folder).values()) == {b"finished earlier"}


def test_read_only_data(disk, photographs):
    """Photographs on a read-only disk are prepared like others; nothing is written beside them."""
    folder = shutil.copytree(photographs, disk.folder / "photographs")
    before = contents(disk.folder)
    with disk.read_only():
        dataset = load_dataset(folder, 42)
        assert contents(disk.folder) == before
    assert dataset.fingerprint == load_dataset(photographs, 42).fingerprint


def test_read_only_results(disk, config, other, monkeypatch):
    """An output that cannot be written to is refused before the training, and its finished run still opens."""
    run = finished_run(config, disk.folder)
    monkeypatch.setattr(Trainer, "fit", lambda self: pytest.fail("trained for nothing"))
    with disk.read_only():
        with pytest.raises(ReproError, match="cannot write .*Read-only file system.*choose another folder .OUT for"):
            train(other, "none", 0, disk.folder)
        assert train(config, "none", 0, disk.folder).environment == run.environment
        pd.testing.assert_frame_equal(runs.load_run(run.folder).predictions, run.predictions)
