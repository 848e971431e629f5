"""The environment's files agree with one another and with the code."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from ruamel.yaml import YAML

from paper_repro import keys

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = PROJECT["optional-dependencies"]
MODULES = sorted(ROOT.glob("paper_repro/**/*.py"))
TEST, TRANSFER = ([Requirement(line) for line in EXTRAS[name]] for name in ("test", "transfer"))
OTHERS = [Requirement(line) for name in EXTRAS if name not in ("test", "transfer") for line in EXTRAS[name]]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())


def test_constraints_are_exact_and_portable():
    """constraints.txt pins exact versions, none of them local, nor a library that only one kind of GPU needs."""
    assert all(re.fullmatch(r"[\w.]+", pin) for pin in PINS.values())
    assert not [name for name in PINS if re.match("nvidia-|cuda-|triton", name)]


@pytest.mark.parametrize("requirement", CORE + TEST + TRANSFER + OTHERS, ids=str)
def test_constraints_satisfy_pyproject(requirement):
    """Every dependency has a pin that satisfies it, and the pin is what runs here; other extras may be absent."""
    pins = {canonicalize_name(name): pin for name, pin in PINS.items()}
    pin = pins[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pin)
    try:
        assert Version(version(requirement.name)).public == pin  # a CPU-only torch is 2.14.1+cpu
    except PackageNotFoundError:
        assert requirement in OTHERS


def test_each_dependency_has_its_reason():
    """A dependency's line in pyproject.toml says what it is for."""
    lines = [line for line in (ROOT / "pyproject.toml").read_text().splitlines() if re.match(r'    "[\w-]+.*>=', line)]
    assert len(lines) == len(CORE + TEST + TRANSFER + OTHERS)
    assert all(re.search(r", +# .", line) for line in lines)


def test_conda_installs_the_same():
    """environment.yml takes Python from conda and everything else from pyproject.toml with constraints.txt."""
    environment = YAML(typ="safe").load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert "python=3.11" in conda and "pip" in conda
    assert not {Requirement(re.sub("=.*", "", name)).name for name in conda} & set(PINS)
    assert pip == {"pip": ["-c constraints.txt", "-e .[test,transfer]"]}
    assert Version("3.11") in Requirement(f"python{PROJECT['requires-python']}").specifier


def test_imports_are_declared():
    """Every package that the code imports is a dependency, and the package itself needs none of the tests', and
    one extra for one backbone."""
    distributions = packages_distributions()
    core, test, transfer = ({canonicalize_name(r.name) for r in needed} for needed in (CORE, TEST, TRANSFER))
    # What lies in one of these folders imports each other.
    folders = ("tests/**", "benchmarks", "notebooks/drawings")
    others = [path for folder in folders for path in ROOT.glob(f"{folder}/*.py")]
    own = {"paper_repro", *(path.stem for path in others)}
    for path in [*MODULES, *others]:
        declared = core | test | transfer if path in others else core
        if path.name == "efficientnet.py":  # imported for that backbone only
            declared = core | transfer
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for module in {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - own:
                providers = {canonicalize_name(name) for name in distributions.get(module, [])}
                assert providers & declared, f"{path.name} imports {module}, of {providers or 'no package'}"


def test_ci_runs_what_exists():
    """GitHub's Linux runs `.ci/run`, and the tests that other systems run are there."""
    jobs = YAML(typ="safe").load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert "bash .ci/run" in commands
    tests = re.findall(r"tests/\S+", " ".join(commands))
    assert tests and all((ROOT / path).is_file() for path in tests)


def test_nothing_conflicts():
    """pip finds no conflict in the installed environment."""
    check = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout


@pytest.fixture
def package(tmp_path):
    """A copy of the package that a test may edit."""
    return shutil.copytree(ROOT / "paper_repro", tmp_path / "paper_repro", ignore=shutil.ignore_patterns("__pycache__"))


def test_wheel_holds_every_module(package):
    """A wheel has the modules of every room, which can be imported from it, and the templates of pages."""
    project = package.parent
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", project]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, project], check=True)
    (wheel,) = project.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.endswith(".py")}
        pages = {name for name in archive.namelist() if name.endswith(".html")}
    assert held == {path.relative_to(ROOT).as_posix() for path in MODULES}
    assert pages == {path.relative_to(ROOT).as_posix() for path in (ROOT / "paper_repro").rglob("*.html")}
    names = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in sorted(held)]
    code = f"import sys; sys.path.insert(0, {str(wheel)!r})\nimport {', '.join(names)}\nprint(paper_repro.__file__)"
    run = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(str(wheel))


@pytest.mark.parametrize("name", keys.DECISIVE)
def test_edit_of_a_decisive_module_changes_the_key(monkeypatch, package, name):
    """What decides a run's numbers is part of its key, also in a room; a comment is not."""
    monkeypatch.setattr(keys, "__file__", str(package / "keys.py"))
    before = keys.code_hash()
    with (package / f"{name}.py").open("a") as file:
        file.write("\n# a comment\n")
    assert keys.code_hash() == before
    with (package / f"{name}.py").open("a") as file:
        file.write("\nEDITED = 1\n")
    assert keys.code_hash() != before


@pytest.mark.parametrize("name", ["figures", "photographs/boxes", "workflow/page"])
def test_workflow_sees_an_edit_in_every_room(package, name):
    """The Snakefile's hash of the package, by which 01, 04, 05 and 06 run again."""
    lines = re.findall(r"(?m)^(?:MODULES|PACKAGE) = .*$", (ROOT / "Snakefile").read_text())
    names = {"paper_repro": SimpleNamespace(__file__=package / "__init__.py"), "Path": Path, **vars(keys)}

    def package_hash():
        exec("\n".join(lines), names)
        return names["PACKAGE"]

    before = package_hash()
    with (package / f"{name}.py").open("a") as file:
        file.write("\nEDITED = 1\n")
    assert package_hash() != before


def test_citation_prefers_the_paper():
    """CITATION.cff names the reproduced paper as what to cite."""
    citation = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text())
    paper = citation["preferred-citation"]
    assert citation["version"] == PROJECT["version"] and citation["license"] == PROJECT["license"]
    assert paper["doi"] == "10.1109/ACCESS.2024.3397323"
    assert [author["family-names"] for author in paper["authors"]] == ["Bai", "Joe"]
    assert (paper["journal"], paper["volume"], paper["start"], paper["end"], paper["year"]) == (
        "IEEE Access",
        12,
        70559,
        70567,
        2024,
    )


def test_first_names():
    """What a newcomer needs comes from `paper_repro` itself, and the package alone does not load torch for it."""
    code = (
        "import sys, paper_repro; assert 'torch' not in sys.modules; "
        "print([getattr(paper_repro, name).__name__ for name in paper_repro.__all__]); "
        "from paper_repro import GradCAM, train; assert callable(train)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    names = ast.literal_eval(printed)
    assert len(names) == 10 and {"load_profile", "load_dataset", "build_model", "train", "load_run"} < set(names)
    with pytest.raises(AttributeError, match="paper_repro has no resnet51"):
        _ = importlib.import_module("paper_repro").resnet51
