"""The committed notebooks hold outputs that can be checked, and the check sees a changed digit."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbconvert import SlidesExporter

from paper_repro.workflow.parameters import declared

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
LESSONS = [path for path in NOTEBOOKS if re.match(r"\d\d_", path.name)]
COURSE = sorted((ROOT / "notebooks").glob("*.ipynb"))  # what a student gets
SOLUTIONS = ROOT / "notebooks" / "solutions"
SECTIONS = {
    "objectives": r"^\*\*What you will be able to do\*\*",
    "what is needed": r"^\*\*What you need",
    "time": r"^\*\*How long\b.* two cores",
    "a question to stop at": r"^(> )?\*\*Stop and think\.\*\*",
    "exercises": r"^## Exercises$",
    "summary": r"^## Summary$",
}


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
    texts = [
        output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for cell in code_cells(path)
        for output in cell.outputs
    ]
    assert not [text for text in texts if str(ROOT) in text or re.search(r"/(home|root|tmp|Users)/", text)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_code_fits_a_page(path):
    """No line of code is longer than a page shows. Cells that begin with imports are folded, in JupyterLab and on the
    site; the parameters are not."""
    cells = code_cells(path)
    for cell in cells:
        assert all(len(line) <= 100 for line in cell.source.splitlines())
        folded = cell.metadata.get("jupyter", {}).get("source_hidden", False)
        assert folded == ("hide-input" in cell.metadata.get("tags", []))
        assert folded or not re.match(r"(#.*\n|\n)*(import|from) ", cell.source)
    assert "jupyter" not in cells[0].metadata


def prose(path):
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def exercises(path):
    """The text of each exercise, in order of their numbers from 1 on."""
    section = re.search(r"^## Exercises$(.*?)(?=^## |\Z)", prose(path), re.MULTILINE | re.DOTALL)[1]
    found = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", section, re.MULTILINE | re.DOTALL)
    assert [int(number) for number, _ in found] == list(range(1, len(found) + 1))
    return [text for _, text in found]


def solutions_of(path):
    return SOLUTIONS / f"solutions_{path.stem[:2] if path in LESSONS else path.stem}.ipynb"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_can_be_executed_with_parameters(path):
    """The first code cell declares the parameters, and the last one writes the completion record."""
    cells = code_cells(path)
    assert "parameters" in cells[0].metadata.tags
    names = set(declared(nbformat.read(path, as_version=4)))
    assert names >= {"reference", "out"} if "06" in path.stem else names >= {"profile", "data", "out", "overrides"}
    assert re.search(r"^(runs\.)?record_completion\(\w+(\.\w+)?\)$", cells[-1].source, re.MULTILINE)


def test_every_lesson_checks_something():
    """No lesson goes without a checked cell."""
    assert LESSONS
    for path in LESSONS:
        assert any("nbval-check-output" in cell.metadata.get("tags", []) for cell in code_cells(path)), path.name


@pytest.mark.parametrize("path", COURSE, ids=name)
def test_is_a_lesson(path):
    """It says what for, what with and how long, asks on the way and at the end, and sums up."""
    missing = [what for what, pattern in SECTIONS.items() if not re.search(pattern, prose(path), re.MULTILINE)]
    assert not missing
    assert 3 <= len(exercises(path)) <= 5


def test_mistakes_to_catch():
    """Mistakes that published work made are there to be caught."""
    found = [text for path in COURSE for text in exercises(path) if "catch the mistake" in text.lower()]
    assert len(found) >= 2
    texts = " ".join(found).lower()
    for mistake in ("best\ntest accuracy|best test accuracy", "smote", "431", "flag", "global"):
        assert re.search(mistake, texts), mistake


@pytest.mark.skipif(not SOLUTIONS.is_dir(), reason="a student's copy")
@pytest.mark.parametrize("path", COURSE, ids=name)
def test_every_exercise_is_solved(path):
    """Each has its section in the notebook of solutions that the lesson names, all but one with code, and something is
    checked."""
    solutions = solutions_of(path)
    assert f"notebooks/solutions/{solutions.name}" in prose(path)
    solved, with_code = [], set()
    for cell in nbformat.read(solutions, as_version=4).cells:
        if cell.cell_type == "markdown":
            solved += re.findall(r"^## Exercise (\d+) · ", cell.source, re.MULTILINE)
        elif solved:
            with_code.add(solved[-1])
    assert solved == [str(number) for number in range(1, len(exercises(path)) + 1)]
    assert len(with_code) >= len(solved) - 1
    assert any(re.search(r"^\s*assert ", cell.source, re.MULTILINE) for cell in code_cells(solutions))


@pytest.mark.skipif(not SOLUTIONS.is_dir(), reason="a student's copy")
@pytest.mark.parametrize("path", COURSE, ids=name)
def test_no_solution_in_the_lesson(path):
    """No cell of the solutions, but for those that set up, stands in the student's notebook."""
    cells = nbformat.read(solutions_of(path), as_version=4).cells
    first = next(number for number, cell in enumerate(cells) if "## Exercise 1 ·" in cell.source)
    solving = {cell.source.strip() for cell in cells[first:-1]}  # the last cell is the completion record
    assert not solving & {cell.source.strip() for cell in nbformat.read(path, as_version=4).cells}
    assert not re.search(r"^#+ (Solution|Exercise \d)", prose(path), re.MULTILINE)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no repository")
def test_students_copy(tmp_path):
    """`make student` packs the lessons and leaves the solutions out."""
    copy = tmp_path / "student.zip"
    subprocess.run(["make", "-s", "student", f"STUDENT={copy}"], cwd=ROOT, check=True)
    names = zipfile.ZipFile(copy).namelist()
    assert "paper_repro/notebooks/03_stage_se_training.ipynb" in names and "paper_repro/Makefile" in names
    assert not [name for name in names if "solutions" in name]


@pytest.mark.parametrize("path", LESSONS[:5], ids=name)
def test_slides(path):
    """The lesson says of each cell whether it is a slide, and its slides load nothing from a network."""
    notebook = nbformat.read(path, as_version=4)
    types = [cell.metadata.get("slideshow", {}).get("slide_type") for cell in notebook.cells]
    assert set(types) <= {"slide", "subslide", "fragment", "-", "notes", "skip"}
    assert types[0] == "slide" and types.count("slide") >= 8
    exporter = SlidesExporter(
        template_name="slides",
        extra_template_basedirs=[str(ROOT)],
        exclude_input=True,
        reveal_url_prefix="reveal.js",
        mathjax_url="mathjax/MathJax.js",
    )
    page, _ = exporter.from_notebook_node(notebook)
    loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"']([^\"']{,200})", page)
    assert {"reveal.js/dist/reveal.js", "mathjax/MathJax.js"} <= set(loaded)
    assert not [address for address in loaded if re.match(r"(https?:)?//", address)]
    assert not re.search(r"@import|import [\w{]+.* from ['\"]http", page)


@pytest.mark.parametrize(
    ("tags", "old", "new", "passed"),
    [
        (["nbval-check-output"], "", "", True),
        (["nbval-check-output"], "23520326", "23520327", False),
        ([], "23520326", "23520327", True),
    ],
    ids=["unaltered", "checked digit altered", "unchecked digit altered"],
)
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
        [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            ROOT / "pyproject.toml",
            "--rootdir",
            tmp_path,
            "-p",
            "no:cacheprovider",
            "--nbval-lax",
            "--nbval-sanitize-with",
            ROOT / "tests" / "nbval.cfg",
            path,
        ],
        capture_output=True,
        text=True,
    )
    assert (result.returncode == 0) == passed, result.stdout
    assert ("1 failed, 1 passed" in result.stdout) != passed
