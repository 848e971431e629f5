"""Hashes of code that do not see comments, docstrings and layout."""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager


def syntax_hash(sources: Iterable[str]) -> str:
    """sha256 over the syntax trees of Python sources, without docstrings."""
    digest = hashlib.sha256()
    for source in sources:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if documented and ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()


def notebook_hash(path: Path) -> str:
    """`syntax_hash` of a notebook's code cells; prose and outputs do not count."""
    cells = nbformat.read(path, as_version=4).cells
    plain = TransformerManager()  # turns %magic and !command into Python
    return syntax_hash(plain.transform_cell(cell.source) for cell in cells if cell.cell_type == "code")
