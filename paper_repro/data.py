"""Data sets as arrays of squashed photographs: the embedded one, TrashNet, or any folder or zip of class folders.

Every picture is decoded once. The squares lie in the cache folder as one memory-mapped array with a manifest beside it,
under a key of the listing (names, sizes, times or CRCs) and the size, so a changed file is prepared anew.
"""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from PIL import Image

from paper_repro import painters, synthetic
from paper_repro.files import ReproError, atomic_write, cache_dir, progress, sha256_file
from paper_repro.photographs import downloads
from paper_repro.photographs.boxes import load_boxes
from paper_repro.photographs.folders import Entry, Tree, open_tree
from paper_repro.photographs.folds import committed_folds, near_duplicate_groups
from paper_repro.photographs.pictures import square_picture, squash, upright_rgb

PREPARATION = 2  # raise it when prepared pixels or groups change
SYNTHETIC_COUNT = 900
MOST_LISTED = 100  # unreadable pictures in one report


@dataclass(frozen=True)
class Dataset:
    """A data set, ready for training; images and masks may be memory-mapped and read-only.

    images: (N, S, S, 3) uint8 RGB, the whole photograph squashed to a square. masks: (N, S, S) bool or None.
    boxes: None, or per image an array (k, 4) of fractions x0, y0, x1, y1 of the frame, k = 0 where there is none.
    table: one row per image: image ("class/file"), truth (class number), label, width, height, bytes, sha256, group
    (near-duplicates share one), excluded (the same pixels stand under two labels).
    fingerprint: sha256 over S and the names, contents, groups and exclusions of the images.
    """

    name: str
    classes: tuple[str, ...]
    images: np.ndarray
    table: pd.DataFrame
    masks: np.ndarray | None
    boxes: list[np.ndarray] | None
    fingerprint: str


def load_dataset(
    data: str | Path, size: int, seed: int = 0, boxes: str | Path | None = None, strict: bool = False
) -> Dataset:
    """Prepares a data set, or opens it where that was done before.

    Unreadable pictures are left out and listed, with the reasons, in one warning.

    Args:
        data: "synthetic", "trashnet" (downloaded) or the path of a folder or zip with one folder per class.
        size: side S of the squares, pixels.
        seed: of the synthetic pictures.
        boxes: "download" (TrashNet's) or the path of a zip of Pascal VOC files. A `boxes.zip` beside a local TrashNet
            zip is taken by itself.
        strict: an unreadable picture is an error.

    Raises:
        ReproError: no such data, hostile or damaged data, fewer than two classes, an empty class.
    """
    if data == "synthetic":
        code = [sha256_file(module.__file__) for module in (synthetic, painters)]
        folder = _prepared([size, seed, SYNTHETIC_COUNT, code], lambda new: _draw(new, size, seed))
        manifest = _read_manifest(folder)
        return _dataset("synthetic", synthetic.CLASSES, manifest, folder, size, None)
    path = downloads.download(downloads.TRASHNET) if data == "trashnet" else Path(data).expanduser()
    with open_tree(path) as tree:
        listing = [(entry.image, entry.size, entry.stamp) for entry in tree.entries]
        folder = _prepared([size, listing], lambda new: _decode(tree, new, size, path.name))
    manifest = _read_manifest(folder)
    _report(path, manifest, folder, strict)
    table = manifest[manifest["problem"] == ""].reset_index(drop=True)
    for label in tree.classes:
        if label not in set(table["label"]):
            raise ReproError(
                f"data: the class {label!r} of {path} has no readable picture: mend its files (reasons "
                f"in {folder / 'manifest.csv'}) or remove its folder"
            )
    name = path.stem
    committed = committed_folds("trashnet").set_index("image")
    if set(committed.index) == set(manifest["image"]):
        name = "trashnet"
        table["group"] = committed.loc[table["image"], "group"].to_numpy()
        table["excluded"] |= committed.loc[table["image"], "excluded"].to_numpy()
        if boxes is None and path.is_file() and path.with_name("boxes.zip").is_file():
            boxes = path.with_name("boxes.zip")
    found = None if boxes is None else load_boxes(boxes, table)[0]
    return _dataset(name, tree.classes, table, folder, size, found)


def read_photograph(photograph: str | Path | Image.Image, size: int) -> np.ndarray:
    """One's own photograph prepared as those of a data set: (size, size, 3) uint8 RGB, the whole of it squashed.

    Raises:
        ReproError: no readable picture; names file, reason and remedy.
    """
    if isinstance(photograph, Image.Image):
        return squash(upright_rgb(photograph.copy()), size)
    try:
        return square_picture(Path(photograph).read_bytes(), size)[0]
    except Exception as error:
        raise ReproError(f"cannot read the photograph {photograph} ({_reason(error)}): give a JPEG or PNG") from error


def _dataset(name: str, classes: tuple[str, ...], table: pd.DataFrame, folder: Path, size: int, boxes) -> Dataset:
    try:
        images = np.load(folder / "images.npy", mmap_mode="r")
        masks = np.load(folder / "masks.npy", mmap_mode="r") if (folder / "masks.npy").exists() else None
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from error
    if images.shape != (len(table), size, size, 3):
        raise _damaged(folder, "the array does not fit the manifest")
    table = table.drop(columns="problem")
    table.insert(1, "truth", table["label"].map({label: number for number, label in enumerate(classes)}))
    content = json.dumps([size, table[["image", "sha256", "group", "excluded"]].to_numpy().tolist()])
    return Dataset(name, tuple(classes), images, table, masks, boxes, hashlib.sha256(content.encode()).hexdigest())


def _report(path: Path, manifest: pd.DataFrame, folder: Path, strict: bool) -> None:
    """One list of all unreadable pictures: a warning, or an error where asked for."""
    bad = manifest[manifest["problem"] != ""]
    if bad.empty:
        return
    lines = [f"  {row.image!r}: {row.problem}" for row in bad.head(MOST_LISTED).itertuples()]
    if len(bad) > MOST_LISTED:
        lines.append(f"  and {len(bad) - MOST_LISTED} more, see {folder / 'manifest.csv'}")
    report = "\n".join(lines)
    if strict:
        raise ReproError(f"data: mend or remove {len(bad)} of the {len(manifest)} files of {path}:\n{report}")
    warnings.warn(f"data: {len(bad)} of the {len(manifest)} files of {path} are left out:\n{report}", stacklevel=3)


# ---- the prepared folder: images.npy, manifest.csv, and masks.npy where there are masks --------------------------


def _prepared(key: list, build: Callable[[Path], None]) -> Path:
    """The folder of `key`, filled by `build` at first; it appears when it is complete. A second process waits."""
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
        raise ReproError(
            f"cannot write the prepared data to {folder.parent} ({error.strerror or error}): "
            "free some space or set PAPER_REPRO_CACHE to another folder"
        ) from error
    return folder


def _decode(tree: Tree, folder: Path, size: int, name: str) -> None:
    """Fills `folder` from the files of `tree`; a picture that cannot be used gets a manifest row and no square."""

    def work(entry: Entry) -> tuple[np.ndarray | None, dict]:
        row = {
            "image": entry.image,
            "label": entry.label,
            "bytes": entry.size,
            "width": 0,
            "height": 0,
            "sha256": "",
            "pixels": "",
            "problem": "",
        }
        try:
            data = tree.read(entry)
            row |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            square, (row["width"], row["height"]) = square_picture(data, size)
        except Exception as error:  # a damaged or hostile file makes decoders raise errors of any type
            return None, row | {"problem": _reason(error)}
        return square, row | {"pixels": hashlib.sha256(square).hexdigest()}

    rows, count = [], 0
    with (
        open(folder / "images.npy", "wb") as file,
        ThreadPoolExecutor(os.cpu_count()) as pool,  # Pillow, zlib and hashlib release the interpreter's lock
        progress(len(tree.entries), f"preparing {name} at {size} px", "files") as bar,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # Pillow's; what matters is an error here
        _write_header(file, len(tree.entries), size)
        for start in range(0, len(tree.entries), 256):  # bounds the squares that wait for a slow one
            for square, row in pool.map(work, tree.entries[start : start + 256]):
                rows.append(row)
                if square is not None:
                    file.write(square)
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
    _write_manifest(folder, manifest.drop(columns="pixels"))


def _write_header(file, count: int, size: int) -> None:
    """NumPy pads the header so that the first axis can change in place."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
    np.lib.format.write_array_header_1_0(file, header)


def _draw(folder: Path, size: int, seed: int) -> None:
    """Fills `folder` with the embedded pictures."""
    with progress(SYNTHETIC_COUNT, f"drawing the synthetic pictures at {size} px", "pictures"):
        images, masks, truth = synthetic.make(SYNTHETIC_COUNT, size, seed)
    np.save(folder / "images.npy", images)
    np.save(folder / "masks.npy", masks)
    labels = [synthetic.CLASSES[number] for number in truth]
    _write_manifest(
        folder,
        pd.DataFrame(
            {
                "image": [f"{label}/{label}{number:04}.png" for number, label in enumerate(labels)],
                "label": labels,
                "bytes": images[0].nbytes,
                "width": size,
                "height": size,
                "sha256": [hashlib.sha256(image).hexdigest() for image in images],
                "problem": "",
                "group": np.arange(len(images)),
                "excluded": False,
            }
        ),
    )


def _write_manifest(folder: Path, manifest: pd.DataFrame) -> None:
    with atomic_write(folder / "manifest.csv") as path:
        manifest.to_csv(path, index=False)


def _read_manifest(folder: Path) -> pd.DataFrame:
    text = dict.fromkeys(("image", "label", "sha256", "problem"), str)
    try:
        return pd.read_csv(folder / "manifest.csv", dtype=text, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: object) -> ReproError:
    return ReproError(f"the prepared data in {folder} is damaged ({error}): delete that folder and it is prepared anew")


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
