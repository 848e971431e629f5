"""Grad-CAM: equal to two published packages, on any layer, leaving no trace."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from paper_repro.files import ReproError
from paper_repro.gradcam import GradCAM, heatmap
from paper_repro.model import resnet18

LAYERS = {
    "resnet18-layer4": ("resnet18", lambda model: model.layer4[-1]),
    "resnet18-before-in-place-relu": ("resnet18", lambda model: model.layer4[-1].bn2),
    "resnet50-layer3": ("resnet50", lambda model: model.layer3),
    "vgg11_bn": ("vgg11_bn", lambda model: model.features[-3]),
    "densenet121": ("densenet121", lambda model: model.features.denseblock4),
    "mobilenet_v3_large": ("mobilenet_v3_large", lambda model: model.features[-2]),
}


@pytest.fixture
def images():
    return torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=LAYERS)
def model_and_layer(request):
    name, pick = LAYERS[request.param]
    torch.manual_seed(0)
    model = models.get_model(name, num_classes=6).eval()
    return model, pick(model)


def test_equals_captum(model_and_layer, images):
    """Ours is Grad-CAM as captum computes it, before any scaling."""
    attr = pytest.importorskip("captum.attr")
    model, layer = model_and_layer
    with GradCAM(model, layer) as gradcam, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cam = gradcam(images)
    theirs = attr.LayerGradCam(model, layer).attribute(images, target=model(images).argmax(1), relu_attributions=True)[
        :, 0
    ]
    torch.testing.assert_close(cam, theirs.detach(), rtol=1e-5, atol=1e-5 * float(cam.max()))


@pytest.mark.parametrize("model_and_layer", [name for name in LAYERS if "in-place" not in name], indirect=True)
def test_equals_grad_cam_package(model_and_layer, images):
    """And as the `grad-cam` package computes it before scaling. (It reads the layer in front of an in-place sum after
    that sum has overwritten it, so that layer is left out.)"""
    package = pytest.importorskip("pytorch_grad_cam")
    model, layer = model_and_layer

    class Unscaled(package.GradCAM):
        def compute_cam_per_layer(self, input_tensor, targets, eigen_smooth):
            activations, gradients = (
                values[0].cpu().data.numpy()
                for values in (self.activations_and_grads.activations, self.activations_and_grads.gradients)
            )
            self.raw = np.maximum(
                self.get_cam_image(input_tensor, layer, targets, activations, gradients, eigen_smooth), 0
            )
            return super().compute_cam_per_layer(input_tensor, targets, eigen_smooth)

    with GradCAM(model, layer) as gradcam, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cam = gradcam(images).numpy()
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # the package reads the activation after the ReLU has overwritten it
    with Unscaled(model=model, target_layers=[layer]) as theirs:
        theirs(input_tensor=images, targets=None)
    np.testing.assert_allclose(cam, theirs.raw, rtol=1e-5, atol=1e-5 * cam.max())


def test_batch_equals_single_images(images):
    """A map does not depend on the other images of the batch."""
    model = resnet18("stage").eval()
    with GradCAM(model, model.layer3) as gradcam:
        together = gradcam(images, target_class=2)
        alone = torch.cat([gradcam(image[None], target_class=2) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6 * float(together.max()))


def test_target_class_forms(images):
    """None, an int and one class per image mean what they say."""
    model = resnet18("none").eval()
    predicted = model(images).argmax(1)
    with GradCAM(model, model.layer3) as gradcam:
        assert torch.equal(gradcam(images), gradcam(images, target_class=predicted))
        assert torch.equal(gradcam(images, 1), gradcam(images, [1, 1, 1]))
        for wrong in (6, -1, [0, 1], 1.5):
            with pytest.raises(ReproError, match="target_class"):
                gradcam(images, target_class=wrong)


def test_frozen_no_grad_and_training_mode(images):
    """Frozen parameters and a caller inside no_grad or inference_mode change nothing; the model keeps its mode."""
    model = resnet18("stage").eval()
    with GradCAM(model, model.layer4) as gradcam:
        expected = gradcam(images, 0)
        model.requires_grad_(False).train()
        model.bn1.eval()
        for context in (torch.no_grad(), torch.inference_mode()):
            with context:
                assert torch.equal(gradcam(images, 0), expected)
        assert model.training and not model.bn1.training
    assert torch.is_grad_enabled()


def test_leaves_no_trace(images):
    """Afterwards no hook, no gradient and no activation is left, also when the pass fails."""
    model = resnet18("none").eval()
    gradcam = GradCAM(model, model.layer2)
    with gradcam:
        gradcam(images, 0)
        with pytest.raises(RuntimeError):
            gradcam(torch.zeros(1, 5, 96, 96))
    assert not model.layer2._forward_hooks and not gradcam._activations
    assert all(parameter.grad is None for parameter in model.parameters())
    with pytest.raises(ReproError, match="outside its context"):
        gradcam(images)


class Odd(nn.Module):
    """A model with a layer that is never called, one that is called twice, and a flat one."""

    def __init__(self):
        super().__init__()
        self.unused, self.twice, self.flat = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Linear(3, 6)

    def forward(self, images):
        return self.flat(self.twice(self.twice(images)).mean((2, 3)))


@pytest.mark.parametrize(
    "layer, message", [("unused", "0 times"), ("twice", "2 times"), ("flat", r"not \(N, C, h, w\)")]
)
def test_unsuitable_layers(layer, message, images):
    """A layer that cannot be explained is an error that says so, not a wrong picture."""
    model = Odd()
    with GradCAM(model, getattr(model, layer)) as gradcam, pytest.raises(ReproError, match=message):
        gradcam(images)
    with pytest.raises(ReproError, match="no module of this model"):
        GradCAM(model, nn.Conv2d(3, 3, 1))


def test_empty_map_is_reported_and_not_stretched(images):
    """A map without positive evidence comes back as zeros with a warning, and stays zero on display."""
    model = resnet18("none").eval()
    nn.init.constant_(model.fc.weight, -1.0)
    with GradCAM(model, model.layer4) as gradcam, pytest.warns(UserWarning, match="zero everywhere for 3 of 3"):
        cam = gradcam(images)
    assert not heatmap(cam, 96).any()


def test_heatmap_range():
    """For display each map is scaled by its own maximum, on the photograph's grid."""
    cam = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0)) * 1e-8
    shown = heatmap(cam, (30, 40))
    assert shown.shape == (2, 30, 40)
    torch.testing.assert_close(shown.amax((1, 2)), torch.ones(2))
    assert shown.min() >= 0
