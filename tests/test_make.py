"""What `make help` says, and which build of torch make installs."""

import re
import shutil
import subprocess
import sys
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).resolve().parents[1] / "Makefile"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(*options):
    return subprocess.run(
        ["make", "--no-print-directory", *options], cwd=MAKEFILE.parent, check=True, capture_output=True, text=True
    ).stdout


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


@pytest.fixture
def index(tmp_path):
    """Address of a package index that serves builds "+cpu" of torch and torchvision: empty wheels."""
    pinned = re.findall(r"(?m)^(torch|torchvision)==(\S+)", MAKEFILE.with_name("constraints.txt").read_text())
    for name, version in pinned:
        (tmp_path / "index" / name).mkdir(parents=True)
        facts = f"{name}-{version}+cpu.dist-info"
        with zipfile.ZipFile(tmp_path / "index" / name / f"{name}-{version}+cpu-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}+cpu\n")
            wheel.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{facts}/RECORD", "")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path / "index"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("variable", ["CPU_INDEX", "TORCH_INDEX"])
def test_torch_comes_from_the_index_for_processors(index, tmp_path, variable):
    """From the one that make chooses by itself, or from the one that is given, which goes before it."""
    environment = tmp_path / "env"
    make(
        f"PYTHON={sys.executable}",
        f"VENV={environment}",
        "CPU_INDEX=http://127.0.0.1:9",
        f"{variable}={index}",
        f"{environment}/torch",
    )
    installed = {path.name for path in environment.rglob("*.dist-info")}
    assert {name.split("-")[0] for name in installed if "+cpu" in name} == {"torch", "torchvision"}


def test_an_index_that_does_not_answer_is_said_and_passed_over(tmp_path):
    """pip's own index is used in the next step, as on a machine with a GPU."""
    environment = tmp_path / "env"
    said = make(
        f"PYTHON={sys.executable}", f"VENV={environment}", "CPU_INDEX=http://127.0.0.1:9", f"{environment}/torch"
    )
    assert said.splitlines()[-1].startswith("http://127.0.0.1:9 does not answer: torch comes from pip's own index")
    assert not list(environment.rglob("torch-*"))
