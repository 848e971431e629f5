"""Every faster way of computing equals the plain one within the tolerance stated in its test.

Elsewhere: a batch against single images in Grad-CAM (test_gradcam) and augmentation (test_train), the stage network
against its literal global version (test_model), partial JPEG decoding (test_data).
"""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from paper_repro import evaluate
from paper_repro.augment import crop_matrices, to_float, warp
from paper_repro.model import RecalibratedBasicBlock, RecalibratedBottleneck, SqueezeExcitation, resnet18
from paper_repro.photographs import folds


def with_gradients(function, inputs, module, seed=0):
    """The result of function(*inputs) and the gradients of a random projection of it, by inputs and parameters."""
    leaves = [*inputs, *module.parameters()]
    result = function(*inputs)
    weight = torch.randn(result.shape, generator=torch.Generator().manual_seed(seed), dtype=result.dtype)
    return result, torch.autograd.grad((result * weight).sum(), leaves, allow_unused=True)


@pytest.mark.parametrize("make", [lambda: RecalibratedBottleneck(64, 16), lambda: RecalibratedBasicBlock(64, 64)])
def test_recalibration_and_shortcut_in_one_pass(make):
    """shortcut + u * gate as one operation: output and every gradient as of the two steps, to 1e-10 in double."""
    torch.manual_seed(0)
    block = make().double()
    x, gate = torch.randn(3, 64, 8, 8).double().requires_grad_(), torch.rand(3, 64).double().requires_grad_()
    fused, fused_gradients = with_gradients(lambda x, gate: block(x, lambda u: gate), (x, gate), block)
    plain, plain_gradients = with_gradients(
        lambda x, gate: torch.relu(block.residual(x) * gate[:, :, None, None] + x), (x, gate), block
    )
    torch.testing.assert_close(fused, plain, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(fused_gradients, plain_gradients, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("gate_init", ["default", "identity"])
def test_excitation_as_matrix_product(gate_init):
    """The gate from matrix products: as from pooling and 1×1 convolutions, gradients too, to 1e-10 in double."""
    torch.manual_seed(0)
    se = SqueezeExcitation(64, gate_init=gate_init).double()
    torch.nn.init.normal_(se.fc2.weight)
    u = torch.randn(3, 64, 5, 7).double().to(memory_format=torch.channels_last).requires_grad_()
    scale = 1 if se.scale is None else se.scale

    def convolutions(u):
        return scale * torch.sigmoid(se.fc2(torch.relu(se.fc1(F.adaptive_avg_pool2d(u, 1))))).flatten(1)

    fast, fast_gradients = with_gradients(se, (u,), se)
    plain, plain_gradients = with_gradients(convolutions, (u,), se)
    torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(fast_gradients, plain_gradients, rtol=1e-10, atol=1e-10)


@pytest.fixture
def model_and_images():
    torch.manual_seed(0)
    return resnet18("stage").eval(), torch.randn(4, 3, 64, 64)


def test_channels_last(model_and_images):
    """The order of the values in memory changes logits and gradients by no more than rounding, 1e-4 of the largest."""
    model, images = model_and_images
    other = copy.deepcopy(model).to(memory_format=torch.channels_last)
    plain, plain_gradients = with_gradients(model, (images.requires_grad_(),), model)
    fast, fast_gradients = with_gradients(
        other, (images.detach().to(memory_format=torch.channels_last).requires_grad_(),), other
    )
    for ours, theirs in zip((fast, *fast_gradients), (plain, *plain_gradients), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * float(theirs.detach().abs().max()))


def test_bfloat16(model_and_images):
    """Automatic mixed precision moves the logits by less than 3 % of their spread and the gates by less than 0.01."""
    model, images = model_and_images
    with torch.no_grad():
        plain, plain_gates = model(images, return_gates=True)
        with torch.autocast("cpu", torch.bfloat16):
            fast, fast_gates = model(images, return_gates=True)
    assert (fast - plain).abs().max() < 0.03 * (plain.max() - plain.min())
    for name, gates in plain_gates.items():
        assert fast_gates[name].dtype == torch.float32
        assert (fast_gates[name] - gates).abs().max() < 0.01


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("quarter", range(4))
def test_warp_is_flip_and_rotation(mirror, quarter):
    """A whole view, mirrored and turned by the batch-wise sampling: the pixels that flip and rot90 give, to 1e-5."""
    images = to_float(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8))
    numbers = np.array([[1, 0.5, 0.5, 0.5, 0.25 if mirror else 0.75, (quarter + 0.5) / 4]] * 2)
    plain = torch.rot90(images.flip(3) if mirror else images, quarter, (2, 3))
    torch.testing.assert_close(warp(images, crop_matrices(numbers, 0.35, rotate=True), 32), plain, rtol=0, atol=1e-5)


def test_warp_is_crop():
    """A crop that falls on whole pixels: the slice of the photograph, to 1e-5."""
    images = to_float(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8))
    numbers = np.array([[0, 0.5, 0, 0, 0.75, 0], [0, 0.5, 1, 1, 0.75, 0]])  # a quarter: upper left, lower right
    plain = torch.stack([images[0, :, :16, :16], images[1, :, 16:, 16:]])
    torch.testing.assert_close(warp(images, crop_matrices(numbers, 0.25, rotate=False), 16), plain, rtol=0, atol=1e-5)


def test_near_duplicates_without_comparing_all():
    """The hash tables find the pairs that comparing every picture with every other finds: all those well above the
    threshold, at least 95 % of those above it, none below."""
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 256, (60, 8, 8, 3)).repeat(8, axis=1).repeat(8, axis=2)
    noisy = [originals + rng.normal(0, spread, originals.shape) for spread in np.linspace(5, 150, 8)]
    images = np.concatenate([originals, *noisy]).clip(0, 255).astype(np.uint8)
    found = {tuple(pair) for pair in folds.near_duplicate_pairs(images)}
    frequencies, features = folds._descriptors(images)
    signs = [(-1.0) ** (np.array(flip) @ frequencies) for flip in ((0, 0), (0, 1), (1, 0), (1, 1))]
    cosines = np.max([(features * sign) @ features.T for sign in signs], axis=0)
    first, second = np.nonzero(np.triu(cosines, 1) >= folds.SIMILARITY)
    near = dict(zip(zip(first.tolist(), second.tolist(), strict=True), cosines[first, second], strict=True))
    assert found <= set(near) and len(near) > 60
    assert all(pair in found for pair, cosine in near.items() if cosine > 0.97)
    assert len(found) >= 0.95 * len(near)


def test_bootstrap_by_counts(monkeypatch):
    """Resampling groups by how often each is drawn, a matrix product, gives what copying the drawn rows gives."""
    rng = np.random.default_rng(0)
    values, group = rng.random((50, 2)), np.arange(50) % 20
    monkeypatch.setattr(evaluate, "RESAMPLES", 200)
    fast = evaluate._bootstrap({"x": values}, group, lambda sums: {"ratio": np.divide(*sums["x"].T)}, 3)
    per_group = [values[group == number].sum(0) for number in range(20)]
    drawn = np.random.default_rng(3).integers(20, size=(200, 20))
    totals = [np.sum([per_group[number] for number in row], axis=0) for row in drawn]
    np.testing.assert_allclose(fast["ratio"], np.percentile([a / b for a, b in totals], [2.5, 97.5]), rtol=1e-12)
