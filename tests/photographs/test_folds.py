"""Photographs of one thing stay on one side, classes stay balanced, and no image is in two parts."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance

from paper_repro.config import load_profile
from paper_repro.data import Dataset
from paper_repro.files import ReproError
from paper_repro.photographs.folds import committed_folds, load_folds, make_folds, near_duplicate_groups, split


def scene(seed: int, size: int = 96) -> Image.Image:
    """A random landscape of blobs, like no other."""
    rng = np.random.default_rng(seed)
    grid = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    return grid.resize((size, size), Image.Resampling.BICUBIC)


def squares(pictures, size=48) -> np.ndarray:
    return np.stack([np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR)) for picture in pictures])


def random_table(count: int = 300, seed: int = 0) -> pd.DataFrame:
    """Three classes of unequal size, groups of one to four images, one group with two labels, excluded."""
    rng = np.random.default_rng(seed)
    group = np.sort(rng.integers(0, count // 2, count))
    label = np.array(["glass", "metal", "trash"])[np.minimum(group % 5, 2)]
    table = pd.DataFrame({"image": [f"{name}/{n}.jpg" for n, name in enumerate(label)], "label": label, "group": group})
    table["excluded"] = table["group"] == group[7]
    return table


def test_changed_copies_share_a_group_and_others_do_not():
    """Brighter, flatter, greyer, slightly cropped, mirrored, turned by 180 degrees, another size: one photograph."""
    pictures = [scene(seed) for seed in range(60)]
    first = pictures[0]
    copies = [
        ImageEnhance.Brightness(first).enhance(1.2),
        ImageEnhance.Contrast(first).enhance(0.7),
        ImageEnhance.Color(first).enhance(0.6),
        first.crop((2, 1, 94, 93)),
        first.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        first.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        first.rotate(180),
        first.resize((30, 30)),
    ]
    groups = near_duplicate_groups(squares(pictures + copies))
    assert (groups[60:] == groups[0]).all()
    assert len(np.unique(groups)) == 60


def test_light_of_one_session_does_not_join_different_things():
    """A strong gradient of light, common to all, is no likeness."""
    gradient = np.linspace(0, 255, 96)[None, :, None]
    scenes = [0.75 * gradient + 0.25 * np.asarray(scene(seed)) for seed in range(40)]
    pictures = [Image.fromarray(picture.astype(np.uint8)) for picture in scenes]
    assert len(np.unique(near_duplicate_groups(squares(pictures)))) == 40


@pytest.mark.parametrize("count", [1, 2, 500])
def test_plain_pictures_share_a_group(count):
    """Thousands of equal pictures are one group, found without comparing all with all."""
    groups = near_duplicate_groups(np.full((count, 20, 20, 3), 200, np.uint8))
    assert groups.tolist() == [0] * count


def test_groups_do_not_depend_on_order():
    """Shuffled images give the same partition."""
    images = squares([scene(seed // 2).crop((0, 0, 96 - seed % 2, 96)) for seed in range(40)])
    order = np.random.default_rng(0).permutation(40)
    plain, shuffled = near_duplicate_groups(images), near_duplicate_groups(images[order])
    assert len(np.unique(plain)) == 20
    np.testing.assert_array_equal(plain[order][:, None] == plain[order], shuffled[:, None] == shuffled)


@pytest.mark.parametrize("num_folds", [2, 5])
def test_folds_keep_groups_and_proportions(num_folds):
    """Parts are disjoint and complete; a group is in one part; every class has its share; excluded images are out."""
    table = random_table()
    folds = make_folds(table, num_folds, seed=0)
    assert folds.columns.tolist() == ["image", "group", "fold", "validation_for", "excluded"]
    assert folds["image"].tolist() == table["image"].tolist()
    for fold in range(num_folds):
        parts = split(folds, fold)
        rows = np.concatenate([parts.train, parts.validation, parts.test])
        assert len(np.unique(rows)) == len(rows)
        assert set(rows) == set(np.flatnonzero(~table["excluded"]))
        groups = [set(table["group"].iloc[part]) for part in (parts.train, parts.validation, parts.test)]
        assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
        assert len(parts.validation) == pytest.approx(len(rows) / num_folds / 2, rel=0.15)
        share = table["label"].iloc[parts.test].value_counts(normalize=True)
        pd.testing.assert_series_equal(
            share.sort_index(), table["label"].value_counts(normalize=True).sort_index(), atol=0.04
        )
    validated = [split(folds, fold).validation for fold in range(num_folds)]
    assert len(np.unique(np.concatenate(validated))) == sum(map(len, validated))


def test_folds_depend_on_the_seed_only():
    """Same seed, same folds; another seed, others."""
    table = random_table()
    pd.testing.assert_frame_equal(make_folds(table, 5, seed=3), make_folds(table, 5, seed=3))
    assert not make_folds(table, 5, seed=3).equals(make_folds(table, 5, seed=4))


def test_random_folds_split_groups():
    """`grouped=False` is the usual split, for comparison: images of one group are in different folds."""
    folds = make_folds(random_table(), 5, seed=0, grouped=False)
    assert (folds.groupby("group")["fold"].nunique() > 1).any()
    assert folds["fold"].value_counts().max() - folds["fold"].value_counts().min() <= 3


def test_class_that_is_too_small_is_named():
    """Fewer independent photographs than folds cannot be split; copies of one photograph do not help."""
    table = random_table()
    rare = pd.DataFrame({"image": [f"rare/{n}" for n in range(9)], "label": "rare", "group": 9999, "excluded": False})
    with pytest.raises(
        ReproError, match="class 'rare' has 1 independent .* for 5 folds: have 10 independent .* of each class"
    ):
        make_folds(pd.concat([table, rare]), 5, seed=0)


@pytest.mark.parametrize(
    ("label", "group", "num_folds"),
    [
        ("aaaaabbbbbccccc", range(15), 5),
        ("aaaaaabbbbb", range(11), 5),
        ("aabb", range(4), 2),
        ("aaaabbbb", [0, 0, 0, 1, 0, 0, 0, 1], 2),
    ],
    ids=["as many as folds", "one more", "two of each", "a fold of one group"],
)
def test_fold_that_cannot_be_halved(label, group, num_folds):
    """A fold of which nothing can go to a validation part is refused with the number of photographs that is needed."""
    table = pd.DataFrame({"image": range(len(label)), "label": list(label), "group": list(group), "excluded": False})
    message = f"fold . has too few independent photographs to give a validation part: have {2 * num_folds} independent"
    with pytest.raises(ReproError, match=message):
        make_folds(table, num_folds, seed=0)


def test_few_photographs_give_parts_or_a_reason():
    """Of small data of any kind no part is empty, whatever is excluded, and nothing but a ReproError says otherwise."""
    rng, made = np.random.default_rng(0), 0
    for _ in range(150):
        label = np.repeat(["a", "b", "c"], rng.integers(2, 14, 3))
        group = rng.integers(0, 2 * len(label), len(label))
        table = pd.DataFrame({"image": np.arange(len(label)), "label": label, "group": group})
        table["excluded"] = np.isin(group, rng.choice(group, 3))
        num_folds = int(rng.integers(2, 5))
        try:
            folds = make_folds(table, num_folds, seed=0)
        except ReproError:
            continue
        made += 1
        assert all(len(rows) for fold in range(num_folds) for rows in vars(split(folds, fold)).values())
    assert made > 30


def test_unknown_fold_is_an_error():
    """The message names the folds there are."""
    with pytest.raises(ReproError, match="there is no fold 5: the folds are 0 to 4"):
        split(make_folds(random_table(), 5, seed=0), 5)


# ---- TrashNet's committed folds ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[0, 1])
def repeat(request):
    return request.param


@pytest.fixture(scope="module")
def committed(repeat):
    return committed_folds("trashnet", repeat)


def test_committed_folds_are_whole(committed):
    """All photographs by class and file name, six of them excluded, no group in two parts, classes balanced."""
    label = committed["image"].str.split("/").str[0]
    assert len(committed) == committed["image"].nunique() == 2527
    assert label.value_counts().to_dict() == {
        "cardboard": 403,
        "glass": 501,
        "metal": 410,
        "paper": 594,
        "plastic": 482,
        "trash": 137,
    }
    assert committed["excluded"].sum() == 6
    assert (committed.groupby("group")["fold"].nunique() == 1).all()
    assert (committed.groupby("group")["validation_for"].nunique() == 1).all()
    shares = pd.crosstab(committed["fold"], label, normalize="columns")
    assert shares.stack().between(0.19, 0.21).all()
    for fold in range(5):
        parts = split(committed, fold)
        assert sum(map(len, vars(parts).values())) == 2521
        assert len(parts.test) == pytest.approx(504, abs=8)
        assert len(parts.validation) == pytest.approx(252, abs=35)  # one group has 71 photographs
        assert set(label.iloc[parts.validation]) == set(label)


def test_repeats_share_groups_and_not_folds():
    """Another repeat deals the same groups out anew."""
    first, second = committed_folds("trashnet", 0), committed_folds("trashnet", 1)
    assert first[["image", "group", "excluded"]].equals(second[["image", "group", "excluded"]])
    assert (first["fold"] == second["fold"]).mean() < 0.4


def test_committed_folds_are_used_by_name(committed, repeat):
    """A data set with TrashNet's names gets them in its own order, for five folds and the committed repeats only."""
    table = committed.sample(frac=1, random_state=0).reset_index(drop=True)
    table["label"] = table["image"].str.split("/").str[0]
    dataset = Dataset("trashnet", ("cardboard",), np.empty(0), table, None, None, "")
    found = load_folds(dataset, load_profile("cpu"), repeat)
    assert found["image"].tolist() == table["image"].tolist()
    pd.testing.assert_frame_equal(
        found.sort_values("image", ignore_index=True), committed.sort_values("image", ignore_index=True)
    )
    assert load_folds(dataset, load_profile("cpu", num_folds=4, folds=[0]))["fold"].nunique() == 4
    assert not load_folds(dataset, load_profile("cpu"), 2)["fold"].equals(found["fold"])
    assert not load_folds(dataset, load_profile("cpu", grouped=False), repeat)["fold"].equals(found["fold"])
