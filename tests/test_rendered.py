"""The embedded photographs hold what lesson 1 teaches from, and nothing but the object depends on the class."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import chi2_contingency, kruskal

FOLDER = Path(__file__).resolve().parents[1] / "data" / "rendered"
CLASSES = ["cardboard", "glass", "metal", "paper", "plastic", "trash"]


@pytest.fixture(scope="module")
def scenes():
    """scenes.csv, with a column label."""
    table = pd.read_csv(FOLDER / "scenes.csv", keep_default_na=False)
    return table.assign(label=table["image"].str.split("/").str[0])


def test_every_scene_has_its_picture_and_its_mask(scenes):
    """One row, one JPEG and one 1-bit PNG of the same size for each, and no other file."""
    masks = FOLDER.with_name("rendered_masks")
    names = {path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*")}
    assert names == set(scenes["image"]) and len(names) == 1800
    assert {path.relative_to(masks).with_suffix(".jpg").as_posix() for path in masks.glob("*/*")} == names
    for image in scenes["image"][::50]:
        photograph, mask = Image.open(FOLDER / image), Image.open((masks / image).with_suffix(".png"))
        assert photograph.size == mask.size == (256, 256) and photograph.format == "JPEG" and mask.mode == "1"
    assert sum(path.stat().st_size for folder in (FOLDER, masks) for path in folder.rglob("*")) < 40e6


def test_classes_twins_and_conflicts(scenes):
    """Unequal classes with trash the smallest, about 8 % in pairs of twins, three pictures under two labels."""
    counts = Counter(scenes["label"])
    assert (
        sorted(counts) == CLASSES
        and min(counts, key=counts.get) == "trash"
        and max(counts.values()) > 2 * counts["trash"]
    )
    twins = scenes[scenes["twin_of"] != ""].set_index("image")
    assert 0.06 < 2 * len(twins) / len(scenes) < 0.10 and set(twins["twin"]) == {"angle", "light"}
    originals = scenes.set_index("image").loc[twins["twin_of"]]
    for column in ("label", "kind", "attempt", "ground"):
        assert (originals[column].to_numpy() == twins[column].to_numpy()).all()
    copies = scenes[scenes["same_as"] != ""]
    assert len(copies) == 3
    for copy, original in zip(copies["image"], copies["same_as"], strict=True):
        assert copy.split("/")[0] != original.split("/")[0]
        assert len({hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in (copy, original)}) == 1


def test_masks_are_what_the_table_says(scenes):
    """The object covers 8 to 70 % of the frame; a twin, whose view was not chosen for it, may cover a little less."""
    for _, row in scenes.iloc[::40].iterrows():
        mask = np.asarray(Image.open(Path(f"{FOLDER}_masks", row["image"]).with_suffix(".png")))
        assert mask.mean() == pytest.approx(row["area"], abs=1e-4)
    assert (
        scenes.loc[scenes["twin"] == "", "area"].between(0.08, 0.70).all() and scenes["area"].between(0.05, 0.75).all()
    )


@pytest.mark.parametrize("column", ["ground", "light"])
def test_places_do_not_depend_on_the_class(scenes, column):
    """Grounds and lights are shared out alike (chi-squared test over pictures without twins)."""
    table = scenes[(scenes["twin"] == "") & (scenes["same_as"] == "")]
    assert chi2_contingency(pd.crosstab(table["label"], table[column])).pvalue > 0.01


@pytest.mark.parametrize("seen", ["scene columns", "area of the object", "colours of the background"])
def test_what_is_not_the_object_does_not_give_the_class_away(seen):
    """A classifier that sees it alone has chance, 1/6, within its interval."""
    found = pd.read_csv(FOLDER.parent / "scenes" / "independence.csv", index_col="seen").loc[seen]
    assert found["low"] < 1 / 6 < found["high"]


@pytest.mark.parametrize("column", ["clutter", "elevation", "field"])
def test_views_do_not_depend_on_the_class(scenes, column):
    """Camera and clutter have one distribution (Kruskal and Wallis)."""
    table = scenes[(scenes["twin"] == "") & (scenes["same_as"] == "")]
    assert kruskal(*(part[column] for _, part in table.groupby("label"))).pvalue > 0.01
