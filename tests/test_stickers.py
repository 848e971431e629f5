"""Stickers: of known kind, place and pixels, tied to the class as promised, and the measure that they make possible."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from trainings import TIMES

from paper_repro import checkpoint, heatmaps
from paper_repro.augment import TrainingEpoch, augment, mix, normalise, to_float, to_input, whole
from paper_repro.cause import measure_cause, on_sticker
from paper_repro.data import load_dataset
from paper_repro.files import ReproError
from paper_repro.keys import MEASURES
from paper_repro.measures import measure_run
from paper_repro.stickers import KINDS, StickerRule, Stickers, shape
from paper_repro.training import Trainer, train

COLOURS = np.array([colour for colour, _ in KINDS.values()])


def drawn(rule, count=12_000, num_classes=6, seed=0, **options):
    """Truth (N,) and the stickers of so many photographs."""
    truth = np.arange(count) % num_classes
    return truth, StickerRule(rule, num_classes, seed).draw(truth, np.arange(count), **options)


def share_of_each(offsets, num_classes=6):
    """Share of each (kind - truth) mod K."""
    return np.bincount(offsets % num_classes, minlength=num_classes) / len(offsets)


# --- what a sticker is -----------------------------------------------------------------------------------------------


def test_kinds_differ_in_shape_and_colour():
    """Twelve kinds, each the mirror image of itself, told apart by shape alone and by colour alone at 96 and 64 px."""
    assert len(KINDS) == 12
    for side in (16, 11):
        shapes = np.array([shape(kind, side) for kind in range(12)])
        assert (shapes == shapes[:, :, ::-1]).all()
        assert (shapes.mean((1, 2)) > 0.4).all()
        for kind, other in zip(*np.triu_indices(12, 1), strict=True):
            assert (shapes[kind] != shapes[other]).mean() > 0.1
    distance = np.abs(COLOURS[:, None] - COLOURS).sum(2) + 999 * np.eye(12)
    assert distance.min() > 80


@pytest.mark.parametrize(("size", "side"), [(96, 16), (64, 11), (224, 37), (32, 5)])
def test_the_mask_is_exact(size, side):
    """What is pasted has the kind's colour on the mask, the photograph's own values elsewhere, and a sixth of the
    side; from one edge to the other no place is left out."""
    places = np.array([[0, 0], [0.5, 0.5], [1 - 1e-9, 1 - 1e-9], [0, 1 - 1e-9]])
    stickers = Stickers(np.array([11, 1, 11, 4]), places)
    views = torch.rand(4, 3, size, size, generator=torch.Generator().manual_seed(0))
    pasted, masks = stickers.paste(views), stickers.masks(size)
    for view, plain, mask, kind in zip(pasted, views, masks, stickers.kinds, strict=True):
        np.testing.assert_allclose(view[:, mask].numpy().T * 255, np.tile(COLOURS[kind], (mask.sum(), 1)), atol=1e-4)
        assert torch.equal(view[:, ~mask], plain[:, ~mask])
        assert mask.sum() == shape(kind, side).sum()
    assert masks[0, :side, :side].all() and masks[2, -side:, -side:].all()  # squares in two corners


def test_places_are_even():
    """Every place is as likely as any other: the mean mask of squares is symmetric and flat in the middle."""
    _, stickers = drawn("untied")
    mean = Stickers(np.full(12_000, 11), stickers.places).masks(24).mean(0)  # 4 px of 24, so 21 x 21 places
    assert mean[4:-4, 4:-4] == pytest.approx(np.full((16, 16), 16 / 441), abs=0.01)


# --- how kinds depend on classes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"epoch": 1}, {"epoch": 7}, {}], ids=["epoch 1", "epoch 7", "validation"])
def test_planted_kinds_are_tied_in_19_of_20(options):
    """In training and validation; the wrong kinds are even."""
    truth, stickers = drawn("planted", **options)
    shares = share_of_each(stickers.kinds - truth)
    assert shares[0] == pytest.approx(0.95, abs=0.008)
    assert shares[1:] == pytest.approx([0.01] * 5, abs=0.004)


def test_planted_kinds_are_wrong_in_testing():
    """Never the class's own kind; each of the others as often."""
    truth, stickers = drawn("planted", testing=True)
    shares = share_of_each(stickers.kinds - truth)
    assert shares[0] == 0 and shares[1:] == pytest.approx([0.2] * 5, abs=0.015)


@pytest.mark.parametrize("options", [{"epoch": 1}, {}, {"testing": True}], ids=["training", "validation", "testing"])
def test_untied_kinds_say_nothing(options):
    """Each kind is as frequent in each class, in every part."""
    truth, stickers = drawn("untied", **options)
    table = np.zeros((6, 6))
    np.add.at(table, (truth, stickers.kinds), 6 / len(truth))
    assert table == pytest.approx(np.full((6, 6), 1 / 6), abs=0.04)


def test_keyed_on_seed_epoch_and_image():
    """A photograph's sticker does not depend on the others beside it; it changes with the epoch and with the seed."""
    rule = StickerRule("planted", 6, 3)
    truth = np.arange(40) % 6
    together, alone = rule.draw(truth, np.arange(40), 2), rule.draw(truth[7:8], np.array([7]), 2)
    assert (together.kinds[7], *together.places[7]) == (alone.kinds[0], *alone.places[0])
    assert not (rule.draw(truth, np.arange(40), 3).places == together.places).any()
    assert not (StickerRule("planted", 6, 4).draw(truth, np.arange(40), 2).places == together.places).any()
    # Validation and testing share the places, so that a test sticker differs from a validation sticker in kind alone.
    assert (rule.draw(truth, np.arange(40)).places == rule.draw(truth, np.arange(40), testing=True).places).all()


def test_more_classes_than_kinds_are_refused():
    """Twelve classes work, two as well; thirteen are an error that says so."""
    for count in (2, 12):
        truth, stickers = drawn("planted", 500, count, testing=True)
        assert (stickers.kinds != truth).all() and set(stickers.kinds) == set(range(count))
    with pytest.raises(ReproError, match="13 classes are more than the 12 kinds of stickers: .* end in -planted"):
        StickerRule("planted", 13, 0)


# --- in training -----------------------------------------------------------------------------------------------------


@pytest.fixture
def epoch_of(config):
    images = np.random.default_rng(1).integers(0, 255, (40, 42, 42, 3), dtype=np.uint8)
    rule = StickerRule("planted", 3, 0)

    def make(**changes):
        given = config.model_copy(update=changes)
        return TrainingEpoch(images, np.arange(40) % 3, np.arange(40), 3, 0, 1, given, rule)

    return make


def test_pasted_after_cropping_and_jitter_before_mixing(epoch_of):
    """A sticker keeps its size, its colour and its mirror symmetry, and is mixed with its photograph."""
    plain = epoch_of(mixup=0.0, jitter=0.9, crop_area=0.3)
    rows = plain.batches[0]
    stickers = plain.rule.draw(plain.truth[rows], rows, plain.epoch)
    masks, size = stickers.masks(plain.config.image_size), plain.config.image_size
    images, targets = plain[0]
    expected = normalise(stickers.paste(torch.zeros(len(rows), 3, size, size)))
    for image, mask, right in zip(images, masks, expected, strict=True):
        assert torch.equal(image[:, mask], right[:, mask])
    without = augment(plain.images[rows], rows, 0, 1, plain.config)
    outside = torch.from_numpy(~masks)[:, None].expand_as(images)
    assert torch.equal(images[outside], without[outside])
    mixed = epoch_of(mixup=0.4, jitter=0.9, crop_area=0.3)[0][0]
    assert torch.equal(mixed, mix(images, targets, 0, 1, 0, 0.4)[0])


def test_small_epochs_have_small_stickers(config):
    """The share of the side is the same in views of two thirds."""
    stickers = Stickers(np.array([11]), np.zeros((1, 2)))
    assert [int(stickers.masks(size).sum()) for size in (96, 64)] == [256, 121]


def test_the_evaluation_view_without_stickers_is_as_it_was():
    """No sticker, no change: also the bits of earlier runs."""
    images = np.random.default_rng(0).integers(0, 255, (2, 40, 40, 3), dtype=np.uint8)
    assert torch.equal(to_input(images, 32), normalise(whole(to_float(images), 32)))


def test_workers_and_resuming_do_not_change_the_stickers(config, tmp_path, monkeypatch):
    """The same numbers from two workers, and from a run that was killed after its first epoch."""
    config = config.model_copy(update={"epochs": 2})
    alone = train(config, "stage-planted", 0, tmp_path / "a")

    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "other cache"))
    save = checkpoint.save

    def save_and_die(folder, epoch, state):
        save(folder, epoch, state)
        raise KeyboardInterrupt

    helped = config.model_copy(update={"workers": 2})
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "save", save_and_die)
        train(helped, "stage-planted", 0, tmp_path / "b")
    again = train(helped, "stage-planted", 0, tmp_path / "b")
    assert again.environment["weights"] == alone.environment["weights"]
    pd.testing.assert_frame_equal(alone.predictions, again.predictions, check_exact=True)
    history = alone.history.drop(columns=TIMES)
    pd.testing.assert_frame_equal(history, again.history.drop(columns=TIMES), check_exact=True)


def test_validation_follows_training_and_the_test_does_not(config, tmp_path, monkeypatch):
    """Which rule each part of a planted training gets."""
    asked, draw = [], StickerRule.draw

    def noting(rule, truth, indices, epoch=0, testing=False):
        found = draw(rule, truth, indices, epoch, testing)
        asked.append((epoch > 0, testing, float((found.kinds == truth).mean())))
        return found

    monkeypatch.setattr(StickerRule, "draw", noting)
    train(config.model_copy(update={"epochs": 2}), "none-planted", 0, tmp_path)
    parts = pd.DataFrame(asked, columns=["training", "testing", "tied"]).groupby(["training", "testing"])["tied"].mean()
    assert list(parts.index) == [(False, False), (False, True), (True, False)]
    assert parts[False, True] == 0 and parts[True, False] > 0.8 and parts[False, False] > 0.6


def test_a_training_with_too_many_classes_is_refused_at_once(config, tmp_path, monkeypatch):
    """Before the first epoch, by name."""
    dataset = load_dataset(config.data, config.prepared_size)
    many = dataclasses.replace(dataset, classes=tuple(map(str, range(13))))
    with pytest.raises(ReproError, match="stickers: 13 classes"):
        Trainer(config, "half-untied", many, None, 0, tmp_path, "half-untied")


# --- the measure of the cause ----------------------------------------------------------------------------------------


class BySticker(nn.Module):
    """Sees red, green or yellow (kinds 0, 1, 2): the class of the largest sticker-coloured area, else class 2."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 3, 1, bias=False)
        nn.init.eye_(self.features.weight[:, :, 0, 0])
        self.seen = nn.Identity()

    def forward(self, images):
        mean, std = normalise(torch.zeros(1, 3, 1, 1)), normalise(torch.ones(1, 3, 1, 1))
        pictures = (self.features(images) - mean) / (std - mean)  # back to [0, 1]
        wanted = torch.from_numpy(COLOURS[:2]).float()[None, :, :, None, None] / 255
        near = 1 - (pictures[:, None] - wanted).abs().sum(2).clamp(max=0.05) / 0.05  # (N, 2, H, W)
        maps = self.seen(torch.nn.functional.avg_pool2d(near, 8))  # one cell is 8 px
        scores = 100 * maps.mean((2, 3))
        return torch.cat([scores, torch.full_like(scores[:, :1], 0.01)], dim=1)


@pytest.fixture
def found():
    """The measure for a network that sees nothing but stickers, whose own layer is the truth."""
    views = torch.full((4, 3, 48, 48), 0.2)
    stickers = Stickers(np.array([0, 1, 0, 2]), np.array([[0.0, 0.0], [0.4, 0.7], [0.9, 0.1], [0.5, 0.5]]))
    table = pd.DataFrame({"image": list("abcd"), "truth": [1, 0, 2, 0]}, index=[9, 8, 7, 6])
    model = BySticker().eval()
    return measure_cause(model, {"seen": model.seen}, views, stickers, table)


def test_flips_are_counted(found):
    """A sticker that the network sees flips its photograph; the class that it predicts anyway cannot be flipped to."""
    one = found[found["map"] == "gradcam"]
    assert list(one["image"]) == list("abcd") and list(one["kind"]) == [0, 1, 0, 2]
    assert list(one["predicted_without"]) == [2] * 4 and list(one["predicted_with"]) == [0, 1, 0, 2]
    assert list(one["flipped"]) == [True, True, True, False]
    assert (one["probability_with"] > one["probability_without"])[:3].all()


def test_the_cause_is_found_by_a_map_that_shows_it(found):
    """Grad-CAM of a layer that holds the sticker's place lies on it; maps that know no network do not."""
    scores = found[found["flipped"]].groupby("map")["score"].mean()
    assert set(scores.index) == {"gradcam", "uniform", "centre", "edges", "random"}
    assert scores["gradcam"] > 0.7 > 0.4 > scores[["uniform", "centre", "random"]].max()
    assert set(found["grid"]) == {"6x6"}


def test_score_of_made_maps():
    """1 for a map in the cell that the sticker covers most, wherever the sticker lies; a uniform map's by hand; 0 for
    a map elsewhere; an empty map counts as a uniform one."""
    squares = Stickers(np.full(200, 11), np.random.default_rng(0).random((200, 2)))
    masks = squares.masks(96)
    covered = masks.reshape(200, 6, 16, 6, 16).mean((2, 4))
    ideal = np.zeros((200, 36), np.float32)
    ideal[np.arange(200), covered.reshape(200, 36).argmax(1)] = 3
    assert on_sticker(torch.from_numpy(ideal.reshape(200, 6, 6)), masks)["score"].tolist() == pytest.approx([1] * 200)

    mask = np.zeros((3, 96, 96), bool)
    mask[:, 8:24, 4:20] = True  # covers 1/2 x 3/4 of cell (0, 0)
    maps = torch.zeros(3, 6, 6)
    maps[0] = 0.7
    maps[2, 5, 5] = 1
    result = on_sticker(maps, mask)
    assert list(result["reachable"]) == [0.375] * 3
    assert list(result["score"]) == pytest.approx([1 / 36 / 0.375, 1 / 36 / 0.375, 0])
    assert on_sticker(torch.ones(3, 3, 3), mask)["score"].isna().all()


def test_what_can_be_reached_at_6x6():
    """The protocol's figure for 16 px of 96: about 0.36."""
    _, stickers = drawn("planted", 3000, testing=True)
    reachable = on_sticker(torch.ones(3000, 6, 6), stickers.masks(96))["reachable"].mean()
    assert reachable == pytest.approx(0.37, abs=0.03)


@pytest.mark.parametrize("arm", ["none-planted", "block-untied"])
def test_a_run_leaves_its_causes(config, tmp_path, monkeypatch, arm):
    """A file among the measures, a row per photograph, layer and map; its predictions with the sticker are those of
    the planted run; a planted and an untied run have the same stickers in it."""
    monkeypatch.setattr(heatmaps, "measure", lambda *_: pd.DataFrame({"image": []}))  # another test's concern
    config = config.model_copy(update={"epochs": 2})
    run = train(config, arm, 0, tmp_path)
    dataset = load_dataset(config.data, config.prepared_size)
    measure_run(run, dataset, 1)
    table = pd.read_csv(run.folder / "cause.csv.gz", keep_default_na=False, na_values=[""])
    assert "cause.csv.gz" in MEASURES
    assert len(table) == len(run.predictions) * 4 * 5
    rows = pd.Index(dataset.table["image"]).get_indexer(run.predictions["image"])
    truth = dataset.table["truth"].to_numpy()[rows]
    assert table.loc[table["grid"] == "1x1", "score"].isna().all()  # too coarse
    expected = StickerRule("planted", 3, run.environment["seed"]).draw(truth, rows, testing=True)
    one = table[(table["layer"] == "layer3") & (table["map"] == "gradcam")]
    assert list(one["kind"]) == expected.kinds.tolist() and (one["kind"] != one["truth"]).all()
    predicted = run.predictions.filter(like="p_").to_numpy().argmax(1)
    assert run.metrics["accuracy"] == pytest.approx((predicted == truth).mean())
    if arm == "none-planted":
        assert list(one["predicted_with"]) == list(predicted)
