"""Measures of heat maps: localisation, faithfulness, sanity, and whether gates agree. Nothing here draws.

Maps are raw cams (N, h, w), not negative. To compare them with pixels they are enlarged bilinearly
(align_corners=False) to the image's S x S. Pixels of equal value, as in the part of a cam that is zero, are ranked in
one fixed random order: a map that says nothing then scores as chance and not as the order of memory.

NaN and infinity in maps, inputs, regions, gates or probabilities are a ReproError with the positions: no comparison
would notice them, and they would score as chance.
"""

import copy
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.ndimage import sobel
from scipy.sparse import diags_array, kron
from scipy.sparse.linalg import splu
from scipy.stats import rankdata, spearmanr
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from paper_repro.files import ReproError
from paper_repro.gradcam import GradCAM, check, class_numbers, heatmap, scores_of

BATCH = 50  # images or maps at a time
SMALLEST_GRID = 4  # cells a side; on a coarser grid no localisation is claimed
LARGEST_BOX = 0.5  # share of the frame; a larger box holds most of almost any map
ROUNDING = 1e-6  # a probability that grew by less did not grow
CURVE_STEPS = 8  # intervals of the insertion and deletion curves
ROAD_KEPT = (0.8, 0.5, 0.2)  # shares of the pixels that stay
MEND = "mend these or leave them out"  # what to do about NaN and infinity
CONVERGED = "use weights of a training that converged"


def measure(
    model: nn.Module,
    layers: dict[str, nn.Module],
    inputs: Tensor,
    images: np.ndarray,
    table: pd.DataFrame,
    faithfulness_images: int,
    masks: np.ndarray | None = None,
    boxes: list[np.ndarray] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """All measures of Grad-CAM and of the trivial maps, for the class that the model predicts.

    Args:
        layers: modules of the model, by name; the model is in evaluation mode.
        inputs: (N, 3, S, S) float, as the model takes them; images: the same as (N, S, S, 3) uint8.
        table: N rows with the columns image (name) and truth (class index).
        faithfulness_images: faithfulness takes many passes; it is measured on so many images, evenly spaced.
        masks: (N, S, S) bool, the object's pixels; boxes: N arrays (k, 4) of fractions x0, y0, x1, y1 of the frame.
        seed: of the random maps and of ROAD's noise.

    Returns:
        A row per image, layer and map: image, truth, predicted, confidence, layer, grid ("8x8"), map, zero_map (no
        value above zero), then the columns of `localisation` and of `faithfulness`.
    """
    if model.training:
        raise ReproError("the model is in training mode, where a prediction depends on its batch: call model.eval()")
    check("inputs", inputs, "(N, 3, S, S)", MEND)
    if masks is not None:
        check("masks", torch.as_tensor(masks), "(N, S, S)", MEND)
    if boxes is not None:
        check("boxes", torch.tensor([[np.sum(box)] for box in boxes]), "(N, 1)", MEND)
    device, count = next(model.parameters()).device, len(inputs)

    @torch.no_grad()
    def predict(batch):
        return scores_of(model, batch.to(device)).softmax(1).cpu()

    confidence, predicted = torch.cat([predict(batch) for batch in inputs.split(BATCH)]).max(1)
    check("probabilities", confidence[:, None], "(N, 1)", CONVERGED)
    described = table[["image", "truth"]].assign(predicted=predicted.numpy(), confidence=confidence.numpy())
    inside_boxes = None if boxes is None else np.stack([box_mask(box, inputs.shape[-1]) for box in boxes])
    evenly_spaced = np.linspace(0, count - 1, min(faithfulness_images, count)).round().astype(int)
    tables = []
    for layer, module in layers.items():
        cams = class_cams(model, module, inputs, predicted)
        grid = cams.shape[1], cams.shape[2]
        by_name = {"gradcam": cams, **trivial_maps(images, grid, seed)}
        maps = torch.cat([*by_name.values()])  # (M, h, w): N of each name, together, as small batches are slow
        image_of = np.tile(np.arange(count), len(by_name))  # (M,)
        located, tested = [], []
        for rows in np.split(np.arange(len(maps)), range(BATCH, len(maps), BATCH)):
            regions = [None if region is None else region[image_of[rows]] for region in (masks, inside_boxes)]
            located.append(localisation(maps[rows], *regions).set_index(rows))
        chosen = np.flatnonzero(np.isin(image_of, evenly_spaced))
        for rows in np.split(chosen, range(BATCH, len(chosen), BATCH)):
            batch = inputs[image_of[rows]].contiguous(), predicted[image_of[rows]]
            tested.append(faithfulness(predict, maps[rows], *batch, seed).set_index(rows))
        found = described.iloc[image_of].reset_index(drop=True).assign(layer=layer, grid=f"{grid[0]}x{grid[1]}")
        found["map"], found["zero_map"] = np.repeat([*by_name], count), (maps <= 0).flatten(1).all(1).numpy()
        tables.append(pd.concat([found, pd.concat(located), pd.concat(tested)], axis=1))
    return pd.concat(tables, ignore_index=True)


def class_cams(model: nn.Module, module: nn.Module, inputs: Tensor, target: Tensor) -> Tensor:
    """Raw Grad-CAM (N, h, w), on the processor, of one of the model's modules for the classes `target` (N,) of inputs
    (N, 3, S, S)."""
    device = next(model.parameters()).device
    batches = zip(inputs.split(BATCH), target.split(BATCH), strict=True)
    with GradCAM(model, module) as gradcam, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about empty maps: every table has a column for them
        return torch.cat([gradcam(batch.to(device), classes.to(device)).cpu() for batch, classes in batches])


def trivial_maps(images: np.ndarray, grid: tuple[int, int], seed: int = 0) -> dict[str, Tensor]:
    """Maps (N, h, w) that know nothing of the model, on the cam's grid (h, w), so that all maps are equally coarse.

    From images (N, S, S, 3) uint8: uniform; centre, a Gaussian whose standard deviation is a quarter of the frame;
    edges, the mean Sobel magnitude of the grey image in each cell; random, independent uniform cells.
    """
    grey = images.astype(np.float32).mean(3)
    check("images", torch.from_numpy(grey), "(N, S, S)", MEND)
    # Image by image: over the whole stack, sobel would smooth across neighbouring images as well.
    edges = torch.from_numpy(np.stack([np.hypot(sobel(image, 0), sobel(image, 1)) for image in grey]))
    y, x = (((torch.arange(cells) + 0.5) / cells - 0.5) / 0.25 for cells in grid)
    shape = (len(images), *grid)
    return {
        "uniform": torch.ones(shape),
        "centre": torch.exp(-(y[:, None] ** 2 + x**2) / 2).expand(shape),
        "edges": F.adaptive_avg_pool2d(edges[:, None], grid)[:, 0],
        "random": torch.from_numpy(np.random.default_rng(seed).random(shape, np.float32)),
    }


def localisation(maps: Tensor, masks: np.ndarray | None, inside_boxes: np.ndarray | None) -> pd.DataFrame:
    """Localisation: whether maps (N, h, w) lie on the object, given by its pixels or those of its boxes (N, S, S) bool.

    Returns:
        A row per map: box_area, box_gain, mask_area, mask_gain (`energy`), mask_auc, mask_iou (`ranking`). All but the
        areas are NaN on grids below 4x4, and box_gain for boxes that cover half of the frame or more.
    """
    tables = [pd.DataFrame(index=range(len(maps)))]
    if inside_boxes is not None:
        found = energy(maps, inside_boxes)
        found["gain"] = found["gain"].where(found["area"] < LARGEST_BOX)
        tables.append(found.add_prefix("box_"))
    if masks is not None:
        tables += [found.add_prefix("mask_") for found in (energy(maps, masks), ranking(maps, masks))]
    return pd.concat(tables, axis=1)


def box_mask(boxes: np.ndarray, size: int) -> np.ndarray:
    """Pixels (size, size) bool whose centre lies in any of the boxes (k, 4), fractions x0, y0, x1, y1."""
    centres = (np.arange(size) + 0.5) / size
    corners = np.asarray(boxes, float).reshape(-1, 4)
    check("boxes", torch.from_numpy(corners), "(k, 4)", MEND)
    x0, y0, x1, y1 = corners.T[:, :, None]
    columns, rows = (x0 <= centres) & (centres <= x1), (y0 <= centres) & (centres <= y1)  # (k, size) each
    return (rows[:, :, None] & columns[:, None, :]).any(0)


def energy(maps: Tensor, regions: np.ndarray) -> pd.DataFrame:
    """area and gain of maps (N, h, w) in regions (N, S, S) bool.

    gain is the share of the map's sum inside the region (the energy-based pointing game, Wang et al. 2020,
    "Score-CAM") minus area, the region's share of the frame, which a uniform map scores. So 0 is chance and 1 - area
    the best. An empty map counts as a uniform one. gain is NaN on a grid below 4x4 and for an empty region.
    """
    regions = _regions(regions)
    area = regions.mean((1, 2))
    enlarged = _enlarge(maps, regions.shape[-1]).double().numpy()
    total = enlarged.sum((1, 2))
    share = np.divide((enlarged * regions).sum((1, 2)), total, out=area.copy(), where=total > 0)
    claimed = (area > 0) & (min(maps.shape[1:]) >= SMALLEST_GRID)
    return pd.DataFrame({"area": area, "gain": np.where(claimed, share - area, np.nan)})


def ranking(maps: Tensor, masks: np.ndarray) -> pd.DataFrame:
    """auc and iou, in [0, 1]: whether maps (N, h, w) rank the pixels of masks (N, S, S) bool first, at any scale.

    auc is the area under the ROC curve of the pixels' values; 0.5 is chance. iou is the intersection over union of the
    mask and as many of the highest pixels as it has. NaN on a grid below 4x4 and where nothing is inside or outside.
    """
    masks = _regions(masks)
    enlarged = _enlarge(maps, masks.shape[-1])
    if min(maps.shape[1:]) < SMALLEST_GRID:
        return pd.DataFrame({"auc": np.nan, "iou": np.nan}, index=range(len(maps)))
    inside = masks.sum((1, 2))
    outside = masks[0].size - inside
    pixel_ranks = rankdata(enlarged.flatten(1).numpy(), axis=1)  # ties share their mean rank
    rank_sum = (pixel_ranks * masks.reshape(len(masks), -1)).sum(1)
    top = _ranks(enlarged).numpy() < inside[:, None, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        auc = (rank_sum - inside * (inside + 1) / 2) / (inside * outside)
        iou = (top & masks).sum((1, 2)) / (top | masks).sum((1, 2))
    return pd.DataFrame({"auc": auc, "iou": iou}).where(pd.Series((inside > 0) & (outside > 0)), axis=0)


def faithfulness(predict: Callable, maps: Tensor, inputs: Tensor, target: Tensor, seed: int = 0) -> pd.DataFrame:
    """Faithfulness: whether the prediction of the classes `target` (N,) depends on what maps (N, h, w) mark in inputs
    (N, 3, S, S). A row per map, with the columns of `confidence_change`, `perturbation` and `road`. `predict` turns
    inputs into probabilities (N, K)."""
    arguments = predict, maps, inputs, target
    return pd.concat([confidence_change(*arguments), perturbation(*arguments), road(*arguments, seed)], axis=1)


def confidence_change(predict: Callable, maps: Tensor, inputs: Tensor, target: Tensor) -> pd.DataFrame:
    """drop and increase of the target class's probability when only what the map marks is left of the image.

    Chattopadhyay et al. 2018, "Grad-CAM++": with Y for the image and O for the image times the map scaled to [0, 1],
    drop = max(0, Y - O) / Y, in [0, 1] (the `grad-cam` package does not divide), and increase = O > Y, as 0 or 1. As in
    the package, unmarked pixels of the normalised input turn into the mean colour; in the paper they turn black.
    """
    check("inputs", inputs, "(N, 3, S, S)", MEND)
    full = _probability(predict, inputs, target)
    left = _probability(predict, inputs * heatmap(maps, inputs.shape[-1])[:, None], target)
    return pd.DataFrame({"drop": (full - left).clip(0) / full, "increase": (left > full + ROUNDING).astype(float)})


def perturbation(predict: Callable, maps: Tensor, inputs: Tensor, target: Tensor) -> pd.DataFrame:
    """insertion_* and deletion_*: areas under the two curves, in [0, 1], with a blurred and a mean baseline.

    Petsiuk et al. 2018, "RISE": the target class's probability while pixels, the highest values of the map first, pass
    from the image into the baseline (insertion, higher is better) or from the baseline into the image (deletion, lower
    is better). In the paper insertion starts from a blurred image and deletion ends in a constant; here each has both,
    as the ranking of methods depends on it: the image blurred with a standard deviation of S / 16, and its mean colour.
    The paper moves single pixels; here the curve has eight equal intervals, a trapezoid each.
    """
    check("inputs", inputs, "(N, 3, S, S)", MEND)
    size = inputs.shape[-1]
    ranks = _ranks(_enlarge(maps, size))[:, None]
    blurred = gaussian_blur(inputs, 2 * round(3 * size / 16) + 1, size / 16)
    baselines = {"blur": blurred, "mean": inputs.mean((2, 3), keepdim=True).expand_as(inputs)}
    full, areas = _probability(predict, inputs, target), {}
    for name, baseline in baselines.items():
        empty = _probability(predict, baseline, target)
        insertion, deletion = [empty], [full]
        for step in range(1, CURVE_STEPS):
            top = ranks < round(size * size * step / CURVE_STEPS)
            insertion.append(_probability(predict, torch.where(top, inputs, baseline), target))
            deletion.append(_probability(predict, torch.where(top, baseline, inputs), target))
        areas[f"insertion_{name}"] = np.trapezoid([*insertion, full], dx=1 / CURVE_STEPS, axis=0)
        areas[f"deletion_{name}"] = np.trapezoid([*deletion, empty], dx=1 / CURVE_STEPS, axis=0)
    return pd.DataFrame(areas)


def road(predict: Callable, maps: Tensor, inputs: Tensor, target: Tensor, seed: int = 0) -> pd.DataFrame:
    """road_most, road_least: the target class's probability after removing the most or least relevant pixels.

    Rong et al. 2022, "A Consistent and Efficient Evaluation Strategy for Attribution Methods" (ROAD): removed pixels
    are imputed from their neighbours, so that the shape of the hole does not tell the class. Mean over 20, 50 and 80 %
    removed; low most and high least are good. As in the `grad-cam` package, the normalised input is imputed and the
    result is a probability; the paper reports the accuracy over a data set. The package removes the zero half of a cam
    as a whole; here pixels of equal value are ranked. `seed` is the noise's.
    """
    check("inputs", inputs, "(N, 3, S, S)", MEND)
    ranks = _ranks(_enlarge(maps, inputs.shape[-1]))  # (N, S, S), 0 for the most relevant
    last = ranks[0].numel() - 1
    probabilities = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, order in {"road_most": last - ranks, "road_least": ranks}.items():
            left = []
            for share in ROAD_KEPT:
                imputed = [impute(*pair) for pair in zip(inputs, order < share * last, strict=True)]
                left.append(_probability(predict, torch.stack(imputed), target))
            probabilities[name] = np.mean(left, axis=0, dtype=np.float32)
    return pd.DataFrame(probabilities)


def impute(image: Tensor, kept: Tensor) -> Tensor:
    """ROAD's noisy linear imputation (Rong et al. 2022, section 4): `image` (C, H, W) with the other pixels made up.

    Each pixel where `kept` (H, W) is 0 becomes the weighted mean of its eight neighbours, 1/6 for those beside it, 1/12
    for those across a corner, all at once; noise of 0.01 is added. It is the `grad-cam` package's up to rounding.
    """
    hole = kept.numpy().ravel() == 0
    pixels = image.flatten(1).double().numpy().T  # (H W, C)
    # Along one axis 1 and 1/2 for the neighbours: the product, a third of it, has 1/6 and 1/12. Its diagonal cancels.
    along = (diags_array([0.5, 1, 0.5], offsets=[-1, 0, 1], shape=(size, size)) for size in kept.shape)
    weights = (kron(*along) / 3).tocsr()[hole]  # (holes, H W)
    equations = diags_array(weights.sum(1)) - weights[:, hole]
    # Symmetric and diagonally dominant: no pivots are needed, and this order of elimination fills in least.
    solver = splu(equations.tocsc(), "MMD_AT_PLUS_A", diag_pivot_thresh=0, options={"SymmetricMode": True})
    values = solver.solve(weights[:, ~hole] @ pixels[~hole])
    values = torch.from_numpy(values).float().T  # (C, holes)
    filled = image.flatten(1).clone()
    filled[:, hole] = values + 0.01 * torch.randn_like(values)
    return filled.reshape_as(image)


def cascade(model: nn.Module, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Cascading parameter randomisation (Adebayo et al. 2018, "Sanity Checks for Saliency Maps").

    Yields:
        (name, model) for each child with parameters, from the output down: always the same copy of the model, in which
        that child and all after it have new weights by their layers' `reset_parameters`. Use it before the next one.
    """
    model = copy.deepcopy(model)
    children = [(name, child) for name, child in model.named_children() if [*child.parameters()]]
    for i, (name, child) in enumerate(reversed(children)):
        with torch.random.fork_rng():
            torch.manual_seed(seed + i)
            for module in child.modules():
                if callable(reset := getattr(module, "reset_parameters", None)):
                    reset()
                elif [*module.parameters(recurse=False)]:
                    raise ReproError(
                        f"{name} holds a {type(module).__name__} without the method reset_parameters: add it"
                    )
        yield name, model


def randomisation(model: nn.Module, layer: str, inputs: Tensor, seed: int = 0) -> pd.DataFrame:
    """Similarity of each image's Grad-CAM at `layer` ("layer3") before and after `cascade`; inputs (N, 3, S, S).

    Returns:
        randomised ("fc", then "layer4" for both, ...), position of the image, zero_map, similarity (`rank_similarity`,
        for the class that the trained model predicts). The first rows, "another image", hold the similarity with the
        next image's map, as centre bias alone gives it. A map that stays above it does not show what was learnt.
    """
    check("inputs", inputs, "(N, 3, S, S)", MEND)
    if layer not in [name for name, _ in model.named_modules()]:
        given = f"'{layer}'" if isinstance(layer, str) else f"a {type(layer).__name__}"
        raise ReproError(f"layer: {given} is no name of one of the model's modules: give one, such as 'layer3'")
    device, count = next(model.parameters()).device, len(inputs)
    with torch.no_grad():
        scores = torch.cat([scores_of(model, batch.to(device)).cpu() for batch in inputs.split(BATCH)])  # (N, K)
    check("scores", scores, "(N, K)", CONVERGED)
    target = scores.argmax(1)
    trained = class_cams(model, model.get_submodule(layer), inputs, target)
    compared = {"another image": trained.roll(1, 0)}
    for name, randomised in cascade(model, seed):
        compared[name] = class_cams(randomised, randomised.get_submodule(layer), inputs, target)
    maps = torch.cat([*compared.values()])
    table = {"randomised": np.repeat([*compared], count), "position": np.tile(np.arange(count), len(compared))}
    table |= {"zero_map": (maps <= 0).flatten(1).all(1).numpy()}
    table |= {"similarity": rank_similarity(trained.repeat(len(compared), 1, 1), maps)}
    return pd.DataFrame(table)


def rank_similarity(a: Tensor, b: Tensor) -> np.ndarray:
    """Spearman's rank correlation (N,) of each pair of maps (N, h, w), in [-1, 1]; NaN where one is constant."""
    check("a", a, "(N, h, w)", MEND)
    check("b", b, "(N, h, w)", MEND)
    pairs = zip(a.flatten(1).numpy(), b.flatten(1).numpy(), strict=True)
    return np.array([spearmanr(x, y).statistic if np.ptp(x) > 0 and np.ptp(y) > 0 else np.nan for x, y in pairs])


def gate_agreement(gates: dict[str, Tensor]) -> pd.DataFrame:
    """Whether the blocks of a stage want the same gate (G, N, C), as one gate per stage supposes (claim C3's premise).

    Returns:
        A row per stage with G > 1 and image (position) with correlations over the C channels, in [-1, 1]:
        within, of the image's gates in two blocks, mean over the pairs of blocks;
        specific, the same after subtracting each channel's mean over the images in every block: what this very picture
        adds, 0 where the blocks answer it independently;
        between, of the gates of this and of another image in one block, mean over blocks and other images;
        random, the reference of within, as gates are paired at random: of this image's gate in one block and another
        image's in another block, mean over the pairs of blocks and the other images. What blocks share whatever the
        picture is in both, so within - random is what they share because of this picture. Of blocks that share nothing
        both are near 0 (standard deviation 1 / sqrt(C) for one pair of gates). specific needs no reference of its own:
        at random its mean is -1 / (N - 1) of itself.
    """
    tables = []
    for stage, gate in gates.items():
        check(f"gates of {stage}", torch.as_tensor(gate).transpose(0, 1), "(N, G, C)", CONVERGED)
        blocks, images, _ = gate.shape
        if blocks > 1:
            # Unit vectors over the centred channels: the inner product of two is their correlation.
            units = [F.normalize(g - g.mean(2, keepdim=True), dim=2) for g in (gate, gate - gate.mean(1, keepdim=True))]
            within, specific = [((u.sum(0) ** 2).sum(1) - blocks) / (blocks * (blocks - 1)) for u in units]
            alike = torch.einsum("gnc,gmc->gnm", units[0], units[0])  # (G, N, N)
            columns = {"within": within, "specific": specific, "between": (alike.sum(2) - 1).mean(0) / (images - 1)}
            of_block, of_image = units[0].sum(1, keepdim=True), units[0].sum(0)  # (G, 1, C), (N, C)
            others = of_block.sum(0) - of_block - of_image + units[0]  # (G, N, C): sum over other blocks' other images
            columns["random"] = (units[0] * others).sum((0, 2)) / (blocks * (blocks - 1) * (images - 1))
            tables.append(pd.DataFrame({"stage": stage, "position": range(images)} | columns))
    return pd.concat(tables, ignore_index=True)


def _enlarge(maps, size):
    """Maps (N, h, w) at the image's resolution (N, size, size), not scaled."""
    check("maps", maps, "(N, h, w)", MEND)
    # In double precision, so that rounding does not rank the pixels of a constant part.
    return F.interpolate(maps[:, None].double(), (size, size), mode="bilinear", align_corners=False)[:, 0].float()


def _regions(regions):
    """The checked regions (N, S, S) of maps."""
    check("masks", torch.as_tensor(regions), "(N, S, S)", MEND)
    return np.asarray(regions)


def _ranks(values):
    """Rank of each pixel in its map (N, S, S), 0 for the highest; ties in a random order, always the same."""
    flat = values.flatten(1)
    shuffled = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(0))
    order = shuffled[flat[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    return order.argsort(dim=1).view_as(values)


def _probability(predict, inputs, target):
    """Probability (N,) of each input's target class."""
    probabilities = predict(inputs)
    check("probabilities", probabilities, "(N, K)", CONVERGED)
    return probabilities.gather(1, class_numbers(target, probabilities)[:, None])[:, 0].double().numpy()
