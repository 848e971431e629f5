"""Grad-CAM: which places of a layer speak for a class.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
section 3, equations 1 and 2.
"""

import warnings
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paper_repro.files import ReproError


class GradCAM:
    """Context manager that explains any model's class scores at one of its layers.

        with GradCAM(model, model.layer4[-1]) as gradcam:
            cam = gradcam(images)  # (N, 3, H, W) -> (N, h, w), the layer's grid

    Equation 1: alpha_k is the mean over the grid of d score / d activation_k.
    Equation 2: cam = ReLU(sum over k of alpha_k · activation_k).
    The model runs in evaluation mode; its own mode is restored afterwards. Back-propagation runs from the score to the
    target layer only, so nothing is stored for it below that layer. The hook is removed when the context ends.

    Args:
        model: maps images (N, 3, H, W) to scores (N, num_classes).
        target_layer: one of the model's modules, called once per pass, with a 4-D output (N, C, h, w).

    Raises:
        ReproError: the layer is not one of the model's modules.
    """

    def __init__(self, model: nn.Module, target_layer: nn.Module):
        if not any(module is target_layer for module in model.modules()):
            raise ReproError(
                f"target_layer: {type(target_layer).__name__} is no module of this model: "
                "take it from the model itself, for example model.layer4[-1]"
            )
        self.model = model
        self.target_layer = target_layer
        self._handle = None

    def __enter__(self) -> "GradCAM":
        self._handle = self.target_layer.register_forward_hook(self._keep)
        self._activations = []
        return self

    def __exit__(self, *exception) -> None:
        self._handle.remove()
        self._handle = None
        self._activations = []

    def _keep(self, module: nn.Module, inputs, output: Tensor) -> Tensor:
        if not isinstance(output, Tensor) or output.dim() != 4:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ReproError(
                f"target_layer: {type(module).__name__} gives {shape}, not (N, C, h, w): "
                "choose a convolutional layer or stage"
            )
        activation = output.detach().requires_grad_()
        self._activations.append(activation)
        torch.set_grad_enabled(True)  # from here to the score; __call__ ends it
        # A copy goes on, so that a later in-place operation cannot overwrite the kept activation.
        return activation.clone()

    def __call__(self, images: Tensor, target_class: None | int | Sequence[int] | Tensor = None) -> Tensor:
        """The maps of a batch of images.

        Args:
            images: (N, 3, H, W), as the model takes them.
            target_class: a class for all images, one per image, or None for each image's predicted class.

        Returns:
            Raw maps (N, h, w) in [0, inf), not scaled.

        Raises:
            ReproError: used outside `with`; the layer is not called, called twice or not 4-D; no such class.

        Warns:
            UserWarning: a map is zero everywhere, as the layer holds no positive evidence for the class.
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
                if len(self._activations) != 1:
                    raise ReproError(
                        f"target_layer: {type(self.target_layer).__name__} was called {len(self._activations)} "
                        "times in one pass: choose a layer that is called once"
                    )
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
            warnings.warn(
                f"Grad-CAM is zero everywhere for {len(empty)} of {len(cam)} images (positions {empty[:10]}): "
                "this layer holds no positive evidence for the class",
                stacklevel=2,
            )
        return cam

    @staticmethod
    def _target(scores: Tensor, target_class) -> Tensor:
        if scores.dim() != 2:
            raise ReproError(f"model: gives scores of shape {tuple(scores.shape)}, not (N, num_classes)")
        if target_class is None:
            return scores.argmax(dim=1)
        target = torch.as_tensor(target_class, device=scores.device)
        if target.is_floating_point() or target.dim() > 1 or (target.dim() == 1 and len(target) != len(scores)):
            raise ReproError(
                f"target_class: {target_class!r} is neither None, a class number nor {len(scores)} of them"
            )
        if target.numel() and (target.min() < 0 or target.max() >= scores.shape[1]):
            raise ReproError(f"target_class: {target_class!r} is outside 0 to {scores.shape[1] - 1}")
        return target.long().expand(len(scores))


def heatmap(cam: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Maps for display: enlarged bilinearly to `size` and divided by each map's own maximum.

    Values of different images cannot be compared afterwards.

    Args:
        cam: raw maps (N, h, w).
        size: H and W in pixels, or one number for both.

    Returns:
        (N, H, W) in [0, 1]; a map that is zero everywhere stays zero.
    """
    size = (size, size) if isinstance(size, int) else size
    enlarged = F.interpolate(cam[:, None].float(), size=size, mode="bilinear", align_corners=False)[:, 0]
    largest = enlarged.amax(dim=(1, 2), keepdim=True)
    return torch.where(largest > 0, enlarged / largest.clamp(min=torch.finfo(torch.float32).tiny), 0.0)
