"""The parameters of a notebook: the defaults in its `parameters` cell, and the values that may replace them."""

import ast
import difflib
import json

import nbformat

from paper_repro.files import ReproError


def parse_json(text: str, what: str) -> dict:
    """A JSON object as a dict.

    Raises:
        ReproError: names `what`; also for NaN, infinities and repeated names, which `json` accepts.
    """

    def unique(pairs):
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name is repeated")
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=unique)
        json.dumps(value, allow_nan=False)
        if not isinstance(value, dict):
            raise ValueError("no braces around it")
    except ValueError as error:
        example = """'{"epochs": 2, "folds": [0]}'"""
        raise ReproError(f"{what}: {text} is no JSON object ({error}): write it like {example}") from None
    return value


def declared(notebook: nbformat.NotebookNode) -> dict:
    """Name and default of every assignment in the cell tagged `parameters`; {} when no cell has the tag.

    Raises:
        ReproError: the cell derives a value, which would not follow the one that papermill assigns after the cell.
    """
    source = next((cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])), "")
    defaults = {}
    try:
        body: list = ast.parse(source).body
        for statement in body:
            (target,) = statement.targets
            defaults[target.id] = ast.literal_eval(statement.value)
    except (SyntaxError, ValueError, TypeError, AttributeError):
        form, remedy = "lines of the form name = literal only", "derive other values in the next cell"
        raise ReproError(f"the parameters cell may hold {form}; {remedy}") from None
    return defaults


def check(given: dict, defaults: dict) -> None:
    """Raises ReproError for the first parameter that is not declared or has another type than its default.

    A default of None accepts any type, a float also an int, an int no bool.
    """
    for name, value in given.items():
        if name not in defaults:
            close = difflib.get_close_matches(name, defaults, 1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            raise ReproError(f"no parameter '{name}'{hint}; the parameters are: {', '.join(defaults) or 'none'}")
        default, kind = defaults[name], type(defaults[name])
        if default is not None and type(value) not in ((int, float) if kind is float else (kind,)):
            found = f"{value!r} ({type(value).__name__})"
            raise ReproError(f"parameter '{name}' is {found}, but must be {kind.__name__} as its default {default!r}")
