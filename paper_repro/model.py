"""ResNet with squeeze-and-excitation once per stage (the paper), once per block (SENet), and variants and controls.

Bai and Joe, IEEE Access 12 (2024), put one squeeze-and-excitation (SE) module into each stage of ResNet50, keep the
gate it computes in a "global tensor" and reuse it in the stage's other blocks. `Stage.forward` does this; there the
tensor is a local name, so nothing outlives the pass.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

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
    With `gate_init="identity"` the gate is 2·sigmoid with `fc2` zero: exactly 1 at the start, in (0, 2) later. The
    factor is a buffer, so it is saved with the weights and a strict load refuses weights trained with the other
    function.

    Args:
        channels: C, of the tensor to be recalibrated.
        reduction: r; the hidden width is C // r. ReproError where r is not a divisor of C.
        gate_init: "default" (gate in (0, 1), near 0.5 at the start), "identity", or "double": 2·sigmoid with the
            default's weights, near 1 at the start, which separates the gate's range from its initial value.
    """

    def __init__(self, channels: int, reduction: int = 16, gate_init: str = "default"):
        super().__init__()
        if reduction < 1 or channels % reduction:
            raise ReproError(f"reduction: {reduction} does not divide {channels} channels: use a divisor, such as 8")
        self.fc1 = nn.Conv2d(channels, channels // reduction, kernel_size=1)
        self.fc2 = nn.Conv2d(channels // reduction, channels, kernel_size=1)
        self.register_buffer("scale", None)
        if gate_init != "default":
            self.scale = torch.tensor(2.0)
        if gate_init == "identity":
            nn.init.zeros_(self.fc2.weight)
            nn.init.zeros_(self.fc2.bias)

    def forward(self, u: Tensor) -> Tensor:
        """Gate (N, C) of `u` (N, C, H, W)."""
        # In full precision under autocast too: bfloat16 cannot tell a gate of 1 from one of 1.003.
        with torch.autocast(u.device.type, enabled=False):
            # Sum, then divide: `mean` back-propagates through a full-size tensor in single precision.
            squeezed = u.sum(dim=(2, 3)).to(self.fc1.weight.dtype) / u[0, 0].numel()  # (N, C, H, W) -> (N, C)
            # A 1×1 convolution of a 1×1 map is a matrix product, which costs less.
            hidden = F.relu(F.linear(squeezed, self.fc1.weight.flatten(1), self.fc1.bias))  # -> (N, C // r)
            gate = torch.sigmoid(F.linear(hidden, self.fc2.weight.flatten(1), self.fc2.bias))  # -> (N, C)
            return gate if self.scale is None else gate * self.scale


class HalfGate(nn.Module):
    """A control without parameters: every gate is 0.5, the value near which default gates start. What this arm gains
    over "none" is owed to smaller residual branches, not to attention."""

    def forward(self, u: Tensor) -> Tensor:
        """Gate (N, C) of `u` (N, C, H, W)."""
        return torch.full(u.shape[:2], 0.5, device=u.device)


def recalibrate(shortcut: Tensor, u: Tensor, gate: Tensor) -> Tensor:
    """shortcut + u * gate in one pass over memory, of (N, C, H, W), (N, C, H, W) and (N, C, 1, 1). Without gradients it
    overwrites `u`, as torchvision's addition of the shortcut does."""
    return torch.addcmul(shortcut, u, gate, out=None if torch.is_grad_enabled() else u)


class _Recalibrated:
    """A residual block whose branch `u` may be multiplied by a gate before the shortcut is added."""

    has_shortcut = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.se = None  # a SqueezeExcitation in every block for attention="block"

    def forward(self, x: Tensor, excite: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        u = self.residual(x)  # (N, C_in, H, W) -> (N, C, H', W')
        shortcut = x if self.downsample is None else self.downsample(x)
        excite = excite or self.se
        if excite is None:
            u += shortcut
            return self.relu(u)
        gate = excite(u)[:, :, None, None]  # (N, C) -> (N, C, 1, 1)
        return self.relu(recalibrate(shortcut, u, gate.to(u.dtype)))


class RecalibratedBottleneck(_Recalibrated, Bottleneck):
    """torchvision's Bottleneck, split where the gate acts."""

    def residual(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


class RecalibratedBasicBlock(_Recalibrated, BasicBlock):
    """torchvision's BasicBlock, split where the gate acts."""

    def residual(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(x))


class Stage(nn.Module):
    """The blocks of one stage, and what computes their gates.

    `len(stage)` is the number of blocks and `stage[i]` block i; the parameter names are those of nn.Sequential.
    A gate acts only in blocks that have a shortcut, as all of a ResNet's do.

    Args:
        channels: C of the stage's output, which the `u` of all its blocks share.
    """

    def __init__(self, blocks: nn.Sequential, channels: int, attention: str, reduction: int, gate_init: str):
        super().__init__()
        self.attention = attention
        self.num_blocks = len(blocks)
        for index, block in enumerate(blocks):
            self.add_module(str(index), block)
        if attention == "block":
            for block in blocks:
                if block.has_shortcut:
                    block.se = SqueezeExcitation(channels, reduction, gate_init)
        elif attention == "half":
            self.se = HalfGate()
        else:
            self.se = SqueezeExcitation(channels, reduction, gate_init)

    def __len__(self) -> int:
        return self.num_blocks

    def __getitem__(self, index: int) -> nn.Module:
        return [self._modules[str(i)] for i in range(len(self))][index]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def forward(self, x: Tensor, gates: list[Tensor] | None = None) -> Tensor:
        """(N, C_in, H, W) -> (N, C, H', W'); appends each gate (N, C) computed on the way to `gates`."""
        gates = [] if gates is None else gates

        def excite(u, se):
            gates.append(se(u))
            return gates[-1]

        stored = None  # the paper's "global tensor", for this pass alone
        for block in self:
            if not block.has_shortcut or self.attention == "stage_output":
                x = block(x)
            elif self.attention == "stage" and stored is not None:
                x = block(x, lambda u, gate=stored: gate)  # reuse it
            else:
                x = block(x, partial(excite, se=block.se or self.se))  # compute a gate
                stored = gates[-1]
        if self.attention == "stage_output":
            x = x * excite(x, self.se)[:, :, None, None].to(x.dtype)
        return x


class AttentionResNet(ResNet):
    """torchvision's ResNet whose four stages carry SE; made by `resnet18` and `resnet50`.

    For attention="none" the module tree, the state_dict and the logits are torchvision's own.
    """

    def __init__(self, block, layers: list[int], attention: str, gate_init: str, reduction: int, num_classes: int):
        super().__init__(block, layers, num_classes=num_classes)
        self.attention = attention
        if attention != "none":
            for name in STAGES:
                blocks = getattr(self, name)
                channels = blocks[-1].conv1.in_channels
                setattr(self, name, Stage(blocks, channels, attention, reduction, gate_init))

    def forward(self, images: Tensor, return_gates: bool = False):
        """Logits (N, num_classes) of `images` (N, 3, H, W).

        With `return_gates` also a dict: stage name -> the gates computed in this pass, (G, N, C), G = number of blocks
        for "block" and "stage_recompute", 1 for "stage" and "stage_output"; {} for "none".
        """
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))  # (N, 3, H, W) -> (N, 64, H/4, W/4)
        gates = {}
        for name in STAGES:
            stage = getattr(self, name)
            if return_gates and self.attention != "none":
                gates[name] = []
                x = stage(x, gates[name])
            else:
                x = stage(x)
        logits = self.fc(torch.flatten(self.avgpool(x), 1))  # (N, C, H/32, W/32) -> (N, C) -> (N, num_classes)
        if return_gates:
            return logits, {name: torch.stack(stage_gates) for name, stage_gates in gates.items()}
        return logits


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
        gate_init: "default"; "identity": a gate of exactly 1 at the start, so that loaded weights keep their logits;
            "double" (a control, see `SqueezeExcitation`).
        weights: "IMAGENET1K_V1", "IMAGENET1K_V2", a local file, or None for random ones.

    Raises:
        ReproError: an unknown name, a reduction that does not divide, weights that do not fit.
    """
    return _resnet(
        "resnet50", RecalibratedBottleneck, [3, 4, 6, 3], attention, num_classes, reduction, gate_init, weights
    )


def resnet18(
    attention: str = "none",
    num_classes: int = 6,
    reduction: int = 16,
    gate_init: str = "default",
    weights: str | Path | None = None,
) -> AttentionResNet:
    """ResNet18 with the given attention arm; arguments as for `resnet50`."""
    return _resnet(
        "resnet18", RecalibratedBasicBlock, [2, 2, 2, 2], attention, num_classes, reduction, gate_init, weights
    )


def _resnet(name, block, layers, attention, num_classes, reduction, gate_init, weights) -> AttentionResNet:
    for key, value, known in (("attention", attention, ATTENTION), ("gate_init", gate_init, GATE_INIT)):
        if value not in known:
            raise ReproError(f"{key}: '{value}' is not known: use one of {', '.join(known)}")
    model = AttentionResNet(block, layers, attention, gate_init, reduction, num_classes)
    if weights is not None:
        load_pretrained(model, pretrained_file(name, weights))
    return model
