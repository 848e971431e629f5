"""The embedded data set: deterministic, balanced, exactly masked, and not solved by colour."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from paper_repro.synthetic import CLASSES, draw, make


@pytest.fixture(scope="module")
def pictures():
    """Images, masks and truth of 480 small pictures."""
    return make(480, 32, seed=0)


def test_same_seed_and_index_give_the_same_picture():
    """A run can be repeated: nothing but seed and index decides a picture."""
    first, again = draw(7, 64, seed=3), draw(7, 64, seed=3)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1]) and first[2] == again[2]
    assert not np.array_equal(first[0], draw(7, 64, seed=4)[0])
    assert not np.array_equal(first[0], draw(8, 64, seed=3)[0])


def test_a_picture_does_not_depend_on_how_many_are_drawn():
    """A larger set starts with the smaller one, so that sizes of training sets can be compared."""
    few, many = make(5, 32, seed=1), make(14, 32, seed=1)
    assert all(np.array_equal(a, b[:5]) for a, b in zip(few, many, strict=True))
    assert np.array_equal(many[0][11], draw(11, 32, seed=1)[0])


def test_shapes_and_types():
    """The arrays are what Dataset promises its users."""
    images, masks, truth = make(2, 48, seed=0)
    assert images.shape == (2, 48, 48, 3) and images.dtype == np.uint8
    assert masks.shape == (2, 48, 48) and masks.dtype == bool
    assert truth.shape == (2,) and truth.dtype == np.int64


def test_classes_are_balanced_and_shuffled(pictures):
    """Every six pictures hold each class once, in an order that the index does not tell."""
    truth = pictures[2].reshape(-1, len(CLASSES))
    assert CLASSES == ("cardboard", "glass", "metal", "paper", "plastic", "trash")
    assert np.array_equal(np.sort(truth, axis=1), np.tile(np.arange(len(CLASSES)), (len(truth), 1)))
    assert len(np.unique(truth, axis=0)) > len(truth) // 2


def test_a_scene_is_the_same_at_every_size():
    """Profiles of different image sizes see the same objects in the same places."""
    for index in range(6):
        small, small_mask, _ = draw(index, 48, seed=2)
        large, large_mask, _ = draw(index, 96, seed=2)
        halved = large.reshape(48, 2, 48, 2, 3).mean(axis=(1, 3))
        halved_mask = large_mask.reshape(48, 2, 48, 2).mean(axis=(1, 3)) >= 0.5
        assert np.abs(halved - small).mean() < 12
        assert (halved_mask & small_mask).sum() / (halved_mask | small_mask).sum() > 0.93


def test_object_area_tells_no_class(pictures):
    """Objects cover 8 to 48 % of the frame, alike in all classes, so that size is no shortcut."""
    _, masks, truth = pictures
    area = masks.mean(axis=(1, 2))
    assert area.min() > 0.08 and area.max() < 0.48
    means = [area[truth == c].mean() for c in range(len(CLASSES))]
    assert max(means) - min(means) < 0.08


def test_the_mask_is_the_object():
    """Taking the object away changes the pixels of its mask; elsewhere only its shadow goes."""
    for index in range(30):
        image, mask, truth = draw(index, 64, seed=5)
        scene, nothing, same = draw(index, 64, seed=5, empty=True)
        assert same == truth and not nothing.any()
        change = image.astype(int) - scene
        outside = ~binary_dilation(mask)  # a pixel at the edge, less than half covered, is not in the mask
        assert change[outside].max() <= 0  # a shadow can but darken
        assert (np.abs(change).max(axis=2) > 8)[mask].mean() > 0.6  # clear glass shows much of the scene


def test_colour_alone_does_not_tell_the_class(pictures):
    """A colour histogram with logistic regression stays far below what a network must reach."""
    images, _, truth = pictures
    code = (images // 64).astype(int) @ (16, 4, 1)
    histograms = np.sqrt([np.bincount(c.ravel(), minlength=64) for c in code])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=500))
    accuracy = classifier.fit(histograms[:360], truth[:360]).score(histograms[360:], truth[360:])
    assert accuracy < 0.6
