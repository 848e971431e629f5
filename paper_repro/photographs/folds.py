"""Near-duplicate groups, and stratified folds in which a group stays together."""

import warnings
from collections.abc import Iterable
from contextlib import suppress
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
COMMITTED_SETS = "trashnet", "waste8", "rendered"
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
        ReproError: too few independent photographs for every part; names the number that is enough, and the largest
            smaller number of folds that the photographs allow.
    """
    try:
        return _deal(table, num_folds, seed, grouped)
    except ReproError as error:
        remedy = f"have {2 * num_folds} independent photographs of each class at least, leave smaller classes out"
        for fewer in range(num_folds - 1, 1, -1):
            with suppress(ReproError):
                _deal(table, fewer, seed, grouped)
                remedy += f", or set num_folds to {fewer} and folds to numbers below {fewer}"
                break
        raise ReproError(f"{error}: {remedy}") from None


def _deal(table: pd.DataFrame, num_folds: int, seed: int, grouped: bool) -> pd.DataFrame:
    """`make_folds`, whose error has no remedy."""
    table = table.reset_index(drop=True)
    folds, groups = _undealt(table, grouped)
    counted = table.assign(group=groups)[~folds["excluded"]].groupby("label")["group"].nunique()
    counted = counted.reindex(table["label"].unique(), fill_value=0)
    if counted.min() < num_folds:
        count = f"{counted.min()} independent photographs for {num_folds} folds"
        raise ReproError(f"data: the class {counted.idxmin()!r} has {count}")
    labels = table["label"].to_numpy()
    folds["fold"] = _partition(labels, groups, num_folds, seed)
    for fold in range(num_folds):
        following = np.flatnonzero(folds["fold"] == (fold + 1) % num_folds)
        if len(set(groups[following])) < 2 or len(following) == len(set(labels[following])):  # nothing to halve
            few = f"fold {(fold + 1) % num_folds} has too few independent photographs to give a validation part"
            raise ReproError(f"data: {few}")
        half = _partition(labels[following], groups[following], 2, seed)
        folds.loc[following[_richest(half, groups[following])], "validation_for"] = fold
    for fold in range(num_folds):
        for name, rows in vars(split(folds, fold)).items():
            missing = set(labels) - set(labels[rows])
            if missing and (name != "validation" or len(rows) == 0):
                absent = f"has none of the class {min(missing)!r}, whose photographs are few or near-duplicates"
                raise ReproError(f"data: the {name} part of fold {fold} {absent}")
    return folds


def published_folds(table: pd.DataFrame, num_folds: int, seed: int, grouped: bool = True) -> pd.DataFrame:
    """The split that the data come with (`table`'s column part), in the form of `make_folds`: fold 0 alone.

    Where they come without a validation part, it is taken from the training part, stratified and grouped: as large a
    share of what is not tested as in `num_folds` folds.

    Raises:
        ReproError: the training or test part lacks a class, or is too small to give a validation part.
    """
    table = table.reset_index(drop=True)
    folds, groups = _undealt(table, grouped)
    labels, part = table["label"].to_numpy(), table["part"].to_numpy()
    folds.loc[part == "test", "fold"] = 0
    folds.loc[part == "validation", "validation_for"] = 0
    if not (part == "validation").any():
        train, halves = np.flatnonzero((part == "train") & ~folds["excluded"]), 2 * (num_folds - 1)
        counts = table.iloc[train].assign(group=groups[train]).groupby("label")["group"].nunique()
        most = 0 if counts.empty else counts.max()
        if most < halves:
            few = f"the training part has at most {most} independent photographs of a class"
            raise ReproError(f"data: {few}: have {halves} of each at least, or add a validation part")
        share = _partition(labels[train], groups[train], halves, seed)
        folds.loc[train[_richest(share, groups[train])], "validation_for"] = 0
    for name, rows in vars(split(folds, 0)).items():
        missing = set(labels) - set(labels[rows])
        if missing and (name != "validation" or len(rows) == 0):
            remedy = f"add usable ones, or remove {min(missing)!r} from all parts" if len(rows) else "add usable ones"
            raise ReproError(f"data: the {name} part has no photograph of the class {min(missing)!r}: {remedy}")
    return folds


def _undealt(table: pd.DataFrame, grouped: bool) -> tuple[pd.DataFrame, np.ndarray]:
    """Folds in which no image has a place yet, and what is to stay together: group numbers (N,)."""
    folds = table[["image", "group"]].assign(fold=-1, validation_for=-1, excluded=table["excluded"].astype(bool))
    return folds, table["group"].to_numpy() if grouped else np.arange(len(table))


def _richest(part: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Rows of the first part (N,) with the most groups (N,), as a large group is a poor judge of an epoch."""
    return max((np.flatnonzero(part == number) for number in np.unique(part)), key=lambda rows: len(set(groups[rows])))


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


def committed_set(images: Iterable[str]) -> str | None:
    """Which of the data sets with committed folds has exactly these photographs, by class and file name."""
    names = set(images)
    return next((name for name in COMMITTED_SETS if set(committed_folds(name)["image"]) == names), None)


def load_folds(dataset, config: Config, repeat: int = 0) -> pd.DataFrame:
    """Folds of a `data.Dataset`: the published split of data that come divided, of which a warning says what it holds;
    the committed ones where they apply; else made with seed `repeat`."""
    if "part" in dataset.table:
        folds = published_folds(dataset.table, config.num_folds, repeat, config.grouped)
        taken = "" if (dataset.table["part"] == "validation").any() else " (taken from train)"
        warnings.warn(f"data: {_describe(folds, taken)}", stacklevel=2)
        return folds
    if dataset.name in COMMITTED_SETS and repeat < COMMITTED_REPEATS and config.grouped:
        folds = committed_folds(dataset.name, repeat)
        if folds["fold"].nunique() == config.num_folds and dataset.table["image"].isin(folds["image"]).all():
            return folds.set_index("image").loc[dataset.table["image"]].reset_index()
    return make_folds(dataset.table, config.num_folds, repeat, config.grouped)


def _describe(folds: pd.DataFrame, taken: str) -> str:
    """The sizes of a published split, and how many photographs have near-duplicates on its other side."""
    parts = split(folds, 0)
    train, validation, test = (set(folds["group"].iloc[rows]) for rows in vars(parts).values())
    test_twins = folds["group"].iloc[parts.test].isin(train | validation).sum()
    validation_twins = folds["group"].iloc[parts.validation].isin(train).sum()
    sizes = f"{len(parts.train)} train, {len(parts.validation)} validation{taken}, {len(parts.test)} test"
    twins = (
        f"{test_twins} of test have near-duplicates in train or validation, {validation_twins} of validation in train"
    )
    return f"the published split is kept, as fold 0 and the only one ({sizes} photographs); {twins}"


def split(folds: pd.DataFrame, fold: int) -> Split:
    """The three parts when `fold` is the test fold.

    Raises:
        ReproError: there is no such fold.
    """
    if fold < 0 or fold not in folds["fold"].to_numpy():
        last = folds["fold"].max()
        there = f"the folds are 0 to {last}" if last else "the data come with a split of their own, which is fold 0"
        raise ReproError(f"folds: there is no fold {fold}: {there}")
    used = ~folds["excluded"].to_numpy()
    test, validation = folds["fold"].to_numpy() == fold, folds["validation_for"].to_numpy() == fold
    return Split(*(np.flatnonzero(used & part) for part in (~test & ~validation, validation, test)))
