"""What notebooks import: nothing of the workflow, and nothing that only a POSIX system has."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
POSIX = ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty")

# In a module of the package these are missing; libraries choose by the name of the system what they import.
WITHOUT_POSIX = f"""
import builtins
plain_import = builtins.__import__

def checked(name, globals=None, *others):
    if name in {POSIX} and (globals or {{}}).get("__name__", "").startswith("paper_repro"):
        raise ModuleNotFoundError(f"{{globals['__name__']}} imports {{name}}, which Windows does not have")
    return plain_import(name, globals, *others)

builtins.__import__ = checked
"""


def imports(path):
    """The import statements of a notebook."""
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    plain = TransformerManager()  # turns %magic and !command into Python
    trees = [ast.parse(plain.transform_cell(cell)) for cell in cells]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_lessons_do_not_import_the_machinery(path):
    """No notebook imports from `workflow`, and 01 to 06 and the explorer nothing from `evidence` either."""
    names = set()
    for node in imports(path):
        start = [node.module] if isinstance(node, ast.ImportFrom) else []
        names |= {".".join([*start, alias.name]) for alias in node.names}
    assert any(name.startswith("paper_repro.") for name in names)
    rooms = "workflow|evidence" if re.search("0[1-6]|explorer", path.stem) else "workflow"
    assert not [name for name in names if re.match(rf"paper_repro\.({rooms})\b", name)]


def test_notebooks_import_without_posix():
    """Everything that a notebook imports is there, on any system."""
    statements = {ast.unparse(node): path.stem for path in NOTEBOOKS for node in imports(path)}
    code = "\n".join([WITHOUT_POSIX, *(f"{statement}  # in {name}" for statement, name in statements.items())])
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_no_module_imports_posix_later():
    """Nor inside a function; only the workflow's modules, which no lesson imports, are free to."""
    for file in (ROOT / "paper_repro").rglob("*.py"):
        names = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module)
        assert file.parent.name == "workflow" or not names & set(POSIX), file


@pytest.mark.skipif(sys.platform == "win32", reason="tty is missing there")
@pytest.mark.parametrize(("importer", "allowed"), [("paper_repro.model", False), ("matplotlib", True)])
def test_the_check_sees_who_imports(importer, allowed):
    """It stops our modules and no others."""
    code = WITHOUT_POSIX + f"exec('import tty', {{'__name__': '{importer}'}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ("paper_repro.model imports tty" in run.stderr) != allowed
    assert (run.returncode == 0) == allowed
