"""The network of an arm, and the layers whose heat maps are shown."""

from torch import nn
from torchvision import models
from torchvision.models.resnet import ResNet

from paper_repro.config import ARMS, PLAIN_CNNS
from paper_repro.files import ReproError
from paper_repro.model import STAGES, AttentionResNet, Recalibrated


def build_model(
    arm: str, backbone: str, num_classes: int, reduction: int = 16, weights: str | None = None
) -> nn.Module:
    """The network of an arm of `config.ARMS`: a backbone with the arm's attention, or a plain CNN of torchvision.

    Args:
        backbone: "resnet18", "resnet50" or "efficientnet_lite0"; a plain CNN does not use it.
        num_classes, reduction, weights: as for `model.resnet50`.

    Raises:
        ReproError: pretrained weights asked for a plain CNN or a block that starts at 0, a reduction that does not
            divide, weights that do not fit.
    """
    network, options = ARMS[arm].network, (num_classes, reduction, ARMS[arm].gate_init, weights)
    starts_at_0 = ARMS[arm].last_norm == "zero"
    if weights is not None and (network in PLAIN_CNNS or starts_at_0):
        raise ReproError(f"weights: no '{weights}' for {arm}: leave {arm} out or set weights to null")
    model: nn.Module
    if network in PLAIN_CNNS:
        model = models.get_model(network, weights=None, num_classes=num_classes)
    elif backbone == "efficientnet_lite0":
        from paper_repro.efficientnet import AttentionEfficientNet  # its packages are an extra

        model = AttentionEfficientNet(network, *options)
    else:
        model = AttentionResNet(backbone, network, *options)
    # MobileNetV3 and EfficientNet come with 0.01, for epochs of thousands of steps. With some fifty steps, evaluation
    # would use the statistics of weights long gone (docs/protocol.md, amendments).
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
        if starts_at_0 and isinstance(module, Recalibrated) and module.has_shortcut:
            last_norm = "bn3" if hasattr(module, "bn3") else "bn2"
            nn.init.zeros_(getattr(module, last_norm).weight)
    return model


def stage_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers whose Grad-CAM is shown, by name: a ResNet's four stages; the last stage at each of EfficientNet's
    three coarser grids; of a plain CNN its last feature map."""
    names: tuple[str, ...] = STAGES if isinstance(model, ResNet) else ("features",)
    if hasattr(model, "stages"):  # EfficientNet
        names = ("stage3", "stage5", "stage7")
    return {name: model.get_submodule(name) for name in names}
