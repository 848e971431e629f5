"""Binder's files, and what a notebook says where there is no package around it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
PAGE = ROOT / "docs" / "online.md"
ADDRESS = re.compile(r"(?:github\.com|mybinder\.org/v2/gh|colab\.research\.google\.com/github)/([\w.-]+/paper_repro)\b")


def name(path):
    return path.stem


def importing_cell(path):
    """The first code cell that imports the package."""
    cells = nbformat.read(path, as_version=4).cells
    return next(cell.source for cell in cells if cell.cell_type == "code" and "paper_repro" in cell.source)


def test_one_address():
    """Notebooks, badges and pyproject.toml agree on where the project is published."""
    texts = [path.read_text() for path in [PAGE, ROOT / "README.md", *NOTEBOOKS]] + [PROJECT["urls"]["Source"]]
    assert len({found for text in texts for found in ADDRESS.findall(text)}) == 1


def test_badges():
    """Each notebook has a badge for Binder and one for Colab."""
    page = PAGE.read_text()
    for path in NOTEBOOKS:
        assert re.search(rf"mybinder\.org/v2/gh/[^)]*urlpath=lab/tree/notebooks/{path.name}\)", page), path.name
        assert re.search(rf"colab\.research\.google\.com/github/[^)]*/notebooks/{path.name}\)", page), path.name


def test_binder_files():
    """The pinned versions, a torch for processors alone, a Python that the project allows."""
    folder = ROOT / ".binder"
    lines = [line for line in (folder / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines == ["--extra-index-url https://download.pytorch.org/whl/cpu", "-c ../constraints.txt", "-e ."]
    version = re.fullmatch(r"python-(3\.\d+)\n", (folder / "runtime.txt").read_text())[1]
    assert version in SpecifierSet(PROJECT["requires-python"])
    assert subprocess.run(["bash", "-n", folder / "postBuild"]).returncode == 0
    assert (folder / "postBuild").stat().st_mode & 0o111
    for notebook in re.findall(r"notebooks/\S+\.ipynb", (folder / "postBuild").read_text()):
        assert (ROOT / notebook).is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_says_what_to_do_without_the_package(path, tmp_path):
    """In an interpreter without the package the first import fails with the remedies for one's own machine and for
    Colab, and the latter are the lines that the page of this shows."""
    code = f"import sys; sys.modules['paper_repro'] = None\n{importing_cell(path)}"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1
    message = run.stderr.rpartition("ImportError: ")[2]
    assert "make lab" in message
    remedy = message.strip().splitlines()[1:]
    assert [line.split()[0] for line in remedy] == ["!git", "%cd", "%pip"]
    assert "\n".join(remedy) in PAGE.read_text()


def test_remedy_installs_dependencies():
    """What Colab has to install goes by the names in pyproject.toml."""
    remedy = re.search(r"%pip install --quiet (.*)", PAGE.read_text())[1].split()
    assert set(remedy) <= {re.match(r"[\w-]+", line)[0] for line in PROJECT["dependencies"]}
