"""What must hold on a cluster, tried with the real notebooks on the real SLURM that tests/slurm/cluster.sh starts.

    tests/slurm/cluster.sh start
    python tests/slurm/trial.py [SCENARIO ...] | tee trial.log        # all: about 20 minutes on two cores
    tests/slurm/cluster.sh stop

Needs `pip install -c constraints.txt -e '.[slurm]'`. Results and cache lie in a temporary folder. What is edited in the
project meanwhile is out of date for the second call of `matrix`.
"""

import filecmp
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TINY = {"epochs": 2, "batch_size": 64, "faithfulness_images": 1}
# One at a time, for the sake of what else this machine does; and a look at the queue as often as the executor allows.
SLURM = ["--workflow-profile", "profiles/slurm", "--jobs", "1", "--slurm-init-seconds-before-status-checks", "5"]
TRAININGS = ["--until", "train"]
SECONDS = 600  # until a scenario that does not get on fails


def say(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {text}", flush=True)


class Call:
    """A call of `python -m paper_repro reproduce`."""

    started: list["Call"] = []

    def __init__(self, out: Path, options: list[str], **overrides):
        command = [
            sys.executable,
            "-m",
            "paper_repro",
            "reproduce",
            "--out",
            str(out),
            "--set",
            json.dumps(overrides),
        ]
        command += ["--", *options] if options else []
        say("$ " + shlex.join(["python", *command[1:]]))
        # A script's background job ignores SIGINT and hands that on.
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )
        self.started.append(self)

    @classmethod
    def end_all(cls) -> None:
        """Stops what a scenario that failed left running."""
        for call in cls.started:
            call.process.terminate()
            call.process.wait()

    def wait_until(self, reached: Callable):
        """What `reached` returns, as soon as that is true; fails when the call ends before."""
        deadline = time.monotonic() + SECONDS
        while not (found := reached()):
            assert self.process.poll() is None, self.end()[1]
            assert time.monotonic() < deadline, f"not reached in {SECONDS} s"
            time.sleep(0.2)
        return found

    def end(self) -> tuple[int, str]:
        """Exit status and output."""
        output, _ = self.process.communicate()
        for line in filter(str.strip, output.splitlines()):
            print(f"    | {line}", flush=True)
        say(f"exit status {self.process.returncode}")
        return self.process.returncode, output


def slurm(*command: str) -> list[str]:
    """The lines that a SLURM command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def jobs(folder: Path) -> list[str]:
    """Ids of the queued and running jobs that write their log somewhere in `folder`."""
    lines = slurm("squeue", "--noheader", "--Format=JobID:20,stdout:400")
    return [line.split()[0] for line in lines if f" {folder}/" in line]


def processes(cache: Path) -> list[str]:
    """Ids of the processes, wherever they come from, that were started with this cache."""
    found, wanted = [], f"PAPER_REPRO_CACHE={cache}\0".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # ended meanwhile
            if wanted in environment.read_bytes():
                found.append(environment.parent.name)
    return found


def all_end_within(seconds: int, folder: Path, cache: Path) -> None:
    """Waits until no job of `folder` is queued and no process uses the cache."""
    start = time.monotonic()
    for what, left in (("job", lambda: jobs(folder)), ("process", lambda: processes(cache))):
        while names := left():
            assert time.monotonic() < start + seconds, names
            time.sleep(0.2)
        say(f"no {what} is left after {time.monotonic() - start:.1f} s")


def reported(output: str, state: str, arm: str) -> bool:
    """Whether a call's output says that the training of `arm` ended in `state`."""
    return re.search(rf"status is: '{state}'.*\n.*\n *output: \.done/{arm}/fold0-", output) is not None


def checkpoints(cache: Path, epoch: int) -> list[Path]:
    return list(cache.glob(f"checkpoints/*/epoch{epoch:05d}-*.pt"))


def printed_epochs(file: Path) -> list[int]:
    """Numbers of the epochs that a job trained itself, by its log or its executed notebook."""
    return [int(number) for number in re.findall(r"fold 0 epoch (\d+)/", file.read_text(encoding="utf-8"))]


def matrix(folder: Path) -> None:
    """The arms of the smoke profile, exploration and comparison run through, and a second call does nothing."""
    os.environ["PAPER_REPRO_CACHE"] = str(folder / "cache")
    out = folder / "out"
    status, output = Call(out, SLURM, **TINY).end()
    assert status == 0 and "Everything is done" in output
    for arm in ("none", "half", "block", "stage"):
        assert (out / arm / "fold0" / "done").exists(), arm
    compared = {"04_confusion_matrices.ipynb", "05_heatmap_gallery.ipynb", "06_heatmap_tests.ipynb"}
    assert compared <= {path.name for path in out.iterdir()}
    lines = slurm("sacct", "--noheader", "--parsable2", "--format=JobID,State,Elapsed,MaxRSS,AllocTRES")
    say("sacct: job, state, time, memory, granted\n" + "\n".join(f"    | {line}" for line in lines))
    status, output = Call(out, SLURM, **TINY).end()
    assert status == 0 and "has been submitted" not in output
    say("a second call submits nothing")


def cancelled(folder: Path) -> None:
    """A training that scancel ends half-way is named, and the next call continues it after its last checkpoint, to
    the bytes that a training without SLURM and without a pause gives."""
    cache, out, recipe = folder / "cache", folder / "out", TINY | {"epochs": 6, "arms": ["none"]}
    os.environ["PAPER_REPRO_CACHE"] = str(cache)
    call = Call(out, [*SLURM, *TRAININGS], **recipe)
    call.wait_until(lambda: checkpoints(cache, 3))
    (job,) = jobs(folder)
    say(f"the checkpoint of epoch 3 is written: scancel {job}")
    slurm("scancel", job)
    status, output = call.end()
    assert status == 1 and reported(output, "CANCELLED", "none")
    assert not (out / "none" / "fold0" / "done").exists()
    kept = max(int(path.name[5:10]) for path in cache.glob("checkpoints/*/epoch*-*.pt"))
    status, _ = Call(out, [*SLURM, *TRAININGS], **recipe).end()
    assert status == 0
    epochs = printed_epochs(out / "none" / "fold0" / "02_baseline.ipynb")
    say(f"the last checkpoint was of epoch {kept}; the next call trained the epochs {epochs}")
    assert kept >= 3 and epochs == list(range(kept + 1, 7))
    os.environ["PAPER_REPRO_CACHE"] = str(folder / "another cache")
    assert Call(folder / "without slurm", TRAININGS, **recipe).end()[0] == 0
    for name in ("predictions.csv", "metrics.json"):
        files = [place / "none" / "fold0" / name for place in (out, folder / "without slurm")]
        assert filecmp.cmp(*files, shallow=False), name
    say("predictions.csv and metrics.json are those of an uninterrupted training without SLURM, byte for byte")


def over_time(folder: Path) -> None:
    """A training that is not done in its time is named with its state, and a retry continues it."""
    os.environ["PAPER_REPRO_CACHE"] = str(folder / "cache")
    options = [*SLURM, *TRAININGS, "--set-resources", "train:runtime=2", "--retries", "1"]
    status, output = Call(folder / "out", options, **TINY | {"epochs": 400, "arms": ["none"]}).end()
    assert status == 1 and reported(output, "TIMEOUT", "none")
    first, second = (printed_epochs(Path(log)) for log in re.findall(r"\(log: (.*)\)", output))
    say(f"the first job trained the epochs {first[0]} to {first[-1]}, the second one {second[0]} to {second[-1]}")
    assert first[0] == 1 and first[-1] < second[0] <= first[-1] + 2  # ended between checkpoint and line: one more


def stopped(folder: Path) -> None:
    """A signal to the call, and its death, cancel what it submitted."""
    out, cache = folder / "out", folder / "cache"
    for number in (signal.SIGTERM, signal.SIGKILL):
        os.environ["PAPER_REPRO_CACHE"] = str(cache)
        call = Call(out, [*SLURM, *TRAININGS], **TINY | {"epochs": 400, "arms": ["none"]})
        call.wait_until(lambda: list(cache.glob("checkpoints/*/lock")))
        say(f"it trains, in {len(processes(cache))} processes: {number.name} to process {call.process.pid}")
        call.process.send_signal(number)
        all_end_within(60, folder, cache)
        shutil.rmtree(cache)
        assert call.end()[0] == (128 + number if number == signal.SIGTERM else -number)


def gpu(folder: Path) -> None:
    """accelerator: cuda asks for one GPU per training. Here SLURM grants what is none, and torch says so."""
    os.environ["PAPER_REPRO_CACHE"] = str(folder / "cache")
    call = Call(folder / "out", [*SLURM, *TRAININGS], **TINY | {"accelerator": "cuda", "arms": ["none"]})
    (job,) = call.wait_until(lambda: jobs(folder))
    status, output = call.end()
    granted = slurm("sacct", "--noheader", "--parsable2", "-X", "--jobs", job, "--format=AllocTRES")
    say(f"granted: {granted[0]}")
    assert "gres/gpu=1" in granted[0]
    log = Path(re.search(r"\(log: (.*)\)", output)[1]).read_text()
    assert status == 1 and "accelerator: 'cuda' is not available on this machine" in log
    say("its log: " + re.search("accelerator: 'cuda'.*", log)[0])


SCENARIOS = {scenario.__name__: scenario for scenario in (matrix, cancelled, over_time, stopped, gpu)}


def main() -> int:
    os.environ["OMP_NUM_THREADS"] = "1"
    names = sys.argv[1:] or list(SCENARIOS)
    with tempfile.TemporaryDirectory(prefix="paper_repro-trial-") as folder:
        for name in names:
            say(f"== {name}: {' '.join(SCENARIOS[name].__doc__.split())}")
            place = Path(folder, name)
            place.mkdir()
            try:
                SCENARIOS[name](place)
            finally:
                Call.end_all()
            say(f"== {name}: holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
