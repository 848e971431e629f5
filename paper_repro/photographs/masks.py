"""The objects' exact outlines: a mask per photograph, in a folder or zip beside the photographs, read for any data set.

Masks of the data `NAME` lie in `NAME_masks` (or `NAME_masks.zip`), in the same folders as the photographs. A mask has
its photograph's name, whatever the suffix, and is lighter than half of white where the object is.
"""

import io
import warnings
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from PIL import Image

from paper_repro.files import ReproError
from paper_repro.photographs.folders import Entry, open_items
from paper_repro.photographs.pictures import reason_for, square_picture
from paper_repro.photographs.prepared import prepare


def masks_beside(path: Path) -> Path | None:
    """Where the masks of the photographs at `path` lie; None if there are none."""
    path = path.resolve()
    name = path.name if path.is_dir() else path.stem
    candidates = [path.parent / f"{name}_masks", path.parent / f"{name}_masks.zip"]
    return next((candidate for candidate in candidates if candidate.exists()), None)


def load_masks(path: Path, images: pd.Series, size: int) -> np.ndarray:
    """The masks (N, size, size) bool, read-only, of the photographs `images` ("class/file"); all False without a mask.

    A warning counts the photographs without a mask. The squares have the geometry of the photographs'.

    Raises:
        ReproError: a mask cannot be read, several would fit one photograph, or no photograph has one.
    """
    with open_items(path) as (items, read):
        entries: dict[str, list[Entry]] = {}
        for parts, details in items.items():
            if details:
                name = "/".join(parts)
                entries.setdefault(_stem(name), []).append(Entry(parts[0], name, *details))
        found = [entries.get(_stem(image), []) for image in images]
        if several := next((fitting for fitting in found if len(fitting) > 1), None):
            names = " and ".join(repr(entry.image) for entry in several)
            raise ReproError(f"masks: {names} of {path} fit one photograph: keep one of them")
        if not any(found):
            remedy = "give a mask its photograph's folder and name, whatever the suffix"
            raise ReproError(f"masks: no file of {path} has a photograph's name: {remedy}")
        key = ["masks", size, [[(entry.image, entry.size, entry.stamp) for entry in fitting] for fitting in found]]

        def build(folder: Path) -> None:
            masks = np.zeros((len(found), size, size), bool)
            for mask, fitting in zip(masks, found, strict=True):
                for entry in fitting:
                    try:
                        data = read(entry)
                        mask[:] = square_picture(data, size)[0][..., 0] > 127
                        brightest = 255 if mask.any() else np.asarray(Image.open(io.BytesIO(data)).convert("L")).max()
                    except Exception as error:  # a damaged file makes decoders raise errors of any type
                        problem = f"masks: cannot read {entry.image!r} of {path} ({reason_for(error)})"
                        raise ReproError(f"{problem}: mend or remove it") from error
                    if 0 < brightest <= 127:  # 0 and 1 for example
                        problem = f"masks: {entry.image!r} of {path} has no value above {brightest}"
                        raise ReproError(f"{problem}: save the object as white, 255")
            np.save(folder / "masks.npy", masks)

        masks = np.load(prepare(key, build) / "masks.npy", mmap_mode="r")
    if missing := [image for image, fitting in zip(images, found, strict=True) if not fitting]:
        count = f"{len(missing)} of {len(images)} photographs have no mask in {path}, such as {missing[0]!r}"
        warnings.warn(f"masks: {count}: measures on the object leave them out", stacklevel=3)
    return masks


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
