"""What a lesson imports works on Windows too: no module of ours that it loads needs one that only POSIX has."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

import paper_repro

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
POSIX_ONLY = ("fcntl", "grp", "pwd", "resource", "termios")
# Other libraries may import these modules where they exist, so the importer counts.
GUARD = f"""
import builtins

plain_import = builtins.__import__

def guarded(name, globals=None, *others):
    importer = (globals or {{}}).get("__name__", "")
    if name.partition(".")[0] in {POSIX_ONLY} and importer.partition(".")[0] == "paper_repro":
        raise ImportError(f"{{importer}} imports {{name}}, which only POSIX has")
    return plain_import(name, globals, *others)

builtins.__import__ = guarded
"""


def run_guarded(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", GUARD + code], capture_output=True, text=True)


def imports(source: str) -> list[tuple[str, ast.stmt]]:
    """Module and statement of every import, wherever it stands."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", node))
    return found


def test_lessons_import_without_posix():
    """Every import from paper_repro in a notebook works where our modules find no POSIX-only one."""
    plain, statements = TransformerManager(), set()  # it turns %magic and !command into Python
    for path in NOTEBOOKS.rglob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                found = imports(plain.transform_cell(cell.source))
                statements |= {ast.unparse(node) for module, node in found if module.startswith("paper_repro")}
    assert any("paper_repro.data" in statement for statement in statements)
    result = run_guarded("\n".join(sorted(statements)))
    assert result.returncode == 0, result.stderr


def test_no_module_imports_them_later():
    """Nor inside a function; the workflow's modules, which no lesson imports, are free to."""
    for file in Path(paper_repro.__file__).parent.rglob("*.py"):
        modules = {module.partition(".")[0] for module, _ in imports(file.read_text(encoding="utf-8"))}
        assert file.parent.name == "workflow" or not modules & set(POSIX_ONLY), file


@pytest.mark.skipif(os.name != "posix", reason="fcntl is missing elsewhere")
@pytest.mark.parametrize(("importer", "allowed"), [("paper_repro.model", False), ("matplotlib", True)])
def test_the_guard_sees_who_imports(importer, allowed):
    """It stops our modules and no others."""
    result = run_guarded(f"exec('import fcntl', {{'__name__': '{importer}'}})")
    assert ("paper_repro.model imports fcntl" in result.stderr) != allowed
    assert (result.returncode == 0) == allowed
