"""Grad-CAM: which places of a layer speak for a class.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
section 3, equations 1 and 2.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paper_repro.files import ReproError


class GradCAM:
    """Context manager that explains any model's class scores at one of its layers.

        with GradCAM(model, model.layer4[-1]) as gradcam:
            cam = gradcam(images)  # (N, 3, H, W) -> (N, h, w), the layer's grid

    The model runs in evaluation mode; its own mode is restored afterwards. Back-propagation runs from the score to the
    target layer only, so nothing is stored for it below that layer. The hook is removed when the context ends.

    Args:
        model: maps images (N, 3, H, W) to scores (N, num_classes).
        target_layer: one of the model's modules, called once per pass, with a 4-D output (N, C, h, w).

    Raises:
        ReproError: the layer is not one of the model's modules.
    """

    def __init__(self, model: nn.Module, target_layer: nn.Module):
        self.model, self.target_layer = model, target_layer
        self._label = f"target_layer: {type(target_layer).__name__}"
        if not any(module is target_layer for module in model.modules()):
            raise ReproError(f"{self._label} is no module of this model: take it from there, as in model.layer4[-1]")
        self._handle: Any = None  # of the hook, inside the context
        self._activations: list[Tensor] = []

    def __enter__(self) -> "GradCAM":
        self._handle = self.target_layer.register_forward_hook(self._keep)
        return self

    def __exit__(self, *exception) -> None:
        self._handle.remove()
        self._handle = None
        self._activations = []

    def _keep(self, module: nn.Module, inputs, output: Tensor) -> Tensor:
        if not isinstance(output, Tensor) or output.dim() != 4:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ReproError(f"{self._label} gives {shape}, not (N, C, h, w): choose a convolutional layer or stage")
        activation = output.detach().requires_grad_()
        self._activations.append(activation)
        torch.set_grad_enabled(True)  # from here to the score; __call__ ends it
        # A copy goes on, so that a later in-place operation cannot overwrite the kept activation.
        return activation.clone()

    def __call__(self, images: Tensor, target_class: None | int | Sequence[int] | Tensor = None) -> Tensor:
        """Raw maps (N, h, w) in [0, inf) of `images` (N, 3, H, W); warns of those that are zero everywhere.

        Args:
            target_class: a class for all images, one per image, or None for each image's predicted class.

        Raises:
            ReproError: used outside `with`; the layer is not called, called twice or not 4-D; no such class.
        """
        if self._handle is None:
            raise ReproError("GradCAM: used outside its context: write `with GradCAM(model, layer) as gradcam:`")
        training = [module for module in self.model.modules() if module.training]
        self._activations = []
        self.model.eval()
        try:
            with torch.inference_mode(False), torch.no_grad():
                scores = self.model(images)  # (N, num_classes), with a graph from the target layer on
                torch.set_grad_enabled(False)
                if (calls := len(self._activations)) != 1:
                    raise ReproError(f"{self._label} was called {calls} times in one pass: choose one called once")
                activation = self._activations[0]  # (N, C, h, w)
                target = self._target(scores, target_class)  # (N,)
                with torch.enable_grad():
                    score = scores.gather(1, target[:, None]).sum()
                (gradient,) = torch.autograd.grad(score, activation)  # (N, C, h, w)
                alpha = gradient.mean(dim=(2, 3), keepdim=True)  # equation 1: (N, C, 1, 1)
                cam = F.relu((alpha * activation).sum(dim=1))  # equation 2: (N, h, w)
        finally:
            self._activations = []
            for module in training:
                module.training = True
        empty = (cam.amax(dim=(1, 2)) <= 0).nonzero().flatten().tolist()
        if empty:
            which = f"{len(empty)} of {len(cam)} images (positions {empty[:10]})"
            warnings.warn(f"Grad-CAM is zero everywhere for {which}: no positive evidence at this layer", stacklevel=2)
        return cam

    @staticmethod
    def _target(scores: Tensor, target_class) -> Tensor:
        if scores.dim() != 2:
            raise ReproError(f"model: gives scores of shape {tuple(scores.shape)}, not (N, num_classes)")
        if target_class is None:
            return scores.argmax(dim=1)
        target = torch.as_tensor(target_class, device=scores.device)
        if target.is_floating_point() or target.shape not in ((), (len(scores),)):
            raise ReproError(f"target_class: {target_class!r} is not None, a class number or {len(scores)} of them")
        if ((target < 0) | (target >= scores.shape[1])).any():
            raise ReproError(f"target_class: {target_class!r} is outside 0 to {scores.shape[1] - 1}")
        return target.long().expand(len(scores))


def heatmap(cam: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Maps for display: raw ones (N, h, w) enlarged bilinearly to `size`, H and W in pixels or one number for both, and
    divided by each map's own maximum, so that values of different images cannot be compared afterwards.

    Returns:
        (N, H, W) in [0, 1]; a map that is zero everywhere stays zero.
    """
    size = (size, size) if isinstance(size, int) else size
    enlarged = F.interpolate(cam[:, None].float(), size=size, mode="bilinear", align_corners=False)[:, 0]
    largest = enlarged.amax(dim=(1, 2), keepdim=True)
    return torch.where(largest > 0, enlarged / largest.clamp(min=torch.finfo(torch.float32).tiny), 0.0)
