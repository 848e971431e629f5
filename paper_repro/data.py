"""Data sets as arrays of squashed photographs: the embedded one, TrashNet, waste8, or any labelled folder, zip or CSV.

`load_dataset` decodes each photograph once and keeps the squares in the cache folder (`photographs.prepared`);
`read_photograph` makes the square of a single photograph, such as one's own, in the same way.
"""

import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from PIL import Image

from paper_repro.files import ReproError, brief
from paper_repro.photographs import downloads, prepared
from paper_repro.photographs.boxes import load_boxes
from paper_repro.photographs.folders import open_tree, read_file
from paper_repro.photographs.folds import committed_folds, committed_set
from paper_repro.photographs.masks import load_masks, masks_beside
from paper_repro.photographs.pictures import from_array, reason_for, square_picture, squash, upright_rgb

# One photograph: a path, an open picture, an array as for `from_array`, the content of a file, or an open file.
Photograph = str | os.PathLike | Image.Image | np.ndarray | bytes | bytearray | memoryview | IO[bytes]


@dataclass(frozen=True)
class Dataset:
    """A data set, ready for training; images and masks may be memory-mapped and read-only.

    images: (N, S, S, 3) uint8 RGB, the whole photograph squashed to a square. masks: (N, S, S) bool or None.
    boxes: None, or per image an array (k, 4) of fractions x0, y0, x1, y1 of the frame, k = 0 where there is none.
    table: one row per image: image ("class/file"), truth (class number), label, width, height, bytes, sha256, group
    (near-duplicates share one), excluded (the same pixels stand under two labels); of data that come divided also part
    (train, validation or test).
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
        data: "rendered" (embedded), "trashnet" (downloaded) or the path of a folder, zip or CSV (`folders.open_tree`).
            Masks that lie beside it (`photographs.masks`) are read with it.
        boxes: "download" (TrashNet's) or the path of a zip of Pascal VOC files. A `boxes.zip` beside a local TrashNet
            zip is taken by itself.

    Raises:
        ReproError: no such data, hostile or damaged data, fewer than two classes, an empty class.
    """
    path = downloads.locate(data)
    with open_tree(path) as tree:
        folder = prepared.prepare_tree(tree, size, path.name)
    classes = tree.classes
    manifest, images = prepared.open_prepared(folder, size)
    prepared.report_problems(manifest, path, folder)
    table, name = manifest[manifest["problem"] == ""].reset_index(drop=True).drop(columns="problem"), path.stem
    table.insert(1, "truth", table["label"].map({label: number for number, label in enumerate(classes)}))
    parts = {entry.image: entry.part for entry in tree.entries}
    if any(parts.values()):
        table["part"] = table["image"].map(parts)
    if known := committed_set(manifest["image"]):
        name, committed = known, committed_folds(known).set_index("image")
        table["group"] = committed.loc[table["image"], "group"].to_numpy()
        table["excluded"] |= committed.loc[table["image"], "excluded"].to_numpy()
        beside = path.with_name("boxes.zip")
        if known == "trashnet" and path.is_file() and beside.is_file():
            boxes = boxes or beside
    outlines = masks_beside(path)
    masks = None if outlines is None else load_masks(outlines, table["image"], size)
    matched = None if boxes is None else load_boxes(boxes, table)[0]
    content = json.dumps([size, table[["image", "sha256", "group", "excluded"]].to_numpy().tolist()])
    return Dataset(name, classes, images, table, masks, matched, hashlib.sha256(content.encode()).hexdigest())


def load_originals(data: str | Path, images: Sequence[str], size: int) -> np.ndarray:
    """Single photographs of a data set as larger squares (n, size, size, 3), uint8 RGB, for people to look at.

    Args:
        data: as for `load_dataset`.
        images: their names, "class/file", as in a `Dataset`'s table.
    """
    with open_tree(downloads.locate(data)) as tree:
        entries = {entry.image: entry for entry in tree.entries}
        return np.stack([square_picture(tree.read(entries[image]), size)[0] for image in images])


def read_photograph(photograph: Photograph, size: int) -> np.ndarray:
    """The square (size, size, 3), uint8 RGB, of a photograph.

    Args:
        photograph: its path, a PIL image, a uint8 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of grey, RGB or RGB
            and alpha, the bytes of a file or a file that is open for reading bytes.

    Raises:
        ReproError: it cannot be read; names it by its path or type, and the reason.
    """
    try:
        if isinstance(photograph, np.ndarray):
            photograph = from_array(photograph)
        if isinstance(photograph, Image.Image):
            return squash(upright_rgb(photograph), size)
        return square_picture(_content(photograph), size)[0]
    except Exception as error:  # damaged files make decoders raise errors of any type
        is_path = isinstance(photograph, (str, os.PathLike))
        name = brief(photograph) if is_path else f"given as {type(photograph).__name__}"
        remedy = "give a JPEG or PNG as a path, bytes or open file, a PIL image or a uint8 array (H, W, 3)"
        raise ReproError(f"cannot read the photograph {name} ({reason_for(error)}): {remedy}") from error


def _content(photograph: str | os.PathLike | bytes | bytearray | memoryview | IO[bytes]) -> bytes:
    if isinstance(photograph, (bytes, bytearray, memoryview)):
        return bytes(photograph)
    if isinstance(photograph, (str, os.PathLike)):
        return read_file(Path(photograph).expanduser())
    if isinstance(photograph, io.TextIOBase):
        raise ValueError("the file is open for reading text, not bytes")
    if not hasattr(photograph, "read"):
        raise ValueError("no photograph has this type")
    if photograph.seekable():  # what was written into it, or read from it before, counts
        photograph.seek(0)
    return photograph.read()
