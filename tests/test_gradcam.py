"""Grad-CAM: equal to two published packages, on any layer, leaving no trace."""

import copy
import io
import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential
from torchvision import models

from paper_repro.config import ATTENTION
from paper_repro.files import ReproError
from paper_repro.gradcam import GradCAM, heatmap
from paper_repro.model import resnet18, resnet50

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


def explained(model, layer, images, target_class=0):
    """The map in a context of its own."""
    with GradCAM(model, layer) as gradcam, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gradcam(images, target_class)


def hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


def gradients(model, images):
    model.zero_grad()
    model(images).float().square().sum().backward()
    return [parameter.grad for parameter in model.parameters()]


@pytest.fixture
def stage_model():
    torch.manual_seed(0)
    return resnet18("stage").eval()


@pytest.fixture
def small():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_two_open_contexts_give_each_map_as_if_alone(stage_model, small):
    """The hook of one layer does not act on the pass of another, in whatever order, on one layer twice too."""
    layers = [stage_model.layer3, stage_model.layer2, stage_model.layer2, stage_model.layer4[-1].bn2]
    alone = [explained(stage_model, layer, small) for layer in layers]
    first, second, third, fourth = (GradCAM(stage_model, layer) for layer in layers)
    with first, second, third, fourth, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for order in ((0, 1, 2, 3), (3, 2, 1, 0)):
            for number in order:
                assert torch.equal((first, second, third, fourth)[number](small, 0), alone[number])
    assert alone[0].any() and alone[1].any() and hooks(stage_model) == 0


def test_context_left_in_another_order(stage_model, small):
    """Contexts need not be nested: the one that stays open still works, and the closed one is closed."""
    first, second = GradCAM(stage_model, stage_model.layer3), GradCAM(stage_model, stage_model.layer2)
    first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    assert torch.equal(second(small, 0), explained(stage_model, stage_model.layer2, small))
    with pytest.raises(ReproError, match="outside its context"):
        first(small, 0)


def test_object_entered_twice(stage_model, small):
    """One object entered twice stays open until it is left twice, and can be entered again."""
    gradcam = GradCAM(stage_model, stage_model.layer3)
    for _ in range(2):
        with gradcam:
            with gradcam:
                inner = gradcam(small, 0)
            assert torch.equal(gradcam(small, 0), inner)
        with pytest.raises(ReproError, match="outside its context"):
            gradcam(small, 0)
    assert hooks(stage_model) == 0


def test_training_inside_the_context(stage_model, small):
    """A training step between two maps has every gradient, and the maps' calls leave none."""
    expected = gradients(stage_model, small)
    stage_model.zero_grad()
    with GradCAM(stage_model, stage_model.layer3) as gradcam:
        gradcam(small, 0)
        assert all(parameter.grad is None for parameter in stage_model.parameters())
        found = gradients(stage_model, small)
        gradcam(small, 0)
    for parameter, gradient, wanted in zip(stage_model.parameters(), found, expected, strict=True):
        assert torch.equal(gradient, wanted) and parameter.grad is gradient and parameter.requires_grad


def test_map_between_forward_and_backward(stage_model, small):
    """A map drawn between the two halves of a training step does not disturb the step."""
    expected = gradients(stage_model, small)
    stage_model.zero_grad()
    with GradCAM(stage_model, stage_model.layer3) as gradcam:
        loss = stage_model(small).square().sum()
        gradcam(small, 0)
        loss.backward()
    assert all(torch.equal(p.grad, wanted) for p, wanted in zip(stage_model.parameters(), expected, strict=True))


def test_copies_made_inside_the_context(stage_model, small):
    """Copies and files of the model made inside a context hold no hook and no map."""
    with GradCAM(stage_model, stage_model.layer3) as gradcam:
        expected = gradcam(small, 0)
        buffer = io.BytesIO()
        torch.save(stage_model, buffer)
        buffer.seek(0)
        for other in (copy.deepcopy(stage_model), torch.load(buffer, weights_only=False)):
            assert hooks(other) == 0
            assert all(gradient is not None for gradient in gradients(other, small))
            assert torch.equal(explained(other, other.layer3, small), expected)


def test_another_thread_uses_the_model(stage_model, small):
    """The hook acts in the thread of its call: a prediction made meanwhile elsewhere is its own."""
    predicted = []
    with torch.no_grad():
        expected = stage_model(small)

    def predict():
        with torch.no_grad():
            predicted.append(stage_model(small))

    def meanwhile(*_):
        if not predicted and threading.current_thread() is threading.main_thread():
            thread = threading.Thread(target=predict)
            thread.start()
            thread.join()

    cam = explained(stage_model, stage_model.layer3, small)
    handle = stage_model.layer2.register_forward_hook(meanwhile)
    assert torch.equal(explained(stage_model, stage_model.layer3, small), cam)
    handle.remove()
    assert torch.equal(predicted[0], expected) and not predicted[0].requires_grad


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_everything_is_restored_after_an_exception(stage_model, small, error):
    """Modes, frozen parameters, hooks and torch's own functions are as before when the pass fails."""
    stage_model.train()
    stage_model.layer1.eval()
    stage_model.fc.requires_grad_(False)

    def state():
        flags = [module.training for module in stage_model.modules()]
        learning = [parameter.requires_grad for parameter in stage_model.parameters()]
        own = torch.utils.checkpoint.CheckpointFunction, torch.utils.checkpoint._checkpoint_hook
        return flags, learning, hooks(stage_model), torch.is_grad_enabled(), torch.is_inference_mode_enabled(), own

    def fail(*_):
        raise error("inside the pass")

    for context in (torch.enable_grad(), torch.no_grad(), torch.inference_mode()):
        with context:
            before = state()
            handle = stage_model.layer4.register_forward_hook(fail)
            with GradCAM(stage_model, stage_model.layer3) as gradcam, pytest.raises(error):
                gradcam(small)
            handle.remove()
            assert state() == before


class Swish(torch.autograd.Function):
    """An activation with a backward of its own, which no mode of torch sees."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * x.sigmoid() * (1 + x * (1 - x.sigmoid()))


class Mixed(nn.Module):
    """Convolution, skip connection, attention and an in-place ReLU; `inner` wraps each part, `outer` all parts."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv, self.last = nn.Conv2d(3, 16, 3, 4), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.norm, self.relu, self.fc = nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.Linear(16, 6)
        self.inner = self.outer = lambda part: part

    def skip(self, x):
        return x + Swish.apply(self.conv(x))

    def attend(self, x):
        tokens = x.flatten(2).transpose(1, 2)  # (N, 16, H, W) -> (N, H W, 16)
        return x + self.attention(tokens, tokens, tokens)[0].transpose(1, 2).reshape(x.shape)

    def parts(self, x):
        for part in (lambda x: self.relu(self.stem(x)), self.skip, self.attend, lambda x: self.relu(self.norm(x))):
            x = self.inner(part)(x)
        return self.inner(self.last)(x)

    def forward(self, images):
        return self.fc(self.outer(self.parts)(images).mean((2, 3)))


def under(context):
    """A wrapper that runs a part of a network inside a context made anew."""

    def wrap(part):
        def run(*args):
            with context():
                return part(*args)

        return run

    return wrap


def by_function(part):
    def run(*args):
        torch.set_grad_enabled(False)
        return part(*args)

    return run


CUTTING = {
    "no_grad": under(torch.no_grad),
    "decorated with no_grad": torch.no_grad(),
    "set_grad_enabled": under(lambda: torch.set_grad_enabled(False)),
    "set_grad_enabled as a function": by_function,
    "inference_mode": under(torch.inference_mode),
    "decorated with inference_mode": torch.inference_mode(),
    "nested": lambda part: under(torch.no_grad)(under(torch.inference_mode)(under(torch.enable_grad)(part))),
    "reentrant": lambda part: lambda *args: checkpoint(part, *args, use_reentrant=True),
    "not reentrant": lambda part: lambda *args: checkpoint(part, *args, use_reentrant=False),
    "no_grad in reentrant": lambda part: lambda *args: checkpoint(torch.no_grad()(part), *args, use_reentrant=True),
    "no_grad around it": lambda part: torch.no_grad()(lambda *args: checkpoint(part, *args, use_reentrant=False)),
    "no_grad inside it": lambda part: lambda *args: checkpoint(torch.no_grad()(part), *args, use_reentrant=False),
    "sequential": lambda part: lambda x: checkpoint_sequential([part, nn.Identity()], 2, x, use_reentrant=True),
}


@pytest.mark.parametrize("wrapper", CUTTING.values(), ids=CUTTING)
def test_contexts_inside_the_model_change_no_map(wrapper, small):
    """The map is that of the same network without the context, for layers before, inside and behind it."""
    torch.manual_seed(0)
    model = Mixed().train()
    for layer in (model.stem, model.conv, model.norm, model.last):
        model.inner = model.outer = lambda part: part
        expected = torch.stack([explained(model, layer, small, target) for target in range(6)])
        assert expected.any()
        for place in ("inner", "outer"):
            model.inner = model.outer = lambda part: part
            setattr(model, place, wrapper)
            found = torch.stack([explained(model, layer, small, target) for target in range(6)])
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    assert torch.is_grad_enabled() and model.training and hooks(model) == 0


class Wrapped(nn.Module):
    """A network whose backbone runs inside a context, as in a published fine-tuning script."""

    def __init__(self, network, context):
        super().__init__()
        self.network, self.context = network, context

    def forward(self, images):
        with self.context(self):
            return self.network(images)


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize(
    "context",
    [
        lambda self: torch.no_grad(),
        lambda self: torch.set_grad_enabled(self.training),
        lambda self: torch.inference_mode(),
    ],
    ids=["no_grad", "set_grad_enabled", "inference_mode"],
)
def test_every_arm_inside_a_context(attention, context, small):
    """The arms overwrite memory where no gradient is recorded; a map inside such a context is still the plain one."""
    torch.manual_seed(0)
    model = resnet18(attention).eval()
    wrapped = Wrapped(model, context)
    for layer in (model.layer2, model.layer3[0].downsample, model.layer4[-1].bn2):
        assert torch.equal(explained(wrapped, layer, small), explained(model, layer, small))


def test_compiled_model(stage_model, small):
    """A model that was compiled and used before has its map, and stays compiled."""
    expected = explained(stage_model, stage_model.layer3, small)
    compiled = torch.compile(stage_model, backend="eager", fullgraph=True)
    with torch.no_grad():
        logits = compiled(small)
        assert torch.equal(explained(compiled, stage_model.layer3, small), expected)
        assert torch.equal(compiled(small), logits)


def test_nothing_is_stored_below_the_layer(stage_model, small):
    """Below the target layer no graph is recorded, whatever asks for one there."""
    recorded = {}
    for name in ("layer1", "layer2", "layer3", "layer4"):
        stage_model.get_submodule(name).register_forward_hook(
            lambda _, inputs, output, name=name: recorded.update({name: output.requires_grad})
        )
    images = small.clone().requires_grad_()
    explained(stage_model, stage_model.layer3, images)
    assert recorded == {"layer1": False, "layer2": False, "layer3": False, "layer4": True}
    assert images.grad is None and images.requires_grad


def test_images_and_model_of_inference_mode(stage_model, small):
    """Images made in inference mode are explained; a model made there says where to make it."""
    expected = explained(stage_model, stage_model.layer3, small)
    with torch.inference_mode():
        assert torch.equal(explained(stage_model, stage_model.layer3, small.clone()), expected)
        made_there = resnet18("none")
    with pytest.raises(ReproError, match="inside torch.inference_mode"):
        explained(made_there, made_there.layer3, small)


class Cut(nn.Module):
    """A network whose graph is cut between its two layers."""

    def __init__(self, cut):
        super().__init__()
        self.before, self.behind, self.fc, self.cut = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 6), cut

    def forward(self, images):
        return self.fc(self.behind(self.cut(self.before(images))).mean((2, 3)))


@pytest.mark.parametrize(
    "cut, reason",
    {
        "detach": (lambda x: x.detach(), "cuts the graph"),
        "data": (lambda x: x.data.relu(), "cuts the graph"),
        "detached numpy": (lambda x: torch.from_numpy(x.detach().numpy()), "cuts the graph"),
        "whole numbers": (lambda x: x.int().float(), "cuts the graph"),
        "numpy": (lambda x: torch.from_numpy(x.numpy()), "numpy, where no gradient passes"),
        "numpy's functions": (lambda x: torch.from_numpy(np.asarray(x) * 2), "numpy, where no gradient passes"),
    }.values(),
)
def test_graph_cut_by_the_model(cut, reason, small):
    """Where the model itself cuts the graph, the reason is named; a layer behind the cut has its map."""
    model = Cut(cut)
    with pytest.raises(ReproError, match=reason):
        explained(model, model.before, small)
    assert explained(model, model.behind, small).shape == (2, 60, 60)


def test_positions_of_images_that_are_not_finite(stage_model, small):
    """One pixel that is NaN or infinite is an error with the image's position, also in training mode."""
    for value in (float("nan"), float("inf"), float("-inf")):
        images = torch.cat([small, small])
        images[1, 2, 5, 7] = images[3, 0, 0, 0] = value
        with pytest.raises(ReproError, match=r"^images: NaN or infinity in 2 of 4 \(positions \[1, 3\]\)"):
            explained(stage_model, stage_model.layer3, images)


def test_scores_and_maps_that_are_not_finite(stage_model, small):
    """A diverged network and a gradient that overflows are errors; a class masked with -inf is not asked for."""
    broken = copy.deepcopy(stage_model)
    broken.fc.weight.data[2] = float("nan")
    for target_class in (None, 2):
        with pytest.raises(ReproError, match=r"^scores: NaN or infinity in 2 of 2 \(positions \[0, 1\]\)"):
            explained(broken, broken.layer3, small, target_class)
    with pytest.raises(ReproError, match="^cam: NaN or infinity in 2 of 2"):
        explained(broken, broken.layer3, small, 1)

    steep = Cut(lambda x: (x - x).sqrt())  # finite, with an infinite gradient
    with pytest.raises(ReproError, match="^cam: NaN or infinity in 2 of 2"):
        explained(steep, steep.before, small)

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = stage_model

        def forward(self, images):
            mask = torch.zeros(6, dtype=torch.bool)
            mask[5] = True
            return self.network(images).masked_fill(mask, float("-inf"))

    assert torch.equal(
        explained(Masked(), stage_model.layer3, small, 1), explained(stage_model, stage_model.layer3, small, 1)
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_map_under_autocast(stage_model, small, dtype):
    """Under autocast the map is float32 and near the exact one, and a training step there keeps all gradients."""
    expected = explained(stage_model, stage_model.layer3, small)
    with torch.autocast("cpu", dtype):
        wanted = gradients(stage_model, small)
        stage_model.zero_grad()
    with torch.autocast("cpu", dtype):
        cam = explained(stage_model, stage_model.layer3, small)
        found = gradients(stage_model, small)
        again = explained(stage_model, stage_model.layer3, small)
    assert cam.dtype == torch.float32 and torch.equal(again, cam)
    torch.testing.assert_close(cam, expected, rtol=0, atol=0.05 * float(expected.max()))
    assert all(torch.equal(gradient, other) for gradient, other in zip(found, wanted, strict=True))
    assert heatmap(cam, 64).numpy().dtype == np.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_map_of_a_model_in_another_precision(stage_model, small, dtype):
    """A model in half or double precision has a float32 map near the exact one."""
    expected = explained(stage_model, stage_model.layer3, small)
    model = copy.deepcopy(stage_model).to(dtype)
    cam = explained(model, model.layer3, small.to(dtype))
    assert cam.dtype == torch.float32
    torch.testing.assert_close(cam, expected, rtol=0, atol=0.1 * float(expected.max()))
    with pytest.raises(ReproError, match="images: torch.float32, the model's weights are"):
        explained(model, model.layer3, small)


@pytest.mark.parametrize("make", [resnet18, resnet50])
@pytest.mark.parametrize("attention", ATTENTION)
def test_map_of_an_empty_batch(make, attention, small):
    """No images give no maps, on the layer's grid."""
    model = make(attention).eval()
    for target_class in (None, 3, []):
        assert explained(model, model.layer3, small[:0], target_class).shape == (0, 4, 4)


RETURNED = {
    "tuple": (lambda scores, features: (scores, features), r"a tuple.*model\(images\)\[0\]"),
    "tuple with the scores second": (lambda scores, features: (features, scores), r"a tuple.*model\(images\)\[1\]"),
    "list": (lambda scores, features: [scores], r"a list.*model\(images\)\[0\]"),
    "dict": (lambda scores, features: {"logits": scores}, r"a dict.*model\(images\)\['logits'\]"),
    "dict without logits": (lambda scores, features: {"x": features, "out": scores}, r"images\)\['out'\]"),
    "object": (lambda scores, features: SimpleNamespace(logits=scores), r"SimpleNamespace.*model\(images\)\.logits"),
    "nothing": (lambda scores, features: None, "a NoneType.*forward"),
    "text": (lambda scores, features: "glass", "a str.*forward"),
    "array": (lambda scores, features: scores.detach().numpy(), "a ndarray.*forward"),
    "one score": (lambda scores, features: scores[:, 0], r"shape \(2,\)"),
}


@pytest.mark.parametrize("returned, message", RETURNED.values(), ids=RETURNED)
def test_model_that_returns_no_scores(returned, message, small):
    """A model that returns something else is named with the wrapper to write, which then works."""

    class Other(Cut):
        def forward(self, images):
            features = self.before(images)
            return returned(self.fc(features.mean((2, 3))), features)

    model = Other(None)
    with pytest.raises(ReproError, match=message) as raised:
        explained(model, model.before, small)
    assert len(str(raised.value)) < 200 and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(3, 64, 64),
        torch.zeros(1, 2, 3, 64, 64),
        torch.zeros(2, 3, 64, 64, dtype=torch.uint8),
        torch.zeros(2, 3, 64, 64, dtype=torch.int64),
        torch.zeros(2, 3, 64, 64, dtype=torch.bool),
        torch.zeros(2, 3, 64, 64, dtype=torch.float64),
        np.zeros((2, 3, 64, 64), np.float32),
        [torch.zeros(3, 64, 64)],
        "photo.jpg",
        None,
    ],
    ids=lambda images: f"{type(images).__name__} {getattr(images, 'dtype', '')} {getattr(images, 'ndim', '')}",
)
def test_images_of_another_type(images, stage_model):
    """What is no float batch is one short line about `images`."""
    with pytest.raises(ReproError, match="^images: ") as raised:
        explained(stage_model, stage_model.layer3, images)
    assert len(str(raised.value)) < 160 and "\n" not in str(raised.value)


def test_model_that_prepares_its_images(stage_model, small):
    """A network that takes bytes and casts them itself is explained, as its own call works."""

    class Prepared(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = stage_model

        def forward(self, images):
            return self.network(images.float() / 255)

    images = (small.clamp(0, 1) * 255).byte()
    expected = explained(stage_model, stage_model.layer3, images.float() / 255)
    assert torch.equal(explained(Prepared(), stage_model.layer3, images), expected)


@pytest.mark.parametrize(
    "plain",
    [
        np.int64(2),
        np.array([2, 2]),
        np.array([2, 2], np.uint8),
        torch.tensor(2),
        torch.tensor([2, 2], dtype=torch.int32),
        (2, 2),
        [np.int32(2), torch.tensor(2)],
        pd.Series([2, 2], index=[7, 3]),
    ],
    ids=repr,
)
def test_class_numbers_of_any_plain_type(plain, stage_model, small):
    """Whole numbers are accepted whatever holds them."""
    expected = explained(stage_model, stage_model.layer3, small, 2)
    assert torch.equal(explained(stage_model, stage_model.layer3, small, plain), expected)


def test_class_numbers_of_a_series_keep_their_order(stage_model, small):
    """A table's column is taken in its order, not in that of its index."""
    expected = explained(stage_model, stage_model.layer3, small, [1, 4])
    assert torch.equal(explained(stage_model, stage_model.layer3, small, pd.Series([1, 4], index=[1, 0])), expected)


@pytest.mark.parametrize(
    "wrong",
    [
        "glass",
        ["glass", "metal"],
        np.array(["glass", "metal"]),
        b"glass",
        True,
        torch.tensor([True, False]),
        1.0,
        float("nan"),
        [1, 2.5],
        [None, 1],
        [[1], [2]],
        [[1, 2], [3]],
        {1, 2},
        {"glass": 1},
        10**30,
        list(range(1000)),
        "g" * 1000,
        object(),
    ],
    ids=lambda wrong: repr(wrong)[:18],
)
def test_no_class_number(wrong, stage_model, small):
    """A name, a fraction and the like are one short line that says class number."""
    with pytest.raises(
        ReproError, match="^target_class: .* class number from 0 to 5 or 2 of them: for a name"
    ) as raised:
        explained(stage_model, stage_model.layer3, small, wrong)
    assert len(str(raised.value)) < 240 and "\n" not in str(raised.value)


def test_class_outside_is_named(stage_model, small):
    """Of many class numbers the one that is outside is named."""
    for wrong in (6, [0, 6], torch.tensor([6, 1]), np.array([6, 6])):
        with pytest.raises(ReproError, match="^target_class: 6 is outside 0 to 5"):
            explained(stage_model, stage_model.layer3, small, wrong)


def test_what_is_explained_is_checked(stage_model):
    """A name or a list in place of a module is named at once."""
    for layer in ("layer4", [stage_model.layer4], None, 4):
        with pytest.raises(ReproError, match="no module of this model"):
            GradCAM(stage_model, layer)
    for model in ("resnet18", SimpleNamespace(model=stage_model), None):
        with pytest.raises(ReproError, match="^model: "):
            GradCAM(model, stage_model.layer4)


def test_layer_of_whole_numbers(small):
    """A layer whose output is not floating is refused like a flat one."""

    class Whole(nn.Module):
        def forward(self, x):
            return x.int()

    model = nn.Sequential(Whole())
    with pytest.raises(ReproError, match=r"\(2, 3, 64, 64\) of torch.int32, not \(N, C, h, w\)"):
        explained(model, model[0], small)


@pytest.mark.parametrize("size", [0, -1, 8.5, "8", None, float("nan"), (8,), (8, 8, 8), (8.0, 8), (8, 0)], ids=repr)
def test_impossible_size_of_a_heatmap(size):
    """A size that is no number of pixels is named."""
    with pytest.raises(ReproError, match="^size: "):
        heatmap(torch.rand(2, 4, 4), size)


def test_heatmap_of_what_is_no_map():
    """An array, a single map and a map that is not finite are errors; other precisions and no maps are not."""
    cam = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))
    for wrong in (cam.numpy(), cam[0], [cam[0]], cam[None], None):
        with pytest.raises(ReproError, match=r"^cam: .*\(N, h, w\)"):
            heatmap(wrong, 8)
    for value in (float("nan"), float("inf"), float("-inf")):
        broken = cam.clone()
        broken[2, 1, 1] = value
        with pytest.raises(ReproError, match=r"^cam: NaN or infinity in 1 of 3 \(positions \[2\]\)"):
            heatmap(broken, 8)
    assert heatmap(cam[:0], 8).shape == (0, 8, 8)
    for size in (np.int64(8), (np.int64(8), 8), [8, 8], torch.Size([8, 8])):
        torch.testing.assert_close(heatmap(cam.double(), size), heatmap(cam, 8))
