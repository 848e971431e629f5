"""The grid pointing game: maps and networks whose score is known."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from paper_repro import heatmaps, mosaics
from paper_repro.arms import build_model, stage_layers
from paper_repro.files import ReproError
from paper_repro.mosaics import draw_mosaics, point, shares, tile

SIZE = 32


def interval(values):
    """95 % interval of a mean."""
    half = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values))
    return np.mean(values) - half, np.mean(values) + half


@pytest.fixture(scope="module")
def colours():
    """A network with one feature map per colour, whose class k sees colour k alone; photographs and their colours."""
    torch.manual_seed(0)
    truth = np.arange(60) % 3
    inputs = torch.zeros(60, 3, SIZE, SIZE)
    inputs[range(60), truth] = 1
    inputs = torch.cat([inputs, torch.ones(20, 3, SIZE, SIZE)])  # the fourth class: white
    features = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(3, 4, 1), nn.ReLU())
    model = nn.Sequential(
        OrderedDict(features=features, pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(4, 4))
    ).eval()
    with torch.no_grad():
        # Channel k lights up for colour k alone: white has more than one of the others, colours fewer than three.
        features[1].weight[:] = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1]])[:, :, None, None]
        features[1].bias[:] = torch.tensor([0.0, 0, 0, -2])
        model.fc.weight[:], model.fc.bias[:] = torch.eye(4), torch.zeros(4)
    return model, inputs, np.append(truth, [3] * 20)


@pytest.fixture(scope="module")
def untrained():
    """An untrained ResNet18 and noisy photographs of four classes, each with a mean of its own."""
    torch.manual_seed(1)
    model, truth = build_model("none", "resnet18", 4).eval(), np.arange(48) % 4
    with torch.no_grad():  # in training mode once, so that evaluation uses fitting statistics of BatchNorm
        inputs = torch.randn(48, 3, SIZE, SIZE) + torch.randn(4, 3, 1, 1)[truth]
        model.train()(inputs)
    return model.eval(), inputs, truth


def test_shares_of_known_maps():
    """A map in one cell scores 1 there and 0 elsewhere, a uniform or empty one a quarter; scale does not matter."""
    maps = torch.zeros(4, 6, 6)
    maps[0, :3, 3:], maps[1], maps[3, 3:, :3], maps[3, 3:, 3:] = 1e-7, 7, 1, 3
    assert shares(maps).tolist() == [[0, 1, 0, 0], [0.25] * 4, [0.25] * 4, [0, 0, 0.25, 0.75]]


def test_the_middle_line_of_an_odd_grid_is_shared():
    maps = torch.zeros(2, 5, 5)
    maps[0, 2, 2], maps[1, 2, 0] = 1, 1
    assert shares(maps).tolist() == [[0.25] * 4, [0.5, 0, 0.5, 0]]


def test_a_mosaic_holds_its_photographs_row_by_row():
    cells = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 2, 2)
    (first, second) = tile(cells)
    assert first[0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert torch.equal(second, first + 4)


def test_mosaics_have_four_classes_and_use_a_photograph_once():
    """As many as can be; the same for a seed, in places that chance decides."""
    truth = np.repeat(np.arange(6), [3, 30, 12, 12, 12, 12])
    mosaics = draw_mosaics(truth, [0, 1])
    assert len(set(mosaics.ravel())) == mosaics.size
    assert all(len(set(truth[row])) == 4 for row in mosaics)
    assert len(mosaics) == (3 + 12 * 4) // 3  # each needs three of the five other classes
    assert np.array_equal(mosaics, draw_mosaics(truth, [0, 1])) and not np.array_equal(mosaics, draw_mosaics(truth, 2))
    assert set(np.nonzero(truth[mosaics] == 1)[1]) == {0, 1, 2, 3}
    assert len(draw_mosaics(np.array([0, 1, 2, 3]))) == 1
    with pytest.raises(ReproError, match="of 4 classes .* here are 3"):
        draw_mosaics(np.array([0, 1, 2, 2, 2]))


def test_a_map_in_the_cell_of_its_class_scores_one(colours):
    """For every class asked, wherever its photograph stands; and nothing for a class that is asked in vain."""
    model, inputs, truth = colours
    mosaics = draw_mosaics(truth)
    found = point(model, {"features": model.features}, inputs, truth, mosaics)
    assert len(found) == mosaics.size == 80 and set(found["grid"]) == {"16x16"}
    assert (found["share"] == 1).all() and not found["zero_map"].any()
    assert found["position"].tolist() == mosaics.ravel().tolist()
    asked_wrongly = point(model, {"features": model.features}, inputs, (truth + 1) % 4, mosaics)
    assert (asked_wrongly["share"] == 0).all()


def test_an_empty_map_counts_a_quarter(colours):
    """Where nothing speaks for the class asked, the map is empty and is counted."""
    model, inputs, truth = colours
    layer = {"features": model.features}
    negative = nn.Sequential(OrderedDict(features=model.features, flat=nn.Flatten(), fc=nn.Linear(4 * 256, 4))).eval()
    nn.init.constant_(negative.fc.weight, -1.0)
    found = point(negative, layer, inputs, truth, draw_mosaics(truth)[:2])
    assert found["zero_map"].all() and (found["share"] == 0.25).all()


@pytest.mark.parametrize("name", ["uniform", "centre", "edges", "random"])
def test_a_map_blind_to_the_class_scores_a_quarter(name):
    """Exactly, in every mosaic, as all four of its classes are asked."""
    pictures = np.random.default_rng(0).integers(0, 255, (3, 2 * SIZE, 2 * SIZE, 3), np.uint8)
    of_cell = shares(heatmaps.trivial_maps(pictures, (4, 4))[name])  # (mosaics, cell); the same for each class asked
    assert of_cell.mean(1).numpy() == pytest.approx([0.25] * 3, abs=1e-12)


def test_an_untrained_network_is_at_chance(untrained):
    """A quarter lies within the interval over mosaics, at every layer."""
    model, inputs, truth = untrained
    layers = {name: stage_layers(model)[name] for name in ("layer2", "layer3")}
    found = point(model, layers, inputs, truth, draw_mosaics(truth))
    for _, part in found.groupby("layer"):
        low, high = interval(part.groupby("mosaic")["share"].mean())
        assert low <= 0.25 <= high and high - low < 0.1


def test_a_new_last_layer_lowers_the_score(colours):
    """What the classes mean is lost with `fc`, and most of the score with it."""
    model, inputs, truth = colours
    name, randomised = next(heatmaps.cascade(model))
    found = point(randomised, {"features": randomised.features}, inputs, truth, draw_mosaics(truth))
    assert name == "fc" and found["share"].mean() < 0.6


def test_cell_gates_are_those_of_the_photographs_alone(untrained):
    """In each quarter of every stage acts the gate that its photograph gives without neighbours."""
    _, inputs, truth = untrained
    torch.manual_seed(0)
    model = build_model("stage", "resnet18", 4, reduction=8).eval()
    cells = inputs[:4]
    with torch.no_grad():
        alone = model(cells, return_gates=True)[1]["layer3"][0]  # (4, C)
    laid = mosaics._gates_of_cells(model, cells)["layer3"]  # (1, 4, C, 2, 2): the same for each class asked
    assert laid.shape == (1, 4, 256, 2, 2) and torch.equal(laid[:, :1].expand_as(laid), laid)
    assert torch.equal(laid[0, 0].flatten(1).T, alone)
    own, cell = (point(model, {"layer3": model.layer3}, inputs, truth, np.arange(8).reshape(2, 4), by) for by in (0, 1))
    assert own.drop(columns="share").equals(cell.drop(columns="share")) and not own["share"].equals(cell["share"])
