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
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from paper_repro.augment import MEAN, STD
from paper_repro.evaluate import reliability
from paper_repro.files import ReproError, atomic_write, save_table
from paper_repro.lettering import readable, shorten, width

COLOURS = sns.color_palette("colorblind", 10)
RIGHT, WRONG = COLOURS[0], COLOURS[3]
SIGNS = {True: ("✓ right", RIGHT), False: ("✗ wrong", WRONG), None: ("", "black")}
HEAT, DIVERGING = "viridis", "PuOr"
OPAQUE, GREY = 0.7, 0.6  # of a map's colour at its maximum; of the photograph where there is none
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
def sample_grid(images, labels, masks=None, boxes=None, columns: int = 6, side: float = 2.4) -> Figure:
    """Images (N, S, S, 3), N > 0, with a label each and, where given, the outline of masks (N, M, M) or boxes.

    Images may be of different sizes. `side` is that of a picture in inches; at 3.2 a notebook shows about 256 pixels.
    """
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    labels = shorten(readable(labels), side - 0.3, lines=3)
    size = _bounded(side * columns, (side + 0.3 + _further(labels)) * rows, f"{rows} × {columns} images")
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


def picture(view) -> np.ndarray:
    """A network's input, normalised (3, S, S), as the picture that it was: (S, S, 3) in [0, 1]."""
    return (view.permute(1, 2, 0).numpy() * np.array(STD) + np.array(MEAN)).clip(0, 1)


@lecture
def object_places(regions, labels, classes) -> Figure:
    """Left: the share of the images with the object at each place. Right: per class, the object's share of the frame.

    Args:
        regions: whether the object lies at each place of a grid, (N, g, g) bool; an image without any is left out.
        labels: the images' classes (N,).
    """
    regions, labels = np.asarray(regions), np.asarray(labels)
    share = 100 * regions.mean((1, 2))
    names = shorten(readable(classes), NAME)
    size = _bounded(13, max(4.5, 1 + 0.3 * len(names)), f"{len(names)} classes")
    figure, (left, right) = plt.subplots(1, 2, figsize=size, width_ratios=(1, 1.6))
    shown = left.imshow(100 * regions[share > 0].mean(0), cmap=HEAT, vmin=0, vmax=100)
    left.set(xticks=[], yticks=[], title="images with the object here")
    figure.colorbar(shown, ax=left, format="%.0f %%")
    right.boxplot([share[(labels == label) & (share > 0)] for label in classes], orientation="horizontal")
    right.set(xlim=(0, 100), xlabel="object's share of the frame, %")
    right.set_yticks(range(1, len(names) + 1), names)
    right.invert_yaxis()  # the first class on top, as in every table
    return figure


@lecture
def training_curves(histories: dict[str, pd.DataFrame]) -> Figure:
    """Loss and accuracy per epoch of each arm's history: training, validation and its best epoch.

    The axis of the loss ends where the curves are to be compared. Where a validation loss of the first epochs lies far
    above it, the title names the highest value.
    """
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
    top = 1.1 * max(max(past["train_loss"].max(), past["validation_loss"].median()) for past in histories.values())
    highest = max(past["validation_loss"].max() for past in histories.values())
    if highest > top:
        axes[0].set(ylim=(0, top), title=f"above the axis: validation loss up to {highest:,.1f}")
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
def per_class(table: pd.DataFrame, support: pd.Series) -> Figure:
    """Precision and recall of each class with their intervals, the arms one below the other.

    Args:
        table: a row per arm, class and measure ("precision" or "recall"): share, low, high in [0, 1], NaN where there
            is none.
        support: class -> number of its photographs, in the order in which the classes are drawn.
    """
    arms, classes = list(table["arm"].unique()), list(support.index)
    drawn = readable([*classes, *arms])
    names, labels = shorten(drawn[: len(classes)], NAME), shorten(drawn[len(classes) :], 10)
    names = [f"{name} ({images:,})" for name, images in zip(names, support, strict=True)]
    columns = max(1, min(4, int(11 / (width(labels) + 1))))
    further = 1.3 + 0.4 * math.ceil(len(arms) / columns)
    height = min(30, further + (0.3 + 0.25 * len(arms)) * len(classes))
    figure, axes = plt.subplots(1, 2, figsize=(11 + width(names), height), sharey=True)
    for ax, measure in zip(axes, ("precision", "recall"), strict=True):
        found = table[table["measure"] == measure].set_index(["arm", "class"])
        for i, arm in enumerate(arms):
            share, low, high = 100 * found.loc[arm].loc[classes, ["share", "low", "high"]].to_numpy(float).T
            heights = np.arange(len(classes)) + 0.8 * ((i + 0.5) / len(arms) - 0.5)
            style = {"fmt": "osDv^<>P*X"[i % 10], "color": COLOURS[i % 10], "markersize": 8, "linewidth": 1.5}
            ax.errorbar(share, heights, xerr=[share - low, high - share], label=labels[i], **style)
        ax.set(xlabel=f"{measure}, %, with its 95 % interval", xlim=(-2, 102))
        ax.grid(axis="x", alpha=0.3)
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    _name(axes[0].yaxis, names, (height - further) / len(names))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=columns)
    return figure


@lecture
def intervals(table: pd.DataFrame, reference: str) -> Figure:
    """Left: accuracies with their 95 % intervals. Right: the paired differences to the row `reference`.

    Args:
        table: as `evaluate.compared` returns it.
    """
    beside, *names = shorten(readable([reference, *table.index]), NAME)
    size = _bounded(12 + width(names), 1.8 + 0.6 * len(table), f"{len(table)} rows")
    figure, axes = plt.subplots(1, 2, figsize=size, sharey=True, width_ratios=(1.2, 1))
    columns = (["accuracy", "low", "high"], ["difference", "difference_low", "difference_high"])
    for ax, found in zip(axes, columns, strict=True):
        mean, low, high = 100 * table[found].to_numpy(float).T
        style = {"fmt": "o", "color": COLOURS[0], "markersize": 10, "capsize": 6}
        ax.errorbar(mean, range(len(table)), xerr=[mean - low, high - mean], **style)
    axes[0].set(yticks=range(len(table)), yticklabels=names, ylim=(len(table) - 0.5, -0.5))
    axes[0].set_xlabel("accuracy, %, with its 95 % interval")
    axes[1].set_xlabel(f"minus {beside},\npercentage points")
    axes[1].axvline(0, color="grey", linestyle="--", linewidth=1.5)
    return figure


@lecture
def gate_profiles(gates: dict, shares: dict) -> Figure:
    """The gates (G, N, C) of each stage, a column of two panels per stage; {} is an error.

    Above: the mean gate of each of the G x C channels over the N photographs, sorted, with the band that holds 80 % of
    the photographs. Below: how much of a channel's gate the class explains, sorted for each line.

    Args:
        shares: stage -> {what the photographs were grouped by: shares of the variance (G x C,), in [0, 1]}.
    """
    if not gates:
        raise ReproError("this model has no gates to draw: gate_profiles needs an attention arm, not `none`")
    size = _bounded(1.5 + 3.6 * len(gates), 7.2, f"{len(gates)} stages")
    figure, axes = plt.subplots(2, len(gates), figsize=size, squeeze=False, sharey="row")
    for (profile, explained), (stage, gate) in zip(axes.T, gates.items(), strict=True):
        gate = np.concatenate(list(np.asarray(gate)), axis=1)  # (N, G * C)
        gate = gate[:, np.argsort(-gate.mean(0))]
        low, high = np.quantile(gate, [0.1, 0.9], axis=0)
        profile.plot(gate.mean(0), color=COLOURS[0])
        profile.fill_between(range(gate.shape[1]), low, high, color=COLOURS[0], alpha=0.3, linewidth=0)
        profile.set(title=stage, xlabel="channel, sorted")
        for (label, share), colour, style in zip(shares[stage].items(), COLOURS[1:], ("-", "--", ":"), strict=False):
            explained.plot(np.sort(share)[::-1], style, color=colour, label=label)
        explained.set(xlabel="channel, sorted", ylim=(0, 1))
        for ax in (profile, explained):
            ax.locator_params(axis="x", nbins=3)
    top = max(1, math.ceil(max(np.asarray(gate).max() for gate in gates.values())))
    axes[0, 0].set(ylim=(0, top), ylabel="gate: mean\nand 80 % band")  # gates are in (0, 1), identity gates in (0, 2)
    axes[1, 0].set_ylabel("share explained\nby the class")
    figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@lecture
def heatmap_gallery(rows: list[dict], show_photo: bool = True) -> Figure:
    """Heat maps of the same image side by side, one image per row, each over the photograph in grey (`overlay`).

    Every map is scaled to its own maximum, so colours cannot be compared between panels, and names its grid.

    Args:
        rows: dicts with image (S, S, 3) uint8; panels, a list of (title, raw cam (h, w) or None where there is no map);
            caption; right, whether the prediction is right, None where that is not known; optionally mask (M, M) bool
            or boxes (k, 4).
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
        sign, colour = SIGNS[row["right"]]
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
    colours = mpl.colors.ListedColormap(_mixed(np.linspace(0, 1, 256), GREY))
    shades = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), colours)
    bar = figure.colorbar(shades, ax=axes, ticks=[0, 0.5, 1], shrink=min(1, 2 / len(rows)), pad=0.01)
    bar.set_label("share of the\nmap's maximum")
    return figure


def overlay(cam, image: np.ndarray) -> np.ndarray:
    """A raw map (h, w), scaled to its own maximum, over the photograph (H, W, 3) uint8 in grey: (H, W, 3) in [0, 1].

    Each cell of the map has one colour, which is as opaque as the map is high there. So the photograph stays visible,
    and no detail is shown that the map does not have. A map that is zero everywhere leaves the photograph alone.
    """
    cam = torch.as_tensor(np.asarray(cam)).float()
    share = F.interpolate((cam / cam.max().clamp(min=1e-12))[None, None], image.shape[:2], mode="nearest-exact")[0, 0]
    return _mixed(share.numpy(), image.astype(float).mean(2, keepdims=True) / 255)


def save_gallery(rows: list[dict], folder, name: str, photographs=None) -> Figure:
    """Draws rows of `gallery.Gallery.line` and saves them with the raw maps as numbers; returns the figure.

    Args:
        photographs: a folder of its own for the figure with photographs, where these may not be published; `folder`
            then gets the maps and the outlines alone.
    """
    numbers = [
        (row["name"], row["arm"], title.replace("\n", " "), y, x, float(value))
        for row in rows
        for title, cam in row["panels"]
        for (y, x), value in np.ndenumerate(np.asarray(cam))
    ]
    numbers = pd.DataFrame(numbers, columns=["image", "arm", "map", "row", "column", "cam"])
    versions = {Path(folder): True} if photographs is None else {Path(folder): False, Path(photographs): True}
    for place, show_photo in versions.items():
        figure = heatmap_gallery(rows, show_photo)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # work the layout out once, not for every file
        save(figure, place / name, numbers)
        if not show_photo:
            plt.close(figure)
    return figure


def save(figure: Figure, path, data: pd.DataFrame) -> None:
    """Writes the figure as <path>.png and <path>.svg and the numbers it shows as <path>.csv."""
    path, kinds = Path(path), (("png", {"dpi": 150}), ("svg", {"metadata": {"Date": None}}))
    for kind, options in kinds:  # no date and a fixed salt: the same figure gives the same file
        with atomic_write(path.with_name(f"{path.name}.{kind}")) as temporary, mpl.rc_context({"svg.hashsalt": "0"}):
            figure.savefig(temporary, format=kind, **options)
    save_table(data, path.with_name(f"{path.name}.csv"))


def _outline(ax, size, mask, boxes):
    """Draw the edge of a mask (M, M) and boxes (k, 4) in an image's pixel coordinates."""
    if mask is not None and mask.any():
        # Padding closes the outline of an object that reaches the frame.
        at = ((np.arange(-1, len(mask) + 1) + 0.5) * size / len(mask) - 0.5).clip(-0.5, size - 0.5)
        ax.contour(at, at, np.pad(mask, 1) * 1.0, [0.5], colors="white", linewidths=2).set_path_effects(EDGE)
    for x0, y0, x1, y1 in () if boxes is None else np.asarray(boxes) * size - 0.5:
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color="white", linewidth=2, path_effects=EDGE))


def _heat(ax, cam, image, size):
    """Draw one raw map over the image, or over plain grey; a map that is zero everywhere is hatched instead."""
    centred = {"ha": "center", "va": "center", "transform": ax.transAxes}
    ax.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect="equal")
    if cam is None:
        ax.text(0.5, 0.5, "no map", **centred)
        return
    cam = np.asarray(cam)
    ax.set_xlabel(f"grid {cam.shape[0]}×{cam.shape[1]}", fontsize="small")
    if cam.any():
        ax.imshow(overlay(cam, np.full((size, size, 3), 255 * GREY) if image is None else image))
    else:
        ax.add_patch(Rectangle((0, 0), 1, 1, transform=ax.transAxes, facecolor="0.85", edgecolor="0.6", hatch="//"))
        paper = {"facecolor": "0.85", "edgecolor": "none"}
        ax.text(0.5, 0.5, "no positive\nevidence", zorder=5, bbox=paper, **centred)


def _mixed(share, grey):
    """The colours (..., 3) of a map at `share` (...) of its maximum, over grey in [0, 1]."""
    opacity = OPAQUE * share[..., None]
    return opacity * plt.get_cmap(HEAT)(share)[..., :3] + (1 - opacity) * grey


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
