"""Is a heat map right? Measures of localisation, faithfulness and sanity; nothing here draws.

Maps are raw cams (N, h, w), not negative. To meet pixels they are enlarged bilinearly (align_corners=False)
to the image's S x S. Where values tie, as in the part of a cam that is zero, pixels are ranked in one fixed
random order, so that a map that says nothing scores as chance and not as the order of memory.
"""

import copy
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.ndimage import sobel
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import spsolve
from scipy.stats import rankdata, spearmanr
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from paper_repro.files import ReproError
from paper_repro.gradcam import GradCAM, heatmap

SMALLEST_GRID = 4  # cells a side; on a coarser grid no localisation is claimed
LARGEST_BOX = 0.5  # share of the frame; a larger box holds most of almost any map
ROUNDING = 1e-6  # a probability that grew by less did not grow
ROAD_PERCENTILES = (80, 50, 20)  # the pixels above them go: 20, 50 and 80 %

Predict = Callable[[Tensor], Tensor]  # inputs (N, 3, S, S) -> probabilities (N, K)


def measure(
    model: nn.Module,
    layers: dict[str, nn.Module],
    inputs: Tensor,
    images: np.ndarray,
    truth,
    names,
    masks=None,
    boxes=None,
    faithful: int = 24,
    steps: int = 8,
    batch_size: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """Every measure of Grad-CAM and the trivial maps for the predicted class: a row per image, layer and map.

    Args:
        inputs, images: (N, 3, S, S) float as the model takes them, and the same as (N, S, S, 3) uint8.
        truth, names: (N,) class indices and image names.
        masks, boxes: (N, S, S) bool, and N arrays (k, 4) of fractions x0, y0, x1, y1 of the frame; k = 0 for
            an image without a usable box.
        faithful: faithfulness takes many passes; it is measured on this many images, evenly spaced and so the
            same ones for every model.
        steps: of the insertion and deletion curves.

    Returns the columns image, truth, predicted, confidence, layer, grid ("8x8"), map, zero_map (no value
    above zero); box_area, box_gain, mask_area, mask_gain (`energy`); mask_auc, mask_iou (`ranking`);
    drop, increase (`confidence_change`); insertion_*, deletion_* (`perturbation`); road_* (`road`).
    Localisation is NaN on grids below 4x4, and for boxes that cover half of the frame or more.
    """
    if model.training:
        raise ReproError("the model is in training mode, where a prediction depends on its batch: call model.eval()")
    device, size = next(model.parameters()).device, inputs.shape[-1]

    @torch.no_grad()
    def predict(batch):
        return model(batch.to(device)).softmax(1).cpu()

    def batched(function, *arrays):
        return pd.concat(
            [function(*(array[i : i + batch_size] for array in arrays)) for i in range(0, len(arrays[0]), batch_size)],
            ignore_index=True,
        )

    confidence, predicted = torch.cat([predict(batch) for batch in inputs.split(batch_size)]).max(1)
    described = pd.DataFrame(
        {"image": np.asarray(names), "truth": np.asarray(truth), "predicted": predicted, "confidence": confidence}
    )
    few = np.unique(np.linspace(0, len(inputs) - 1, min(faithful, len(inputs))).round().astype(int))
    faithfulness = (
        partial(confidence_change, predict),
        partial(perturbation, predict, steps=steps),
        partial(road, predict, seed=seed),
    )
    inside = None if boxes is None else np.stack([box_mask(box, size) for box in boxes])
    tables = []
    for layer, module in layers.items():
        cams = _cams(model, module, inputs, predicted, batch_size)
        grid = tuple(cams.shape[1:])
        by_name = {"gradcam": cams, **trivial_maps(images, grid, seed)}
        # All maps of the few images together: small batches are slow.
        repeated = [
            torch.cat([maps[few] for maps in by_name.values()]),
            inputs[few].repeat(len(by_name), 1, 1, 1),
            predicted[few].repeat(len(by_name)),
        ]
        faith = pd.concat([batched(f, *repeated) for f in faithfulness], axis=1)
        for place, (name, maps) in enumerate(by_name.items()):
            parts = [described.assign(layer=layer, grid=f"{grid[0]}x{grid[1]}", map=name, zero_map=_empty(maps))]
            if boxes is not None:
                found = batched(energy, maps, inside)
                found["gain"] = found["gain"].where(found["area"] < LARGEST_BOX)
                parts.append(found.add_prefix("box_"))
            if masks is not None:
                parts += [batched(f, maps, masks).add_prefix("mask_") for f in (energy, ranking)]
            parts.append(faith[place * len(few) : (place + 1) * len(few)].set_index(few))
            tables.append(pd.concat(parts, axis=1))
    return pd.concat(tables, ignore_index=True)


def trivial_maps(images: np.ndarray, grid: tuple[int, int], seed: int = 0) -> dict[str, Tensor]:
    """Maps (N, h, w) that know nothing of the model, on the cam's own grid lest coarseness make a difference.

    uniform; centre, a Gaussian whose standard deviation is a quarter of the frame; edges, the mean Sobel
    magnitude of the grey image in each cell; random, independent uniform cells.
    """
    grey = images.astype(np.float32).mean(3)
    edges = torch.from_numpy(np.hypot(sobel(grey, 1), sobel(grey, 2)))
    y, x = (((torch.arange(cells) + 0.5) / cells - 0.5) / 0.25 for cells in grid)
    shape = (len(images), *grid)
    return {
        "uniform": torch.ones(shape),
        "centre": torch.exp(-(y[:, None] ** 2 + x**2) / 2).expand(shape),
        "edges": F.adaptive_avg_pool2d(edges[:, None], grid)[:, 0],
        "random": torch.from_numpy(np.random.default_rng(seed).random(shape, np.float32)),
    }


# ---- localisation: does the map lie on the object? -----------------------------------------------


def box_mask(boxes: np.ndarray, size: int) -> np.ndarray:
    """Pixels (size, size) bool whose centre lies in any of the boxes (k, 4), fractions x0, y0, x1, y1."""
    at = (np.arange(size) + 0.5) / size
    x0, y0, x1, y1 = np.asarray(boxes, float).reshape(-1, 4).T[:, :, None]
    columns, rows = (x0 <= at) & (at <= x1), (y0 <= at) & (at <= y1)  # (k, size) each
    return (rows[:, :, None] & columns[:, None, :]).any(0)


def energy(maps: Tensor, regions: np.ndarray) -> pd.DataFrame:
    """area, the region's share of the frame, and gain: the share of the map's sum inside it minus area.

    Maps (N, h, w), regions (N, S, S) bool. 0 is chance, 1 - area the best; an empty map counts as a uniform
    one. The share is the energy-based pointing game (Wang et al. 2020, "Score-CAM"); area is subtracted
    because a uniform map scores it. NaN on a grid below 4x4 and for a region without pixels.
    """
    area = regions.mean((1, 2))
    enlarged = _enlarge(maps, regions.shape[-1]).double().numpy()
    total = enlarged.sum((1, 2))
    share = np.divide((enlarged * regions).sum((1, 2)), total, out=area.copy(), where=total > 0)
    claimed = (area > 0) & (min(maps.shape[1:]) >= SMALLEST_GRID)
    return pd.DataFrame({"area": area, "gain": np.where(claimed, share - area, np.nan)})


def ranking(maps: Tensor, masks: np.ndarray) -> pd.DataFrame:
    """How well a map ranks the object's pixels first, whatever its scale: auc and iou.

    Area under the ROC curve of the pixels' values against the mask (N, S, S) bool, as the Mann-Whitney
    statistic, chance being 0.5; intersection over union of the mask with as many top pixels as it has. NaN on
    a grid below 4x4 and for a mask without pixels inside or outside.
    """
    inside = masks.sum((1, 2))
    outside = masks[0].size - inside
    if min(maps.shape[1:]) < SMALLEST_GRID:
        return pd.DataFrame({"auc": np.nan, "iou": np.nan}, index=range(len(maps)))
    enlarged = _enlarge(maps, masks.shape[-1])
    flat = masks.reshape(len(masks), -1)
    rank_sum = (rankdata(enlarged.flatten(1).numpy(), axis=1) * flat).sum(1)  # ties share their mean rank
    top = _ranks(enlarged).numpy() < inside[:, None, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = pd.DataFrame(
            {
                "auc": (rank_sum - inside * (inside + 1) / 2) / (inside * outside),
                "iou": (top & masks).sum((1, 2)) / (top | masks).sum((1, 2)),
            }
        )
    return found.where(pd.Series((inside > 0) & (outside > 0)), axis=0)


# ---- faithfulness: does the prediction depend on what the map marks? -----------------------------


def confidence_change(predict: Predict, maps: Tensor, inputs: Tensor, target: Tensor) -> pd.DataFrame:
    """drop and increase of the target class's probability when only what the map marks is left of the image.

    Chattopadhyay et al. 2018, "Grad-CAM++", average drop and increase in confidence: with Y for the image and
    O for the image times the map scaled to [0, 1], drop = max(0, Y - O) / Y and increase = O > Y, both to be
    averaged. As in the `grad-cam` package, the normalised input is multiplied, so that what is not marked
    turns into the mean colour; the paper multiplies the image, which turns it black. That package's own
    DropInConfidence is not divided by Y.
    """
    full = _probability(predict, inputs, target)
    left = _probability(predict, inputs * heatmap(maps, inputs.shape[-1])[:, None], target)
    return pd.DataFrame({"drop": (full - left).clip(0) / full, "increase": (left > full + ROUNDING).astype(float)})


def perturbation(predict: Predict, maps: Tensor, inputs: Tensor, target: Tensor, steps: int) -> pd.DataFrame:
    """Areas under the insertion and deletion curves, in [0, 1], with a blurred and a mean baseline.

    Petsiuk et al. 2018, "RISE": the target class's probability while pixels, the highest values of the map
    first, pass from the image into the baseline (insertion, higher is better) or from the baseline into the
    image (deletion, lower is better). In the paper insertion starts from a blurred image and deletion ends in
    a constant; here each has both, because the ranking of methods depends on it: the image blurred with a
    standard deviation of S / 16, and its mean colour. The paper moves single pixels; here the curve has
    `steps` equal intervals, a trapezoid each.
    """
    size = inputs.shape[-1]
    ranks = _ranks(_enlarge(maps, size))[:, None]
    kernel = 2 * round(3 * size / 16) + 1
    baselines = {
        "blur": gaussian_blur(inputs, kernel, size / 16),
        "mean": inputs.mean((2, 3), keepdim=True).expand_as(inputs),
    }
    full, found = _probability(predict, inputs, target), {}
    for name, baseline in baselines.items():
        empty = _probability(predict, baseline, target)
        insertion, deletion = [empty], [full]
        for step in range(1, steps):
            top = ranks < round(size * size * step / steps)
            insertion.append(_probability(predict, torch.where(top, inputs, baseline), target))
            deletion.append(_probability(predict, torch.where(top, baseline, inputs), target))
        found[f"insertion_{name}"] = np.trapezoid([*insertion, full], dx=1 / steps, axis=0)
        found[f"deletion_{name}"] = np.trapezoid([*deletion, empty], dx=1 / steps, axis=0)
    return pd.DataFrame(found)


def road(predict: Predict, maps: Tensor, inputs: Tensor, target: Tensor, seed: int = 0) -> pd.DataFrame:
    """road_most, road_least: the target class's probability after removing the most or least relevant pixels.

    Rong et al. 2022, "A Consistent and Efficient Evaluation Strategy for Attribution Methods" (ROAD):
    removed pixels are imputed from their neighbours, lest the shape of the hole tell the class. Mean over
    20, 50 and 80 % removed; low most and high least are good. Computed as by the `grad-cam` package, which
    departs from the paper: it imputes the normalised input, so that its noise of 0.01 is in units of the
    normalisation; the paper reports the accuracy over a data set. Its threshold removes too much where
    values tie (the zero half of a cam goes as a whole): it is given ranks here. Its noise is seeded here.
    """
    from pytorch_grad_cam.metrics import perturbation_confidence as grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    ranks = _ranks(_enlarge(maps, inputs.shape[-1]))
    relevance = 1 - ranks.numpy().astype(np.float32) / ranks[0].numel()  # distinct, the most relevant is 1
    targets = [ClassifierOutputTarget(k) for k in target.tolist()]
    found = {}
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(seed)
        warnings.simplefilter("ignore", DeprecationWarning)  # of the package's, about NumPy
        removals = {"road_most": grad_cam.RemoveMostRelevantFirst, "road_least": grad_cam.RemoveLeastRelevantFirst}
        for name, removal in removals.items():
            metrics = [
                grad_cam.PerturbationConfidenceMetric(removal(percentile, impute)) for percentile in ROAD_PERCENTILES
            ]
            left = [metric(inputs, relevance, targets, predict, return_diff=False) for metric in metrics]
            found[name] = np.mean(left, axis=0)
    return pd.DataFrame(found)


def impute(image: Tensor, kept: Tensor) -> Tensor:
    """ROAD's noisy linear imputation: `image` (C, H, W) with the pixels where `kept` (H, W) is 0 made up.

    Rong et al. 2022, section 4: each is the weighted mean of its eight neighbours, those beside it weighing 1/6
    and those across a corner 1/12, all solved together; noise of 0.01 is added. Bit for bit what the `grad-cam`
    package makes, which fills its matrix entry by entry and takes twice as long at 160 px.
    """
    height, width = kept.shape
    known, pixels = kept.numpy().ravel() > 0, image.numpy().reshape(len(image), -1)  # (H W,), (C, H W)
    holes = np.flatnonzero(~known)
    unknown = np.zeros(known.size, int)
    unknown[holes] = np.arange(len(holes))  # the number of a hole's equation
    y, x = np.divmod(holes, width)
    right, own, entries = np.zeros((len(holes), len(image))), np.ones(len(holes)), []
    # In the package's order, on which the last bit of a sum depends.
    for dy, dx in [(1, 1), (0, 1), (-1, 1), (1, -1), (0, -1), (-1, -1), (1, 0), (-1, 0)]:
        weight = 1 / 6 if 0 in (dy, dx) else 1 / 12
        inside = (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
        own[~inside] -= weight  # at the border the others weigh more
        rows, other = np.flatnonzero(inside), (holes + dy * width + dx)[inside]
        given = known[other]
        right[rows[given]] -= weight * pixels[:, other[given]].T
        entries.append((rows[~given], unknown[other[~given]], np.full((~given).sum(), weight)))
    entries.append((np.arange(len(holes)), np.arange(len(holes)), -own))
    rows, columns, weights = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    values = torch.tensor(spsolve(csc_matrix((weights, (rows, columns))), right), dtype=torch.float).T  # (C, holes)
    filled = image.reshape(len(image), -1).clone()
    filled[:, holes] = values + 0.01 * torch.randn_like(values)
    return filled.reshape_as(image)


# ---- sanity: does the map depend on what the model has learnt? -----------------------------------


def cascade(model: nn.Module, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Cascading parameter randomisation (Adebayo et al. 2018, "Sanity Checks for Saliency Maps").

    Yields (name, model) for each child with parameters, the last, which is the output, first: one copy of the
    model, in which that child and all after it have the initial weights of their layers' `reset_parameters`
    (and batch normalisation its initial statistics). Use it before the next one is drawn; the given model is
    not touched.
    """
    model = copy.deepcopy(model)
    children = [(name, child) for name, child in model.named_children() if [*child.parameters()]]
    for i, (name, child) in enumerate(reversed(children)):
        with torch.random.fork_rng():
            torch.manual_seed(seed + i)
            for module in child.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
                elif next(module.parameters(recurse=False), None) is not None:
                    raise ReproError(
                        f"{type(module).__name__} in {name} has parameters but no "
                        "reset_parameters(), so it cannot be randomised"
                    )
        yield name, model


def randomisation(model: nn.Module, layer: str, inputs: Tensor, batch_size: int = 50, seed: int = 0) -> pd.DataFrame:
    """Similarity of each image's Grad-CAM at `layer` ("layer3") before and after cascading randomisation.

    Columns: randomised ("fc", then "layer4" for both, ...), position of the image, similarity
    (`rank_similarity`, for the class that the trained model predicts) and zero_map. First come the rows
    "another image": the similarity with the next image's map, which is what centre bias alone gives. A map
    that stays above it does not show what the model has learnt.
    """
    device = next(model.parameters()).device
    with torch.no_grad():
        target = torch.cat([model(batch.to(device)).argmax(1).cpu() for batch in inputs.split(batch_size)])
    trained = _cams(model, model.get_submodule(layer), inputs, target, batch_size)
    compared = {"another image": trained.roll(1, 0)}
    for name, randomised in cascade(model, seed):
        compared[name] = _cams(randomised, randomised.get_submodule(layer), inputs, target, batch_size)
    tables = [
        pd.DataFrame(
            {
                "randomised": name,
                "position": range(len(inputs)),
                "zero_map": _empty(maps),
                "similarity": rank_similarity(trained, maps),
            }
        )
        for name, maps in compared.items()
    ]
    return pd.concat(tables, ignore_index=True)


def rank_similarity(a: Tensor, b: Tensor) -> np.ndarray:
    """Spearman's rank correlation of each pair of maps (N, h, w), in [-1, 1]; NaN where one is constant."""
    pairs = zip(a.flatten(1).numpy(), b.flatten(1).numpy(), strict=True)
    return np.array([spearmanr(x, y).statistic if np.ptp(x) > 0 and np.ptp(y) > 0 else np.nan for x, y in pairs])


# ---- what attention adds: do the gates agree? ----------------------------------------------------


def gate_agreement(gates: dict[str, Tensor]) -> pd.DataFrame:
    """Whether the blocks of a stage want the same gate, as one gate per stage supposes (claim C3's premise).

    Takes the gates (G, N, C) of a network with a gate per block. A row per stage with G > 1 and per image n,
    correlations being over the C channels:
    within, of the image's gates in two blocks, mean over the pairs of blocks;
    between, of the gates of n and of another image in one block, mean over blocks and other images;
    specific, as within after taking each channel's mean over the images away in every block: what this very
    picture adds, 0 where the blocks answer it independently.
    """
    tables = []
    for stage, gate in gates.items():
        blocks, images, _ = gate.shape
        if blocks > 1:
            unit = F.normalize(gate - gate.mean(2, keepdim=True), dim=2)  # (G, N, C)
            own = gate - gate.mean(1, keepdim=True)
            own = F.normalize(own - own.mean(2, keepdim=True), dim=2)
            alike = torch.einsum("gnc,gmc->gnm", unit, unit)  # (G, N, N)
            tables.append(
                pd.DataFrame(
                    {
                        "stage": stage,
                        "position": range(images),
                        "within": _pairs(unit),
                        "specific": _pairs(own),
                        "between": (alike.sum(2) - 1).mean(0) / (images - 1),
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def _pairs(unit):
    """Mean over the pairs of blocks of the inner product of their unit vectors (G, N, C), (N,)."""
    blocks = len(unit)
    return ((unit.sum(0) ** 2).sum(1) - blocks) / (blocks * (blocks - 1))


def _cams(model, module, inputs, target, batch_size):
    """Raw cams (N, h, w) of the target classes (N,), on the CPU."""
    device = next(model.parameters()).device
    with GradCAM(model, module) as gradcam, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about empty maps: every table has a column for them
        return torch.cat(
            [
                gradcam(batch.to(device), goal.to(device)).cpu()
                for batch, goal in zip(inputs.split(batch_size), target.split(batch_size), strict=True)
            ]
        )


def _empty(maps):
    """Which maps (N,) hold no value above zero."""
    return (maps <= 0).flatten(1).all(1).numpy()


def _enlarge(maps, size):
    """Maps (N, h, w) at the image's resolution (N, size, size), not scaled."""
    # In double precision, lest rounding rank the pixels of a constant part.
    large = F.interpolate(maps[:, None].double(), (size, size), mode="bilinear", align_corners=False)
    return large[:, 0].float()


def _ranks(values):
    """Rank of each pixel in its map (N, S, S), 0 for the highest; ties in a random order, always the same."""
    flat = values.flatten(1)
    shuffled = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(0))
    order = shuffled[flat[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    return order.argsort(dim=1).view_as(values)


def _probability(predict, inputs, target):
    """Probability (N,) of each input's target class."""
    return predict(inputs).gather(1, target[:, None])[:, 0].double().numpy()
