"""What gives the class away besides the object's form: python independence.py FOLDER [--out table.csv].

Simple classifiers see a part of what there is: the facts of the scene, the colours of the background, of the object or
of the whole picture, the object's area, a thumbnail. Five folds, a picture with its twins in one; balanced accuracy
(chance: 1 / classes) with a 95 % interval from a bootstrap over pictures with their twins. Needs the project's packages
alone.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import binary_dilation
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SIDE = 64  # of the pictures that are looked at, pixels
MARGIN = 4  # pixels around the object that count as neither object nor background: its shadow and blur


def read(folder):
    """(scenes.csv without pictures under two labels, images (N, SIDE, SIDE, 3) uint8, masks (N, SIDE, SIDE) bool)."""
    table = pd.read_csv(folder / "scenes.csv", keep_default_na=False)
    copied = set(table["same_as"])
    table = table[(table["same_as"] == "") & ~table["image"].isin(copied)].reset_index(drop=True)
    images, masks = [], []
    for name in table["image"]:
        images.append(np.asarray(Image.open(folder / name).resize((SIDE, SIDE), Image.Resampling.BOX)))
        mask = Image.open(Path(f"{folder}_masks", name).with_suffix(".png")).convert("L")
        masks.append(np.asarray(mask.resize((SIDE, SIDE), Image.Resampling.BOX)) > 127)
    return table, np.stack(images), np.stack(masks)


def histogram(image, where, bins=4):
    """Share (bins³,) of each colour among the pixels `where` (S, S), then the mean and deviation of each channel."""
    pixels = image[where].astype(int)
    if not len(pixels):
        return np.zeros(bins**3 + 6)
    index = (pixels * bins // 256) @ [bins * bins, bins, 1]
    counts = np.bincount(index, minlength=bins**3) / len(pixels)
    return np.r_[np.sqrt(counts), pixels.mean(0) / 255, pixels.std(0) / 255]


def views(table, images, masks):
    """Name -> (features (N, D), whether a linear classifier looks at them)."""
    angle = np.deg2rad(table["azimuth"])
    numbers = table[["clutter", "elevation", "field", "aperture"]].assign(x=np.cos(angle), y=np.sin(angle))
    facts = pd.concat([pd.get_dummies(table[["ground", "light"]]), numbers], axis=1).to_numpy(float)
    outside = [~binary_dilation(mask, iterations=MARGIN) for mask in masks]
    everywhere = np.ones((SIDE, SIDE), bool)
    thumbnails = [np.asarray(Image.fromarray(image).resize((12, 12), Image.Resampling.BOX)).ravel() for image in images]
    pairs = list(zip(images, masks, outside, strict=True))
    return {
        "scene columns": (facts, False),
        "area of the object": (masks.mean((1, 2))[:, None], False),
        "colours of the background": (np.stack([histogram(image, where) for image, _, where in pairs]), True),
        "colours of the picture": (np.stack([histogram(image, everywhere) for image in images]), True),
        "colours of the object": (np.stack([histogram(image, mask) for image, mask, _ in pairs]), True),
        "thumbnail of 12 x 12 pixels": (np.stack(thumbnails) / 255.0, True),
    }


def balanced_accuracy(truth, guess, groups, draws=1000):
    """(balanced accuracy, lower and upper limit): mean over the classes of the share that is right."""
    right, classes = (truth == guess).astype(float), np.unique(truth)
    number = np.unique(groups, return_inverse=True)[1]
    sums = np.zeros((number.max() + 1, 2, len(classes)))  # per group and class: pictures, right ones
    for column, label in enumerate(classes):
        here = truth == label
        np.add.at(sums[:, 0, column], number[here], 1)
        np.add.at(sums[:, 1, column], number[here], right[here])
    rng = np.random.default_rng(0)
    samples = [sums[rng.integers(len(sums), size=len(sums))].sum(0) for _ in range(draws)]
    found = [np.mean(hits / np.maximum(count, 1)) for count, hits in samples]
    total = sums.sum(0)
    return np.mean(total[1] / total[0]), *np.quantile(found, [0.025, 0.975])


def measure(folder):
    """A row per view: balanced accuracy with its interval."""
    table, images, masks = read(folder)
    truth = table["image"].str.split("/").str[0].to_numpy()
    groups = np.where(table["twin_of"] == "", table["image"], table["twin_of"])
    folds = list(StratifiedGroupKFold(5, shuffle=True, random_state=0).split(truth, truth, groups))
    rows = []
    for name, (features, linear) in views(table, images, masks).items():
        if linear:
            classifier = make_pipeline(
                StandardScaler(), LogisticRegression(C=0.02, max_iter=2000, class_weight="balanced")
            )
        else:
            classifier = RandomForestClassifier(300, min_samples_leaf=5, class_weight="balanced", random_state=0)
        guess = cross_val_predict(classifier, features, truth, cv=folds)
        rows.append([name, len(truth), *balanced_accuracy(truth, guess, groups)])
    return pd.DataFrame(rows, columns=["seen", "pictures", "balanced_accuracy", "low", "high"])


def main():
    """Prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = measure(given.folder).round(3)
    print(found.to_string(index=False))
    if given.out:
        found.to_csv(given.out, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
