"""Makes the committed folds of a data set, `NAME.csv` and `NAME-repeat1.csv`: what shows one thing stays together.

    python data/splits/make_splits.py trashnet ../shared/data/trashnet/dataset-resized.zip
    python data/splits/make_splits.py waste8 ../shared/data/waste8/waste8.zip

Any edition will do, though another may move single pairs. TrashNet takes five minutes on two cores, waste8 seconds.
Besides the package it needs OpenCV (`pip install opencv-python-headless`; the `test` extra brings it).

Near-identical photographs are found as in any data set (`paper_repro.photographs.folds`). TrashNet's photographs of one
object from two sides are found within each class by what is printed on it: SIFT keypoints (Lowe, IJCV 2004) that are
each other's best match and agree on one shift, rotation and scale.
"""

import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from paper_repro.files import atomic_write, progress
from paper_repro.photographs.folders import open_tree
from paper_repro.photographs.folds import (
    COMMITTED_REPEATS,
    COMMITTED_SETS,
    folds_file,
    groups_from_pairs,
    make_folds,
    near_duplicate_pairs,
)
from paper_repro.photographs.pictures import square_picture

SIZE = 256  # px
KEYPOINTS = 200  # per photograph, the strongest
COSINE = 0.86  # of two keypoints' descriptors
AGREEING = 12  # keypoints; from here on more than nine in ten pairs are right, see data/README.md
RESIDUE = 6  # px between a keypoint and where the agreed motion puts it
SCALES = (0.4, 2.5)


def keypoints(square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (k, 2) in pixels of a 4:3 photograph and unit descriptors (k, 128), the root of L1-normalised SIFT."""
    grey = cv2.cvtColor(square, cv2.COLOR_RGB2GRAY)
    points, descriptors = cv2.SIFT_create(KEYPOINTS, contrastThreshold=0.02).detectAndCompute(grey, None)
    if descriptors is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    descriptors = np.sqrt(descriptors / (descriptors.sum(axis=1, keepdims=True) + 1e-6))
    return np.float32([point.pt for point in points]) * np.float32([4 / 3, 1]), descriptors


def partners(first: int, found: list[tuple], owner: np.ndarray, descriptors: np.ndarray) -> list[tuple[int, int]]:
    """Later photographs of the class that show the same object as `first`.

    Args:
        found: `keypoints` of all photographs.
        owner: (K,) photograph of each keypoint of the class, ascending; descriptors: (K, 128).
    """
    later = np.searchsorted(owner, first + 1)
    owner, places = owner[later:], found[first][0]
    if len(places) < AGREEING or not len(owner):
        return []
    cosine = found[first][1] @ descriptors[later:].T  # (k, K)
    mine = cosine.argmax(axis=0)  # each other keypoint's best match here
    starts = np.flatnonzero(np.diff(owner, prepend=-1))  # where each other photograph's keypoints begin
    theirs = np.maximum.reduceat(cosine, starts, axis=1)  # (k, photographs): best match there
    photograph = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(owner)))
    best = cosine[mine, np.arange(len(owner))]
    mutual = (best > COSINE) & (best >= theirs[mine, photograph])
    pairs = []
    for number in np.flatnonzero(np.bincount(photograph[mutual], minlength=len(starts)) >= AGREEING):
        at = np.flatnonzero(mutual & (photograph == number))
        second = int(owner[starts[number]])
        motion, agreeing = cv2.estimateAffinePartial2D(
            places[mine[at]], found[second][0][at - starts[number]], ransacReprojThreshold=RESIDUE, maxIters=500
        )
        if motion is None or agreeing.sum() < AGREEING:
            continue
        if SCALES[0] < np.hypot(*motion[:, 0]) < SCALES[1]:
            pairs.append((first, second))
    return pairs


def same_object_pairs(squares: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Pairs of row numbers (P, 2) within the classes."""
    cv2.setNumThreads(1)
    pairs = [np.empty((0, 2), np.int64)]
    with ThreadPoolExecutor(os.cpu_count()) as pool, progress(len(squares), "matching keypoints", "photographs") as bar:
        found = list(pool.map(keypoints, squares))
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            owner = np.repeat(rows, [len(found[row][0]) for row in rows])
            descriptors = np.concatenate([found[row][1] for row in rows])
            for result in pool.map(lambda row: partners(row, found, owner, descriptors), rows):  # noqa: B023
                pairs.append(np.array(result, np.int64).reshape(-1, 2))
                bar.update()
    return np.concatenate(pairs)


def main(name: str, source: Path) -> None:
    with open_tree(source) as tree, ThreadPoolExecutor(os.cpu_count()) as pool:
        squares = np.stack(list(pool.map(lambda entry: square_picture(tree.read(entry), SIZE)[0], tree.entries)))
    table = pd.DataFrame([{"image": entry.image, "label": entry.label} for entry in tree.entries])
    pixels = pd.Series([hashlib.sha256(square).hexdigest() for square in squares])
    table["excluded"] = table["label"].groupby(pixels).transform("nunique") > 1
    near, same = near_duplicate_pairs(squares), np.empty((0, 2), np.int64)
    if name == "trashnet":
        same = same_object_pairs(squares, table["label"].to_numpy())
    table["group"] = groups_from_pairs(np.concatenate([near, same]), len(table))
    for repeat in range(COMMITTED_REPEATS):
        folds = make_folds(table, num_folds=5, seed=repeat)
        with atomic_write(folds_file(name, repeat)) as path:
            folds.to_csv(path, index=False)
    sizes = table["group"].value_counts()
    print(
        f"{len(near)} near-identical pairs, {len(same)} pairs of one object, {len(sizes)} groups, "
        f"{sizes[sizes > 1].sum()} photographs in the {(sizes > 1).sum()} groups of two or more, "
        f"largest group {sizes.max()}, {table['excluded'].sum()} photographs excluded"
    )


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in COMMITTED_SETS:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
