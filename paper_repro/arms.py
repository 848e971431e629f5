"""The network of an arm, and the layers whose heat maps are shown."""

from torch import nn
from torchvision import models
from torchvision.models.resnet import ResNet

from paper_repro.files import ReproError
from paper_repro.model import ATTENTION, GATE_INIT, STAGES, resnet18, resnet50


def build_model(
    arm: str, backbone: str, num_classes: int, reduction: int = 16, weights: str | None = None
) -> nn.Module:
    """The network of an arm of a profile: an `attention` with or without "-identity", "-double" (`gate_init`) or
    "-shuffled" (its labels, see `train`), or a plain CNN of claim C2 (torchvision's alexnet, vgg11_bn, densenet121,
    mobilenet_v3_large). The running statistics of every BatchNorm move at torchvision's default, `momentum` 0.1."""
    attention, _, variant = arm.partition("-")
    if attention in ATTENTION:
        gate_init = variant if variant in GATE_INIT else "default"
        if backbone == "efficientnet_lite0":
            from paper_repro.efficientnet import AttentionEfficientNet as make  # its packages are an extra
        else:
            make = {"resnet18": resnet18, "resnet50": resnet50}[backbone]
        model = make(attention, num_classes, reduction, gate_init, weights)
    elif weights is not None:
        raise ReproError(
            f"weights: '{weights}' is for the {backbone} arms, not for {arm}: leave {arm} out or set weights to null"
        )
    else:
        model = models.get_model(arm, weights=None, num_classes=num_classes)
    # MobileNetV3 and EfficientNet come with 0.01, for epochs of thousands of steps. With some fifty steps, evaluation
    # would use the statistics of weights long gone (docs/protocol.md, amendments).
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    return model


def stage_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers whose Grad-CAM is shown, by name: a ResNet's four stages; the last stage at each of EfficientNet's
    three coarser grids; of a plain CNN its last feature map."""
    if isinstance(model, ResNet):
        return {name: getattr(model, name) for name in STAGES}
    if hasattr(model, "stages"):
        return {name: getattr(model, name) for name in ("stage3", "stage5", "stage7")}
    return {"features": model.features}
