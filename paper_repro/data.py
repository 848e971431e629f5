"""Data sets as arrays of squashed photographs: the embedded one, TrashNet, or any folder or zip of class folders.

`load_dataset` decodes each photograph once and keeps the squares in the cache folder (`photographs.prepared`);
`read_photograph` makes the square of a single photograph, such as one's own, in the same way.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from paper_repro import synthetic
from paper_repro.files import ReproError
from paper_repro.photographs import downloads, prepared
from paper_repro.photographs.boxes import load_boxes
from paper_repro.photographs.folders import open_tree
from paper_repro.photographs.folds import committed_folds
from paper_repro.photographs.pictures import reason_for, square_picture, squash, upright_rgb


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


def load_dataset(data: str | Path, size: int, boxes: str | Path | None = None) -> Dataset:
    """Prepares a data set as squares of `size` pixels, or opens it where that was done before; a warning lists pictures
    that cannot be read.

    Args:
        data: "synthetic", "trashnet" (downloaded) or the path of a folder or zip with one folder per class.
        boxes: "download" (TrashNet's) or the path of a zip of Pascal VOC files. A `boxes.zip` beside a local TrashNet
            zip is taken by itself.

    Raises:
        ReproError: no such data, hostile or damaged data, fewer than two classes, an empty class.
    """
    path = downloads.download(downloads.TRASHNET) if data == "trashnet" else Path(data).expanduser()
    if data == "synthetic":
        folder, classes, boxes = synthetic.prepare(size), synthetic.CLASSES, None
    else:
        with open_tree(path) as tree:
            folder = prepared.prepare_tree(tree, size, path.name)
        classes = tree.classes
    manifest, images, masks = prepared.open_prepared(folder, size)
    prepared.report_problems(manifest, path, folder)
    table, name = manifest[manifest["problem"] == ""].reset_index(drop=True).drop(columns="problem"), path.stem
    table.insert(1, "truth", table["label"].map({label: number for number, label in enumerate(classes)}))
    if data != "synthetic":
        committed = committed_folds("trashnet").set_index("image")
        if set(committed.index) == set(manifest["image"]):
            name, beside = "trashnet", path.with_name("boxes.zip")
            table["group"] = committed.loc[table["image"], "group"].to_numpy()
            table["excluded"] |= committed.loc[table["image"], "excluded"].to_numpy()
            if path.is_file() and beside.is_file():
                boxes = boxes or beside
    matched = None if boxes is None else load_boxes(boxes, table)[0]
    content = json.dumps([size, table[["image", "sha256", "group", "excluded"]].to_numpy().tolist()])
    return Dataset(name, classes, images, table, masks, matched, hashlib.sha256(content.encode()).hexdigest())


def read_photograph(photograph: str | Path | Image.Image, size: int) -> np.ndarray:
    """The square (size, size, 3), uint8 RGB, of a photograph, a path or an open picture; else a ReproError."""
    try:
        if isinstance(photograph, Image.Image):
            return squash(upright_rgb(photograph.copy()), size)
        return square_picture(Path(photograph).read_bytes(), size)[0]
    except Exception as error:  # damaged files make decoders raise errors of any type
        reason = reason_for(error)
        raise ReproError(f"cannot read the photograph {photograph} ({reason}): give a JPEG or PNG") from error
