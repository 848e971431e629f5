"""The figures of the notebooks: data in, a matplotlib Figure out, at a size that a lecture can project.

Common arguments: images (N, S, S, 3) uint8; masks (N, S, S) bool; boxes, per image an array (k, 4) of fractions x0, y0,
x1, y1 of the frame. Colour-blind readers can tell the colours apart. Names are drawn as they are, never as mathematics;
a name longer than its place loses its middle. No side is longer than 30 inch: letters get smaller, down to 7 points;
below that, numbers in cells are left out, classes are named at intervals, and further pictures are an error.
"""

import math
from pathlib import Path
from typing import Any

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
from paper_repro.lettering import readable, shorten, width

COLOURS = sns.color_palette("colorblind", 10)
RIGHT, WRONG = COLOURS[0], COLOURS[3]
HEAT, DIVERGING = "viridis", "PuOr"
EDGE = [withStroke(linewidth=4, foreground="black")]  # keeps white lines visible on white
SMALL, SMALL_NUMBER = 7, 9  # the smallest letters and, where many stand together, numbers that can be read, in points
NAME = 3  # room for a class's name on an axis, in inches
BARE = {"xticks": [], "yticks": [], "frame_on": False, "anchor": "N"}  # axes of a picture, with all free room below
lecture = mpl.rc_context(
    {
        "figure.constrained_layout.use": True,
        "figure.dpi": 80,
        "font.size": 15,
        "axes.titlesize": "medium",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "lines.linewidth": 2.5,
        "text.parse_math": False,
    }
)


@lecture
def sample_grid(images, labels, masks=None, boxes=None, columns: int = 6) -> Figure:
    """Images (N, S, S, 3), N > 0, with a label each, and the outline of the object's mask or its boxes where given."""
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    labels = shorten(readable(labels), 2.1, lines=3)
    size = _bounded(2.4 * columns, (2.7 + _further(labels)) * rows, f"{rows} × {columns} images")
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, subplot_kw=BARE)
    for i, (ax, image, label) in enumerate(zip(axes.flat[: len(images)], images, labels, strict=True)):
        ax.imshow(image)
        ax.set_title(label)
        _outline(ax, len(image), None if masks is None else masks[i], None if boxes is None else boxes[i])
    return figure


@lecture
def class_counts(table: pd.DataFrame) -> Figure:
    """Images per class, from the columns `label` and `excluded` (bool) of a data set's table."""
    counts = pd.crosstab(table["label"], table["excluded"]).reindex(columns=[False, True], fill_value=0)
    used, excluded, places = counts[False], counts[True], range(len(counts))
    names, across = shorten(readable(counts.index), NAME), min(max(8, 1.4 * len(counts)), 20)
    place = 0.9 * (across - 1) / len(counts)
    level = width(names) <= place
    figure, ax = plt.subplots(figsize=(across, 4.5 + (0 if level else width(names))))
    bars = ax.bar(places, used, color=COLOURS[0])
    if letters := _letters(used.map(str), 0.75 * place):
        edge = [withStroke(linewidth=4, foreground=COLOURS[0])]  # for a number that is taller than its bar
        ax.bar_label(bars, label_type="center", color="white", fontsize=letters, path_effects=edge)
    if excluded.any():
        style = {"color": "white", "edgecolor": WRONG, "hatch": "///"}
        ax.bar(places, excluded, bottom=used, label=f"excluded ({excluded.sum()})", **style)
        figure.legend(loc="outside upper right")
    ax.set_ylabel("images")
    _name(ax.xaxis, names, place, level)
    return figure


@lecture
def training_curves(histories: dict[str, pd.DataFrame]) -> Figure:
    """Loss and accuracy per epoch of each arm's history: training, validation and its best epoch."""
    if len(histories) > 4 * len(COLOURS):
        raise ReproError(
            f"{len(histories)} arms are more than the {4 * len(COLOURS)} pairs of colour and mark: draw fewer"
        )
    arms = shorten(readable(histories), 10)
    columns = max(1, min(4, int(13.5 / (width(arms) + 1))))
    figure, axes = plt.subplots(1, 2, figsize=(14, 5.5 + 0.36 * (math.ceil(len(arms) / columns) - 1)))
    for i, (arm, history) in enumerate(zip(arms, histories.values(), strict=True)):
        best = int(np.flatnonzero(history["best"])[-1])
        style = {"marker": "os^D"[i // len(COLOURS) % 4], "markevery": [best], "markersize": 11}
        for ax, name in zip(axes, ("loss", "accuracy"), strict=True):
            colour = COLOURS[i % len(COLOURS)]
            ax.plot(history["epoch"], history[f"train_{name}"], "--", color=colour, linewidth=1.2)
            ax.plot(history["epoch"], history[f"validation_{name}"], color=colour, label=arm, **style)
            ax.set(xlabel="epoch", ylabel=name)
            ax.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns)
    figure.suptitle("solid: validation, with its best epoch; dashed: training")
    return figure


@lecture
def confusion_matrix(counts: pd.DataFrame, title: str = "") -> Figure:
    """A confusion matrix (K, K), rows = truth: the shares of each true class as colour, with the counts as text.

    Where the text could not be read, the colours stand alone.
    """
    *names, title = readable([*counts.columns, title])
    names = shorten(names, NAME)
    side, size = _sides(1, names)
    figure, ax = plt.subplots(figsize=size, layout="compressed")
    figure.colorbar(_confusion(ax, counts, names, title, side)[0], ax=ax, label="share of the true class")
    ax.set_ylabel("truth")
    return figure


@lecture
def confusion_pair(a: pd.DataFrame, b: pd.DataFrame, names: tuple[str, str]) -> Figure:
    """Two confusion matrices over the same classes and, third, b's shares minus a's in percentage points."""
    *classes, name_a, name_b = readable([*a.columns, *names])
    classes = shorten(classes, NAME)
    side, size = _sides(3, classes)
    figure, axes = plt.subplots(1, 3, figsize=size, sharey=True, layout="compressed")
    _, shares_a = _confusion(axes[0], a, classes, name_a, side)
    shares, shares_b = _confusion(axes[1], b, classes, name_b, side)
    change = 100 * (shares_b - shares_a)
    limit = max(1.0, float(change.abs().max(axis=None)))
    text = change.round().add(0.0).map("{:+.0f}".format)  # adding 0 turns -0 into 0
    style = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit}
    changes = _matrix(axes[2], change, text, classes, f"{name_b} minus {name_a}", side, **style)
    axes[0].set_ylabel("truth")
    figure.colorbar(shares, ax=axes[:2], label="share of the true class", pad=0.01)
    figure.colorbar(changes, ax=axes[2], label="percentage points", pad=0.02)
    return figure


@lecture
def reliability_diagram(predictions: dict[str, pd.DataFrame], classes) -> Figure:
    """Accuracy against confidence in the bins of the calibration error, and the images per bin; six arms in a line."""
    arms, columns = shorten(readable(predictions), 4, lines=2), min(6, len(predictions))
    lines = math.ceil(len(arms) / columns)
    mpl.rcParams["figure.constrained_layout.h_pad"] *= lines  # between one line's numbers and the next one's titles
    figure = plt.figure(figsize=_bounded(1.2 + 4.5 * columns, 6.5 * lines, f"{len(arms)} arms"))
    axes = figure.subplots(2 * lines, columns, squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1) * lines)
    panels = list(zip(axes[::2].flat, axes[1::2].flat, strict=True))
    for (ax, below), arm, frame in zip(panels, arms, predictions.values(), strict=False):
        bins = reliability(frame, classes)
        ax.plot([0, 1], [0, 1], "--", color="grey", linewidth=1.5, label="calibrated")
        dots = {"s": 1000 * bins["count"] / len(frame), "clip_on": False, "label": "one bin; area: its images"}
        ax.scatter(bins["confidence"], bins["accuracy"], color=COLOURS[0], **dots)
        below.bar(bins["low"], bins["count"], 1 / len(bins), align="edge", color=COLOURS[0], edgecolor="white")
        ax.set(title=arm, ylim=(0, 1))
        below.set(xlabel="confidence", xlim=(0, 1))
        below.tick_params(labelbottom=True)
    for ax, below in panels[len(arms) :]:
        ax.remove()
        below.remove()
    for ax, below in panels[::columns]:
        ax.set_ylabel("accuracy")
        below.set_ylabel("images")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@lecture
def gate_profiles(gates: dict, truth, classes) -> Figure:
    """What the gates (G, N, C) of each stage do for the classes `truth` (N,), one row per stage; {} is an error.

    Left: the mean gate of all images over the stage's G x C channels, sorted, with the band that holds 80 % of the
    images. Middle: each class's mean minus that mean, channels in the same order. Right: the values of all gates.
    """
    if not gates:
        raise ReproError("this model has no gates to draw: gate_profiles needs an attention arm, not `none`")
    names = shorten(readable(classes), NAME)
    line = max(3.2, min(0.8 + 0.25 * len(names), 29 / len(gates)))  # each stage's height
    across, height = _bounded(16 + max(1, width(names)), 1 + line * len(gates), f"{len(gates)} stages")
    figure = plt.figure(figsize=(across, height))
    axes = figure.subplots(len(gates), 3, squeeze=False, width_ratios=(1, 1.4, 1))
    for (profile, difference, values), (stage, gate) in zip(axes, gates.items(), strict=True):
        gate = np.concatenate(list(np.asarray(gate)), axis=1)  # (N, G * C)
        gate = gate[:, np.argsort(-gate.mean(0))]
        mean, (low, high) = gate.mean(0), np.quantile(gate, [0.1, 0.9], axis=0)
        profile.plot(mean, color=COLOURS[0])
        profile.fill_between(range(len(mean)), low, high, color=COLOURS[0], alpha=0.3, linewidth=0)
        top = max(1, math.ceil(gate.max()))  # gates are in (0, 1), identity gates in (0, 2)
        profile.set(ylabel=f"{stage}\ngate", ylim=(0, top))
        per_class = pd.DataFrame(gate).groupby(np.asarray(truth)).mean().reindex(range(len(classes))) - mean
        limit = max(1e-6, np.nanquantile(per_class.abs(), 0.99))
        colours = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit}
        picture = difference.imshow(per_class, aspect="auto", interpolation="nearest", **colours)
        _name(difference.yaxis, names, (height / len(gates) - 1) / len(names))
        figure.colorbar(picture, ax=difference, extend="both", pad=0.01)
        values.hist(gate.ravel(), bins=60, color=COLOURS[0], density=True)
        values.set(ylabel="density", xlim=(0, top))
        for ax in (profile, difference, values):
            ax.locator_params(axis="x", nbins=4)
    for ax, title in zip(axes[0], ("mean over images, 80 % band", "class mean minus mean", "all values"), strict=True):
        ax.set_title(title)
    for ax, label in zip(axes[-1], ("channel, sorted", "channel, in the same order", "gate"), strict=True):
        ax.set_xlabel(label)
    return figure


@lecture
def heatmap_gallery(rows: list[dict], show_photo: bool = True) -> Figure:
    """Heat maps of the same image side by side, one image per row.

    Every map is scaled to its own maximum, so brightness cannot be compared between panels, and names its grid.

    Args:
        rows: dicts with image (S, S, 3) uint8; panels, a list of (title, raw cam (h, w) or None where there is no map);
            caption; right, whether the prediction is right; optionally mask (S, S) bool or boxes (k, 4).
        show_photo: False shows the photograph neither beside the maps nor under them.
    """
    shown = max(len(row["panels"]) for row in rows) + show_photo
    texts = [text for row in rows for text in (row["caption"], *(title for title, _ in row["panels"]))]
    drawn = dict(zip(texts, shorten(readable(texts), 2.38, lines=3), strict=True))
    same_titles = len({tuple(title for title, _ in row["panels"]) for row in rows}) == 1
    further = _further(drawn[title] for row in rows for title, _ in row["panels"]) * (1 if same_titles else len(rows))
    size = _bounded(2.6 * shown + 3.4, 2.8 * len(rows) + 1 + further, f"{len(rows)} lines of {shown} pictures")
    figure = plt.figure(figsize=size, layout="compressed")
    axes = figure.subplots(len(rows), shown + 1, squeeze=False, subplot_kw=BARE)
    for (text, *pictures), row in zip(axes, rows, strict=True):
        size, region = len(row["image"]), (row.get("mask"), row.get("boxes"))
        sign, colour = ("✓ right", RIGHT) if row["right"] else ("✗ wrong", WRONG)
        text.set_aspect("equal")
        text.text(0, 0.5, f"{drawn[row['caption']]}\n{sign}", color=colour, va="center", transform=text.transAxes)
        if show_photo:
            photo, *pictures = pictures
            photo.imshow(row["image"])
            photo.set_title("image" if row is rows[0] else "")
            _outline(photo, size, *region)
        for ax, (title, cam) in zip(pictures, row["panels"], strict=False):
            _heat(ax, cam, row["image"] if show_photo else None, size)
            if not same_titles or row is rows[0]:
                ax.set_title(drawn[title])
            if cam is not None:
                _outline(ax, size, *region)
    shades = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), HEAT)
    bar = figure.colorbar(shades, ax=axes, ticks=[0, 0.5, 1], shrink=min(1, 2 / len(rows)), pad=0.01)
    bar.set_label("share of the\nmap's maximum")
    return figure


def save(figure: Figure, path, data: pd.DataFrame) -> None:
    """Writes the figure as <path>.png and <path>.svg and the numbers it shows as <path>.csv."""
    path, kinds = Path(path), (("png", {"dpi": 150}), ("svg", {"metadata": {"Date": None}}))
    for kind, options in kinds:  # no date and a fixed salt: the same figure gives the same file
        with atomic_write(path.with_name(f"{path.name}.{kind}")) as temporary, mpl.rc_context({"svg.hashsalt": "0"}):
            figure.savefig(temporary, format=kind, **options)
    with atomic_write(path.with_name(f"{path.name}.csv")) as temporary:
        data.to_csv(temporary, index=False)


def _outline(ax, size, mask, boxes):
    """Draw the edge of a mask (size, size) and boxes (k, 4) in an image's pixel coordinates."""
    if mask is not None and mask.any():
        # Padding closes the outline of an object that reaches the frame.
        at = np.arange(-1, size + 1).clip(-0.5, size - 0.5)
        ax.contour(at, at, np.pad(mask, 1) * 1.0, [0.5], colors="white", linewidths=2).set_path_effects(EDGE)
    for x0, y0, x1, y1 in () if boxes is None else np.asarray(boxes) * size - 0.5:
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color="white", linewidth=2, path_effects=EDGE))


def _heat(ax, cam, image, size):
    """Draw one raw map, over the grey image where given; a map that is zero everywhere is hatched instead."""
    centred = {"ha": "center", "va": "center", "transform": ax.transAxes}
    ax.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect="equal")
    if cam is None:
        ax.text(0.5, 0.5, "no map", **centred)
        return
    cam = torch.as_tensor(np.asarray(cam))
    ax.set_xlabel(f"grid {cam.shape[0]}×{cam.shape[1]}", fontsize="small")
    if cam.any():
        shades = plt.get_cmap(HEAT)(heatmap(cam[None], size)[0].numpy())[..., :3]
        if image is not None:
            shades = 0.6 * shades + 0.4 * image.astype(float).mean(2, keepdims=True) / 255
        ax.imshow(shades)
    else:
        ax.add_patch(Rectangle((0, 0), 1, 1, transform=ax.transAxes, facecolor="0.85", edgecolor="0.6", hatch="//"))
        paper = {"facecolor": "0.85", "edgecolor": "none"}
        ax.text(0.5, 0.5, "no positive\nevidence", zorder=5, bbox=paper, **centred)


def _bounded(across, height, what):
    """The size of a figure, brought with its letters to at most 30 inch a side."""
    scale = min(1, 30 / max(across, height))
    if mpl.rcParams["font.size"] * scale < SMALL:
        raise ReproError(f"{what} are too many for one figure: draw fewer of them at a time")
    mpl.rcParams["font.size"] *= scale
    return min(30, across * scale), min(30, height * scale)


def _further(titles):
    """The room in inches that the highest title needs where it has more than two lines."""
    lines = max((title.count("\n") for title in titles), default=0) + 1
    return 0.25 * (lines - 1) if lines > 2 else 0


def _letters(texts, inches):
    """The size in points at which each text fits into a square of `inches`; 0 where it could not be read."""
    most = mpl.rcParams["font.size"]
    lines = max(text.count("\n") for text in texts) + 1
    points = min(most, most * inches / width(texts), 60 * inches / lines)
    return points if points >= SMALL_NUMBER else 0


def _name(axis, names, inches, level=False):
    """Name the classes on an axis with `inches` for each; where there is no room for all names, every n-th."""
    points = 60 * inches  # of letters, with a fifth between the lines
    step = math.ceil(SMALL / points)
    style: dict[str, Any] = {"fontsize": min(mpl.rcParams["font.size"], points * step)}
    if axis.axis_name == "x" and not level:
        slanted = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
        style |= slanted if inches > 0.4 and width(names) < 1.5 else {"rotation": 90}
    axis.set_ticks(range(0, len(names), step), names[::step], **style)


def _sides(count, names):
    """The side of each of `count` matrices over the classes `names`, and the size of their figure, in inches."""
    side = min(max(2.6, 0.85 * len(names)), 14 if count == 1 else 7.6)
    further = max(0, width(names) - 1.2)
    return side, (3.5 + count * (side + 0.5) + further, 2 + side + further)


def _confusion(ax, counts, names, title, side):
    """One confusion matrix, shares as colour and, above the counts, as text; returns the picture and the shares."""
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)  # zeros for a class without images
    text = shares.map("{:.0%}".format) + counts.map("\n{}".format)
    return _matrix(ax, shares, text, names, title, side, cmap=HEAT, vmin=0, vmax=1), shares


def _matrix(ax, values, text, names, title, side, **colours):
    """One matrix (K, K), rows = truth, with a text in each cell, dark on light and light on dark."""
    picture, place = ax.imshow(values, **colours), side / len(values)
    letters = min(12.5, _letters(text.to_numpy().ravel(), 0.85 * place))
    for (i, j), value in np.ndenumerate(values.to_numpy() if letters else []):
        colour = "black" if sum(picture.to_rgba(value)[:3]) > 1.5 else "white"
        ax.text(j, i, text.iloc[i, j], ha="center", va="center", color=colour, fontsize=letters)
    ax.set(title=shorten([title], side, lines=3)[0], xlabel="predicted")
    _name(ax.xaxis, names, place)
    _name(ax.yaxis, names, place)
    return picture
