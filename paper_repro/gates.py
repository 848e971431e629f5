"""The gates of a trained network: their means, and what the network answers with other gates than its own."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH = 128  # images at a time


@torch.no_grad()
def mean_gates(model: nn.Module, batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """Each gate's mean over photographs: stage name -> (G, C), G the gates computed in that stage.

    Args:
        model: one of `model` or `efficientnet`, in evaluation mode; {} for one without gates.
        batches: the photographs as the network takes them, (N, 3, S, S) each.
    """
    sums: dict[str, Tensor] = {}
    count, device = 0, next(model.parameters()).device
    for batch in batches:
        gates = model(batch.to(device), return_gates=True)[1]  # (G, N, C) of each stage
        sums = {stage: gate.double().sum(1) + sums.get(stage, 0) for stage, gate in gates.items()}
        count += len(batch)
    return {stage: (total / count).float() for stage, total in sums.items()}


@contextmanager
def given(model: nn.Module, gates: dict[str, Tensor]) -> Iterator[None]:
    """Inside, the network multiplies by these gates in place of those it computes.

    They take the place of what the `se` modules return, in the order in which a stage calls them, and no gradient
    passes through them.

    Args:
        gates: stage name -> (G, N, C) with the stage's G; N may be 1, for all images alike. Or (G, N, C, rows,
            columns): a grid of gates is laid over the feature maps, and each acts on its cell alone.
    """
    handles = []
    for name, gate in gates.items():
        stage = model.get_submodule(name)
        modules = [module for path, module in stage.named_modules() if path.split(".")[-1] == "se"]
        replace = _replacement(gate)  # one for all modules of the stage, which share the order
        handles += [se.register_forward_hook(replace) for se in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _replacement(gate: Tensor):
    """A forward hook that returns the next of the gates (G, N, C) or (G, N, C, rows, columns), over and over."""
    following = cycle(gate)

    def replace(module, inputs, output):
        chosen = next(following)
        return chosen if chosen.dim() == 2 else F.interpolate(chosen, inputs[0].shape[2:])  # nearest: (N, C, H, W)

    return replace


@torch.no_grad()
def static_gates(model: nn.Module, training: Iterable[Tensor], inputs: Tensor, truth: np.ndarray) -> pd.DataFrame:
    """What it costs when the gates no longer depend on the image: each becomes its mean over training photographs.

    Args:
        model: a network with gates, in evaluation mode; its weights stay as they are.
        training: batches (N, 3, S, S) of its training photographs, whole and not augmented.
        inputs: the test photographs (N, 3, S, S); truth: their class numbers (N,).

    Returns:
        A row per test photograph: own and static, whether it is classified correctly (1 or 0) with the network's own
        and with static gates. The paired loss in accuracy is the mean of own - static.
    """
    means, device = mean_gates(model, training), next(model.parameters()).device

    def correct():
        answers = [model(batch.to(device)).argmax(1).cpu() for batch in inputs.split(BATCH)]
        return (torch.cat(answers).numpy() == truth).astype(int)

    own = correct()
    with given(model, {stage: gate[:, None] for stage, gate in means.items()}):  # (G, C) -> (G, 1, C)
        return pd.DataFrame({"own": own, "static": correct()})
