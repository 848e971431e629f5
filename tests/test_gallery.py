"""The gallery's photographs, answers and maps are those of the runs."""

import numpy as np
import pytest
import torch

from paper_repro.data import load_dataset
from paper_repro.gallery import open_gallery
from paper_repro.training import train


@pytest.fixture
def gallery(config, tmp_path):
    """Two networks of the same fold."""
    runs = {arm: train(config, arm, 0, tmp_path) for arm in ("none", "stage")}
    return open_gallery(runs, load_dataset(config.data, config.prepared_size))


def test_holds_what_the_runs_say(gallery):
    """Names, truths and answers are those of predictions.csv, and the networks give them for the inputs."""
    for arm, run in gallery.runs.items():
        assert gallery.names.tolist() == run.predictions["image"].tolist()
        assert [gallery.dataset.classes[k] for k in gallery.truth] == run.predictions["truth"].tolist()
        with torch.inference_mode():
            answers = run.model(gallery.inputs).softmax(1).numpy()
        assert np.allclose(answers, gallery.probabilities[arm], atol=1e-3)
        assert np.array_equal(gallery.right[:, list(gallery.runs).index(arm)], gallery.predicted[arm] == gallery.truth)


def test_maps_and_their_grids(gallery):
    """A map per photograph at the layer's grid; of the class asked, else of the predicted one."""
    rows, layer = [0, 2], "layer2"
    maps = gallery.cams("stage", layer, rows)
    assert tuple(maps.shape) == (2, *gallery.grids("stage")[layer])
    said = gallery.predicted["stage"][rows].tolist()
    assert torch.equal(maps, gallery.cams("stage", layer, rows, said))


def test_picks_of_different_classes(gallery):
    """The first of each class; where no photograph is right in all networks, any."""
    rows = gallery.pick(np.ones(len(gallery.names), bool), 2)
    assert len(set(gallery.truth[rows])) == 2 and rows == sorted(rows)
    assert gallery.pick(np.zeros(len(gallery.names), bool), 2) == []
    assert gallery.pick_right(1)


def test_a_line_of_the_gallery(gallery):
    """The caption holds truth and answer, and the photograph is larger than the network's input."""
    line = gallery.line("stage", 1, [("layer2", gallery.cams("stage", "layer2", [1])[0])], "layer2, ")
    truth = gallery.dataset.classes[gallery.truth[1]]
    assert line["caption"].startswith(f"layer2, truth {truth}\nstage: ") and line["image"].shape == (256, 256, 3)
    assert not gallery.region(1, 32).any(), "these photographs have neither masks nor boxes"
    assert line["right"] == (gallery.predicted["stage"][1] == gallery.truth[1]) and line["mask"] is None
