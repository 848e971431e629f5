"""Photographs of one object from two sides, found by what is printed on it and by marks of its surface.

SIFT keypoints (Lowe, IJCV 2004) of two photographs that are each other's best match and agree on one shift, rotation
and scale.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

KEYPOINTS = 200  # per photograph, the strongest
COSINE = 0.86  # of two keypoints' descriptors
AGREEING = 12  # keypoints; from here on more than nine in ten pairs of TrashNet are right, see data/README.md
RESIDUE = 6  # px between a keypoint and where the agreed motion puts it
SCALES = (0.4, 2.5)


def keypoints(square: np.ndarray, aspect: float) -> tuple[np.ndarray, np.ndarray]:
    """Places (k, 2) in pixels of a photograph of that aspect (width over height), from its square (S, S, 3) uint8, and
    unit descriptors (k, 128), the root of L1-normalised SIFT."""
    grey = cv2.cvtColor(square, cv2.COLOR_RGB2GRAY)
    points, descriptors = cv2.SIFT.create(KEYPOINTS, contrastThreshold=0.02).detectAndCompute(grey, None)
    if descriptors is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    descriptors = np.sqrt(descriptors / (descriptors.sum(axis=1, keepdims=True) + 1e-6))
    return np.array([point.pt for point in points], np.float32) * np.array([aspect, 1], np.float32), descriptors


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


def same_object_pairs(squares: np.ndarray, labels: np.ndarray, aspects: np.ndarray) -> np.ndarray:
    """Pairs of row numbers (P, 2) within the classes, in time quadratic in the size of a class.

    Args:
        squares: photographs (N, S, S, 3), uint8, S about 256; labels: their classes (N,); aspects: their width over
            height (N,).
    """
    cv2.setNumThreads(1)
    pairs = [np.empty((0, 2), np.int64)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(keypoints, squares, aspects))
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            owner = np.repeat(rows, [len(found[row][0]) for row in rows])
            descriptors = np.concatenate([found[row][1] for row in rows])
            for result in pool.map(lambda row: partners(row, found, owner, descriptors), rows):  # noqa: B023
                pairs.append(np.array(result, np.int64).reshape(-1, 2))
    return np.concatenate(pairs)
