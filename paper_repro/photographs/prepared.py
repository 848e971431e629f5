"""Prepared folders: the squares of a data set as `images.npy`, with `manifest.csv` beside it.

They lie in the cache folder under a key of the listing (names, sizes, times or CRCs) and the size, so that a changed
file is prepared anew.
"""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from filelock import FileLock

from paper_repro.files import ReproError, atomic_write, cache_dir, csv_bytes, progress
from paper_repro.photographs.folders import Entry, Tree
from paper_repro.photographs.folds import near_duplicate_groups
from paper_repro.photographs.pictures import reason_for, square_picture

PREPARATION = 3  # raise it when prepared pixels or groups change
MOST_LISTED = 100  # unreadable pictures in one report
CHUNK = 256  # files decoded ahead; bounds the squares that wait for a slow one


def prepare(key: list, build: Callable[[Path], None]) -> Path:
    """The prepared folder of `key`, which `build` fills unless it is there. A second process waits for the first.

    Raises:
        ReproError: the cache folder cannot be written to or the disk is full.
    """
    digest = hashlib.sha256(json.dumps([PREPARATION, *key]).encode()).hexdigest()[:32]
    folder = cache_dir("prepared") / digest
    new = folder.with_suffix(".partial")
    try:
        with FileLock(folder.with_suffix(".lock")):
            if not folder.is_dir():
                shutil.rmtree(new, ignore_errors=True)  # what a killed process left
                new.mkdir()
                try:
                    build(new)
                    new.rename(folder)
                finally:
                    shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        problem = f"cannot write the prepared data to {folder.parent} ({error.strerror or error})"
        raise ReproError(f"{problem}: free some space or set PAPER_REPRO_CACHE to another folder") from error
    return folder


def prepare_tree(tree: Tree, size: int, name: str) -> Path:
    """The prepared folder of an open tree; progress is shown under `name`."""
    listing = [(entry.image, entry.size, entry.stamp) for entry in tree.entries]
    return prepare([size, listing], lambda folder: _decode_all(tree, size, name, folder))


def open_prepared(folder: Path, size: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The manifest, N of its rows without a problem, and images (N, size, size, 3).

    Raises:
        ReproError: the folder is damaged.
    """
    as_text = dict.fromkeys(("image", "label", "sha256", "problem"), str)
    try:
        manifest = pd.read_csv(folder / "manifest.csv", dtype=as_text, keep_default_na=False)
        images = np.load(folder / "images.npy", mmap_mode="r")
        if images.shape != ((manifest["problem"] == "").sum(), size, size, 3):
            raise ValueError("the array does not fit the manifest")
    except (OSError, ValueError) as error:
        problem = f"the prepared data in {folder} is damaged ({error})"
        raise ReproError(f"{problem}: delete that folder and it is prepared anew") from error
    return manifest, images


def report_problems(manifest: pd.DataFrame, path: Path, folder: Path) -> None:
    """Lists all unreadable pictures of `path` in one warning; a class without a readable one is a ReproError."""
    unreadable = manifest[manifest["problem"] != ""]
    if unreadable.empty:
        return
    count = f"{len(unreadable)} of the {len(manifest)} files of {path}"
    lines = [f"  {row.image!r}: {row.problem}" for row in unreadable.head(MOST_LISTED).itertuples()]
    if len(unreadable) > MOST_LISTED:
        lines.append(f"  and {len(unreadable) - MOST_LISTED} more, see {folder / 'manifest.csv'}")
    warnings.warn("\n".join([f"data: {count} are left out:", *lines]), stacklevel=3)
    if lost := set(manifest["label"]) - set(manifest.loc[manifest["problem"] == "", "label"]):
        remedy = f"mend its files (reasons in {folder / 'manifest.csv'}) or remove its folder"
        raise ReproError(f"data: the class {min(lost)!r} of {path} has no readable picture: {remedy}")


def _decode_all(tree: Tree, size: int, name: str, folder: Path) -> None:
    """Fills `folder` from the files of `tree`; a picture that cannot be used gets a manifest row and no square.

    The manifest has one row per file: image, label, bytes, width, height, sha256, problem ("": none), group, excluded.
    """
    rows, count = [], 0
    with (
        open(folder / "images.npy", "wb") as file,
        ThreadPoolExecutor(os.cpu_count()) as pool,  # Pillow, zlib and hashlib release the interpreter's lock
        progress(len(tree.entries), f"preparing {name} at {size} px", "files") as bar,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # Pillow's; what matters is an error here
        _write_header(file, len(tree.entries), size)
        for start in range(0, len(tree.entries), CHUNK):
            for square, row in pool.map(lambda entry: _decode(tree, size, entry), tree.entries[start : start + CHUNK]):
                rows.append(row)
                if square is not None:
                    file.write(square.data)
                    count += 1
                bar.update()
        file.seek(0)
        _write_header(file, count, size)
        file.flush()
        os.fsync(file.fileno())
    manifest = pd.DataFrame(rows)
    readable = manifest["problem"] == ""
    manifest["group"] = -1
    manifest.loc[readable, "group"] = near_duplicate_groups(np.load(folder / "images.npy", mmap_mode="r"))
    manifest["excluded"] = readable & (manifest.groupby("pixels")["label"].transform("nunique") > 1)
    with atomic_write(folder / "manifest.csv") as path:
        path.write_bytes(csv_bytes(manifest.drop(columns="pixels")))


def _decode(tree: Tree, size: int, entry: Entry) -> tuple[np.ndarray | None, dict]:
    """The square of one file, None where it cannot be used, and its row of the manifest."""
    row = {"image": entry.image, "label": entry.label, "bytes": entry.size, "width": 0, "height": 0}
    row |= {"sha256": "", "pixels": "", "problem": ""}
    try:
        data = tree.read(entry)
        row |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        square, (row["width"], row["height"]) = square_picture(data, size)
    except Exception as error:  # a damaged or hostile file makes decoders raise errors of any type
        return None, row | {"problem": reason_for(error)}
    return square, row | {"pixels": hashlib.sha256(square.data).hexdigest()}


def _write_header(file: IO[bytes], count: int, size: int) -> None:
    """NumPy pads the header so that the first axis can change in place."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
    np.lib.format.write_array_header_1_0(file, header)
