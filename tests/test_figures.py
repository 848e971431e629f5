"""Figures: what they show is checked on the drawn artists; how they look, on the pictures themselves."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from paper_repro import evaluate, figures, synthetic
from paper_repro.files import ReproError

CLASSES = ("a $x$ b", "glass", "metal")


@pytest.fixture(autouse=True)
def close_figures():
    """Each test leaves no open figure behind."""
    yield
    plt.close("all")


@pytest.fixture
def counts():
    return pd.DataFrame([[8, 2, 0], [1, 4, 0], [0, 0, 0]], pd.Index(CLASSES, name="truth"), CLASSES)


def texts(figure):
    """Every text that the figure draws."""
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(plt.Text) if text.get_text() and text.get_visible()]


def test_names_are_not_mathematics(counts):
    """A class called `a $x$ b` is written so, and does not end the run."""
    table = pd.DataFrame({"label": [*CLASSES, *"cdefgh"], "excluded": False})
    for figure in (figures.confusion_matrix(counts, "none"), figures.class_counts(table)):
        assert "a $x$ b" in texts(figure)
        assert not any(text.get_parse_math() for text in figure.findobj(plt.Text) if "$" in text.get_text())


def test_confusion_pair_shows_shares_and_their_difference(counts):
    """Rows are normalised, a class without images stays at zero, and the difference is centred at zero."""
    figure = figures.confusion_pair(counts, counts.iloc[:, ::-1].set_axis(CLASSES, axis=1), ("none", "stage"))
    found = texts(figure)
    assert "80%\n8" in found and "0%\n0" in found and "-80" in found and "+80" in found and "-0" not in found
    assert "stage minus none" in found
    limits = figure.axes[2].images[0].get_clim()
    assert limits == (-80, 80)


def test_sample_grid_and_class_counts():
    """The grid outlines masks and boxes where given; the bars hold the used and the excluded images."""
    images, masks, truth = synthetic.make(4, 32, seed=0)
    boxes = [np.array([[0, 0, 0.5, 1]])] + [np.empty((0, 4))] * 3
    labels = ["two\nlines", "a name that is much too long for its place", "x", synthetic.CLASSES[truth[3]]]
    figure = figures.sample_grid(images, labels, masks, boxes, columns=3)
    assert [ax.get_title().count("\n") for ax in figure.axes] == [1, 2, 0, 0, 0, 0]
    assert len(figure.axes) == 6 and len(figure.axes[0].patches) == 1 and not figure.axes[1].patches
    box = figure.axes[0].patches[0]
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (-0.5, -0.5, 16, 32)

    table = pd.DataFrame({"label": ["x"] * 3 + ["y"] * 2, "excluded": [False, False, True, False, False]})
    heights = [bar.get_height() for bar in figures.class_counts(table).axes[0].patches]
    assert heights == [2, 2, 1, 0]


def test_training_curves_mark_the_best_epoch():
    """One solid and one dashed line per arm and panel; the marker sits at the last best epoch."""
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "train_loss": [3, 2, 1],
            "validation_loss": [3, 1, 2],
            "train_accuracy": [0.1, 0.2, 0.3],
            "validation_accuracy": [0.1, 0.3, 0.2],
            "best": [True, True, False],
        }
    )
    figure = figures.training_curves({"none": history, "stage": history})
    lines = figure.axes[0].lines
    assert len(lines) == 4 and lines[1].get_markevery() == [1]


def test_gate_profiles_accept_one_and_several_gates():
    """One row per stage; the gates of G blocks lie side by side; a model without gates is an error."""
    rng = np.random.default_rng(0)
    gates = {"layer1": rng.random((3, 20, 8)), "layer2": rng.random((1, 20, 16)) * 2}
    figure = figures.gate_profiles(gates, np.arange(20) % 2, CLASSES)
    maps = [ax.images[0].get_array().shape for ax in figure.axes if ax.images]
    assert maps == [(3, 24), (3, 16)]
    with pytest.raises(ReproError, match="none"):
        figures.gate_profiles({}, [], CLASSES)


def test_reliability_diagram_has_a_panel_per_arm():
    """Each arm has its accuracies and, below, its images per bin."""
    probabilities = np.array([[0.8, 0.1, 0.1], [0.4, 0.3, 0.3]])
    frame = evaluate.predictions_frame(["i", "j"], 0, [0, 1], probabilities, CLASSES)
    figure = figures.reliability_diagram({"none": frame, "stage": frame}, CLASSES)
    assert [ax.get_title() for ax in figure.axes[:2]] == ["none", "stage"]
    assert sum(bar.get_height() for bar in figure.axes[2].patches) == 2


def gallery_row(cam):
    return {
        "image": np.full((16, 16, 3), 200, np.uint8),
        "caption": "truth glass",
        "right": False,
        "panels": [("layer3", cam), ("layer4", None)],
        "boxes": np.array([[0.1, 0.1, 0.9, 0.9]]),
    }


def test_gallery_never_stretches_an_empty_map():
    """A map that is zero everywhere is hatched and named, with its grid, and has no picture."""
    figure = figures.heatmap_gallery([gallery_row(np.zeros((4, 4)))])
    panel = figure.axes[2]
    assert not panel.images and any(patch.get_hatch() for patch in panel.patches)
    found = texts(figure)
    assert "no positive\nevidence" in found and "grid 4×4" in found and "no map" in found
    assert "truth glass\n✗ wrong" in found


def test_gallery_without_photo_shows_no_photo():
    """With show_photo=False the panels do not depend on the photograph's pixels."""
    cam = np.arange(16.0).reshape(4, 4)
    bright, dark = gallery_row(cam), gallery_row(cam) | {"image": np.zeros((16, 16, 3), np.uint8)}

    def pictures(row, show_photo):
        figure = figures.heatmap_gallery([row], show_photo)
        return [np.asarray(image.get_array()) for ax in figure.axes for image in ax.images]

    hidden = [pictures(row, False) for row in (bright, dark)]
    assert all(np.array_equal(a, b) for a, b in zip(*hidden, strict=True))
    assert len(pictures(bright, True)) == len(hidden[0]) + 1


def test_save_writes_three_files_and_repeats_them(tmp_path, counts):
    """PNG, SVG and CSV appear together, also for a name with a dot, and a second time with the same bytes."""
    for folder in ("one", "two"):
        figure = figures.confusion_matrix(counts)
        figures.save(figure, tmp_path / folder / "confusion_v1.5", counts.reset_index())
    for kind in ("png", "svg", "csv"):
        one, two = ((tmp_path / folder / f"confusion_v1.5.{kind}").read_bytes() for folder in ("one", "two"))
        assert one == two and len(one) > 50
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        f"confusion_v1.5.{kind}" for kind in ("csv", "png", "svg")
    ]
