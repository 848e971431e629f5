"""A lock lives as long as the process that holds it and the children that inherited it."""

import subprocess
import sys
import time

import pytest

from paper_repro.files import ReproError
from paper_repro.workflow.processes import hold_lock, run_command

# Holds the lock and starts a child that inherits it, as reproduce.py starts Snakemake.
HOLDER = """\
import pathlib, subprocess, sys
from paper_repro.workflow.processes import hold_lock
with hold_lock(pathlib.Path(sys.argv[1]), "it") as lock:
    child = subprocess.Popen(["sleep", "60"], pass_fds=[lock.fileno()], stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    child.wait()
"""


def test_lock_outlives_a_killed_parent(tmp_path):
    """After kill -9 of the holder, its child still holds the lock; after the child's end, nobody does."""
    path = tmp_path / "results" / ".lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, text=True)
    child = int(holder.stdout.readline())
    holder.kill()
    holder.communicate()
    with pytest.raises(ReproError, match="another process is working on it: "), hold_lock(path, "it"):
        pass
    subprocess.run(["kill", "-9", str(child)], check=True)
    for _ in range(50):
        try:
            with hold_lock(path, "it"):
                return
        except ReproError:
            time.sleep(0.1)
    pytest.fail("the lock is still held")


def test_a_users_mistake_ends_with_2(capsys):
    """Every command says it in its message and its exit status."""

    def main():
        raise ReproError("data: it is wrong: mend it")

    with pytest.raises(SystemExit) as end:
        run_command(main)
    assert end.value.code == 2 and capsys.readouterr().err == "error: data: it is wrong: mend it\n"
