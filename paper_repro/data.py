"""Data sets as arrays of squashed photographs: the embedded one, TrashNet, or any folder or zip of class folders.

`load_dataset` returns a `Dataset`: all that training and measuring see of the photographs. It decodes each of them once
and stores the squares in the cache folder (`photographs.prepared`); the next call opens that folder. `read_photograph`
makes the square of a single photograph, such as one's own, in the same way.
"""

import hashlib
import inspect
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from paper_repro import painters, synthetic
from paper_repro.files import ReproError, progress, sha256_file
from paper_repro.photographs import downloads, prepared
from paper_repro.photographs.boxes import load_boxes
from paper_repro.photographs.folders import open_tree
from paper_repro.photographs.folds import committed_folds
from paper_repro.photographs.pictures import reason_for, square_picture, squash, upright_rgb

SYNTHETIC_COUNT = 900


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
    """Prepares a data set, or opens it where that was done before; a warning lists pictures that cannot be read.

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
        code = [sha256_file(inspect.getfile(module)) for module in (synthetic, painters)]
        folder = prepared.prepare([size, seed, SYNTHETIC_COUNT, code], lambda new: _draw(new, size, seed))
        table, images, masks = prepared.open_prepared(folder, size)
        return _dataset("synthetic", synthetic.CLASSES, images, table, masks, None)
    path = downloads.download(downloads.TRASHNET) if data == "trashnet" else Path(data).expanduser()
    with open_tree(path) as tree:
        folder = prepared.prepare_tree(tree, size, path.name)
    manifest, images, masks = prepared.open_prepared(folder, size)
    prepared.report_problems(manifest, path, folder, strict)
    table = manifest[manifest["problem"] == ""].reset_index(drop=True)
    name = path.stem
    committed = committed_folds("trashnet").set_index("image")
    if set(committed.index) == set(manifest["image"]):
        name = "trashnet"
        table["group"] = committed.loc[table["image"], "group"].to_numpy()
        table["excluded"] |= committed.loc[table["image"], "excluded"].to_numpy()
        if boxes is None and path.is_file() and path.with_name("boxes.zip").is_file():
            boxes = path.with_name("boxes.zip")
    matched = None if boxes is None else load_boxes(boxes, table)[0]
    return _dataset(name, tree.classes, images, table, masks, matched)


def read_photograph(photograph: str | Path | Image.Image, size: int) -> np.ndarray:
    """The square (size, size, 3), uint8 RGB, of a photograph, which may be a path or an open picture.

    Raises:
        ReproError: no readable picture; names file, reason and remedy.
    """
    if isinstance(photograph, Image.Image):
        return squash(upright_rgb(photograph.copy()), size)
    try:
        return square_picture(Path(photograph).read_bytes(), size)[0]
    except Exception as error:  # damaged files make decoders raise errors of any type
        reason = reason_for(error)
        raise ReproError(f"cannot read the photograph {photograph} ({reason}): give a JPEG or PNG") from error


def _dataset(name: str, classes: tuple[str, ...], images: np.ndarray, table: pd.DataFrame, masks, boxes) -> Dataset:
    """Numbers the classes and takes the fingerprint; `table` is the manifest's readable rows."""
    table = table.drop(columns="problem")
    table.insert(1, "truth", table["label"].map({label: number for number, label in enumerate(classes)}))
    content = json.dumps([images.shape[1], table[["image", "sha256", "group", "excluded"]].to_numpy().tolist()])
    return Dataset(name, classes, images, table, masks, boxes, hashlib.sha256(content.encode()).hexdigest())


def _draw(folder: Path, size: int, seed: int) -> None:
    """Fills `folder` with the embedded pictures."""
    with progress(SYNTHETIC_COUNT, f"drawing the synthetic pictures at {size} px", "pictures"):
        images, masks, truth = synthetic.make(SYNTHETIC_COUNT, size, seed)
    np.save(folder / "images.npy", images)
    np.save(folder / "masks.npy", masks)
    labels = [synthetic.CLASSES[number] for number in truth]
    table = {
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
    prepared.write_manifest(folder, pd.DataFrame(table))
