"""What `make help` says."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).resolve().parents[1] / "Makefile"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(*options):
    return subprocess.run(["make", *options], cwd=MAKEFILE.parent, check=True, capture_output=True, text=True).stdout


def test_help_names_every_target():
    """One line for every target that can be asked for, with its purpose, and none for another."""
    targets = re.search(r"(?m)^\.PHONY: (.*)$", MAKEFILE.read_text())[1].split()
    lines = [line for line in make("help").splitlines() if line.startswith("make ")]
    assert sorted(line.split()[1] for line in lines) == sorted(targets)
    assert all(re.fullmatch(r"make \S+ +\S.*", line) for line in lines)


def test_help_explains_the_variables():
    """Every variable that reaches `make reproduce` from the command line."""
    text = make("help")
    for name in ("PROFILE", "DATA", "OUT", "SET", "TORCH_INDEX"):
        assert f"{name}=" in text


def test_bare_make_reproduces():
    """A bare `make` is `make reproduce`, as the help says."""
    assert make("--dry-run") == make("--dry-run", "reproduce")
