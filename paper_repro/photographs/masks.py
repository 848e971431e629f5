"""The objects' exact outlines: a mask per photograph, in a folder or zip beside the photographs, read for any data set.

Masks of the data `NAME` lie in `NAME_masks` (or `NAME_masks.zip`), in class folders of the same names; a mask has its
photograph's name, whatever the suffix, and is white, or any light grey, where the object is.
"""

import warnings
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from paper_repro.files import ReproError
from paper_repro.photographs.folders import Entry, Tree, open_tree
from paper_repro.photographs.pictures import reason_for, square_picture
from paper_repro.photographs.prepared import prepare


def masks_beside(path: Path) -> Path | None:
    """Where the masks of the photographs at `path` lie; None if there are none."""
    name = path.name if path.is_dir() else path.stem
    candidates = [path.with_name(f"{name}_masks"), path.with_name(f"{name}_masks.zip")]
    return next((candidate for candidate in candidates if candidate.exists()), None)


def load_masks(path: Path, images: pd.Series, size: int) -> np.ndarray:
    """The masks (N, size, size) bool, read-only, of the photographs `images` ("class/file"); all False without a mask.

    A warning counts the photographs without a mask. The squares have the geometry of the photographs'.

    Raises:
        ReproError: a mask cannot be read, or no photograph has one.
    """
    with open_tree(path) as tree:
        listing = [(entry.image, entry.size, entry.stamp) for entry in tree.entries]
    key = ["masks", size, listing, images.tolist()]
    folder = prepare(key, lambda new: np.save(new / "masks.npy", read_masks(path, images, size)))
    masks = np.load(folder / "masks.npy", mmap_mode="r")
    missing = images[~masks.any((1, 2))]
    if len(missing) == len(images):
        remedy = "give a mask its photograph's class folder and name, whatever the suffix"
        raise ReproError(f"masks: {path} has no mask for any photograph: {remedy}")
    if len(missing):
        count = f"{len(missing)} of {len(images)} photographs have no mask in {path}, such as {missing.iloc[0]!r}"
        warnings.warn(f"masks: {count}: measures on the object leave them out", stacklevel=3)
    return masks


def read_masks(path: Path, images: Iterable[str], size: int) -> np.ndarray:
    """The same without the cache folder and the warning."""
    with open_tree(path) as tree:
        entries = {PurePosixPath(entry.image).with_suffix(""): entry for entry in tree.entries}
        found = [entries.get(PurePosixPath(image).with_suffix("")) for image in images]
        masks = np.zeros((len(found), size, size), bool)
        for mask, entry in zip(masks, found, strict=True):
            if entry is not None:
                mask[:] = _read(path, tree, entry, size)
    return masks


def _read(path: Path, tree: Tree, entry: Entry, size: int) -> np.ndarray:
    try:
        return square_picture(tree.read(entry), size)[0][..., 0] > 127
    except Exception as error:  # a damaged file makes decoders raise errors of any type
        problem = f"masks: cannot read {entry.image!r} of {path} ({reason_for(error)})"
        raise ReproError(f"{problem}: mend or remove it") from error
