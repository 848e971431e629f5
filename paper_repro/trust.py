"""How unlike the training photographs a photograph is, by its features: a mark that a network's accuracy may not hold.

The distance of a photograph is that of its features, as unit vectors, to the NEIGHBOURS-th nearest of kept training
photographs (Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022, section 3). The
threshold is the distance that 5 % of held-out photographs of the training data exceed.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from paper_repro.runs import Run, checked_file
from paper_repro.weights import read_state

NEIGHBOURS = 10
KEPT = 1000  # training photographs whose features are kept
MARKED = 0.05  # share of held-out photographs beyond the threshold
FILE = "familiar.safetensors"  # in a run's folder


class Familiar(NamedTuple):
    """What a network has seen: features (M, D) of training photographs, unit vectors, and the distance, in (0, 2),
    above which a photograph is called unlike them."""

    features: Tensor
    threshold: float


@torch.inference_mode()
def answer(model: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (N, K) of inputs (N, 3, H, W), and their features (N, D) as unit vectors: what enters the layer `fc`."""
    kept: list[Tensor] = []
    handle = model.get_submodule("fc").register_forward_pre_hook(lambda module, entering: kept.append(entering[0]))
    try:
        logits = model(inputs)
    finally:
        handle.remove()
    return logits, F.normalize(kept[0].float(), dim=1)


def answer_all(model: nn.Module, batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """`answer` of many batches, put together."""
    logits, features = zip(*(answer(model, batch) for batch in batches), strict=True)
    return torch.cat(logits), torch.cat(features)


def keep(features: Tensor, seed: int) -> Tensor:
    """At most KEPT of the features (N, D), drawn with `seed`, as they are stored: bfloat16."""
    rows = np.random.default_rng(seed).permutation(len(features))[:KEPT]
    return features[np.sort(rows)].bfloat16()


def distances(features: Tensor, kept: Tensor) -> Tensor:
    """Distances (N,), in [0, 2], of features (N, D) to the NEIGHBOURS-th nearest of those kept (M, D)."""
    apart = torch.cdist(features, kept.float())  # (N, M)
    return apart.kthvalue(min(NEIGHBOURS, len(kept)), dim=1).values


def threshold(held_out: Tensor) -> float:
    """The distance that the share MARKED of held-out photographs (N,) exceeds."""
    return float(held_out.quantile(1 - MARKED))


def to_file(kept: Tensor) -> bytes:
    """The content of FILE."""
    return save({"features": kept.contiguous()})


def load_familiar(run: Run) -> Familiar | None:
    """What the network of a run has seen; None where that was not kept, as in every run of one's own.

    Raises:
        ReproError: the file is missing or damaged.
    """
    if (details := run.environment.get("familiar")) is None:
        return None
    path = checked_file(run.folder / FILE, details["sha256"])
    return Familiar(read_state(path)["features"].float(), details["threshold"])
