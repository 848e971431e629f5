"""The committed notebooks hold outputs that can be checked, and the check sees a changed digit."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from paper_repro.parameters import declared

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
LESSONS = [path for path in NOTEBOOKS if re.match(r"\d\d_", path.name)]


def name(path):
    return path.stem


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_was_executed(path):
    """Every code cell ran, in order and without an error, and a checked cell has an output: nbval passes a cell that
    has neither a count nor an output."""
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert not [output for output in cell.outputs if output.output_type == "error"]
        if "nbval-check-output" in cell.metadata.get("tags", []):
            assert cell.outputs, cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_runs_anywhere(path):
    """It names the kernel that every installation has, and no stored text holds a path of this machine."""
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "papermill" not in notebook.metadata
    texts = [output.get("text", "") + output.get("data", {}).get("text/plain", "")
             for cell in code_cells(path) for output in cell.outputs]
    assert not [text for text in texts if str(ROOT) in text or re.search(r"/(home|root|tmp|Users)/", text)]


@pytest.mark.parametrize("path", LESSONS, ids=name)
def test_can_be_executed_with_parameters(path):
    """The first code cell declares the parameters, and the last one writes the completion record."""
    cells = code_cells(path)
    assert "parameters" in cells[0].metadata.tags
    assert {"profile", "data", "out", "overrides"} <= set(declared(nbformat.read(path, as_version=4)))
    assert re.search(r"^(runs\.)?complete\(\w+(\.\w+)?\)$", cells[-1].source, re.MULTILINE)


def test_every_lesson_checks_something():
    """No lesson goes without a checked cell."""
    assert LESSONS
    for path in LESSONS:
        assert any("nbval-check-output" in cell.metadata.get("tags", []) for cell in code_cells(path)), path.name


@pytest.mark.parametrize(("tags", "old", "new", "passed"), [
    (["nbval-check-output"], "", "", True),
    (["nbval-check-output"], "23520326", "23520327", False),
    ([], "23520326", "23520327", True),
], ids=["unaltered", "checked digit altered", "unchecked digit altered"])
def test_altered_digit(tmp_path, write_notebook, tags, old, new, passed):
    """Altering one digit of a checked output makes the test of the notebook fail."""
    path = write_notebook(tmp_path / "lesson.ipynb", "size = 1", "print('23520326 parameters')")
    notebook = nbformat.read(path, as_version=4)
    for count, cell in enumerate(notebook.cells, 1):
        cell.execution_count = count
    notebook.cells[1].metadata["tags"] = tags
    text = "23520326 parameters\n".replace(old, new)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
    nbformat.write(notebook, path)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, "-p", "no:cacheprovider",
         "--nbval-lax", "--nbval-sanitize-with", ROOT / "tests" / "nbval.cfg", path], capture_output=True, text=True)
    assert (result.returncode == 0) == passed, result.stdout
    assert ("1 failed, 1 passed" in result.stdout) != passed
