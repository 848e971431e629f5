"""Training: what decides a run's numbers, and what does not."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from trainings import TIMES, TINY

from paper_repro import runs
from paper_repro.augment import TrainingEpoch, augment, crop_matrices, draw, to_float, to_input, warp
from paper_repro.config import load_profile
from paper_repro.data import load_dataset
from paper_repro.files import ReproError, cache_dir
from paper_repro.gates import given, mean_gates
from paper_repro.keys import run_key
from paper_repro.measures import measure_run
from paper_repro.model import STAGES
from paper_repro.photographs.folds import Split, load_folds, split
from paper_repro.training import Trainer, data_key, fit, rate_at, shuffled_labels, train


@pytest.fixture
def small_epoch(config):
    images = np.random.default_rng(1).integers(0, 255, (40, 42, 42, 3), dtype=np.uint8)
    return lambda epoch=1, seed=0: TrainingEpoch(images, np.arange(40) % 3, np.arange(40), 3, seed, epoch, config)


def test_run_folder(config, tmp_path):
    """A run writes the files that DESIGN.md promises, learns the colours, and opens again with the same predictions."""
    run = train(config, "stage", 0, tmp_path)
    assert {path.name for path in (tmp_path / "stage" / "fold0").iterdir()} == {
        "config.yaml",
        "history.csv",
        "predictions.csv",
        "metrics.json",
        "weights.safetensors",
        "environment.json",
    }
    assert list(run.predictions) == ["image", "fold", "truth", "p_blue sky", "p_green [leaf]", "p_rötlich"]
    assert run.history["best"].sum() >= 1 and len(run.history) == 3
    with pytest.raises(ReproError, match="no finished run .done is missing"):
        runs.load_run(run.folder)
    runs.record_completion(run.folder)
    again = runs.load_run(run.folder)
    row = again.predictions.iloc[0]
    own = again.predict(Path(config.data) / row["image"])
    np.testing.assert_allclose(own.to_numpy()[0], row.filter(like="p_").to_numpy(float), atol=1e-5)


def test_trains_once(config, tmp_path, monkeypatch):
    """An unchanged run is opened, not trained again; one with another recipe is trained."""
    first = train(config, "none", 1, tmp_path)
    monkeypatch.setattr("paper_repro.training.Trainer.fit", lambda self: pytest.fail("trained again"))
    assert train(config, "none", 1, tmp_path).environment == first.environment
    with pytest.raises(pytest.fail.Exception):
        train(load_profile("smoke", data=config.data, **TINY | {"weight_decay": 0.1}), "none", 1, tmp_path)


def test_workers_do_not_change_the_numbers(config, tmp_path, monkeypatch):
    """Augmentation is keyed on (seed, epoch, image) and mixing on (seed, epoch, batch), not on who computes them."""
    alone = train(config, "none", 0, tmp_path / "a")
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "other cache"))
    helped = train(load_profile("smoke", data=config.data, **TINY | {"workers": 2}), "none", 0, tmp_path / "b")
    pd.testing.assert_frame_equal(alone.predictions, helped.predictions, check_exact=True)
    pd.testing.assert_frame_equal(
        alone.history.drop(columns=TIMES), helped.history.drop(columns=TIMES), check_exact=True
    )


def test_one_training_at_a_time(config, tmp_path):
    """Two processes never train the same run into the same checkpoints."""
    from filelock import FileLock

    dataset = load_dataset(config.data, config.prepared_size)
    key = run_key(config, "none", 0, data_key(dataset, load_folds(dataset, config)))
    with (
        FileLock(cache_dir("checkpoints", key) / "lock"),
        pytest.raises(ReproError, match="another process trains none, fold 0"),
    ):
        train(config, "none", 0, tmp_path)


def test_fit_is_the_same_training_without_its_test(config, tmp_path, monkeypatch):
    """Choosing a recipe sees no test photograph, and what it has trained need not be trained again."""
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "probabilities", lambda *_: pytest.fail("the test fold was opened"))
        history = fit(config, "none", 0)
    monkeypatch.setattr(Trainer, "train_epoch", lambda *_: pytest.fail("trained twice"))
    pd.testing.assert_frame_equal(fit(config, "none", 0), history)
    pd.testing.assert_frame_equal(train(config, "none", 0, tmp_path).history, history)


def test_shuffled_labels_mean_nothing_outside_the_test_part():
    """The control's training and validation labels are permuted, each within its part; the score stays honest."""
    truth = np.arange(300) % 6
    parts = Split(np.arange(200), np.arange(200, 250), np.arange(250, 300))
    labels = shuffled_labels(truth, parts, seed=0)
    assert (labels[parts.test] == truth[parts.test]).all()
    for part in (parts.train, parts.validation):
        assert (np.sort(labels[part]) == np.sort(truth[part])).all() and (labels[part] == truth[part]).mean() < 0.35


def test_a_gate_per_block_leaves_its_agreement(config, tmp_path):
    """What claim C3's premise is judged by is kept with the run, for every test photograph."""
    run = train(config, "block", 0, tmp_path)
    measure_run(run, load_dataset(config.data, config.prepared_size), 1)
    table = pd.read_csv(run.folder / "gates.csv")
    assert set(table["image"]) == set(run.predictions["image"]) and set(table["stage"]) == set(STAGES)
    assert table[["within", "specific", "between", "random"]].abs().to_numpy().max() <= 1 + 1e-6


def test_gated_runs_leave_what_static_gates_cost(config, tmp_path):
    """Every test photograph, with the run's own answers beside; the means come from the training part alone."""
    run, dataset = train(config, "stage", 0, tmp_path), load_dataset(config.data, config.prepared_size)
    measure_run(run, dataset, 1)
    table, predictions = pd.read_csv(run.folder / "static_gates.csv"), run.predictions
    guess = predictions[[f"p_{name}" for name in run.classes]].idxmax(axis=1).str[2:]
    assert table["image"].tolist() == predictions["image"].tolist()
    assert table["own"].tolist() == (guess == predictions["truth"]).astype(int).tolist()
    training = split(load_folds(dataset, config), 0).train
    means = mean_gates(run.model, [to_input(dataset.images[training], config.image_size)])
    test = pd.Index(dataset.table["image"]).get_indexer(table["image"])
    with given(run.model, {stage: gate[:, None] for stage, gate in means.items()}), torch.no_grad():
        answers = run.model(to_input(dataset.images[test], config.image_size)).argmax(1).numpy()
    assert table["static"].tolist() == (answers == dataset.table["truth"].to_numpy()[test]).astype(int).tolist()


@pytest.mark.parametrize(
    "overrides, message",
    [
        (dict(batch_size=1000), "batch_size: 1000 is more than the"),
        (dict(num_folds=20), "20|fold"),
        (dict(data="/nowhere/photos"), "/nowhere/photos"),
        pytest.param(
            dict(accelerator="cuda"),
            "accelerator: 'cuda'",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA"),
        ),
    ],
)
def test_impossible_runs_are_refused_early(config, tmp_path, overrides, message):
    """What cannot work ends before the first batch."""
    with pytest.raises(ReproError, match=message):
        train(load_profile("smoke", **{"data": config.data, **TINY, **overrides}), "none", 0, tmp_path)


def test_workers_need_room_for_sockets(config, tmp_path, monkeypatch):
    """Workers whose sockets have no room in TMPDIR are refused before the first batch, with the remedy."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("ü" * 40)))
    with pytest.raises(ReproError, match="TMPDIR: its path is too long for the sockets of workers: set TMPDIR=/tmp"):
        train(config.model_copy(update={"workers": 1}), "none", 0, tmp_path)


def test_diverged_run_is_no_result(config, tmp_path):
    """A loss that is not finite ends the run with advice; no metrics appear."""
    with pytest.raises(ReproError, match="_loss of none, fold 0, is .* smaller learning_rate"):
        train(
            load_profile("smoke", data=config.data, **TINY | {"learning_rate": 100.0, "momentum": 0.999}),
            "none",
            0,
            tmp_path,
        )
    assert not (tmp_path / "none" / "fold0" / "metrics.json").exists()


def test_damaged_weights_are_trained_again(config, tmp_path):
    """Weights with a flipped bit are neither predicted with nor taken for a finished run."""
    run = train(config, "none", 0, tmp_path)
    runs.record_completion(run.folder)
    path = run.folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ReproError, match="is damaged"):
        runs.load_run(run.folder)
    assert train(config, "none", 0, tmp_path).environment["weights"] == run.environment["weights"]


def test_augmentation_is_keyed(small_epoch):
    """Same (seed, epoch): same batches in any order; another epoch or seed: others."""
    first, again = small_epoch(), small_epoch()
    backwards = [again[batch] for batch in reversed(range(len(again)))][::-1]
    for (images, targets), (images_again, targets_again) in zip(first, backwards, strict=True):
        assert torch.equal(images, images_again) and torch.equal(targets, targets_again)
    assert not torch.equal(first[0][0], small_epoch(epoch=2)[0][0])
    assert not torch.equal(first[0][0], small_epoch(seed=1)[0][0])
    assert torch.allclose(first[0][1].sum(1), torch.ones(8))


def test_augmentation_does_not_depend_on_the_batch(config):
    """An image's view is the same whatever else is in its batch."""
    images = np.random.default_rng(1).integers(0, 255, (6, 42, 42, 3), dtype=np.uint8)
    together = augment(images, np.arange(6), 0, 1, config)
    torch.testing.assert_close(together[4:5], augment(images[4:5], np.array([4]), 0, 1, config))


def test_small_epochs_come_first(config):
    """The first epochs train on views of two thirds of the size, the others on whole ones."""
    images, index = np.zeros((1, 40, 40, 3), np.uint8), np.array([0])
    config = config.model_copy(update={"image_size": 48, "small_epochs": 2})
    sides = [augment(images, index, 0, epoch, config).shape[-1] for epoch in (1, 2, 3)]
    assert sides == [32, 32, 48]


def test_crops_stay_inside_and_keep_their_area(config):
    """A crop never leaves the photograph, shows no less than asked for, and reaches all four right angles."""
    numbers = draw(0, 1, np.arange(500))
    matrices = crop_matrices(numbers, 0.5, rotate=True)
    corners = torch.tensor([[x, y, 1.0] for x in (-1, 1) for y in (-1, 1)]).T  # (3, 4)
    assert (matrices @ corners).abs().max() <= 1 + 1e-5
    areas = torch.linalg.det(matrices[:, :, :2]).abs()
    assert areas.min() >= 0.5 * 0.7 and areas.max() <= 1 + 1e-5
    assert len({tuple(matrix[:, :2].sign().flatten().tolist()) for matrix in matrices}) == 8


def test_mask_moves_with_the_image():
    """One geometry for image and mask: a bright object stays under its mask."""
    mask = np.zeros((1, 64, 64, 3), np.uint8)
    mask[:, 10:30, 20:50] = 255
    matrices = crop_matrices(draw(3, 1, np.arange(1)), 0.5, rotate=True)
    image = warp(to_float(mask), matrices, 48)[:, 0]
    moved = warp(to_float(mask)[:, :1], matrices, 48, mode="nearest")[:, 0]
    assert (image - moved).abs().mean() < 0.05 and moved.sum() > 0


def test_evaluation_keeps_the_whole_photograph():
    """Nothing of the object is cropped away: a mark in every corner reaches the network."""
    image = np.zeros((1, 64, 64, 3), np.uint8)
    image[:, [0, 0, -1, -1], [0, -1, 0, -1]] = 255
    view = to_input(image, 48)
    assert all(view[0, 0, y, x] > view[0, 0, 24, 24] for y in (0, -1) for x in (0, -1))


def test_learning_rate_schedule():
    """Linear warm-up to the peak, then half a cosine to nearly 0."""
    rates = [rate_at(step, 100, 10, 0.5) for step in range(100)]
    assert rates[:10] == pytest.approx(np.linspace(0.05, 0.5, 10))
    assert max(rates) == 0.5 and rates[55] == pytest.approx(0.25) and 0 < rates[-1] < 0.001


@pytest.mark.trashnet
def test_real_photographs(tmp_path, monkeypatch, trashnet_zip):
    """The real zip trains, predicts its committed test fold above its largest class, and has its boxes measured."""
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "cache"))
    recipe = TINY | {"num_folds": 5, "epochs": 4, "batch_size": 32, "mixup": 0.0}
    run = train(load_profile("smoke", data=str(trashnet_zip), **recipe), "stage", 0, tmp_path)
    assert run.classes == ("cardboard", "glass", "metal", "paper", "plastic", "trash")
    assert len(run.predictions) == run.environment["images"]["test"] > 450
    assert run.metrics["accuracy_interval"][0] > 594 / 2527
    dataset = load_dataset(run.config.data, run.config.prepared_size)
    assert measure_run(run, dataset, 1)["box_gain"].notna().any()
