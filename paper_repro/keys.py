"""What decides a run's numbers, as keys that can be compared without opening anything (and without importing torch)."""

import ast
import hashlib
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from paper_repro.config import ARMS, RENAMED, Config
from paper_repro.files import sha256_file
from paper_repro.photographs.folders import is_table, list_files
from paper_repro.photographs.masks import masks_beside

# Files of a run's folder that can be made again without training.
MEASURES = ("measures.csv.gz", "measures.json", "gates.csv", "static_gates.csv", "cause.csv.gz")
# What these modules do decides a run's numbers; comments and docstrings in them do not.
DECISIVE = (
    "arms",
    "augment",
    "data",
    "efficientnet",
    "model",
    "photographs/folds",
    "photographs/pictures",
    "photographs/prepared",
    "stickers",
    "training",
    "weights",
)
MEASURING = ("cause", "gates", "gradcam", "heatmaps", "measures")
# `code_hash` of earlier code under which every kept run has the numbers of today's: no BatchNorm whose momentum
# `arms.build_model` now sets was in one of them (the evidence: results/reference/README.md).
_SAME_NUMBERS = (
    "ac04ce52ce16e60e3fbd21880b6c91bc6f006e65b167f6f64a6f25ca447a9a0a",
    "30603305ea31a44a543a7998379869a02411e86dd2b3d21732cbd3a7409b7092",
    "14b808ebb11231eb71e6efb2e70b619fdd0ebecac4bc0c4ff856056868691e4a",
    "05838afbd68cb74fa8b0860f867fd3ecaebb9c40d36a1dc2b286973d0046bfd7",
)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_WHICH_RUNS, _HOW_FAST = {"arms", "folds", "repeats", "data", "learning_rate", "learning_rates"}, {"workers", "threads"}
# These keys of Config are not part of a run's key: which runs there are, how fast one goes, what is measured later.
_INCIDENTAL = _WHICH_RUNS | _HOW_FAST | {"boxes", "faithfulness_images"}


def run_folder(out: str | Path, arm: str, fold: int, repeat: int = 0) -> Path:
    """`out/ARM/foldK`; for a repeat r above 0 `out/ARM/repeatR/foldK`."""
    return Path(out, arm, *([f"repeat{repeat}"] if repeat else []), f"fold{fold}")


def find_runs(out: str | Path, file: str = "done", arm: str = "*") -> dict[tuple[str, int, int], Path]:
    """(arm, repeat, fold) -> that file (a pattern is allowed) of every run below `out` that has it, in this order."""
    found = {}
    for path in [*Path(out).glob(f"{arm}/fold*/{file}"), *Path(out).glob(f"{arm}/repeat*/fold*/{file}")]:
        place = re.fullmatch(r"([^/]+)/(?:repeat(\d+)/)?fold(\d+)", path.parent.relative_to(out).as_posix())
        if place and place[1] in ARMS:
            found[place[1], int(place[2] or 0), int(place[3])] = path
    order = list(ARMS)
    return dict(sorted(found.items(), key=lambda item: (order.index(item[0][0]), *item[0][1:])))


def vouch(folder: Path, *others: Path) -> str:
    """Content of a `done`: the time, and the sha256 of the files of a run's folder and of others.

    The measures do not count: they have a key of their own and may be made again.
    """
    files = {*others}
    if (folder / "metrics.json").exists():
        files |= {path for path in folder.iterdir() if path.is_file() and path.name not in (*MEASURES, "done")}
    hashes = {path.name: sha256_file(path) for path in sorted(files)}
    return json.dumps({"finished": datetime.now(UTC).isoformat(), "sha256": hashes}, indent=1) + "\n"


def code_hash() -> str:
    """sha256 over the syntax trees of the modules that decide a run's numbers, without docstrings."""
    return _hash_of(DECISIVE)


def measuring_code() -> str:
    """sha256 over the syntax trees of the modules that measure heat maps, without docstrings."""
    return _hash_of(MEASURING)


def _hash_of(modules: Iterable[str]) -> str:
    return syntax_hash((Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8") for name in modules)


def run_key(config: Config, arm: str, fold: int, data: str, repeat: int = 0, code: str | None = None) -> str:
    """Twelve digits that differ wherever the numbers of two runs may differ on one machine with one thread count.

    Args:
        data: what identifies the data set: `training.data_key`, or for the workflow `data_stamp(config.data)`.
        code: `code_hash()`, for callers that need many keys, as it takes a while.
    """
    return _key(config, arm, fold, data, repeat, code or code_hash())


def kept_keys(config: Config, arm: str, fold: int, data: str, repeat: int = 0) -> list[str]:
    """`run_key`, and what it was under earlier code that gave the kept runs the same numbers."""
    return [_key(config, arm, fold, data, repeat, code) for code in (code_hash(), *_SAME_NUMBERS)]


def _key(config: Config, arm: str, fold: int, data: str, repeat: int, code: str) -> str:
    recipe = config.model_dump(exclude=_INCIDENTAL)
    for earlier, name in RENAMED.items():  # a kept run's key holds the names of its time
        if name in recipe:
            recipe[earlier] = recipe.pop(name)
    recipe |= {"split_seed": repeat}
    recipe |= {"learning_rate": learning_rate(config, arm), "arm": arm, "fold": fold, "data": data, "code": code}
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def learning_rate(config: Config, arm: str) -> float:
    """The arm's own rate where the profile gives one."""
    return config.learning_rates.get(arm, config.learning_rate)


def data_stamp(data: str) -> str:
    """A quick mark that changes when what `load_dataset` reads of a file or folder does: names, sizes and times, no
    content; without such a path `data` itself.

    Raises:
        ReproError: a folder cannot be listed, or a CSV cannot be read.
    """
    path = Path(data)
    if not path.exists():
        return data
    status = path.stat()
    listing = list_files(path) if path.is_dir() or is_table(path) else [status.st_size, status.st_mtime_ns]
    return hashlib.sha256(json.dumps([data, listing]).encode()).hexdigest()


def regions_stamp(config: Config) -> str:
    """`data_stamp` of what marks the objects: the masks beside the data, and the boxes of the configuration, else the
    `boxes.zip` beside the data."""
    path = Path(config.data)
    masks, beside = masks_beside(path), path.with_name("boxes.zip")
    boxes = config.boxes or (str(beside) if path.is_file() else None)
    return " ".join(data_stamp(str(where)) for where in (masks, boxes) if where) or "none"


def syntax_hash(sources: Iterable[str]) -> str:
    """sha256 over the syntax trees of Python sources, without docstrings."""
    digest = hashlib.sha256()
    for source in sources:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()
