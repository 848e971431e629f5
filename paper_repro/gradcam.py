"""Grad-CAM: which places of a layer speak for a class.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
section 3, equations 1 and 2.
"""

import reprlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from numbers import Integral
from threading import get_ident
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from paper_repro.files import ReproError


class GradCAM:
    """Context manager that explains any model's class scores at one of its layers.

        with GradCAM(model, model.layer4[-1]) as gradcam:
            cam = gradcam(images)  # (N, 3, H, W) -> (N, h, w), the layer's grid

    The model runs in evaluation mode with frozen parameters. Back-propagation runs from the score to the target layer
    only, so nothing is stored for it below that layer. All this and the hook last as long as one call: between two
    calls the model can be trained, copied, saved or explained at another layer.

    Args:
        model: maps images (N, 3, H, W) to scores (N, num_classes).
        target_layer: one of the model's modules, called once per pass, with a 4-D output (N, C, h, w).

    Raises:
        ReproError: no torch module, or the layer is not one of the model's modules.
    """

    def __init__(self, model: nn.Module, target_layer: nn.Module):
        if not isinstance(model, nn.Module):
            raise ReproError(f"model: a {type(model).__name__} is no torch module: give the network, such as run.model")
        self.model, self.target_layer = model, target_layer
        self._label = f"target_layer: {type(target_layer).__name__}"
        if not any(module is target_layer for module in model.modules()):
            raise ReproError(f"{self._label} is no module of this model: take it from there, as in model.layer4[-1]")
        self._contexts = 0  # entered and not left
        self._activations: list[Tensor] = []  # of the call that runs

    def __enter__(self) -> "GradCAM":
        self._contexts += 1
        return self

    def __exit__(self, *exception) -> None:
        self._contexts -= 1

    def __call__(self, images: Tensor, target_class: None | int | Sequence[int] | Tensor = None) -> Tensor:
        """Raw float32 maps (N, h, w) in [0, inf) of `images` (N, 3, H, W); warns of those that are zero everywhere.

        Args:
            target_class: a class for all images, one per image, or None for each image's predicted class.

        Raises:
            ReproError: used outside `with`; an image, score or map that is not finite; the layer is not called, called
                twice, not 4-D or cut off from the scores; the model returns no scores; no such class.
        """
        if not self._contexts:
            raise ReproError("GradCAM: used outside its context: write `with GradCAM(model, layer) as gradcam:`")
        check("images", images, "(N, 3, H, W)", "leave these images out, or mend their pixels")
        with self._one_pass():
            scores = scores_of(self.model, images.detach().clone())  # (N, num_classes), graph from the layer on
            activation = self._activation(scores)  # (N, C, h, w)
            target = scores.argmax(dim=1) if target_class is None else class_numbers(target_class, scores)  # (N,)
            score = scores.gather(1, target[:, None])  # (N, 1)
            check("scores", score, "(N, 1)", "use weights of a training that converged")
            (gradient,) = torch.autograd.grad(score.sum(), activation)  # (N, C, h, w)
            activation, gradient = activation.detach().float(), gradient.float()  # half precision rounds the sums
            alpha = gradient.mean(dim=(2, 3), keepdim=True)  # equation 1: (N, C, 1, 1)
            cam = F.relu((alpha * activation).sum(dim=1))  # equation 2: (N, h, w)
        check("cam", cam, "(N, h, w)", "look for NaN in the weights, or run the model in single precision")
        empty = (cam.amax(dim=(1, 2)) <= 0).nonzero().flatten().tolist()
        if empty:
            which = f"{len(empty)} of {len(cam)} images (positions {empty[:10]})"
            warnings.warn(f"Grad-CAM is zero everywhere for {which}: no positive evidence at this layer", stacklevel=2)
        return cam

    @contextmanager
    def _one_pass(self) -> Iterator[None]:
        """The hook, evaluation mode, frozen parameters and recording; afterwards all is as it was."""
        parameters, thread = [*self.model.parameters()], get_ident()
        if any(parameter.is_inference() for parameter in parameters):
            raise ReproError("model: it was made inside torch.inference_mode: make or load it outside")
        training = [module for module in self.model.modules() if module.training]
        learning = [parameter for parameter in parameters if parameter.requires_grad]

        def keep(module, inputs, output):
            return self._keep(output) if get_ident() == thread else output  # another thread may run the model too

        handle = self.target_layer.register_forward_hook(keep)
        try:
            self.model.eval()
            for parameter in learning:
                parameter.requires_grad = False
            eager = torch.compiler.set_stance("force_eager")  # compiled code may leave the hook out
            with eager, torch.inference_mode(False), torch.enable_grad(), _Recording(), _without_checkpoints():
                yield
        finally:
            handle.remove()
            self._activations = []
            for parameter in learning:
                parameter.requires_grad = True
            for module in training:
                module.training = True

    def _keep(self, output: Tensor) -> Tensor:
        if not isinstance(output, Tensor) or output.dim() != 4 or not output.is_floating_point():
            is_tensor = isinstance(output, Tensor)
            given = f"{tuple(output.shape)} of {output.dtype}" if is_tensor else f"a {type(output).__name__}"
            raise ReproError(f"{self._label} gives {given}, not (N, C, h, w): choose a convolutional layer or stage")
        activation = output.detach().requires_grad_()
        self._activations.append(activation)
        # A copy goes on, so that a later in-place operation cannot overwrite the kept activation.
        return activation.clone()

    def _activation(self, scores: Tensor) -> Tensor:
        """The target layer's only output in this pass, (N, C, h, w)."""
        if (calls := len(self._activations)) != 1:
            raise ReproError(f"{self._label} was called {calls} times in one pass: choose one called once")
        if not scores.requires_grad:
            cut = "the scores do not use it, or the model cuts the graph in between (detach, numpy, argmax)"
            raise ReproError(
                f"{self._label} has no gradient: {cut}: choose a layer behind the cut, or take the cut out"
            )
        return self._activations[0]


class _Recording(TorchFunctionMode):
    """Records every operation for back-propagation. Contexts in the model's own code that would end this (`no_grad`,
    `set_grad_enabled`, `inference_mode`) have no effect, so a network has the same map with and without them."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        with torch.inference_mode(False), torch.enable_grad():  # their end also undoes what `func` itself sets
            result = func(*args, **(kwargs or {}))
        torch.set_grad_enabled(True)  # a model in `inference_mode` may ask which mode it is in
        return result


def _without_checkpoints() -> Any:
    """Activation checkpointing turned into plain calls: of its two kinds the reentrant one cuts the graph, the other
    would run a part of the model again, outside the recording. `create`: one name is private and may go."""
    call = SimpleNamespace(apply=lambda function, preserve, *inputs: function(*inputs))
    module = "torch.utils.checkpoint"
    return patch.multiple(module, create=True, CheckpointFunction=call, _checkpoint_hook=nullcontext)


def heatmap(cam: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Maps for display: raw ones (N, h, w) enlarged bilinearly to `size`, H and W in pixels or one number for both, and
    divided by each map's own maximum, so that values of different images cannot be compared afterwards.

    Returns:
        (N, H, W) in [0, 1]; a map that is zero everywhere stays zero.

    Raises:
        ReproError: no such tensor or size, or a map that is not finite.
    """
    check("cam", cam, "(N, h, w)", "leave these maps out")
    sides = [size, size] if isinstance(size, Integral) else [*size] if isinstance(size, Sequence) else []
    if len(sides) != 2 or not all(isinstance(side, Integral) and side > 0 for side in sides):
        raise ReproError(f"size: {reprlib.repr(size)} is neither a number of pixels nor two of them: give (H, W)")
    enlarged = F.interpolate(cam[:, None].float(), size=[*map(int, sides)], mode="bilinear", align_corners=False)[:, 0]
    largest = enlarged.amax(dim=(1, 2), keepdim=True)
    return torch.where(largest > 0, enlarged / largest.clamp(min=torch.finfo(torch.float32).tiny), 0.0)


def check(name: str, values: Tensor, shape: str, remedy: str) -> None:
    """Raises a ReproError where `values` are no tensor with the axes of `shape`, such as "(N, h, w)", or not finite.

    Args:
        name: what the message calls them.
        remedy: what to do about NaN and infinity, whose positions along the first axis are named.
    """
    if not isinstance(values, Tensor):
        raise ReproError(
            f"{name}: a {type(values).__name__}, not a tensor {shape}: make one with torch.as_tensor or torch.stack"
        )
    if values.dim() != shape.count(",") + 1:
        raise ReproError(f"{name}: shape {tuple(values.shape)}, not {shape}: a single one becomes a batch by [None]")
    bad = (~values.isfinite().flatten(1).all(dim=1)).nonzero().flatten().tolist()
    if bad:
        where = f"{len(bad)} of {len(values)} (positions {bad[:10]})"
        raise ReproError(f"{name}: NaN or infinity in {where}: {remedy}")


def scores_of(model: nn.Module, images: Tensor) -> Tensor:
    """The model's scores (N, num_classes); a ReproError says what else it returns, or why it cannot take `images`."""
    try:
        scores = model(images)
    except RuntimeError as error:
        needed = {parameter.dtype for parameter in model.parameters()}
        about_types = any(word in str(error) for word in ("type", "not implemented for"))
        if about_types and images.dtype not in needed and len(needed) == 1:
            remedy = "prepare them as for its training, then use images.to"
            raise ReproError(f"images: {images.dtype}, the model's weights are {(*needed,)[0]}: {remedy}") from error
        if "numpy()" in str(error):
            raise ReproError("model: it turns to numpy, where no gradient passes: use torch's functions") from error
        raise
    if not isinstance(scores, Tensor):
        wrapper = f"wrap it in a module whose forward returns these alone{_example(scores)}"
        raise ReproError(f"model: returns a {type(scores).__name__}, not scores (N, num_classes): {wrapper}")
    if scores.dim() != 2:
        raise ReproError(f"model: gives scores of shape {tuple(scores.shape)}, not (N, num_classes)")
    return scores


def _example(output) -> str:
    """How to take the scores out of what a model returned instead; empty where no place is likely."""
    if isinstance(output, Mapping | Sequence):
        entries, form = dict(output.items() if isinstance(output, Mapping) else enumerate(output)), "[{!r}]"
    else:
        entries, form = getattr(output, "__dict__", {}), ".{}"
    likely = [name for name, value in entries.items() if isinstance(value, Tensor) and value.dim() == 2]
    place = "logits" if "logits" in likely else next(iter(likely), None)
    return "" if place is None else f", such as model(images){form.format(place)}"


def class_numbers(target_class: int | Sequence[int] | Tensor, scores: Tensor) -> Tensor:
    """The class number (N,) for each row of `scores` (N, num_classes), given one for all or one per row; else a
    ReproError."""
    count, classes = scores.shape
    try:
        numbers = np.asarray(target_class.cpu() if isinstance(target_class, Tensor) else target_class)
    except Exception:  # rows of unequal length and the like raise errors of many types
        numbers = np.asarray(None)
    if numbers.shape not in ((), (count,)) or (numbers.size and numbers.dtype.kind not in "iu"):
        given = " ".join(reprlib.repr(target_class).split())
        needed = f"a class number from 0 to {classes - 1} or {count} of them"
        raise ReproError(f"target_class: {given} is not {needed}: for a name give its place in the list of classes")
    target = torch.from_numpy(numbers.astype(np.int64)).to(scores.device).expand(count)
    if (outside := target[(target < 0) | (target >= classes)]).numel():
        raise ReproError(f"target_class: {int(outside[0])} is outside 0 to {classes - 1}")
    return target
