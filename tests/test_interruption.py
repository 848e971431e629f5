"""What a kill, a damaged or hostile checkpoint and a changed machine must not do to a training.

PAPER_REPRO_ENDURANCE=1 runs the long series instead of a sample; tests/endurance.py sets it and makes the table.
"""

import json
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import time
import warnings
from pathlib import Path

import pandas as pd
import pytest
import torch
from trainings import TIMES, TINY, save_for_ever, state_of, train_noting_phases

from paper_repro import checkpoint, runs
from paper_repro.config import load_profile
from paper_repro.files import ReproError
from paper_repro.training import train

PHASES = ["training", "between epochs", "saving", "validation", "writing results"]
LOCK_SECONDS = 15  # until the workers of a killed training have noticed and the system has freed its lock


def series(sample, full):
    return pytest.mark.parametrize("seed", range(full if os.environ.get("PAPER_REPRO_ENDURANCE") else sample))


@pytest.fixture(scope="module")
def start():
    """start(function, *arguments) -> a process of its own that runs it. torch is loaded once, in the process that they
    are all forked from; it has computed nothing there."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["paper_repro.training", "paper_repro.heatmaps"])
    processes = []

    def launch(function, *arguments):
        processes.append(context.Process(target=function, args=arguments))
        processes[-1].start()
        return processes[-1]

    yield launch
    for process in processes:
        process.kill()


def read(notes):
    """[(phase, epoch, time)] of a file of notes."""
    lines = [line.split(",") for line in notes.read_text().splitlines()] if notes.exists() else []
    return [(phase, int(epoch), float(moment)) for phase, epoch, moment in lines]


def wait_for(notes, process, reached):
    """Waits until `reached(lines of notes)`; fails when the process ends before."""
    while not reached(read(notes)):
        assert process.is_alive(), f"ended with {process.exitcode} before it was to be killed"
        time.sleep(0.001)


def outcome(notes, out):
    """Everything of a finished run that must not depend on an interruption."""
    folder = out / "stage" / "fold0"
    environment = json.loads((folder / "environment.json").read_text())
    files = {name: (folder / name).read_bytes() for name in ("predictions.csv", "metrics.json", "weights.safetensors")}
    files["history.csv"] = pd.read_csv(folder / "history.csv", dtype=str).drop(columns=TIMES).to_csv()
    return (
        json.loads(notes.with_suffix(".json").read_text())
        | files
        | {"weights": environment["weights"], "continued": environment["continued"]}
    )


@pytest.fixture(scope="module")
def uninterrupted(start, photographs, tmp_path_factory):
    """{workers: (the training's config, its outcome, {(phase, epoch): seconds})}"""
    found = {}
    for workers in (0, 2):
        folder = tmp_path_factory.mktemp("uninterrupted")
        config = load_profile("smoke", data=str(photographs), workers=workers, **TINY)
        process = start(train_noting_phases, folder / "notes", folder / "cache", config, folder / "out")
        process.join()
        assert process.exitcode == 0
        lines = read(folder / "notes")
        seconds = {line[:2]: after[2] - line[2] for line, after in zip(lines, lines[1:], strict=False)}
        found[workers] = config, outcome(folder / "notes", folder / "out"), seconds
        shutil.rmtree(folder / "cache")
    assert found[0][1] == found[2][1]
    return found


@pytest.mark.parametrize("workers", [0, 2])
@series(sample=2, full=20)
def test_killed_training_resumes_bit_for_bit(start, uninterrupted, tmp_path, record_property, workers, seed):
    """kill -9 at a random moment of each phase in turn: at most one epoch is trained again, and the resumed run ends
    with the weights, optimizer, history, metrics and predictions of an uninterrupted one."""
    generator = random.Random(f"{workers} {seed}")
    config, expected, seconds = uninterrupted[workers]
    phase = PHASES[(seed + workers) % len(PHASES)]
    # Before epoch 1 and after the last one there is next to nothing between epochs.
    epochs = [n for name, n in seconds if name == phase and (phase != "between epochs" or 1 < n <= config.epochs)]
    epoch, share = generator.choice(epochs), generator.random()
    notes, again, cache, out = (tmp_path / name for name in ("notes", "again", "cache", "out"))
    killed = False
    while not killed:
        for folder in (cache, out):
            shutil.rmtree(folder, ignore_errors=True)
        notes.unlink(missing_ok=True)
        process = start(train_noting_phases, notes, cache, config, out)
        wait_for(notes, process, lambda lines: (phase, epoch) in [line[:2] for line in lines])
        time.sleep(share * seconds[phase, epoch])
        process.kill()
        process.join()
        killed = process.exitcode == -signal.SIGKILL
        share /= 2  # where it was faster than the uninterrupted run and had come to its end
    landed, begin = read(notes)[-1], time.monotonic()
    while (process := start(train_noting_phases, again, cache, config, out)).join() or process.exitcode != 0:
        # The workers of the killed process hold its lock until they miss it; that is the one excuse.
        assert not read(again) and time.monotonic() < begin + LOCK_SECONDS, "not resumed"
    epochs = [{n for name, n, _ in read(path) if name == "training"} for path in (notes, again)]
    record_property("killed in", landed[0])
    record_property("epochs lost", len(epochs[0] & epochs[1]))
    record_property("moment", f"workers {workers}, seed {seed}: {landed[0]} {landed[1] or ''}".strip())
    assert epochs[0] | epochs[1] == set(range(1, config.epochs + 1)) and len(epochs[0] & epochs[1]) <= 1
    result = outcome(again if again.with_suffix(".json").exists() else notes, out)
    assert [name for name in expected if result[name] != expected[name]] == []
    shutil.rmtree(cache)


@series(sample=4, full=100)
def test_killed_while_saving_leaves_the_newest_or_the_one_before(start, tmp_path, record_property, seed):
    """kill -9 at a random moment of a save: a whole checkpoint loads, without a warning and never an older one than
    the last that was complete; the next save removes what the killed one left."""
    notes, folder = tmp_path / "notes", tmp_path / "checkpoints"
    process = start(save_for_ever, notes, folder)
    wait_for(notes, process, lambda lines: len(lines) > 3)
    lines = read(notes)
    time.sleep(random.Random(seed).uniform(0, 2) * (lines[-1][2] - lines[0][2]) / (len(lines) - 1))
    process.kill()
    process.join()
    complete = read(notes)[-1][1]
    partial = [path.stat().st_size for path in folder.glob(".partial-*")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state = checkpoint.load_newest(folder)
    assert state["epoch"] in (complete, complete + 1)
    assert torch.equal(state["weights"], state_of(state["epoch"])["weights"])
    size = max(path.stat().st_size for path in folder.glob("epoch*"))
    written = "the file half written" if partial and partial[0] < size else "the file not yet renamed"
    renamed = "the file renamed" if state["epoch"] > complete else "the file not begun"
    record_property("killed with", written if partial else renamed)
    checkpoint.save(folder, state["epoch"] + 1, state_of(state["epoch"] + 1))
    assert sorted(int(path.name[5:10]) for path in folder.iterdir()) == [state["epoch"], state["epoch"] + 1]
    shutil.rmtree(folder)


def test_stopped_between_two_files_of_a_run(config, tmp_path, monkeypatch):
    """A run's files replace those of an older one so that, wherever that stops, the key in environment.json is the new
    one only when all of them are new, and no `done` vouches for a mixture."""
    names, replace = ("history.csv", "predictions.csv", "metrics.json", "weights.safetensors"), os.replace

    def write(word, stop_after=99):
        calls = []
        monkeypatch.setattr(
            os,
            "replace",
            lambda *paths: (
                calls.append(paths) or (replace(*paths) if len(calls) <= stop_after else pytest.fail("stopped"))
            ),
        )
        frame = pd.DataFrame({"word": [word]})
        runs.write_run(tmp_path, config, frame, frame, {"word": word}, {"key": word}, word.encode())

    for stop_after in range(6):
        write("older")
        (tmp_path / "done").touch()
        with pytest.raises(pytest.fail.Exception):
            write("newer", stop_after)
        files = {("newer" in (tmp_path / name).read_text()) for name in names}
        assert files == {True} or json.loads((tmp_path / "environment.json").read_text()) == {"key": "older"}
        assert not (tmp_path / "done").exists()


# ---- checkpoints ------------------------------------------------------------------------------------------------


@pytest.fixture
def checkpoints(tmp_path):
    for epoch in (1, 2, 3):
        checkpoint.save(tmp_path, epoch, {"epoch": epoch, "weights": torch.full((100_000,), float(epoch))})
    return tmp_path


def test_two_checkpoints_are_kept(checkpoints):
    """The newest and the one before, so that one damaged file costs one epoch."""
    assert [path.name[:10] for path in sorted(checkpoints.iterdir())] == ["epoch00002", "epoch00003"]
    assert checkpoint.load_newest(checkpoints)["epoch"] == 3


def assert_falls_back(checkpoints, content, record_property):
    newest = sorted(checkpoints.iterdir())[-1]
    newest.write_bytes(content)
    try:
        torch.load(newest, weights_only=True)
        record_property("torch alone", "takes the damaged file")
    except Exception:
        record_property("torch alone", "refuses the damaged file")
    with pytest.warns(UserWarning, match=f"{newest} is damaged .* taking the one before"):
        state = checkpoint.load_newest(checkpoints)
    assert state["epoch"] == 2 and (state["weights"] == 2).all()


@series(sample=4, full=50)
def test_flipped_bit_is_refused(checkpoints, record_property, seed):
    """One flipped bit anywhere in a checkpoint, which torch takes, is noticed, and the one before is loaded."""
    content = bytearray(sorted(checkpoints.iterdir())[-1].read_bytes())
    generator = random.Random(seed)
    content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    assert_falls_back(checkpoints, content, record_property)


@series(sample=3, full=20)
def test_cut_checkpoint_is_refused(checkpoints, record_property, seed):
    """So is a file cut at any length, the first time at 0."""
    content = sorted(checkpoints.iterdir())[-1].read_bytes()
    length = random.Random(seed).randrange(len(content)) if seed else 0
    assert_falls_back(checkpoints, content[:length], record_property)


def test_newer_format_is_refused(tmp_path, monkeypatch):
    """A checkpoint of a later version is named, not misread."""
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    checkpoint.save(tmp_path, 1, {})
    monkeypatch.setattr(checkpoint, "FORMAT", 1)
    with pytest.raises(ReproError, match="has format 2, this version reads 1"):
        checkpoint.load_newest(tmp_path)


class Payload:
    """Runs code when unpickled by a careless reader."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    "make",
    [
        lambda payload, path: torch.save(payload, path),
        lambda payload, path: torch.save({"format": checkpoint.FORMAT, "model": payload}, path),
        lambda payload, path: torch.save({payload: 0}, path, _use_new_zipfile_serialization=False),
        lambda payload, path: path.write_bytes(pickle.dumps(payload, protocol=0)),
        lambda payload, path: path.write_bytes(pickle.dumps({"format": checkpoint.FORMAT, "history": [payload]})),
    ],
    ids=["torch", "in a checkpoint", "old torch format", "pickle", "pickle of a checkpoint"],
)
def test_payload_in_a_checkpoint_is_not_executed(checkpoints, make):
    """A stranger's checkpoint whose name states the right sha256 is read as data, and refused with the remedy."""
    make(Payload(checkpoints / "executed"), checkpoints / "hostile")
    content = (checkpoints / "hostile").read_bytes()
    path = checkpoint.save_hashed(checkpoints, "epoch00004", ".pt", content)
    with pytest.raises(ReproError, match=f"{path} cannot be read as tensors and numbers alone .* delete it"):
        checkpoint.load_newest(checkpoints)
    assert not (checkpoints / "executed").exists()


def test_file_that_is_no_checkpoint_is_refused(tmp_path):
    """Neither is something else that torch can read taken for a checkpoint."""
    torch.save([1.0], tmp_path / "other")
    checkpoint.save_hashed(tmp_path, "epoch00001", ".pt", (tmp_path / "other").read_bytes())
    with pytest.raises(ReproError, match="has format None, this version reads 1"):
        checkpoint.load_newest(tmp_path)


def test_full_disk_keeps_the_earlier_checkpoint(checkpoints, monkeypatch):
    """A write that fails leaves the earlier files and no debris."""
    before = sorted(path.name for path in checkpoints.iterdir())

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ReproError, match="No space left on device.*free some space"):
        checkpoint.save(checkpoints, 4, {"epoch": 4})
    assert sorted(path.name for path in checkpoints.iterdir()) == before


# ---- resumed under other circumstances --------------------------------------------------------------------------


@pytest.fixture
def begun(config, tmp_path, monkeypatch):
    """The epochs that are saved from now on; a training of arm `none` has stopped after its first."""
    save, saved = checkpoint.save, []

    def stop_after_first(folder, epoch, state):
        save(folder, epoch, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", stop_after_first)
    with pytest.raises(KeyboardInterrupt):
        train(config, "none", 0, tmp_path)
    monkeypatch.setattr(checkpoint, "save", lambda *values: saved.append(values[1]) or save(*values))
    return saved


@pytest.mark.parametrize("changed", ["processor", "threads", "packages"])
def test_other_circumstances_are_labelled(config, begun, tmp_path, monkeypatch, changed):
    """A run continued on another processor, with another thread count or version, says so; it never passes for an
    exact one."""
    if changed == "processor":
        monkeypatch.setattr(runs, "_processor", lambda: "another one")
    if changed == "packages":
        monkeypatch.setattr(runs, "version", lambda name: "0.1")
    config = config.model_copy(update={"threads": 2}) if changed == "threads" else config
    with pytest.warns(UserWarning, match=f"none, fold 0: continued, not bit-exact .{changed}: .* -> "):
        run = train(config, "none", 0, tmp_path)
    assert begun == [2, 3] and len(run.environment["continued"]) == 1


@pytest.mark.parametrize("arm, changed", [("none", {"weight_decay": 0.1}), ("none", {"epochs": 2}), ("stage", {})])
def test_other_configuration_starts_afresh(config, begun, tmp_path, arm, changed):
    """Checkpoints of another recipe or arm are never continued, nor are they lost."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = train(config.model_copy(update=changed), arm, 0, tmp_path)
        assert begun == list(range(1, other.config.epochs + 1)) and other.environment["continued"] == []
        begun.clear()
        assert train(config, "none", 0, tmp_path).environment["continued"] == []
    assert begun == [2, 3]
