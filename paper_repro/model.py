"""ResNet with squeeze-and-excitation once per stage (the paper), once per block (SENet), and variants and controls.

Bai and Joe, IEEE Access 12 (2024), put one squeeze-and-excitation (SE) module into each stage of ResNet50, keep the
gate it computes in a "global tensor" and reuse it in the stage's other blocks. `Stage.forward` does this; there the
tensor is a local name, so nothing outlives the pass.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from paper_repro.config import ATTENTION, GATE_INIT
from paper_repro.files import ReproError
from paper_repro.weights import load_pretrained, pretrained_file

STAGES = ("layer1", "layer2", "layer3", "layer4")


class SqueezeExcitation(nn.Module):
    """The gate of Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, section 3, equations 2 and 3.

    `fc1` and `fc2` are 1×1 convolutions with bias, as in timm, so that weights can be exchanged.

    Args:
        channels: C, of the tensor to be recalibrated.
        reduction: r; the hidden width is C // r. ReproError where r is not a divisor of C.
        gate_init: "default": gate in (0, 1), near 0.5 at the start; "identity": 2·sigmoid with `fc2` zero, so in (0, 2)
            and exactly 1 at the start; "double": a control, 2·sigmoid with the default's weights.
    """

    scale: Tensor | None

    def __init__(self, channels: int, reduction: int = 16, gate_init: str = "default"):
        super().__init__()
        if not isinstance(reduction, int | np.integer) or reduction < 1 or channels % reduction:
            what = f"is no whole number that divides {channels} channels"
            raise ReproError(f"reduction: {reduction!r} {what}: use a divisor, such as 8")
        self.fc1 = nn.Conv2d(channels, channels // reduction, kernel_size=1)
        self.fc2 = nn.Conv2d(channels // reduction, channels, kernel_size=1)
        # A buffer, so that it is saved and a strict load refuses weights trained with the other function.
        self.register_buffer("scale", None if gate_init == "default" else torch.tensor(2.0))
        if gate_init == "identity":
            for parameter in self.fc2.parameters():
                nn.init.zeros_(parameter)

    def forward(self, u: Tensor) -> Tensor:
        """Gate (N, C) of `u` (N, C, H, W)."""
        # In full precision under autocast too: bfloat16 cannot tell a gate of 1 from one of 1.003.
        with torch.autocast(u.device.type, enabled=False):
            # Sum, then divide: `mean` back-propagates through a full-size tensor in single precision.
            squeezed = u.sum(dim=(2, 3)).to(self.fc1.weight.dtype) / (u.shape[2] * u.shape[3])  # (N, C, H, W) -> (N, C)
            # A 1×1 convolution of a 1×1 map is a matrix product, which costs less.
            hidden = F.relu(F.linear(squeezed, self.fc1.weight.flatten(1), self.fc1.bias))  # -> (N, C // r)
            gate = torch.sigmoid(F.linear(hidden, self.fc2.weight.flatten(1), self.fc2.bias))  # -> (N, C)
            return gate if self.scale is None else gate * self.scale


class HalfGate(nn.Module):
    """A control: gates of 0.5, near which default ones start; a gain is owed to smaller branches, not to attention."""

    def forward(self, u: Tensor) -> Tensor:
        """Gate (N, C) of `u` (N, C, H, W)."""
        return torch.full(u.shape[:2], 0.5, device=u.device)


def spread(gate: Tensor) -> Tensor:
    """A gate (N, C) as (N, C, 1, 1); one that differs from place to place, (N, C, H, W), as it is (`gates.given`)."""
    return gate if gate.dim() == 4 else gate[:, :, None, None]


def recalibrate(shortcut: Tensor, u: Tensor, gate: Tensor) -> Tensor:
    """shortcut + u * gate in one pass over memory, of (N, C, H, W) each; a gate may have H = W = 1. Without gradients
    it overwrites `u`, as torchvision's addition of the shortcut does."""
    return torch.addcmul(shortcut, u, gate, out=None if torch.is_grad_enabled() else u)


class Recalibrated:
    """A residual block whose branch `u` may be multiplied by a gate before the shortcut is added."""

    residual: Callable[[Tensor], Tensor]  # x (N, C_in, H, W) -> u (N, C, H', W')
    downsample: nn.Module | None
    relu: nn.Module
    has_shortcut = True

    def forward(self, x: Tensor, excite: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """(N, C_in, H, W) -> (N, C, H', W'); `excite` maps u to its gate (N, C), by default the block's own `se`."""
        u = self.residual(x)
        shortcut = x if self.downsample is None else self.downsample(x)
        excite = excite or getattr(self, "se", None)
        if excite is None:
            u += shortcut
        else:
            u = recalibrate(shortcut, u, spread(excite(u)).to(u.dtype))  # gate (N, C) -> (N, C, 1, 1)
        return self.relu(u)


class RecalibratedBottleneck(Recalibrated, Bottleneck):
    """torchvision's Bottleneck, split where the gate acts."""

    def residual(self, x: Tensor) -> Tensor:
        """`u` (N, C, H', W') of `x` (N, C_in, H, W)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


class RecalibratedBasicBlock(Recalibrated, BasicBlock):
    """torchvision's BasicBlock, split where the gate acts."""

    def residual(self, x: Tensor) -> Tensor:
        """`u` (N, C, H', W') of `x` (N, C_in, H, W)."""
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))


class Stage(nn.Sequential):
    """The blocks of one stage, `stage[i]`, and what computes the gates of those that have a shortcut.

    Args:
        channels: C of the stage's output, which the `u` of all its blocks share.
    """

    def __init__(self, blocks: nn.Sequential, channels: int, attention: str, reduction: int, gate_init: str):
        super().__init__(*blocks)
        self.num_blocks = len(blocks)
        self.attention = attention
        if attention == "block":
            for block in blocks:
                if block.has_shortcut:
                    block.se = SqueezeExcitation(channels, reduction, gate_init)
        else:
            self.se = HalfGate() if attention == "half" else SqueezeExcitation(channels, reduction, gate_init)

    def __len__(self) -> int:
        return self.num_blocks  # without `se`

    def __getitem__(self, index):
        return [*self._modules.values()][: len(self)][index]

    def __iter__(self):
        return iter(self[:])

    def forward(self, x: Tensor, gates: list[Tensor] | None = None) -> Tensor:
        """(N, C_in, H, W) -> (N, C, H', W'); appends the gates (N, C) computed on the way to `gates`."""
        stored: list[Tensor] = []  # the paper's "global tensor", of this pass alone

        def compute(u: Tensor, se: nn.Module) -> Tensor:
            stored.append(se(u))
            return stored[-1]

        for block in self:
            if self.attention == "stage_output" or not block.has_shortcut:
                x = block(x)  # no gate here
            elif self.attention in ("stage", "half") and stored:
                x = block(x, lambda u, gate=stored[0]: gate)  # reuse the stored gate
            else:
                se = block.se if self.attention == "block" else self.se
                x = block(x, partial(compute, se=se))  # compute a gate from this block's u and store it
        if self.attention == "stage_output":
            x = x * spread(compute(x, self.se)).to(x.dtype)
        if gates is not None:
            gates += stored
        return x


def run_stages(model: nn.Module, names: Iterable[str], x: Tensor, return_gates: bool) -> tuple[Tensor, dict]:
    """`x` after the stages `names` of `model`; with `return_gates` also their gates, stage name -> (G, N, C)."""
    gates = {}
    for name in names:
        stage, found = getattr(model, name), []
        x = stage(x, found) if return_gates and isinstance(stage, Stage) else stage(x)
        if found:
            gates[name] = torch.stack(found)
    return x, gates


NETWORKS = {"resnet18": (RecalibratedBasicBlock, [2, 2, 2, 2]), "resnet50": (RecalibratedBottleneck, [3, 4, 6, 3])}


class AttentionResNet(ResNet):
    """torchvision's ResNet `name` whose four stages carry SE; arguments as for `resnet50`.

    For attention="none" the module tree, the state_dict and the logits are torchvision's own.
    """

    def __init__(
        self, name: str, attention: str, num_classes: int, reduction: int, gate_init: str, weights: str | Path | None
    ):
        for key, value, known in (("attention", attention, ATTENTION), ("gate_init", gate_init, GATE_INIT)):
            if value not in known:
                raise ReproError(f"{key}: '{value}' is not known: use one of {', '.join(known)}")
        if not isinstance(num_classes, int | np.integer) or num_classes < 1:
            raise ReproError(f"num_classes: {num_classes!r} is no number of classes: give a whole number, such as 6")
        super().__init__(*NETWORKS[name], num_classes=num_classes)
        self.attention = attention
        if attention != "none":
            for stage in STAGES:
                blocks = getattr(self, stage)
                setattr(self, stage, Stage(blocks, blocks[-1].conv1.in_channels, attention, reduction, gate_init))
        if weights is not None:
            load_pretrained(self, pretrained_file(name, weights))

    def forward(self, images: Tensor, return_gates: bool = False):
        """Logits (N, num_classes) of `images` (N, 3, H, W).

        With `return_gates` also a dict, stage name -> gates computed in this pass, (G, N, C): G is the number of blocks
        for "block" and "stage_recompute", else 1; {} for "none".
        """
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))  # (N, 3, H, W) -> (N, 64, H/4, W/4)
        x, gates = run_stages(self, STAGES, x, return_gates)  # -> (N, C, H/32, W/32)
        logits = self.fc(torch.flatten(self.avgpool(x), 1))  # -> (N, C) -> (N, num_classes)
        return (logits, gates) if return_gates else logits


def resnet50(
    attention: str = "none",
    num_classes: int = 6,
    reduction: int = 16,
    gate_init: str = "default",
    weights: str | Path | None = None,
) -> AttentionResNet:
    """ResNet50 with the given attention arm.

    Args:
        attention: "none"; "block" (SENet); "stage" (the paper: one gate per stage, stored and reused);
            "stage_recompute" (one SE per stage, a gate per block); "stage_output" (one SE on the stage's output);
            "half" (a control: every gate is 0.5).
        num_classes: width of `fc`.
        reduction: r of the SE modules.
        gate_init: as for `SqueezeExcitation`; under "identity" loaded weights keep their logits at the start.
        weights: "IMAGENET1K_V1", "IMAGENET1K_V2", a local file, or None for random ones.

    Raises:
        ReproError: an unknown name, a reduction that does not divide, weights that do not fit.
    """
    return AttentionResNet("resnet50", attention, num_classes, reduction, gate_init, weights)


def resnet18(attention="none", num_classes=6, reduction=16, gate_init="default", weights=None) -> AttentionResNet:
    """ResNet18 with the given attention arm; arguments as for `resnet50`."""
    return AttentionResNet("resnet18", attention, num_classes, reduction, gate_init, weights)
