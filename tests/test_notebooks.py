"""The committed notebooks hold outputs that can be checked, and the check sees a changed digit."""

import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from nbconvert import SlidesExporter
from PIL import Image

from paper_repro import evaluate, figures, findings, runs
from paper_repro.config import load_profile
from paper_repro.data import load_dataset
from paper_repro.files import ReproError
from paper_repro.measures import measure_run
from paper_repro.training import train
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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_is_small(path):
    """A repository keeps every version of every picture, and GitHub shows no large notebook."""
    assert path.stat().st_size < 2e6


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
    assert names >= {"reference", "out"} if "07" in path.stem else names >= {"profile", "data", "out", "overrides"}
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


@pytest.mark.parametrize("path", COURSE, ids=name)
def test_every_question_has_its_answer(path):
    """Each "Stop and think" is followed by a folded answer, tagged so that `make student` leaves it out."""
    cells = nbformat.read(path, as_version=4).cells
    asked = [number for number, cell in enumerate(cells) if "**Stop and think.**" in cell.source]
    answers = [number for number, cell in enumerate(cells) if "answer" in cell.metadata.get("tags", [])]
    assert asked and answers == [number + 1 for number in asked]
    folded = r"<details>\n<summary>Answer</summary>\n\n.+\n\n</details>"
    assert all(re.fullmatch(folded, cells[number].source, re.DOTALL) for number in answers)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no repository")
def test_students_copy(tmp_path):
    """`make student` packs the lessons and leaves out the solutions and the answers."""
    copy = tmp_path / "student.zip"
    subprocess.run(["make", "-s", "student", f"STUDENT={copy}"], cwd=ROOT, check=True)
    archive = zipfile.ZipFile(copy)
    names = archive.namelist()
    assert "paper_repro/notebooks/03_stage_se_training.ipynb" in names and "paper_repro/Makefile" in names
    assert not [name for name in names if "solutions" in name]
    for lesson in LESSONS:
        given = nbformat.reads(archive.read(f"paper_repro/notebooks/{lesson.name}"), as_version=4).cells
        assert len(given) > 20
        assert not [cell for cell in given if "answer" in cell.metadata.get("tags", [])]


@pytest.mark.parametrize("path", LESSONS[:6], ids=name)
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


# A training of a second; half precision would hide whether two ways to one number agree.
TINY = {"image_size": 32, "epochs": 1, "warmup_epochs": 0, "batch_size": 8, "threads": 1, "faithfulness_images": 1}
TINY |= {"precision": "32-true", "accelerator": "cpu"}
# Photographs per class, and their noise: so much that they have nothing in common, or so little that all look the same.
# Four, fourteen and seven of them are in the test fold.
SMALL = {
    "two of ten": ({"glass": 10, "metal": 10}, 120),
    "a frequent class": ({"glass": 60, "metal": 6, "paper": 6}, 120),
    "all alike": ({"glass": 18, "metal": 17}, 2),
}


def photograph_classes(folder, counts, noise):
    """A folder per class of so many grey pictures of 40 by 40 pixels, with independent noise in each."""
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            picture = 128 + rng.integers(-noise, noise + 1, (40, 40, 3))
            Image.fromarray(picture.astype(np.uint8)).save(folder / name / f"{number}.png")


def run_notebook(stem, monkeypatch, parameters):
    """Runs a notebook's cells in this process, without writing its figures; returns its variables, and among them as
    `said` what it printed and found."""
    monkeypatch.setattr(figures, "save", lambda *_: None)
    # Needs a kernel.
    monkeypatch.setattr("matplotlib_inline.backend_inline.set_matplotlib_formats", lambda *_, **__: None)
    (path,) = [path for path in COURSE if path.stem.startswith(stem)]
    said, seen = [], findings.seen
    monkeypatch.setattr(findings, "seen", lambda *sentences: said.append(seen(*sentences).data))
    variables = {"display": lambda *_: None, "print": lambda *words: said.append(" ".join(map(str, words)))}
    with mpl.rc_context():
        for number, cell in enumerate(code_cells(path), 1):
            exec(compile(cell.source, f"{path.stem}, code cell {number}", "exec"), variables)
            if number == 1:
                variables |= {name: value for name, value in parameters.items() if name in variables}
            plt.close("all")
    return variables | {"said": "\n".join(said)}


@pytest.fixture(scope="module", params=SMALL)
def small(request, tmp_path_factory):
    """Parameters of the notebooks for few or odd photographs, of which there are a run of none and one of stage."""
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "_"))
    counts, noise = SMALL[request.param]
    photograph_classes(folder / "data", counts, noise)
    config = load_profile("smoke", data=str(folder / "data"), **TINY)
    dataset = load_dataset(config.data, config.prepared_size)
    for arm in ("none", "stage"):
        run = train(config, arm, 0, folder)
        measure_run(run, dataset, config.faithfulness_images)
        runs.record_completion(run.folder)
    return {"data": config.data, "out": str(folder), "overrides": TINY}


@pytest.mark.workflow
def test_few_photographs_explored(small, monkeypatch):
    """Notebook 01 reaches its end and tests every photograph once."""
    found = run_notebook("01", monkeypatch, small)
    assert len(found["tested"]) == len(found["table"])
    assert {len(rows) for rows in found["columns"]} == {4}


@pytest.mark.workflow
def test_few_photographs_trained(small, monkeypatch):
    """Notebook 02 takes its first batch from what there is, and its interval is that of the run, to the last digit."""
    found = run_notebook("02", monkeypatch, small)
    assert len(set(found["batch"])) == len(found["batch"]) == min(32, len(found["parts"].train))
    assert np.allclose([found["low"], found["high"]], found["run"].metrics["accuracy_interval"], rtol=0, atol=1e-12)


@pytest.mark.workflow
def test_few_photographs_and_gates(small, monkeypatch):
    """Notebook 03 halves its batch evenly, gives every photograph another one's gate, and says when it can show
    nothing, as the photographs are alike."""
    found = run_notebook("03", monkeypatch, small)
    count = len(found["images"])
    assert count == min(8, len(found["parts"].test) // 2 * 2) and count % 2 == 0
    rows = torch.arange(len(found["tested"]))[None, :, None]
    assert (found["changes"]["shuffled"](rows) != rows).all()
    assert ("all_alike" in small["data"]) == ("so alike that their gates are alike" in found["said"])
    assert "nan" not in found["said"]


@pytest.mark.workflow
def test_few_photographs_compared(small, monkeypatch):
    """Notebook 04 reports accuracies at or below the share of the most frequent class, and its paired interval is that
    of the package."""
    found = run_notebook("04", monkeypatch, small)
    assert found["said"].count("the most frequent class's share") == 2 and "nan" not in found["said"]
    interval = found["compared"].loc["stage", ["difference_low", "difference_high"]]
    assert np.allclose(found["theirs"]["interval"], interval.astype(float))


@pytest.mark.workflow
@pytest.mark.parametrize("stem", ["03", "04"])
@pytest.mark.parametrize("winner", ["none", "stage", "both"])
def test_either_arm_may_win(small, monkeypatch, stem, winner):
    """Notebooks 03 and 04 say of an arm that is always right, or never, what its numbers say."""
    opened = runs.load_run

    def rigged(folder, finished=True):
        run = opened(folder, finished)
        if not finished:  # `train` compares these with what is on the disk
            return run
        truth = pd.Index(run.classes).get_indexer(run.predictions["truth"])
        answers = truth if winner in (run.arm, "both") else (truth + 1) % len(run.classes)
        probabilities = 0.1 / len(run.classes) + 0.9 * np.eye(len(run.classes))[answers]
        columns = [f"p_{name}" for name in run.classes]
        return replace(run, predictions=run.predictions.assign(**dict(zip(columns, probabilities.T, strict=True))))

    monkeypatch.setattr(runs, "load_run", rigged)
    found = run_notebook(stem, monkeypatch, small)
    if stem == "03":
        interval = found["pair"]["interval"]
    else:
        interval = found["compared"].loc["stage", ["difference_low", "difference_high"]]
        assert found["compared"].loc["stage", "difference"] == {"none": -1, "stage": 1, "both": 0}[winner]
    side = {1: "So the higher accuracy is that of `stage`", -1: "So the lower accuracy is that of `stage`"}
    said = found["said"].split("The accuracy of `stage` minus that of `none`")[1].split("What we see")[0]
    decided = findings.decided((0.0, *interval))
    assert side.get(decided, "The interval holds 0") in said and "nan" not in found["said"]


@pytest.mark.workflow
def test_few_photographs_shown(small, monkeypatch):
    """Notebook 05 reaches its end, and says no number that is none."""
    found = run_notebook("05", monkeypatch, small)
    assert "Where the objects are is not known" in found["said"]
    assert found["said"].count("What we see") == 8 and "nan" not in found["said"]


@pytest.mark.workflow
def test_few_photographs_tested(small, monkeypatch):
    """Notebook 06 compares each photograph once with another one, and says what cannot be measured or played."""
    found = run_notebook("06", monkeypatch, small)
    assert sorted(set(found["chosen"])) == list(found["chosen"]) and len(found["chosen"]) <= len(found["truth"])
    assert not found["measured"] and "of this fold has a mask, or a box" in found["said"]
    for sentence in ("Nothing could be measured", "No cause was planted here", "The game was not played"):
        assert sentence in found["said"]
    assert "nan" not in found["said"]


@pytest.fixture(scope="module")
def controlled(tmp_path_factory):
    """Parameters of notebook 06 for photographs of five classes with masks, of which there are runs of two networks,
    with stickers and with shuffled labels as well."""
    folder = tmp_path_factory.mktemp("controlled")
    photograph_classes(folder / "data", dict.fromkeys("abcde", 8), 120)
    for photograph in (folder / "data").glob("*/*.png"):
        mask = np.zeros((40, 40), bool)
        mask[10:25, 5:30] = True
        place = folder / "data_masks" / photograph.relative_to(folder / "data")
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(place)
    config = load_profile("smoke", data=str(folder / "data"), **TINY)
    dataset = load_dataset(config.data, config.prepared_size)
    for arm in ("none", "stage", "stage-planted", "stage-untied", "none-shuffled"):
        run = train(config, arm, 0, folder)
        measure_run(run, dataset, config.faithfulness_images)
        runs.record_completion(run.folder)
    return {"data": config.data, "out": str(folder), "overrides": TINY}


@pytest.mark.workflow
@pytest.mark.parametrize("sign", [1, -1], ids=["as measured", "the opposite"])
def test_either_outcome(controlled, monkeypatch, sign):
    """Notebook 06 says of networks without skill what its numbers say, and of the opposite numbers the opposite."""
    interval = evaluate.mean_interval

    def signed(*arguments):
        mean, low, high = interval(*arguments)
        return sign * mean, *sorted((sign * low, sign * high))

    monkeypatch.setattr(evaluate, "mean_interval", signed)
    found = run_notebook("06", monkeypatch, controlled)
    assert found["measured"] and found["planted"] and found["noisy"]
    gains = found["gains"][found["gains"]["layer"] == found["claim_layer"]]
    for row in gains.itertuples():
        side = "the higher" if row.low > 0 else "the lower" if row.high < 0 else "does not decide"
        pattern = rf"The gain at layer1 of Grad-CAM of `{row.arm}` .*?\)\. .*?\."
        (sentence,) = re.findall(pattern, found["said"])
        assert side in sentence
    assert "nan" not in found["said"]


@pytest.mark.parametrize(
    ("stem", "parameters", "message"),
    [
        ("01", {"overrides": {"num_folds": 11}}, "the class 'glass' has 10 independent photographs for 11 folds"),
        ("01", {"overrides": {"num_folds": 10}}, "too few independent photographs to give a validation part: have 20"),
        ("02", {}, "batch_size: 32 is more than the 14 training images: make it smaller"),
        ("03", {}, "batch_size: 32 is more than the 14 training images: make it smaller"),
        ("04", {"arms": ["none-shuffled"]}, "holds no arm to compare: add none, or one with attention"),
        ("05", {"arms": ["half", "alexnet"]}, "holds no arm to compare: add none, or one with attention"),
        ("06", {"arms": ["half", "alexnet"]}, "holds no arm to compare: add none, or one with attention"),
        ("07", {"reference": "profiles"}, "profiles lacks a run of none or stage on fold 0: make them with"),
    ],
)
def test_refused_at_the_start(tmp_path, monkeypatch, stem, parameters, message):
    """What cannot work is said with the numbers that are needed, in the cell that sets the notebook up."""
    photograph_classes(tmp_path / "data", *SMALL["two of ten"])
    given = {"data": str(tmp_path / "data"), "out": str(tmp_path / "out")} | parameters
    with pytest.raises(ReproError, match=message) as caught:
        run_notebook(stem, monkeypatch, given)
    (cell,) = [entry.path for entry in caught.traceback if "code cell" in str(entry.path)]
    assert str(cell).endswith(("code cell 2", "code cell 3"))


def test_three_photographs_of_a_class(tmp_path, monkeypatch):
    """Notebook 01 shows no more pictures of a class than there are."""
    photograph_classes(tmp_path / "data", {"glass": 8, "metal": 3}, 120)
    given = {"data": str(tmp_path / "data"), "out": str(tmp_path), "overrides": {"num_folds": 3}}
    found = run_notebook("01", monkeypatch, given)
    assert [len(rows) for rows in found["columns"]] == [3, 3]


def test_twins_in_two_parts_are_counted(tmp_path, monkeypatch):
    """Notebook 01 counts the groups that a split which ignores them, as for measuring leakage, tears apart."""
    photograph_classes(tmp_path / "data", {"glass": 10, "metal": 10}, 120)
    for path in sorted((tmp_path / "data").glob("*/?.png")):
        shutil.copy(path, path.with_stem(f"{path.stem} again"))
    given = {"data": str(tmp_path / "data"), "out": str(tmp_path), "overrides": {"grouped": False}}
    found = run_notebook("01", monkeypatch, given)
    assert found["shared"] and f"- {len(found['shared'])} groups in two parts" in found["said"]
