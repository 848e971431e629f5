"""The grid pointing game's step from runs to a table."""

import hashlib
from itertools import chain

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save
from trainings import TINY

from paper_repro import evaluate, runs
from paper_repro.arms import build_model
from paper_repro.config import load_profile
from paper_repro.data import load_dataset
from paper_repro.evidence import pointing
from paper_repro.evidence.pointing import by_network, point_runs, right_in_all
from paper_repro.files import ReproError
from paper_repro.keys import run_folder

CLASSES = 5


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Five classes of 6 plain, noisy pictures."""
    folder, generator = tmp_path_factory.mktemp("five"), np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / f"{label}").mkdir()
        for index in range(6):
            picture = generator.integers(0, 90, (40, 40, 3), np.uint8) + np.uint8(30 * label)
            Image.fromarray(picture).save(folder / f"{label}" / f"{index}.png")
    return folder


@pytest.fixture
def finished(photographs, tmp_path, monkeypatch):
    """finished(arm, fold, wrong) writes the run of an untrained network that is right but for some photographs."""
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "cache"))
    config = load_profile("smoke", data=str(photographs), **TINY | {"reduction": 8})
    dataset = load_dataset(config.data, config.prepared_size)

    def write(arm, fold=0, wrong=()):
        torch.manual_seed(fold)
        weights = save(build_model(arm, config.backbone, CLASSES, config.reduction).state_dict())
        test = np.flatnonzero(np.arange(30) % 3 == fold)
        truth, images = dataset.table["truth"].to_numpy()[test], dataset.table["image"].to_numpy()[test]
        answer = np.where(np.isin(images, wrong), (truth + 1) % CLASSES, truth)
        predictions = evaluate.predictions_frame(images, fold, truth, np.eye(CLASSES)[answer], dataset.classes)
        details = {"arm": arm, "fold": fold, "data": dataset.fingerprint, "key": "any"}
        details["weights"] = hashlib.sha256(weights).hexdigest()
        folder = run_folder(tmp_path / "runs", arm, fold)
        metrics = {"per_class": dict.fromkeys(dataset.classes)}
        runs.write_run(folder, config, pd.DataFrame({"epoch": [1]}), predictions, metrics, details, weights)
        runs.record_completion(folder)
        return runs.load_run(folder), images

    return write


def test_a_row_per_network():
    """The mean score of a network's maps, the mosaics counted once, and the part of the maps that are empty."""
    table = pd.DataFrame({"mosaic": [0, 0, 1], "share": [0.25, 0.25, 1.0], "zero_map": [True, False, False]})
    network = {"arm": "none", "gates": "mosaic", "layer": "layer3", "grid": "6x6", "repeat": 0, "fold": 0}
    (row,) = by_network(table.assign(**network)).to_dict("records")
    assert (row["mosaics"], row["share"], row["empty"]) == (2, 0.5, pytest.approx(1 / 3))


def test_only_photographs_that_all_get_right(finished):
    (first, images), (second, _) = finished("none"), finished("stage")
    assert right_in_all([first, second]) == sorted(images)
    third, _ = finished("half", wrong=images[:3])
    assert right_in_all([first, third]) == sorted(images[3:])


def test_from_runs_to_a_table(finished, tmp_path, monkeypatch):
    """All networks of a fold get the same mosaics; one that learnt shuffled labels is measured and does not choose;
    nothing is measured twice but where the mosaics changed."""
    _, images = finished("stage")
    finished("none-shuffled", wrong=images)
    played, play = [], pointing.point_run
    monkeypatch.setattr(pointing, "point_run", lambda run, *rest: played.append(run.arm) or play(run, *rest))
    monkeypatch.setattr(pointing, "stage_layers", lambda model: {"layer3": model.layer3})
    arms = ["none-shuffled", "stage"]
    table = point_runs(tmp_path / "runs", tmp_path / "out", arms)
    assert sorted(played) == sorted(arms) and {*table["arm"]} == {*arms}
    placed = [tuple(part["image"]) for _, part in table.groupby(["arm", "gates", "layer"])]
    assert len(placed) == 3 and len(set(placed)) == 1 and set(chain(*placed)) <= set(images)
    assert {*table.query("arm == 'stage'")["gates"]} == {"mosaic", "cell"}
    assert {*table.query("arm != 'stage'")["gates"]} == {"mosaic"}
    assert (table["truth"] == table["image"].str.split("/").str[0]).all() and table["share"].between(0, 1).all()
    pd.testing.assert_frame_equal(point_runs(tmp_path / "runs", tmp_path / "out", arms), table)
    assert len(played) == 2
    finished("stage", wrong=images[:2])
    again = point_runs(tmp_path / "runs", tmp_path / "out", arms)
    assert len(played) == 4 and not {*again["key"]} & {*table["key"]}
    assert {*again["image"]} <= {*images[2:]} and len(placed) == len(again.groupby(["arm", "gates", "layer"]))
    elsewhere = again.assign(fold=9, key="of runs that are not here")
    pointing._write(tmp_path / "out" / pointing.FILE, [again, elsewhere])
    assert len(point_runs(tmp_path / "runs", tmp_path / "out", arms).query("fold == 9")) == len(again)


def test_what_cannot_be_played_is_an_error(finished, tmp_path):
    run, images = finished("none-shuffled")
    with pytest.raises(ReproError, match="no fold with finished runs of stage, none-shuffled"):
        point_runs(tmp_path / "runs", tmp_path, ["stage", "none-shuffled"])
    with pytest.raises(ReproError, match="none of none-shuffled in fold 0 learnt labels that mean"):
        point_runs(tmp_path / "runs", tmp_path, ["none-shuffled"])
    run.environment["data"] = "another"
    with pytest.raises(ReproError, match="was trained on other data"):
        pointing.point_run(run, load_dataset(run.config.data, run.config.prepared_size), images, np.zeros((1, 4), int))
