"""Figures: what they show is checked on the drawn artists; how they look, on the pictures themselves."""

import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager

from paper_repro import evaluate, figures, lettering
from paper_repro.augment import to_input
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
    images = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), dtype=np.uint8)
    masks = np.zeros((4, 32, 32), bool)
    masks[:, 8:24, 8:24] = True
    boxes = [np.array([[0, 0, 0.5, 1]])] + [np.empty((0, 4))] * 3
    labels = ["two\nlines", "a name that is much too long for its place", "x", "paper"]
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
    """Two panels per stage; the gates of G blocks lie side by side; a model without gates is an error."""
    rng = np.random.default_rng(0)
    gates = {"layer1": rng.random((3, 20, 8)), "layer2": rng.random((1, 20, 16)) * 2}
    shares = {"layer1": {"class": rng.random(24)}, "layer2": {"class": rng.random(16)}}
    figure = figures.gate_profiles(gates, shares)
    lengths = [len(ax.lines[0].get_ydata()) for ax in figure.axes]
    assert lengths == [24, 16, 24, 16] and (np.diff(figure.axes[2].lines[0].get_ydata()) <= 0).all()
    assert figure.axes[0].get_ylim() == (0, 2)
    with pytest.raises(ReproError, match="none"):
        figures.gate_profiles({}, {})


def test_intervals_leave_the_reference_without_a_difference():
    """A point with its interval for each name, and beside it the difference of all but the reference."""
    right = pd.DataFrame({"none": [1, 0, 0, 1], "stage": [1, 1, 0, 1]}, pd.Index(list("abcd"), name="image"))
    figure = figures.intervals(evaluate.compared(right, "none"), "none")
    (accuracies, _), (differences, zero) = (
        [line.get_xdata() for line in ax.lines[:1] + ax.lines[-1:]] for ax in figure.axes
    )
    assert list(accuracies) == [50, 75] and np.isnan(differences[0]) and differences[1] == 25 and set(zero) == {0}


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


def test_the_photograph_shows_through_a_map():
    """Where a map is zero the photograph is as it was, in grey; at the map's maximum it is still to be told apart.
    Every cell of the map has one colour."""
    cam, size = np.array([[0.0, 2], [0, 1]]), 64
    image = np.zeros((size, size, 3), np.uint8)
    image[::2] = 255
    mixed = figures.overlay(cam, image)
    assert mixed.shape == image.shape and (mixed >= 0).all() and (mixed <= 1).all()
    assert np.array_equal(mixed[:, : size // 2], image[:, : size // 2] / 255)
    brightest = mixed[: size // 2, size // 2 :]
    assert np.ptp(brightest, axis=1).max() == 0 and (brightest[0, 0] - brightest[1, 0] > 0.25).all()
    assert np.array_equal(figures.overlay(0 * cam, image), image / 255)
    assert np.array_equal(figures.overlay(1e-9 * cam, image), mixed), "a map's own scale does not matter"


def test_save_gallery_keeps_photographs_apart(tmp_path):
    """Where photographs may not be published, they are in the second folder alone; the numbers are the raw maps."""
    row = gallery_row(np.arange(16.0).reshape(4, 4)) | {"name": "glass/1.jpg", "arm": "none"}
    row["panels"] = row["panels"][:1]
    figures.save_gallery([row], tmp_path / "own", "map")
    figures.save_gallery([row], tmp_path / "maps", "map", tmp_path / "photographs")
    own, maps, photographs = ((tmp_path / name / "map.png").read_bytes() for name in ("own", "maps", "photographs"))
    assert own == photographs != maps
    numbers = pd.read_csv(tmp_path / "maps" / "map.csv")
    assert numbers["cam"].tolist() == list(range(16)) and set(numbers["image"]) == {"glass/1.jpg"}


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


def drawn(function, names, arms=("none", "stage")):
    """A figure of the function for classes `names`, whose numbers are made up."""
    rng, many = np.random.default_rng(0), len(names)
    table = rng.poisson(3, (many, many)) + np.diag(rng.integers(20, 2000, many))
    counts = pd.DataFrame(table, pd.Index(names, name="truth"), names)
    if function == "confusion_matrix":
        return figures.confusion_matrix(counts, f"{arms[0]}, fold 0")
    if function == "confusion_pair":
        return figures.confusion_pair(counts, counts.iloc[::-1].set_axis(counts.index), arms[:2])
    if function == "class_counts":
        labels = np.repeat(names, np.diag(table))
        return figures.class_counts(pd.DataFrame({"label": labels, "excluded": rng.random(len(labels)) < 0.1}))
    if function == "intervals":
        right = pd.DataFrame(rng.random((20, many)) < 0.8, [f"{i}" for i in range(20)], names).rename_axis("image")
        return figures.intervals(evaluate.compared(right, names[0]), names[0])
    if function == "per_class":
        index = pd.MultiIndex.from_product([arms, names, ["precision", "recall"]], names=["arm", "class", "measure"])
        table = pd.DataFrame({"share": 0.5, "low": 0.4, "high": 0.7}, index).reset_index()
        return figures.per_class(table, pd.Series(9, names))
    images = rng.integers(0, 255, (12, 8, 8, 3), dtype=np.uint8)
    if function == "sample_grid":
        return figures.sample_grid(images, [f"{names[i % many]}:\n{names[-i % many]} {i}%" for i in range(12)])
    if function == "heatmap_gallery":
        panels = [(f"layer4: {name} 30%\nmaximum 2", np.ones((2, 2))) for name in names[:3]]
        rows = [{"image": image, "panels": panels, "right": True} for image in images[:3]]
        return figures.heatmap_gallery([row | {"caption": f"truth {names[0]}\nstage: {names[-1]} 81%"} for row in rows])
    if function == "training_curves":
        history = {f"{part}_{what}": [3, 2] for part in ("train", "validation") for what in ("loss", "accuracy")}
        return figures.training_curves(dict.fromkeys(arms, pd.DataFrame({"epoch": [1, 2], "best": True} | history)))
    probabilities = rng.dirichlet(np.ones(many), 30)
    frame = evaluate.predictions_frame([f"{i}" for i in range(30)], 0, np.arange(30) % many, probabilities, names)
    return figures.reliability_diagram(dict.fromkeys(arms, frame), names)


def places(figure, monkeypatch):
    """The text and the corners (4, 2), in pixels, of every text drawn outside the cells of a matrix."""
    seen, draw, found = [], plt.Text.draw, []
    monkeypatch.setattr(plt.Text, "draw", lambda text, renderer: (seen.append(text), draw(text, renderer)))
    figure.draw_without_rendering()
    monkeypatch.undo()
    cells = {text for ax in figure.axes if ax.images for text in ax.texts}
    for text in seen:
        if text in cells or not text.get_text() or not text.get_visible():
            continue
        box, angle = text.get_window_extent(), text.get_rotation()
        corners = box.corners()[[0, 1, 3, 2]]
        if angle % 90:  # the upright box around a slanted text reaches over its neighbours
            text.set_rotation(0)
            half = text.get_window_extent().size / 2
            text.set_rotation(angle)
            turned = mpl.transforms.Affine2D().rotate_deg(angle).transform(half * [[-1, -1], [-1, 1], [1, 1], [1, -1]])
            corners = turned + (box.min + box.max) / 2
        found.append((text.get_text(), corners))
    return found


def overlap(a, b):
    """Whether two rectangles (4, 2) overlap by more than a pixel: no direction of a side separates them."""
    for corners in (a, b):
        for side in (corners[1] - corners[0], corners[2] - corners[1]):
            along = side / np.hypot(*side)
            if min((a @ along).max(), (b @ along).max()) - max((a @ along).min(), (b @ along).min()) < 1:
                return False
    return True


def check_layout(figure, monkeypatch):
    """At most 30 inch; letters of at least 7 points, none cut, no text over another, numbers inside their cells."""
    assert max(figure.get_size_inches()) <= 30
    found = places(figure, monkeypatch)
    for text, corners in found:
        assert (corners.min(0) >= -2).all() and (corners.max(0) <= figure.bbox.max + 2).all(), f"{text!r} is cut"
    low, high = (np.array([ends(corners, axis=0) for _, corners in found]) for ends in (np.min, np.max))
    near = (low[:, None] < high).all(2) & (low < high[:, None]).all(2)
    for i, j in np.argwhere(np.triu(near, 1)):
        (one, a), (other, b) = found[i], found[j]
        numbers = {"-−.0123456789".find(letter) for letter in one + other}  # those of two axes meet at the corner
        assert -1 not in numbers or not overlap(a, b), f"{one!r} lies over {other!r}"
    assert min(text.get_fontsize() for text in figure.findobj(plt.Text) if text.get_text()) >= 7
    for ax in figure.axes:
        cell = ax.bbox.width / ax.images[0].get_array().shape[1] if ax.images else np.inf
        assert all(max(text.get_window_extent().size) <= cell for text in ax.texts)


FUNCTIONS = [
    "confusion_matrix",
    "confusion_pair",
    "class_counts",
    "intervals",
    "per_class",
    "sample_grid",
    "heatmap_gallery",
    "training_curves",
    "reliability_diagram",
]
UNBROKEN = "polyethylene_terephthalate_bottle_without_its_cap_{:03}_label"
WIDE = "W" * 57 + "{:03}"


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("many", "name"),
    [
        (2, WIDE),
        (6, "class {}"),
        (8, "Miscellaneous Trash {}"),
        (12, UNBROKEN),
        (40, "class {}"),
        (100, "Miscellaneous Trash {}"),
    ],
)
def test_many_and_long_names_have_their_room(function, many, name, monkeypatch):
    """Whatever the number and the length of the names: at most 30 inch, and every text can be read."""
    check_layout(drawn(function, [name.format(i) for i in range(many)]), monkeypatch)


@pytest.mark.parametrize(
    ("function", "many"), [("training_curves", 40), ("reliability_diagram", 14), ("per_class", 10)]
)
def test_many_arms_have_their_room(function, many, monkeypatch):
    """Many arms with long names, as many as a figure holds or more than stand side by side."""
    check_layout(drawn(function, CLASSES, [UNBROKEN.format(i) for i in range(many)]), monkeypatch)


def test_many_pictures_get_smaller_or_are_refused(monkeypatch):
    """Pictures shrink with their letters down to 7 points; more of them are an error that says what to do."""
    row = gallery_row(np.ones((4, 4)))
    images = np.zeros((120, 4, 4, 3), np.uint8)
    check_layout(figures.sample_grid(images[:90], ["glass:\nmetal 99%"] * 90), monkeypatch)
    check_layout(figures.heatmap_gallery([row] * 16), monkeypatch)
    wide = row | {"panels": [(f"layer{i}", np.ones((4, 4))) for i in range(16)]}
    check_layout(figures.heatmap_gallery([wide]), monkeypatch)
    history = pd.DataFrame({"best": [True]})
    for draw in (
        lambda: figures.sample_grid(np.tile(images, (3, 1, 1, 1)), ["glass"] * 360),
        lambda: figures.heatmap_gallery([row] * 60),
        lambda: figures.heatmap_gallery([row | {"panels": row["panels"] * 20}]),
        lambda: figures.gate_profiles({i: np.ones((1, 2, 4)) for i in range(40)}, {}),
        lambda: figures.training_curves(dict.fromkeys(range(41), history)),
        lambda: figures.reliability_diagram(dict.fromkeys(range(90)), CLASSES),
    ):
        with pytest.raises(ReproError, match="draw fewer"):
            draw()


def test_numbers_are_left_out_where_they_cannot_be_read():
    """Twelve classes have their numbers, forty only colours and all names; 100 do not fill the memory."""
    assert any("%" in text for text in texts(drawn("confusion_pair", [f"class {i}" for i in range(12)])))
    names = [f"class {i}" for i in range(40)]
    for function in ("confusion_matrix", "confusion_pair"):
        found = texts(drawn(function, names))
        assert not any("%" in text for text in found) and set(names) <= set(found)
    figure = drawn("confusion_matrix", [f"class {i}" for i in range(100)])
    assert np.prod(figure.get_size_inches() * 150) * 4 < 100e6  # bytes of the picture that `save` draws


def test_shortened_names_stay_different():
    """Names that differ only where they are cut, at their end or not at all."""
    names = ["a" * 30 + f"{i:02}" + "b" * 30 for i in range(20)] + ["a" * 60 + f"{i:02}" for i in range(20)] + ["a"]
    with mpl.rc_context({"font.size": 15}):
        for inches, lines in ((3, 1), (2.1, 3), (1, 1)):
            short = lettering.shorten(names, inches, lines)
            assert len(set(short)) == len(names) and lettering.width(short) <= inches
            assert short[-1] == "a" and all("…" in name for name in short[:-1])
        assert lettering.shorten(["two\nlines", "", "Miscellaneous Trash"], 3) == [
            "two\nlines",
            "",
            "Miscellaneous Trash",
        ]


@pytest.fixture
def few_fonts(monkeypatch):
    """A machine with matplotlib's own fonts only."""
    own = [font for font in fontManager.ttflist if font.fname.startswith(mpl.get_data_path())]
    monkeypatch.setattr(fontManager, "ttflist", own)
    monkeypatch.setattr(lettering, "findSystemFonts", list)


def make_font(path, family, characters):
    """A font file whose every character is the same square."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 800), (900, 800), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    glyphs = [".notdef", *(f"u{ord(c):x}" for c in characters)]
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({ord(c): f"u{ord(c):x}" for c in characters})
    builder.setupGlyf(dict.fromkeys(glyphs, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return str(path)


def warned(draw, folder):
    """The figure, and every warning of drawing it, showing it and saving it."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        figure = draw()
        figure.canvas.draw()
        figures.save(figure, folder / "figure", pd.DataFrame())
    return figure, [str(warning.message) for warning in found]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_characters_without_a_font_become_codes(function, few_fonts, tmp_path):
    """One warning per figure names the characters and the package; the names can be told apart."""
    names = ["垃圾", "废纸", "x"]
    figure, messages = warned(lambda: drawn(function, names, names), tmp_path)
    assert len(messages) == 1 and "垃" in messages[0] and "fonts-noto-cjk" in messages[0]
    found = "".join(texts(figure))
    assert "\\u5783\\u573e" in found and "\\u5e9f\\u7eb8" in found and "垃" not in found


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ごみ", r"\u3054\u307f"),
        ("쓰레기", r"\uc4f0\ub808\uae30"),
        ("कचरा", r"\u0915\u091a\u0930\u093e"),
        ("ขยะ", r"\u0e02\u0e22\u0e30"),
        ("🗑 waste", r"\U0001f5d1 waste"),
    ],
)
def test_other_scripts_without_a_font(name, shown, few_fonts, tmp_path):
    """Japanese, Korean, Hindi, Thai and emoji, alone or among Latin letters."""
    figure, messages = warned(lambda: drawn("class_counts", [name, "glass"]), tmp_path)
    assert shown in texts(figure) and len(messages) == 1 and name[0] in messages[0]


@pytest.mark.parametrize("name", ["زجاج", "Ku\u0308che", "стекло", "verre à pied", "a $x$ b", "♻ ♻\ufe0f", "{a}_^\\%"])
def test_names_that_need_no_other_font_stay_as_they_are(name, few_fonts, tmp_path):
    """Arabic, a combining mark, Cyrillic, accents, mathematics, signs: no warning and no change."""
    figure, messages = warned(lambda: drawn("class_counts", [name, "glass"]), tmp_path)
    assert name in texts(figure) and not messages


def test_control_characters_are_written_as_codes(few_fonts, tmp_path):
    """A tab, a carriage return and a byte that is no text: no font has them, so there is nothing to install."""
    figure, messages = warned(lambda: drawn("class_counts", ["a\tb", "a\rb", "a\udcffb"]), tmp_path)
    assert {r"a\tb", r"a\rb", r"a\udcffb"} <= set(texts(figure)) and not messages


@pytest.mark.parametrize("function", FUNCTIONS)
def test_characters_are_drawn_with_an_installed_font(function, few_fonts, tmp_path):
    """No warning, the names as they are, and the font behind the usual one, in this figure only."""
    fontManager.addfont(make_font(tmp_path / "cjk.ttf", "Tiny CJK", "垃圾"))
    before = mpl.rcParams["font.family"]
    names = ["垃圾", "glass"]
    figure, messages = warned(lambda: drawn(function, names, names), tmp_path)
    assert not messages and mpl.rcParams["font.family"] == before
    named = [text for text in figure.findobj(plt.Text) if "垃圾" in text.get_text()]
    assert named and all(text.get_fontfamily() == [*before, "Tiny CJK"] for text in named)


def test_several_fonts_and_one_missing_character(few_fonts, tmp_path):
    """Each character is drawn with a font that has it; only what no font has becomes a code."""
    fontManager.addfont(make_font(tmp_path / "one.ttf", "Tiny CJK", "垃圾"))
    fontManager.addfont(make_font(tmp_path / "two.ttf", "Tiny Thai", "ขยะ"))
    figure, messages = warned(lambda: drawn("class_counts", ["垃圾", "ขยะ", "垃桶"]), tmp_path)
    assert {"垃圾", "ขยะ", r"垃\u6876"} <= set(texts(figure))
    assert len(messages) == 1 and "'桶'" in messages[0]


def test_a_font_installed_after_matplotlib_listed_the_fonts(few_fonts, tmp_path, monkeypatch):
    """The remedy of the warning works, although matplotlib keeps an old list; a broken font file is passed over."""
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    files = [make_font(tmp_path / "new.ttf", "Tiny New CJK", "垃圾"), str(tmp_path / "broken.ttf")]
    monkeypatch.setattr(lettering, "findSystemFonts", lambda: files)
    figure, messages = warned(lambda: drawn("class_counts", ["垃圾", "glass"]), tmp_path)
    assert "垃圾" in texts(figure) and not messages


def test_a_font_that_is_gone_is_passed_over(few_fonts, tmp_path):
    """matplotlib's list may name a font that was removed since."""
    path = make_font(tmp_path / "gone.ttf", "Tiny Gone CJK", "垃圾")
    fontManager.addfont(path)
    (tmp_path / "gone.ttf").unlink()
    _, messages = warned(lambda: drawn("class_counts", ["垃圾", "glass"]), tmp_path)
    assert len(messages) == 1


def test_first_epochs_do_not_flatten_the_curves():
    """A huge validation loss of the first epoch is named, and the axis ends where the other losses lie."""
    past = pd.DataFrame({"epoch": [1, 2, 3], "train_loss": [3.0, 2, 1.5], "validation_loss": [3070.0, 2, 1.6]})
    past = past.assign(train_accuracy=0.5, validation_accuracy=0.5, best=[False, False, True])
    figure = figures.training_curves({"none": past})
    assert 3 < figure.axes[0].get_ylim()[1] < 4 and any("3,070" in text for text in texts(figure))
    calm = figures.training_curves({"none": past.assign(validation_loss=[2.0, 2, 1.6])})
    assert calm.axes[0].get_title() == ""


def test_object_places():
    """Classes from the top in their order, and an image whose object is unknown left out."""
    regions = np.zeros((4, 8, 8), bool)
    regions[:2, :4], regions[2, :2] = True, True
    figure = figures.object_places(regions, ["glass", "metal", "metal", "metal"], CLASSES[1:])
    left, right = figure.axes[:2]
    assert left.images[0].get_array().max() == 100 and right.yaxis_inverted()
    medians = [line.get_xdata()[0] for line in right.lines if len(set(line.get_xdata())) == 1]
    assert {50, 37.5} <= set(medians)
    assert [label.get_text() for label in right.get_yticklabels()] == ["glass", "metal"]


def test_picture_undoes_the_normalisation():
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    assert np.allclose(figures.picture(to_input(image, 32)[0]), image[0] / 255, atol=1e-5)
