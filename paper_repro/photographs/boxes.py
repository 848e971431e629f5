"""Bounding boxes in Pascal VOC's XML, from a zip that may come from a stranger."""

import unicodedata
import zipfile
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from defusedxml import ElementTree

from paper_repro.files import as_path
from paper_repro.photographs import downloads
from paper_repro.photographs.folders import open_zip
from paper_repro.photographs.pictures import reason_for, to_frame

SPECK = 0.005  # share of the frame: TrashNet's smaller boxes mark stains on an object, its smallest object has 0.017
SIZE_LIMIT = 2**20  # bytes of one annotation


def load_boxes(source: str | Path, table: pd.DataFrame) -> tuple[list[np.ndarray], pd.DataFrame]:
    """Boxes from "download" (TrashNet's) or a zip of Pascal VOC files, matched by file name without its ending.

    Returns:
        Per row of `table` (image, width, height) an array (k, 4) of fractions x0, y0, x1, y1 of the frame, k = 0 where
        there is none; and what was dropped: image, box (xmin, ymin, xmax, ymax; "" for all of the image), reason.

    Raises:
        ReproError: no such zip, or a hostile or damaged one.
    """
    path = downloads.download(downloads.BOXES) if str(source) == "download" else as_path(source, "boxes")
    stems = [PurePosixPath(image).stem for image in table["image"]]
    boxes, dropped, namesakes = [], [], Counter(stems)
    with open_zip(path) as archive:
        annotations = defaultdict(list)
        for member in archive.infolist():
            if member.filename.lower().endswith(".xml"):
                annotations[unicodedata.normalize("NFC", PurePosixPath(member.filename).stem)].append(member)
        for row, stem in zip(table.itertuples(), stems, strict=True):
            usable = []
            try:
                if not annotations[stem]:
                    raise ValueError("no annotation")
                if len(annotations[stem]) > 1 or namesakes[stem] > 1:
                    raise ValueError("several images or annotations have its name")
                annotated = _read_voc(archive, annotations[stem][0], row.width, row.height)
                for box in annotated:
                    if reason := _reason_against(box, row.width, row.height):
                        dropped.append((row.image, " ".join(f"{value:g}" for value in box), reason))
                    else:
                        usable.append(box)
                if 0 < len(usable) < len(annotated) / 2:
                    raise ValueError("most of its boxes are unusable")
            except Exception as error:  # a damaged or hostile file makes parsers raise errors of any type
                dropped.append((row.image, "", reason_for(error)))
                usable = []
            boxes.append(to_frame(usable, row.width, row.height))
    return boxes, pd.DataFrame(dropped, columns=["image", "box", "reason"])


def _read_voc(archive: zipfile.ZipFile, member: zipfile.ZipInfo, width: int, height: int) -> list[list[float]]:
    """The boxes xmin, ymin, xmax, ymax of one annotation; there is at least one."""
    if member.file_size > SIZE_LIMIT:
        raise ValueError("the annotation is too large")
    root = ElementTree.fromstring(archive.read(member), forbid_dtd=True)
    size = tuple(int(root.findtext(f"size/{name}", "0")) for name in ("width", "height"))
    if size != (width, height):
        raise ValueError(f"annotated at {size[0]}x{size[1]}, the photograph has {width}x{height}")
    sides, found = ("xmin", "ymin", "xmax", "ymax"), root.iterfind("object/bndbox")
    boxes = [[float(box.findtext(side, "nan")) for side in sides] for box in found]
    if not boxes:
        raise ValueError("no object is annotated")
    return boxes


def _reason_against(box: list[float], width: int, height: int) -> str | None:
    """Coordinates are counted from 1 and included."""
    xmin, ymin, xmax, ymax = box
    if np.isnan(box).any() or min(box) < 0 or xmax > width or ymax > height:
        return "reaches outside the frame or lacks a number"
    if xmax <= xmin or ymax <= ymin:
        return "has no area"
    is_speck = (xmax - xmin) * (ymax - ymin) < SPECK * width * height
    return f"covers less than {SPECK:.1%} of the frame: a stain, not the object" if is_speck else None
