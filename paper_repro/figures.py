"""The figures of the notebooks: data in, a matplotlib Figure out, at a size that a lecture can project.

Common arguments: images (N, S, S, 3) uint8; masks (N, S, S) bool; boxes, per image an array (k, 4) of
fractions x0, y0, x1, y1 of the frame. Colours are safe for colour-blind readers, and names are drawn as they
are, never read as mathematics.
"""

import math
from pathlib import Path
from textwrap import fill

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from paper_repro.evaluate import reliability
from paper_repro.files import ReproError, atomic_write
from paper_repro.gradcam import heatmap

COLOURS = sns.color_palette("colorblind", 10)
RIGHT, WRONG = COLOURS[0], COLOURS[3]
HEAT, DIVERGING = "viridis", "PuOr"
EDGE = [withStroke(linewidth=4, foreground="black")]  # keeps white lines visible on white
lecture = mpl.rc_context(
    {
        "figure.constrained_layout.use": True,
        "figure.dpi": 80,
        "font.size": 15,
        "axes.titlesize": 15,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "lines.linewidth": 2.5,
        "text.parse_math": False,
    }
)


@lecture
def sample_grid(images, labels, masks=None, boxes=None, columns: int = 6) -> Figure:
    """Images with a label each, and the outline of the object's mask or its boxes where given."""
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2.4 * columns, 2.7 * rows), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for i, ax in enumerate(axes.flat[: len(images)]):
        ax.imshow(images[i])
        ax.set_title(_wrap(labels[i], 18))
        _outline(ax, len(images[i]), None if masks is None else masks[i], None if boxes is None else boxes[i])
    return figure


@lecture
def class_counts(table: pd.DataFrame) -> Figure:
    """Images per class, from the columns `label` and `excluded` of a data set's table."""
    used = table[~table["excluded"]].groupby("label").size()
    excluded = table[table["excluded"]].groupby("label").size().reindex(used.index, fill_value=0)
    figure, ax = plt.subplots(figsize=(max(8, 1.4 * len(used)), 4.5))
    bars = ax.bar(used.index, used, color=COLOURS[0])
    ax.bar_label(bars, label_type="center", color="white")
    if excluded.any():
        ax.bar(
            used.index,
            excluded,
            bottom=used,
            color="white",
            edgecolor=WRONG,
            hatch="///",
            label=f"excluded ({excluded.sum()})",
        )
        figure.legend(loc="outside upper right")
    ax.set_ylabel("images")
    ax.tick_params(axis="x", rotation=30 if len(used) > 8 else 0)
    return figure


@lecture
def training_curves(histories: dict[str, pd.DataFrame]) -> Figure:
    """Loss and accuracy per epoch of each arm's history: training, validation and its best epoch."""
    figure, axes = plt.subplots(1, 2, figsize=(14, 5.5))
    for ax, name in zip(axes, ("loss", "accuracy"), strict=True):
        for i, (arm, history) in enumerate(histories.items()):
            colour, marker = COLOURS[i % len(COLOURS)], "os^D"[i // len(COLOURS) % 4]
            best = [int(np.flatnonzero(history["best"])[-1])]
            ax.plot("epoch", f"train_{name}", "--", data=history, color=colour, linewidth=1.2, label="")
            ax.plot(
                "epoch",
                f"validation_{name}",
                data=history,
                color=colour,
                marker=marker,
                markevery=best,
                markersize=11,
                label=arm,
            )
        ax.set(xlabel="epoch", ylabel=name)
        ax.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.suptitle("solid: validation, with its best epoch; dashed: training")
    return figure


@lecture
def confusion_matrix(counts: pd.DataFrame, title: str = "") -> Figure:
    """A confusion matrix (rows = truth): the shares of each true class as colour, the counts as text."""
    size = len(counts)
    figure, ax = plt.subplots(figsize=(4 + 0.85 * size, 2 + 0.85 * size), layout="compressed")
    picture = _matrix(ax, _shares(counts), _share_and_count(counts), HEAT, (0, 1))
    ax.set(title=title, ylabel="truth", yticks=range(size), yticklabels=counts.index)
    figure.colorbar(picture, ax=ax, label="share of the true class")
    return figure


@lecture
def confusion_pair(a: pd.DataFrame, b: pd.DataFrame, names: tuple[str, str]) -> Figure:
    """Two confusion matrices over the same classes and, third, b's shares minus a's in percentage points."""
    size = len(a)
    figure, axes = plt.subplots(1, 3, figsize=(5 + 2.55 * size, 2 + 0.85 * size), sharey=True, layout="compressed")
    for ax, counts, name in zip(axes, (a, b), names, strict=False):
        shares = _matrix(ax, _shares(counts), _share_and_count(counts), HEAT, (0, 1))
        ax.set_title(name)
    change = 100 * (_shares(b) - _shares(a))
    limit = max(1.0, float(change.abs().max(axis=None)))
    text = change.round().add(0.0).map("{:+.0f}".format)  # adding 0 turns -0 into 0
    changes = _matrix(axes[2], change, text, DIVERGING, (-limit, limit))
    axes[2].set_title(f"{names[1]} minus {names[0]}")
    axes[0].set(ylabel="truth", yticks=range(size), yticklabels=a.index)
    figure.colorbar(shares, ax=axes[:2], label="share of the true class", pad=0.01)
    figure.colorbar(changes, ax=axes[2], label="percentage points", pad=0.02)
    return figure


@lecture
def reliability_diagram(predictions: dict[str, pd.DataFrame], classes) -> Figure:
    """Accuracy against confidence in the bins of the calibration error, and the images per bin, per arm."""
    count = len(predictions)
    figure, axes = plt.subplots(
        2, count, figsize=(1.2 + 4.5 * count, 6.5), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1)
    )
    for (ax, below), (arm, frame) in zip(axes.T, predictions.items(), strict=True):
        bins = reliability(frame, classes)
        ax.plot([0, 1], [0, 1], "--", color="grey", linewidth=1.5, label="calibrated")
        ax.scatter(
            "confidence",
            "accuracy",
            s=1000 * bins["count"] / len(frame),
            data=bins,
            color=COLOURS[0],
            clip_on=False,
            label="one bin; area: its images",
        )
        below.bar(
            bins["low"],
            bins["count"],
            width=bins["high"] - bins["low"],
            align="edge",
            color=COLOURS[0],
            edgecolor="white",
        )
        ax.set(title=arm, ylim=(0, 1))
        below.set(xlabel="confidence", xlim=(0, 1))
    axes[0, 0].set_ylabel("accuracy")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    axes[1, 0].set_ylabel("images")
    return figure


@lecture
def gate_profiles(gates: dict, truth, classes) -> Figure:
    """What the gates do for each class, one row per stage, from gates[stage] of shape (G, N, C).

    Left: the mean gate of all images over the stage's channels, sorted, with the band that holds 80 % of the
    images. Middle: each class's mean minus that mean, channels in the same order. Right: all gates' values.
    The gates of a stage's blocks (G > 1) are lined up as one row of G x C channels. Raises ReproError for a
    model without gates.
    """
    if not gates:
        raise ReproError("this model has no gates to draw: gate_profiles needs an attention arm, not `none`")
    figure, axes = plt.subplots(
        len(gates), 3, figsize=(17, 1 + 3.2 * len(gates)), squeeze=False, width_ratios=(1, 1.4, 1)
    )
    truth = np.asarray(truth)
    for (profile, difference, values), (stage, gate) in zip(axes, gates.items(), strict=True):
        gate = np.concatenate(list(np.asarray(gate)), axis=1)  # (N, G * C)
        gate = gate[:, np.argsort(-gate.mean(0))]
        low, mean, high = np.quantile(gate, 0.1, 0), gate.mean(0), np.quantile(gate, 0.9, 0)
        profile.plot(mean, color=COLOURS[0])
        profile.fill_between(range(len(mean)), low, high, color=COLOURS[0], alpha=0.3, linewidth=0)
        top = max(1, math.ceil(gate.max()))  # gates are in (0, 1), identity gates in (0, 2)
        profile.set(ylabel=f"{stage}\ngate", ylim=(0, top))
        per_class = (
            np.stack(
                [
                    gate[truth == k].mean(0) if (truth == k).any() else np.full_like(mean, np.nan)
                    for k in range(len(classes))
                ]
            )
            - mean
        )
        limit = max(1e-6, np.nanquantile(np.abs(per_class), 0.99))
        picture = difference.imshow(
            per_class, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
        )
        difference.set(yticks=range(len(classes)), yticklabels=classes)
        figure.colorbar(picture, ax=difference, extend="both", pad=0.01)
        values.hist(gate.ravel(), bins=60, color=COLOURS[0], density=True)
        values.set(ylabel="density", xlim=(0, top))
        for ax in (profile, difference, values):
            ax.locator_params(axis="x", nbins=4)
    titles = {
        "mean over images, 80 % band": "channel, sorted",
        "class mean minus mean": "channel, in the same order",
        "all values": "gate",
    }
    for first, last, (title, label) in zip(axes[0], axes[-1], titles.items(), strict=True):
        first.set_title(title)
        last.set_xlabel(label)
    return figure


@lecture
def heatmap_gallery(rows: list[dict], show_photo: bool = True) -> Figure:
    """Heat maps of the same image side by side, one image per row.

    Each row: image (S, S, 3) uint8; panels, list of (title, raw cam (h, w) or None where there is no map);
    caption; right (bool, is the prediction right?); optionally mask (S, S) bool or boxes (k, 4). Every map is
    scaled to its own maximum, so brightness cannot be compared between panels, and names its grid. Without
    `show_photo` the photograph is neither shown nor under the maps.
    """
    panels = max(len(row["panels"]) for row in rows)
    shown = panels + show_photo
    figure, axes = plt.subplots(
        len(rows), shown + 1, figsize=(2.6 * shown + 3.4, 2.8 * len(rows) + 1), squeeze=False, layout="compressed"
    )
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    repeated = len({tuple(title for title, _ in row["panels"]) for row in rows}) == 1
    for (text, *pictures), row in zip(axes, rows, strict=True):
        size, region = len(row["image"]), (row.get("mask"), row.get("boxes"))
        sign, colour = ("✓ right", RIGHT) if row["right"] else ("✗ wrong", WRONG)
        text.set_aspect("equal")
        caption = _wrap(f"{row['caption']}\n{sign}", 19)
        text.text(0, 0.5, caption, color=colour, va="center", transform=text.transAxes)
        if show_photo:
            photo, *pictures = pictures
            photo.imshow(row["image"])
            photo.set_title("image" if row is rows[0] else "")
            _outline(photo, size, *region)
        for ax, (title, cam) in zip(pictures, row["panels"], strict=False):
            _heat(ax, cam, row["image"] if show_photo else None, size)
            if not repeated or row is rows[0]:
                ax.set_title(title)
            if cam is not None:
                _outline(ax, size, *region)
    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), HEAT)
    figure.colorbar(
        scale, ax=axes, label="share of the\nmap's maximum", ticks=[0, 0.5, 1], shrink=min(1, 2 / len(rows)), pad=0.01
    )
    return figure


def save(figure: Figure, path, data: pd.DataFrame) -> None:
    """Write the figure as <path>.png and <path>.svg and the numbers it shows as <path>.csv."""
    path = Path(path)
    for kind, options in (("png", {"dpi": 150}), ("svg", {"metadata": {"Date": None}})):
        # A fixed salt: the same figure gives the same file.
        target = path.with_name(f"{path.name}.{kind}")
        with atomic_write(target) as temporary, mpl.rc_context({"svg.hashsalt": "0"}):
            figure.savefig(temporary, format=kind, **options)
    with atomic_write(path.with_name(f"{path.name}.csv")) as temporary:
        data.to_csv(temporary, index=False)


def _wrap(text, width):
    """Text whose lines are no longer than width; its own line breaks stay."""
    return "\n".join(fill(line, width) for line in text.splitlines())


def _outline(ax, size, mask, boxes):
    """Draw the edge of a mask (size, size) and boxes (k, 4) in an image's pixel coordinates."""
    if mask is not None and mask.any():
        # Padding closes the outline of an object that reaches the frame.
        at = np.arange(-1, size + 1).clip(-0.5, size - 0.5)
        edge = ax.contour(at, at, np.pad(mask, 1).astype(float), [0.5], colors="white", linewidths=2)
        edge.set_path_effects(EDGE)
    for x0, y0, x1, y1 in () if boxes is None else np.asarray(boxes) * size - 0.5:
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color="white", linewidth=2, path_effects=EDGE))


def _heat(ax, cam, image, size):
    """Draw one raw map, over the grey image where given; a map that is zero everywhere is hatched instead."""
    ax.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect="equal")
    if cam is None:
        ax.text(0.5, 0.5, "no map", ha="center", va="center", transform=ax.transAxes)
        return
    cam = torch.as_tensor(np.asarray(cam))
    ax.set_xlabel(f"grid {cam.shape[0]}×{cam.shape[1]}", fontsize="small")
    if not cam.any():
        ax.add_patch(Rectangle((0, 0), 1, 1, transform=ax.transAxes, facecolor="0.85", edgecolor="0.6", hatch="//"))
        ax.text(
            0.5,
            0.5,
            "no positive\nevidence",
            ha="center",
            va="center",
            transform=ax.transAxes,
            zorder=5,
            bbox={"facecolor": "0.85", "edgecolor": "none"},
        )
        return
    shades = plt.get_cmap(HEAT)(heatmap(cam[None], size)[0].numpy())[..., :3]
    if image is not None:
        grey = image.astype(float).mean(2, keepdims=True) / 255
        shades = 0.6 * shades + 0.4 * grey
    ax.imshow(shades)


def _matrix(ax, values, text, colours, limits):
    """One square matrix with a text in each cell, dark on light and light on dark."""
    picture = ax.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1])
    for (i, j), share in np.ndenumerate(values.to_numpy()):
        colour = "black" if sum(picture.to_rgba(share)[:3]) > 1.5 else "white"
        ax.text(j, i, text.iloc[i, j], ha="center", va="center", color=colour, fontsize="small")
    ax.set(xlabel="predicted", xticks=range(len(values)))
    ax.set_xticklabels(values.columns, rotation=40, ha="right", rotation_mode="anchor")
    return picture


def _shares(counts):
    """Each row divided by its sum; a class without images has zeros."""
    return counts.div(counts.sum(axis=1).clip(lower=1), axis=0)


def _share_and_count(counts):
    return _shares(counts).map("{:.0%}".format) + counts.map("\n{}".format)
