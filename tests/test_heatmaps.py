"""Measures of heat maps: against the libraries that have them, and on maps whose score is known."""

from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer, ROADLeastRelevantFirst, ROADMostRelevantFirst
from sklearn.metrics import roc_auc_score
from torch import nn

from paper_repro import heatmaps
from paper_repro.files import ReproError
from paper_repro.model import resnet18

SIZE = 32


def discs(count, size):
    """Noisy pictures (N, S, S, 3) uint8, each with a bright disc, and the discs' masks (N, S, S) bool."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    middles = rng.uniform(0.3, 0.7, (count, 2, 1, 1)) * size
    masks = np.hypot(y - middles[:, 0], x - middles[:, 1]) < 0.25 * size
    images = rng.integers(0, 120, (count, size, size, 3), dtype=np.uint8) + np.uint8(100) * masks[..., None]
    return images, masks


@pytest.fixture(scope="module")
def scene():
    """An untrained network with a fine and a coarse layer; four pictures as input and as pixels."""
    torch.manual_seed(0)
    model = nn.Sequential(
        OrderedDict(
            stem=nn.Conv2d(3, 8, 5, stride=4, padding=2),
            relu=nn.ReLU(),
            mix=nn.Conv2d(8, 8, 1),
            norm=nn.BatchNorm2d(8),
            coarse=nn.AdaptiveAvgPool2d(2),
            flat=nn.Flatten(),
            head=nn.Linear(32, 6),
        )
    ).eval()
    images, masks = discs(4, SIZE)
    truth = np.arange(4)
    inputs = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - 0.45) / 0.225
    return model, inputs, images, masks, truth


@torch.no_grad()
def window(inputs):
    """A predictor that looks left: the probability of class 0 is the mean brightness of the left half."""
    p = inputs[..., : SIZE // 2].mean((1, 2, 3)).clip(0, 1)
    return torch.stack([p, 1 - p], 1)


def half_map(left=True):
    """A map (1, 8, 8) that marks one half of the frame."""
    cam = torch.zeros(1, 8, 8)
    cam[:, :, :4] = 1
    return cam if left else cam.flip(2)


def test_box_mask_follows_pixel_centres():
    """A box of fractions covers the pixels whose centre it holds; boxes unite, and none covers nothing."""
    mask = heatmaps.box_mask(np.array([[0, 0.5, 0.25, 1], [0.75, 0, 1, 0.25]]), 4)
    assert mask.astype(int).tolist() == [[0, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    assert not heatmaps.box_mask(np.empty((0, 4)), 4).any()


def test_energy_of_known_maps():
    """Uniform and empty maps score 0, a map on the region nearly 1 - area, a map off it nearly -area."""
    region = np.zeros((1, SIZE, SIZE), bool)
    region[:, :, : SIZE // 2] = True
    gains = [
        heatmaps.energy(cam, region)["gain"][0]
        for cam in (torch.ones(1, 8, 8), torch.zeros(1, 8, 8), half_map(), half_map(left=False))
    ]
    assert gains[:2] == pytest.approx([0, 0], abs=1e-6)
    assert gains[2] == pytest.approx(0.5, abs=0.05) and gains[3] == pytest.approx(-0.5, abs=0.05)


def test_ranking_agrees_with_sklearn_and_is_chance_for_ties():
    """AUC is that of the enlarged map; a map without contrast scores chance, also in IoU."""
    rng = np.random.default_rng(0)
    _, masks = discs(2, SIZE)
    cams = torch.from_numpy(rng.random((2, 8, 8), np.float32))
    found = heatmaps.ranking(cams, masks)
    large = torch.nn.functional.interpolate(cams[:, None], SIZE, mode="bilinear").flatten(1).numpy()
    assert found["auc"][1] == pytest.approx(roc_auc_score(masks[1].ravel(), large[1]))

    chance = heatmaps.ranking(torch.zeros(2, 8, 8), masks)
    area = masks.mean((1, 2))
    assert chance["auc"].tolist() == [0.5, 0.5]
    assert chance["iou"].to_numpy() == pytest.approx(area / (2 - area), abs=0.05)
    assert heatmaps.ranking(torch.ones(1, 4, 4), np.ones((1, SIZE, SIZE), bool)).isna().all(axis=None)


def test_no_localisation_on_coarse_grids():
    """Below 4x4 the localisation columns are empty, the areas are not."""
    mask = np.zeros((1, SIZE, SIZE), bool)
    mask[:, :10] = True
    found = heatmaps.energy(torch.rand(1, 2, 2), mask).join(heatmaps.ranking(torch.rand(1, 2, 2), mask))
    assert found["area"].notna().all() and found.drop(columns="area").isna().all(axis=None)


def test_trivial_maps_know_their_grid(scene):
    """Each trivial map has the cam's grid; edges follow the picture, random ones the seed alone."""
    images = scene[2]
    maps = heatmaps.trivial_maps(images, (4, 6), seed=3)
    assert {name: tuple(m.shape) for name, m in maps.items()} == dict.fromkeys(
        ["uniform", "centre", "edges", "random"], (4, 4, 6)
    )
    step = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    step[:, :, SIZE // 2 :] = 255
    edges = heatmaps.trivial_maps(step, (4, 8), seed=3)["edges"][0]
    assert (edges[:, 3:5] > 0).all() and (edges[:, [0, 1, 2, 5, 6, 7]] == 0).all()
    blank = np.zeros_like(step)
    stack = heatmaps.trivial_maps(np.concatenate([blank, step, blank]), (4, 8))["edges"]
    assert (stack[[0, 2]] == 0).all() and torch.equal(stack[1], edges), "an image's edges are its own"
    assert torch.equal(maps["random"], heatmaps.trivial_maps(images[::-1], (4, 6), seed=3)["random"])
    assert maps["centre"][0, 1, 2] > maps["centre"][0, 0, 0]


def test_perturbation_tells_the_cause_from_the_rest():
    """For a predictor that looks left, the left map wins at insertion and deletion, and areas are exact."""
    inputs, target = torch.ones(1, 3, SIZE, SIZE), torch.tensor([0])
    inputs[..., SIZE // 2 :] = 0
    left_map, right_map = (
        heatmaps.perturbation(window, half_map(left), inputs, target).iloc[0] for left in (True, False)
    )
    for baseline in ("blur", "mean"):
        assert left_map[f"insertion_{baseline}"] > right_map[f"insertion_{baseline}"]
        assert left_map[f"deletion_{baseline}"] < right_map[f"deletion_{baseline}"]
    # Mean baseline: brightness 1/2; it grows to 1 over the first half of the pixels, and stays.
    assert left_map["insertion_mean"] == pytest.approx(0.5 * 0.75 + 0.5 * 1, abs=0.02)
    assert right_map["insertion_mean"] == pytest.approx(0.5 * 0.5 + 0.5 * 0.75, abs=0.02)


def test_confidence_change_agrees_with_the_package(scene):
    """Our drop is the grad-cam package's divided by the confidence, as the paper that defines it has it."""
    from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    from paper_repro.gradcam import heatmap

    model, inputs, *_ = scene
    cams, target = torch.rand(4, 8, 8), torch.tensor([0, 1, 2, 3])

    @torch.no_grad()
    def predict(batch):
        return model(batch).softmax(1)

    found = heatmaps.confidence_change(predict, cams, inputs, target)
    targets = [ClassifierOutputTarget(k) for k in target.tolist()]
    arguments = inputs, heatmap(cams, SIZE).numpy(), targets, predict
    confidence = predict(inputs).gather(1, target[:, None])[:, 0].numpy()
    assert (found["drop"] * confidence).to_numpy() == pytest.approx(DropInConfidence()(*arguments), abs=1e-6)
    assert found["increase"].to_numpy() == pytest.approx(IncreaseInConfidence()(*arguments))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_imputation_is_the_packages(share):
    """Holes anywhere, at the border too; the same noise. Equal up to rounding."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(3, 20, 14, generator=generator)
    kept = (torch.rand(20, 14, generator=generator) > share).float()
    torch.manual_seed(1)
    theirs = NoisyLinearImputer()(image, kept)
    torch.manual_seed(1)
    torch.testing.assert_close(heatmaps.impute(image, kept), theirs, rtol=1e-5, atol=1e-6)
    assert not torch.equal(theirs, image)


def test_road_agrees_with_the_package():
    """Where no pixels tie, probabilities, removed pixels and noise are the grad-cam package's, up to rounding."""
    generator = torch.Generator().manual_seed(0)
    inputs, target = torch.randn(1, 3, SIZE, SIZE, generator=generator), torch.tensor([0])
    cam = torch.rand(1, 8, 8, generator=generator)
    large = torch.nn.functional.interpolate(cam[:, None], SIZE, mode="bilinear")[:, 0].numpy()
    theirs = {"road_most": ROADMostRelevantFirst, "road_least": ROADLeastRelevantFirst}
    torch.manual_seed(3)
    for name, metric in theirs.items():
        left = [metric(p)(inputs, large, [lambda out: out[0]], window, return_diff=False) for p in (80, 50, 20)]
        theirs[name] = np.mean(left)
    ours = heatmaps.road(window, cam, inputs, target, seed=3)
    assert ours.to_numpy()[0] == pytest.approx([*theirs.values()], rel=1e-5)


def test_road_removes_the_stated_share_despite_ties():
    """An empty map loses 20, 50 and 80 % of the pixels like any other; the map of what counts beats the opposite."""
    torch.manual_seed(0)
    inputs, target = torch.rand(1, 3, SIZE, SIZE), torch.tensor([0])
    removed = []

    def predict(batch):
        removed.append(((batch - inputs).abs() > 0).any(1).float().mean().item())
        return torch.tensor([[0.5, 0.5]])

    heatmaps.road(predict, torch.zeros(1, 8, 8), inputs, target)
    assert removed == pytest.approx([0.2, 0.5, 0.8] * 2, abs=0.01)

    inputs[..., : SIZE // 2] += 1  # bright on the left; imputed from the dark right once it is removed
    left_map, right_map = (
        heatmaps.road(lambda x: window(x / 2), half_map(left), inputs, target).iloc[0] for left in (True, False)
    )
    assert left_map["road_most"] < right_map["road_most"] and left_map["road_least"] > right_map["road_least"]
    again = heatmaps.road(lambda x: window(x / 2), half_map(), inputs, target).iloc[0]
    assert again.equals(left_map)


def test_measure_gives_one_row_per_image_layer_and_map(scene, monkeypatch):
    """The table is complete, independent of the batch size, and empty only where nothing is claimed."""
    model, inputs, images, masks, truth = scene
    boxes = [np.array([[0, 0, 0.5, 0.5]])] * 3 + [np.array([[0, 0, 1, 0.9]])]
    known = pd.DataFrame({"image": [f"a/{i}" for i in range(4)], "truth": truth}, [7, 3, 5, 1])  # a part of a table
    layers = {"mix": model.mix, "coarse": model.coarse}

    def table(batch):
        monkeypatch.setattr(heatmaps, "BATCH", batch)
        return heatmaps.measure(model, layers, inputs, images, known, 2, masks, boxes)

    found = table(4)
    assert len(found) == 4 * 2 * 5 and not found.duplicated(["image", "layer", "map"]).any()
    assert found["grid"].unique().tolist() == ["8x8", "2x2"]
    fine = found[found["grid"] == "8x8"]
    assert fine.loc[fine["image"] != "a/3", "box_gain"].notna().all()
    assert fine.loc[fine["image"] == "a/3", "box_gain"].isna().all()
    assert found.loc[found["grid"] == "2x2", ["box_gain", "mask_gain", "mask_auc"]].isna().all(axis=None)
    tested = found["insertion_blur"].notna()
    assert set(found.loc[tested, "image"]) == {"a/0", "a/3"} and (tested == found["road_most"].notna()).all()
    uniform = found[found["map"] == "uniform"]
    assert uniform["drop"].dropna().to_numpy() == pytest.approx(0, abs=1e-5)
    # The noise of ROAD is drawn batch by batch.
    columns = [name for name in found if not name.startswith("road")]
    pd.testing.assert_frame_equal(found[columns], table(3)[columns], rtol=1e-3, atol=1e-5)
    with pytest.raises(ReproError, match="eval"):
        heatmaps.measure(model.train(), layers, inputs, images, known, 1)
    model.eval()


def test_cascade_randomises_from_the_top_and_leaves_the_model():
    """Each step changes its own child and keeps those below; the given model and the random state stay."""
    model = resnet18(attention="stage", gate_init="identity", num_classes=6)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state, seen = torch.get_rng_state(), []
    for name, copy in heatmaps.cascade(model):
        seen.append(name)
        changed = {
            key.split(".")[0]
            for key, value in copy.state_dict().items()
            if key.endswith("weight") and value.std() > 0 and not torch.equal(value, before[key])
        }
        assert changed == {child for child in seen if child != "bn1"}
    assert seen == ["fc", "layer4", "layer3", "layer2", "layer1", "bn1", "conv1"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_randomisation_compares_with_the_trained_map(scene, monkeypatch):
    """Every step has a row per image, an empty map has no similarity, and scaling does not change it."""
    model, inputs, *_ = scene
    monkeypatch.setattr(heatmaps, "BATCH", 3)
    found = heatmaps.randomisation(model, "mix", inputs)
    steps = ["another image", "head", "norm", "mix", "stem"]
    assert found["randomised"].tolist() == np.repeat(steps, 4).tolist()
    assert found["similarity"].dropna().abs().max() <= 1
    assert (found["zero_map"] <= found["similarity"].isna()).all()
    cams = torch.rand(2, 8, 8)
    assert heatmaps.rank_similarity(cams, cams * 3) == pytest.approx([1, 1])
    assert np.isnan(heatmaps.rank_similarity(cams, torch.zeros(2, 8, 8))).all()


def test_gate_agreement_of_known_gates():
    """Blocks that agree on the picture, blocks that agree on a fixed pattern only, and blocks that share nothing."""
    generator = torch.Generator().manual_seed(0)
    fixed, own = torch.randn(1, 1, 4000, generator=generator), torch.randn(1, 6, 4000, generator=generator)
    gates = {
        "picture": own.expand(3, -1, -1),
        "pattern": fixed + torch.randn(3, 6, 4000, generator=generator),
        "nothing": torch.randn(3, 6, 4000, generator=generator),
        "one gate": own,
    }
    found = heatmaps.gate_agreement(gates).groupby("stage")[["within", "between", "specific", "random"]].mean()
    assert "one gate" not in found.index and len(found) == 3
    assert found.loc["picture"].to_numpy() == pytest.approx([1, 0, 1, 0], abs=0.03)
    assert found.loc["pattern"].to_numpy() == pytest.approx([0.5, 0.5, 0, 0.5], abs=0.03)
    assert found.loc["nothing"].to_numpy() == pytest.approx([0, 0, 0, 0], abs=0.03)


def test_gates_paired_at_random_are_of_other_blocks_and_other_images():
    """Against numpy's correlations, pair by pair."""
    gates = torch.rand(3, 4, 40, generator=torch.Generator().manual_seed(0)) + torch.rand(40)
    found = heatmaps.gate_agreement({"layer1": gates})
    for n in range(4):
        pairs = [(g, h, m) for g in range(3) for h in range(3) for m in range(4) if g != h and m != n]
        expected = np.mean([np.corrcoef(gates[g, n], gates[h, m])[0, 1] for g, h, m in pairs])
        assert found["random"][n] == pytest.approx(expected, abs=1e-5)


BROKEN = {"NaN": float("nan"), "infinity": float("inf"), "minus infinity": float("-inf")}


def broken(values, value):
    """A copy (N, ...) of an array or tensor as floats with one value of the second row replaced."""
    values = torch.as_tensor(values).float().clone()
    values[1].view(-1)[3] = value
    return values


@pytest.fixture(scope="module")
def parts():
    """Maps, inputs, masks and classes of three images, all sound."""
    generator = torch.Generator().manual_seed(0)
    maps, inputs = torch.rand(3, 8, 8, generator=generator), torch.rand(3, 3, SIZE, SIZE, generator=generator)
    masks = np.zeros((3, SIZE, SIZE), bool)
    masks[:, :10] = True
    return maps, inputs, masks, torch.tensor([0, 1, 0])


MEASURES = {
    "energy": lambda maps, inputs, masks, target: heatmaps.energy(maps, masks),
    "ranking": lambda maps, inputs, masks, target: heatmaps.ranking(maps, masks),
    "localisation": lambda maps, inputs, masks, target: heatmaps.localisation(maps, masks, masks),
    "confidence_change": lambda maps, inputs, masks, target: heatmaps.confidence_change(window, maps, inputs, target),
    "perturbation": lambda maps, inputs, masks, target: heatmaps.perturbation(window, maps, inputs, target),
    "road": lambda maps, inputs, masks, target: heatmaps.road(window, maps, inputs, target),
    "faithfulness": lambda maps, inputs, masks, target: heatmaps.faithfulness(window, maps, inputs, target),
}


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_no_measure_of_what_is_not_finite(measure, value, parts):
    """A map, input or region that is not finite is an error with its position, and does not score as chance."""
    maps, inputs, masks, target = parts
    where = r": NaN or infinity in 1 of 3 \(positions \[1\]\)"
    localises = measure in [*MEASURES.values()][:3]
    assert measure(*parts).notna().all(axis=None)
    with pytest.raises(ReproError, match="(maps|cam)" + where):
        measure(broken(maps, value), inputs, masks, target)
    with pytest.raises(ReproError, match=("masks" if localises else "inputs") + where):
        measure(maps, broken(inputs, value), broken(masks, value).numpy(), target)


def test_no_localisation_of_broken_maps_on_coarse_grids(parts):
    """A map that is not finite is refused on grids too for which no localisation is claimed."""
    for measure in (heatmaps.energy, heatmaps.ranking):
        with pytest.raises(ReproError, match=r"maps: NaN or infinity in 1 of 3 \(positions \[1\]\)"):
            measure(broken(torch.rand(3, 2, 2), float("nan")), parts[2])


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN)
def test_other_numbers_that_are_not_finite(value, parts):
    """Boxes, pictures, pairs of maps, gates and probabilities are checked in the same way."""
    maps, inputs, _, target = parts
    with pytest.raises(ReproError, match=r"boxes: NaN or infinity in 1 of 2 \(positions \[1\]\)"):
        heatmaps.box_mask(np.array([[0, 0, 1, 1], [0, 0, value, 1]]), 4)
    with pytest.raises(ReproError, match=r"images: NaN or infinity in 1 of 3 \(positions \[1\]\)"):
        heatmaps.trivial_maps(broken(np.ones((3, SIZE, SIZE, 3)), value).numpy(), (4, 4))
    for pair in ((broken(maps, value), maps), (maps, broken(maps, value))):
        with pytest.raises(ReproError, match=r"[ab]: NaN or infinity in 1 of 3 \(positions \[1\]\)"):
            heatmaps.rank_similarity(*pair)
    gates = torch.rand(2, 3, 16)
    gates[0, 2, 5] = value
    with pytest.raises(ReproError, match=r"gates of layer3: NaN or infinity in 1 of 3 \(positions \[2\]\)"):
        heatmaps.gate_agreement({"layer3": gates})
    for measure in (heatmaps.confidence_change, heatmaps.perturbation, heatmaps.road):
        with pytest.raises(ReproError, match=r"probabilities: NaN or infinity in 1 of 3 \(positions \[1\]\)"):
            measure(lambda batch: broken(torch.full((3, 4), 0.25), value), maps, inputs, target)


def test_positions_count_over_all_batches(scene, monkeypatch):
    """The position of a broken image is the one in the whole set, not the one in its batch."""
    model, inputs, images, masks, truth = scene
    monkeypatch.setattr(heatmaps, "BATCH", 1)
    table = pd.DataFrame({"image": [f"a/{i}" for i in range(4)], "truth": truth})
    layers, boxes = {"mix": model.mix}, [np.array([[0, 0, 0.5, 0.5]])] * 4
    nowhere = [*boxes[:2], np.array([[0, 0, np.nan, 1]]), np.empty((0, 4))]
    bad = inputs.clone()
    bad[3, 0, 0, 0] = np.nan
    spoiled = masks.astype(float)
    spoiled[2, 5, 5] = np.inf
    at = r" in 1 of 4 \(positions \[{}\]\)"
    for name, at_fault, position in (
        ("inputs", dict(inputs=bad), 3),
        ("masks", dict(masks=spoiled), 2),
        ("boxes", dict(boxes=nowhere), 2),
    ):
        given = dict(inputs=inputs, masks=masks, boxes=boxes) | at_fault
        with pytest.raises(ReproError, match=name + ": NaN or infinity" + at.format(position)):
            heatmaps.measure(model, layers, given["inputs"], images, table, 1, given["masks"], given["boxes"])
    with pytest.raises(ReproError, match="inputs: NaN or infinity" + at.format(3)):
        heatmaps.randomisation(model, "mix", bad)


def test_diverged_network_is_not_measured(scene):
    """Weights that are NaN are named as the cause, where no image is broken."""
    _, inputs, images, _, truth = scene
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.Flatten(), nn.Linear(256, 6)).eval()
    model[2].bias.data[3] = float("nan")
    table = pd.DataFrame({"image": [f"a/{i}" for i in range(4)], "truth": truth})
    with pytest.raises(ReproError, match="probabilities: NaN or infinity in 4 of 4 .* converged"):
        heatmaps.measure(model, {"0": model[0]}, inputs, images, table, 1)
    with pytest.raises(ReproError, match="scores: NaN or infinity in 4 of 4 .* converged"):
        heatmaps.randomisation(model, "0", inputs)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_types_of_what_is_measured(measure, parts):
    """Arrays and single maps in place of a batch of maps are named; a class by its name is too."""
    maps, inputs, masks, target = parts
    for wrong in (maps.numpy(), maps[0], [maps[0]]):
        with pytest.raises(ReproError, match=r"^(maps|cam): .*\(N, h, w\)"):
            measure(wrong, inputs, masks, target)
    if measure not in [*MEASURES.values()][:3]:
        for wrong in (inputs.numpy(), inputs[0], [inputs[0]]):
            with pytest.raises(ReproError, match=r"^inputs: .*\(N, 3, S, S\)"):
                measure(maps, wrong, masks, target)
        for wrong in (["glass"] * 3, "glass", None, [0.0, 1.0, 0.0]):
            with pytest.raises(ReproError, match="^target_class: .* class number"):
                measure(maps, inputs, masks, wrong)
        expected = measure(maps, inputs, masks, target)
        pd.testing.assert_frame_equal(measure(maps, inputs, masks, [0, 1, 0]), expected)
    else:
        pd.testing.assert_frame_equal(measure(maps, inputs, masks.tolist(), target), measure(*parts))


def test_network_and_layer_of_another_type(scene):
    """A network that returns no scores, a module in place of its name and an unknown name are named."""
    model, inputs, images, _, truth = scene
    table = pd.DataFrame({"image": [f"a/{i}" for i in range(4)], "truth": truth})

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = model

        def forward(self, batch):
            return self.network(batch), None

    two = Two().eval()
    with pytest.raises(ReproError, match=r"returns a tuple.*model\(images\)\[0\]"):
        heatmaps.measure(two, {"mix": model.mix}, inputs, images, table, 1)
    with pytest.raises(ReproError, match=r"returns a tuple.*model\(images\)\[0\]"):
        heatmaps.randomisation(two, "network.mix", inputs)
    for layer in (model.mix, "layer5", None):
        with pytest.raises(ReproError, match="^layer: "):
            heatmaps.randomisation(model, layer, inputs)
