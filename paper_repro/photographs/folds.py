"""Near-duplicate groups, and stratified folds in which a group stays together."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from paper_repro.config import Config
from paper_repro.files import ReproError

SIMILARITY = 0.92  # cosine; looked at pair by pair on TrashNet, see data/README.md
TABLES, BITS = 12, 20
BUCKET = 64  # bounds the comparisons where thousands of images are alike; the components still join them
COMMITTED = Path(__file__).resolve().parents[2] / "data" / "splits"
COMMITTED_REPEATS = 2


@dataclass(frozen=True)
class Split:
    """Row numbers of the table, sorted; excluded images are in none of the parts."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def near_duplicate_groups(images: np.ndarray) -> np.ndarray:
    """Group numbers (N,) of squares (N, S, S, 3), uint8: near-duplicates share one, mirrored or upside down too."""
    return groups_from_pairs(near_duplicate_pairs(images), len(images))


def groups_from_pairs(pairs: np.ndarray, count: int) -> np.ndarray:
    """Connected components of the pairs (P, 2) as group numbers (count,)."""
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(links, directed=False)[1].astype(np.int64)


def near_duplicate_pairs(images: np.ndarray) -> np.ndarray:
    """Pairs of row numbers (P, 2) whose descriptors' cosine is at least SIMILARITY, in time linear in N.

    Compared are images that fall together in one of TABLES hash tables, keyed by the signs of BITS random projections
    (Charikar, STOC 2002, section 3). That finds 96 % of the pairs at SIMILARITY and practically all above 0.95.
    """
    frequencies, features = _descriptors(images)
    count, width = features.shape
    flips = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
    signs = (-1.0) ** (flips @ frequencies)  # (4, width): a mirrored image has coefficients of changed sign
    rng = np.random.default_rng(0)
    codes = np.empty(0, np.int64)  # (first image * N + second image) * 4 + how one is mirrored to the other
    for _ in range(TABLES):
        planes = rng.standard_normal((width, BITS)) * signs[:, :, None]  # (4, width, BITS)
        keys = np.concatenate((features @ planes.astype(np.float32) > 0) @ (1 << np.arange(BITS)))  # (4 * N,)
        order = np.argsort(keys, kind="stable")
        start = np.arange(len(order))
        together = [codes]
        for shift in range(1, BUCKET):
            start = start[start + shift < len(order)]
            start = start[keys[order[start]] == keys[order[start + shift]]]
            flip, image = np.divmod(np.stack([order[start], order[start + shift]]), count)
            first, second = np.sort(image, axis=0)
            together.append(((first * count + second) * 4 + (flip[0] ^ flip[1]))[first != second])
        codes = np.sort(np.concatenate(together))
        codes = codes[np.diff(codes, prepend=-1) > 0]
    pairs, flip = np.divmod(codes, 4)
    first, second = np.divmod(pairs, count)
    alike = [
        np.einsum("ij,ij,ij->i", features[first[rows]], features[second[rows]], signs[flip[rows]]) >= SIMILARITY
        for rows in np.array_split(np.arange(len(pairs)), len(pairs) // 10_000 + 1)
    ]
    return np.unique(np.stack([first, second], axis=1)[np.concatenate(alike)], axis=0)


def _descriptors(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (N, D) of middle frequencies, and these (2, D): rows, columns.

    Cosine transforms of brightness and of two colour differences at 32 px, weighted by frequency as spectra fall with
    it. Below frequency 2 lies the light's gradient, common to one session; from 8 on lies what a shifted crop changes.
    """
    rows, columns = np.mgrid[:8, :8]
    radius = np.hypot(rows, columns)
    kept = (radius >= 2) & (radius < 8)
    features = np.empty((len(images), 3 * kept.sum()), np.float32)
    for start in range(0, len(images), 1000):
        chunk = images[start : start + 1000]
        small = np.stack([np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BOX)) for image in chunk])
        red, green, blue = small.transpose(3, 0, 1, 2).astype(np.float32)  # (N, 32, 32) each
        brightness = 0.299 * red + 0.587 * green + 0.114 * blue
        planes = np.stack([brightness, blue - brightness, red - brightness], axis=1)
        spectrum = dctn(planes, axes=(2, 3), norm="ortho")[:, :, :8, :8] * radius
        features[start : start + 1000] = spectrum[:, :, kept].reshape(len(chunk), -1)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    features = np.where(norms > 1e-3, features, 1) / np.where(norms > 1e-3, norms, np.sqrt(features.shape[1]))
    return np.tile(np.stack([rows[kept], columns[kept]]), 3), features  # plain areas are alike


def make_folds(table: pd.DataFrame, num_folds: int, seed: int, grouped: bool = True) -> pd.DataFrame:
    """Stratified folds, row by row as `table` (image, label, group, excluded); `grouped` keeps a group in one of them.

    Returns:
        Columns image, group, fold, validation_for (the fold in whose validation part the image is, -1: none), excluded.
        Fold k's validation part is the half of fold k + 1 with more groups.

    Raises:
        ReproError: too few independent photographs for every part.
    """
    table = table.reset_index(drop=True)
    folds = table[["image", "group"]].assign(fold=-1, validation_for=-1, excluded=table["excluded"].astype(bool))
    groups = table["group"].to_numpy() if grouped else np.arange(len(table))
    counted = table.assign(group=groups)[~folds["excluded"]].groupby("label")["group"].nunique()
    counted = counted.reindex(table["label"].unique(), fill_value=0)
    if counted.min() < num_folds:
        count = f"{counted.min()} independent photographs for {num_folds} folds"
        remedy = "add photographs, set num_folds lower or remove the class"
        raise ReproError(f"data: the class {counted.idxmin()!r} has {count}: {remedy}")
    labels = table["label"].to_numpy()
    folds["fold"] = _partition(labels, groups, num_folds, seed)
    for fold in range(num_folds):
        following = np.flatnonzero(folds["fold"] == (fold + 1) % num_folds)
        if len(set(groups[following])) < 2 or len(following) == len(set(labels[following])):  # nothing to halve
            few = f"fold {(fold + 1) % num_folds} has too few independent photographs to give a validation part"
            raise ReproError(f"data: {few}: have {2 * num_folds} of a class at least, or set num_folds lower")
        half = _partition(labels[following], groups[following], 2, seed)
        halves = following[half == 0], following[half == 1]
        richer = max(halves, key=lambda rows: len(set(groups[rows])))  # a large group is a poor judge of an epoch
        folds.loc[richer, "validation_for"] = fold
    for fold in range(num_folds):
        for name, rows in vars(split(folds, fold)).items():
            missing = set(labels) - set(labels[rows])
            if missing and (name != "validation" or len(rows) == 0):
                absent = f"has none of the class {min(missing)!r}, whose photographs are few or near-duplicates"
                raise ReproError(f"data: the {name} part of fold {fold} {absent}: add some or set num_folds lower")
    return folds


def _partition(labels: np.ndarray, groups: np.ndarray, parts: int, seed: int) -> np.ndarray:
    """Number of the part (N,) per image, classes in like shares, a group in one part."""
    part_of = np.empty(len(labels), np.int64)
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # half of a fold may hold one of a class
        for part, (_, rows) in enumerate(splitter.split(labels, labels, groups)):
            part_of[rows] = part
    return part_of


def folds_file(name: str, repeat: int) -> Path:
    """Where the committed folds of a repeat lie."""
    return COMMITTED / (f"{name}-repeat{repeat}.csv" if repeat else f"{name}.csv")


def committed_folds(name: str, repeat: int = 0) -> pd.DataFrame:
    """The committed folds of a repeat r, made with seed r."""
    path = folds_file(name, repeat)
    try:
        return pd.read_csv(path, keep_default_na=False)
    except OSError as error:
        raise ReproError(f"cannot read {path} ({error.strerror}): restore it with git checkout") from error


def load_folds(dataset, config: Config, repeat: int = 0) -> pd.DataFrame:
    """Folds of a `data.Dataset`: TrashNet's committed ones where they apply, else made with seed `repeat`."""
    if dataset.name == "trashnet" and repeat < COMMITTED_REPEATS and config.grouped:
        folds = committed_folds("trashnet", repeat)
        if folds["fold"].nunique() == config.num_folds:
            return folds.set_index("image").loc[dataset.table["image"]].reset_index()
    return make_folds(dataset.table, config.num_folds, repeat, config.grouped)


def split(folds: pd.DataFrame, fold: int) -> Split:
    """The three parts when `fold` is the test fold.

    Raises:
        ReproError: there is no such fold.
    """
    if fold not in folds["fold"].to_numpy():
        raise ReproError(f"folds: there is no fold {fold}: the folds are 0 to {folds['fold'].max()}")
    used = ~folds["excluded"].to_numpy()
    test, validation = folds["fold"].to_numpy() == fold, folds["validation_for"].to_numpy() == fold
    return Split(*(np.flatnonzero(used & part) for part in (~test & ~validation, validation, test)))
