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
    """The first code cell that imports the package, and the cell above it."""
    cells = nbformat.read(path, as_version=4).cells
    pairs = zip(cells[1:], cells, strict=False)
    return next((cell, above) for cell, above in pairs if cell.cell_type == "code" and "paper_repro" in cell.source)


def remedy(path):
    """The lines for Colab in the cell above the imports."""
    return re.search(r"^```\n(.*?)^```$", importing_cell(path)[1].source, re.MULTILINE | re.DOTALL)[1].splitlines()


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
    """In an interpreter without the package the first import of it fails, and the line that the traceback shows leads
    to the cell above. This has the remedies for one's own machine and for Colab, the same in every notebook."""
    cell, above = importing_cell(path)
    script = tmp_path / "cell.py"
    script.write_text(f"import sys; sys.modules['paper_repro'] = None\n{cell.source}")
    run = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1
    assert re.search(r"paper_repro import .*# not found\? See the cell above\n", run.stderr)
    assert run.stderr.splitlines()[-1].startswith("ModuleNotFoundError: ")
    assert above.cell_type == "markdown"
    assert above.source.startswith("<details>\n<summary>On Colab, or an import fails?")
    assert "make lab" in above.source
    lines = remedy(path)
    assert [line.split()[0] for line in lines[:3]] == ["!git", "%cd", "%pip"]
    assert lines[:3] == remedy(NOTEBOOKS[0])
    for line in lines[3:]:
        assert (ROOT / re.fullmatch(r"%run (notebooks/\S+\.ipynb)", line)[1]).is_file()
    assert bool(lines[3:]) == (path.stem[:2] in ("04", "05", "06"))  # they need finished runs


def test_remedy_installs_dependencies():
    """What Colab has to install goes by the names in pyproject.toml."""
    names = re.fullmatch(r"%pip install --quiet (.*)", remedy(NOTEBOOKS[0])[2])[1].split()
    assert set(names) <= {re.match(r"[\w.-]+", line)[0] for line in PROJECT["dependencies"]}
