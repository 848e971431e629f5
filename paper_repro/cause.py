"""Does a heat map show the cause of a prediction? Here the cause is known: a sticker that changes the prediction."""

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paper_repro.augment import normalise
from paper_repro.gradcam import check
from paper_repro.heatmaps import BATCH, CONVERGED, MEND, SMALLEST_GRID, class_cams, trivial_maps
from paper_repro.stickers import Stickers


def measure_cause(
    model: nn.Module,
    layers: dict[str, nn.Module],
    views: Tensor,
    stickers: Stickers,
    table: pd.DataFrame,
    seed: int = 0,
) -> pd.DataFrame:
    """Predictions without and with the stickers, and how much of each map for the sticker's class lies on the sticker.

    A map is to be judged on the photographs that are flipped: there the sticker, and nothing else, made the class of
    the prediction. What a map scores on the same photographs in a network that learnt nothing about stickers says how
    much of the score the sticker's looks explain.

    Args:
        layers: modules of the model, by name; the model is in evaluation mode.
        views: (N, 3, S, S) in [0, 1], the whole photographs without stickers.
        table: N rows with the columns image (name) and truth (class index).
        seed: of the random maps.

    Returns:
        A row per image, layer and map (Grad-CAM for the sticker's class and `heatmaps.trivial_maps`, both of the view
        with its sticker): image, truth, kind (the sticker's class), predicted_without and predicted_with (class
        indices), probability_without and probability_with (of the sticker's class), flipped (the prediction is the
        sticker's class with the sticker and another one without), layer, grid ("6x6"), map, zero_map (no value above
        zero), then the columns of `on_sticker`.
    """
    pasted, masks = stickers.paste(views), stickers.masks(views.shape[-1])  # (N, 3, S, S), (N, S, S)
    inputs, kinds, device = normalise(pasted), torch.from_numpy(stickers.kinds), next(model.parameters()).device
    described = table[["image", "truth"]].reset_index(drop=True).assign(kind=stickers.kinds)
    for name, images in {"without": normalise(views), "with": inputs}.items():
        with torch.inference_mode():
            probabilities = torch.cat([model(batch.to(device)).softmax(1).cpu() for batch in images.split(BATCH)])
        check("probabilities", probabilities, "(N, K)", CONVERGED)
        described[f"predicted_{name}"] = probabilities.argmax(1).numpy()
        described[f"probability_{name}"] = probabilities.gather(1, kinds[:, None])[:, 0].numpy()
    changed = described["predicted_without"] != described["kind"]
    described["flipped"] = changed & (described["predicted_with"] == described["kind"])
    pictures = (pasted * 255).round().byte().permute(0, 2, 3, 1).numpy()  # (N, S, S, 3)
    tables = []
    for layer, module in layers.items():
        cams = class_cams(model, module, inputs, kinds)
        grid = cams.shape[1], cams.shape[2]
        for name, maps in {"gradcam": cams, **trivial_maps(pictures, grid, seed)}.items():
            empty = (maps <= 0).flatten(1).all(1).numpy()
            found = described.assign(layer=layer, grid=f"{grid[0]}x{grid[1]}", map=name, zero_map=empty)
            tables.append(found.join(on_sticker(maps, masks)))
    return pd.concat(tables, ignore_index=True)


def on_sticker(maps: Tensor, masks: np.ndarray) -> pd.DataFrame:
    """reachable and score of maps (N, h, w) for the stickers' pixels (N, S, S) bool.

    A mask is pooled to the map's grid: the share of each cell that the sticker covers. The share of the map's sum that
    lies on the sticker is then the mean of these shares, weighted by the map. It is largest, `reachable`, where the map
    is zero outside the cell that the sticker covers most. score is the share divided by `reachable`, in [0, 1]. An
    empty map counts as a uniform one. score is NaN on a grid below 4x4.
    """
    check("maps", maps, "(N, h, w)", MEND)
    grid = maps.shape[1], maps.shape[2]
    covered = F.adaptive_avg_pool2d(torch.from_numpy(masks)[:, None].double(), grid)[:, 0]  # (N, h, w)
    empty = (maps <= 0).flatten(1).all(1)
    weights = torch.where(empty[:, None, None], 1.0, maps.double())
    share = (weights * covered).sum((1, 2)) / weights.sum((1, 2))
    reachable = covered.amax((1, 2))
    score = share / reachable if min(grid) >= SMALLEST_GRID else torch.full_like(share, np.nan)
    return pd.DataFrame({"reachable": reachable.numpy(), "score": score.numpy()})
