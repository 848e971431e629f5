"""The network: every arm, its equivalences, and that nothing outlives a forward pass."""

import copy
import gc
import io
import pickle
import weakref

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.checkpoint import checkpoint
from torchvision import models

from paper_repro.arms import build_model, stage_layers
from paper_repro.config import ATTENTION
from paper_repro.files import ReproError
from paper_repro.model import STAGES, SqueezeExcitation, resnet18, resnet50

PARAMETERS = {
    "none": 23_520_326,
    "block": 26_051_318,
    "stage": 24_220_726,
    "stage_recompute": 24_220_726,
    "stage_output": 24_220_726,
    "half": 23_520_326,
}
LEARNED = ("block", "stage", "stage_recompute", "stage_output")


@pytest.fixture
def images():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def stage_model():
    torch.manual_seed(0)
    return resnet18("stage").eval()


@pytest.mark.parametrize("attention", ATTENTION)
def test_parameter_counts(attention):
    """The arms are the ones of the table in DESIGN.md, none silently another."""
    model = resnet50(attention, num_classes=6)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[attention]
    assert [len(getattr(model, name)) for name in STAGES] == [3, 4, 6, 3]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_none_is_torchvision(name, images):
    """The baseline is torchvision's network, so its numbers are about ResNet and not about our rewriting."""
    theirs = models.get_model(name, num_classes=6).eval()
    ours = {"resnet18": resnet18, "resnet50": resnet50}[name]("none").eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))


def test_block_is_timm(images):
    """Per-block SE is SENet as others implement it, the gate at the same place."""
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("seresnet50", num_classes=6, zero_init_last=False).eval()
    ours = resnet50("block").eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "attention, counts",
    [
        ("none", None),
        ("block", (3, 4, 6, 3)),
        ("stage", (1,) * 4),
        ("stage_recompute", (3, 4, 6, 3)),
        ("stage_output", (1,) * 4),
        ("half", (1,) * 4),
    ],
)
def test_gates_returned(attention, counts, images):
    """return_gates gives every gate computed in the pass, one (N, C) each."""
    model = resnet50(attention).eval()
    with torch.no_grad():
        logits, gates = model(images, return_gates=True)
        assert torch.equal(logits, model(images))
    assert list(gates) == ([] if counts is None else list(STAGES))
    for gate, count, channels in zip(gates.values(), counts or (), (256, 512, 1024, 2048), strict=False):
        assert gate.shape == (count, 3, channels)
        assert ((gate > 0) & (gate < 1)).all()


@pytest.mark.parametrize("attention, calls", [("stage", 1), ("stage_recompute", 2), ("stage_output", 1), ("block", 1)])
def test_gate_computed_so_often(attention, calls, images):
    """Claim C4 rests on it: in `stage` each SE runs once per forward pass, whatever the number of blocks."""
    model, counted = resnet18(attention).eval(), {}
    for name, module in model.named_modules():
        if isinstance(module, SqueezeExcitation):
            module.register_forward_hook(lambda *_, name=name: counted.update({name: counted.get(name, 0) + 1}))
    model(images)
    assert set(counted.values()) == {calls}
    assert len(counted) == (8 if attention == "block" else 4)


def literal_global_version(model, images):
    """The abstract's wording to the letter: a global tensor per stage, written by its first block, then read."""
    global_tensors = {}
    x = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    for name in STAGES:
        stage = getattr(model, name)
        for index, block in enumerate(stage):
            u = block.residual(x)
            shortcut = x if block.downsample is None else block.downsample(x)
            if index == 0:
                squeezed = nn.functional.adaptive_avg_pool2d(u, 1)
                hidden = torch.relu(stage.se.fc1(squeezed))
                global_tensors[name] = torch.sigmoid(stage.se.fc2(hidden))
            x = torch.relu(u * global_tensors[name] + shortcut)
    return model.fc(model.avgpool(x).flatten(1))


@pytest.mark.parametrize("make", [resnet18, resnet50])
def test_stage_equals_literal_global_version(make, images):
    """The value handed on computes what the paper's global tensor does, the fused sum what the plain one does."""
    model = make("stage").eval()
    with torch.no_grad():
        torch.testing.assert_close(model(images), literal_global_version(model, images), rtol=1e-5, atol=1e-5)


def test_stage_independent_of_batch(stage_model, images):
    """A photograph's prediction must not depend on what else is in the batch."""
    with torch.no_grad():
        alone = torch.cat([stage_model(image[None]) for image in images])
        torch.testing.assert_close(stage_model(images), alone, rtol=1e-5, atol=1e-5)


def test_stage_holds_nothing_after_the_pass(stage_model, images):
    """No gate survives the pass: not in memory, not in copies or pickles, not in the next pass."""
    kept = []
    handle = stage_model.layer1.se.register_forward_hook(lambda *args: kept.append(weakref.ref(args[2])))
    before = stage_model(images).detach()
    handle.remove()
    gc.collect()
    assert kept[0]() is None
    poisoned = stage_model(torch.full_like(images, float("nan")))
    assert poisoned.isnan().all()
    buffer = io.BytesIO()
    torch.save(stage_model.state_dict(), buffer)
    for model in (stage_model, copy.deepcopy(stage_model), pickle.loads(pickle.dumps(stage_model))):
        assert torch.equal(model(images), before)


def test_stage_compiles(stage_model, images):
    """torch.compile traces the hand-over of the gate (eager backend: the trace, not the code it makes)."""
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(stage_model, backend="eager")(images), stage_model(images))


@pytest.mark.parametrize("unit", ["stage", "block"])
def test_stage_under_activation_checkpointing(stage_model, images, unit):
    """Recomputation in the backward pass finds the gate of its own pass, so gradients are the plain ones."""
    stage_model(images).sum().backward()
    plain = [parameter.grad.clone() for parameter in stage_model.parameters()]
    stage_model.zero_grad()
    units = [getattr(stage_model, name) for name in STAGES]
    if unit == "block":
        units = [block for stage in units for block in stage]
    for module in units:
        forward = module.forward
        module.forward = lambda *args, forward=forward: checkpoint(forward, *args, use_reentrant=False)
    stage_model(images).sum().backward()
    for parameter, gradient in zip(stage_model.parameters(), plain, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("attention", LEARNED)
def test_identity_gate(attention, images, tmp_path):
    """A pretrained network keeps its logits under identity gates, and the gates can still learn."""
    plain = resnet18("none").eval()
    torch.save(plain.state_dict(), tmp_path / "plain.pth")
    model = resnet18(attention, gate_init="identity", weights=tmp_path / "plain.pth").eval()
    logits = model(images)
    assert torch.equal(logits, plain(images))
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
    assert all(
        module.fc2.bias.grad.abs().max() > 0 for module in model.modules() if isinstance(module, SqueezeExcitation)
    )


def test_double_gate_has_the_range_without_the_start(images):
    """The control has identity's range and default's start: its gates are twice those of the same weights."""
    torch.manual_seed(0)
    model, double = resnet18("stage").eval(), resnet18("stage", gate_init="double").eval()
    double.load_state_dict(model.state_dict(), strict=False)  # all but the factor
    with torch.no_grad():
        _, gates = model(images, return_gates=True)
        _, twice = double(images, return_gates=True)
    torch.testing.assert_close(twice["layer1"], 2 * gates["layer1"])


def test_half_is_the_plain_network_with_halved_branches(images):
    """The control has the plain network's weights and nothing else; its gates see no picture."""
    torch.manual_seed(0)
    plain, half = resnet18("none").eval(), resnet18("half").eval()
    half.load_state_dict(plain.state_dict(), strict=True)
    for name in STAGES:
        for block in getattr(plain, name):
            block.bn2.weight.data *= 0.5  # the branch ends in this layer, whose bias is zero
    with torch.no_grad():
        logits, gates = half(images, return_gates=True)
        torch.testing.assert_close(logits, plain(images))
    assert all((gate == 0.5).all() for gate in gates.values())


def test_gate_init_is_checked_on_load():
    """Weights trained with one gate function are not read into the other."""
    with pytest.raises(RuntimeError, match="se.scale"):
        resnet18("stage").load_state_dict(resnet18("stage", gate_init="identity").state_dict())
    with pytest.raises(RuntimeError, match="se.scale"):
        resnet18("stage", gate_init="identity").load_state_dict(resnet18("stage").state_dict())


def test_another_head_is_left_initialised(tmp_path):
    """A file with 1,000 classes gives the features; only then is `fc` not loaded."""
    source = models.resnet18(num_classes=1000)
    torch.save(source.state_dict(), tmp_path / "imagenet.pth")
    model = resnet18("stage", weights=tmp_path / "imagenet.pth")
    assert torch.equal(model.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    assert model.fc.out_features == 6


@pytest.mark.parametrize(
    "arguments, named",
    [
        (dict(attention="stages"), "attention: 'stages'"),
        (dict(gate_init="zero"), "gate_init: 'zero'"),
        (dict(attention="stage", reduction=0), "reduction: 0"),
        (dict(attention="stage", reduction=24), "reduction: 24"),
        (dict(attention="stage", reduction="16"), "reduction: '16'"),
        (dict(attention="stage", reduction=16.0), "reduction: 16.0"),
        (dict(attention="block", reduction=float("nan")), "reduction: nan"),
        (dict(attention=["stage"]), "attention: "),
        (dict(num_classes="6"), "num_classes: '6'"),
        (dict(num_classes=6.0), "num_classes: 6.0"),
        (dict(num_classes=float("nan")), "num_classes: nan"),
        (dict(num_classes=-1), "num_classes: -1"),
        (dict(weights={"fc.bias": torch.zeros(6)}), "weights: dict is neither a name nor a path"),
        (dict(weights=models.ResNet18_Weights.IMAGENET1K_V1), "weights: ResNet18_Weights is .* give IMAGENET1K_V1"),
        (dict(weights=18), "weights: int"),
        (dict(weights="/nowhere.pth"), "weights: no file"),
    ],
)
def test_impossible_arguments(arguments, named):
    """A misspelt arm is an error, never a silent baseline."""
    with pytest.raises(ReproError, match=named):
        resnet18(**arguments)


class Payload:
    """Runs code when unpickled by a careless reader."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def hostile_files(folder):
    executed = folder / "executed"
    state = resnet18("none").state_dict()
    for name, content in {
        "payload": Payload(executed),
        "payload_in_dict": state | {"x": Payload(executed)},
        "list": [Payload(executed)],
        "whole_model": resnet18("none"),
    }.items():
        torch.save(content, folder / f"{name}.pth")
        yield folder / f"{name}.pth", "cannot be read as tensors alone"
    (folder / "pickle.pth").write_bytes(pickle.dumps(Payload(executed)))
    yield folder / "pickle.pth", "cannot be read as tensors alone"
    (folder / "cut.pth").write_bytes((folder / "payload_in_dict.pth").read_bytes()[:1000])
    yield folder / "cut.pth", "cannot be read as tensors alone"
    for name, content, message in (
        ("module", {f"module.{key}": value for key, value in state.items()}, "begin with 'module.'"),
        ("nan", state | {"conv1.weight": state["conv1.weight"] * float("nan")}, "'conv1.weight' .* NaN"),
        ("architecture", resnet50("none").state_dict(), "another architecture"),
        ("arm", resnet18("block").state_dict(), "another arm"),
        ("identity", resnet18("stage", gate_init="identity").state_dict(), "gate_init"),
        ("reduction", resnet18("stage", reduction=8).state_dict(), "reduction"),
        ("number", {"epoch": 3}, "no plain state_dict"),
    ):
        torch.save(content, folder / f"{name}.pth")
        yield folder / f"{name}.pth", message


def test_hostile_weights(tmp_path):
    """A stranger's file never runs code, and whatever does not fit is refused with its reason."""
    for path, message in hostile_files(tmp_path):
        with pytest.raises(ReproError, match=message):
            resnet18("stage", weights=path)
    assert not (tmp_path / "executed").exists()


def saved(folder, state):
    torch.save(state, folder / "weights.pth")
    return folder / "weights.pth"


def without_counters(state):
    return {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}


@pytest.mark.parametrize("attention", ["none", "block", "stage", "half"])
def test_weights_without_counters_of_batches(attention, tmp_path):
    """`num_batches_tracked` may be missing, in all layers or in one, as in torchvision; all else is loaded."""
    source = resnet18(attention)
    for name, parameter in source.named_parameters():
        nn.init.uniform_(parameter) if name.endswith("weight") else None
    state = source.state_dict()
    one_missing = {key: value for key, value in state.items() if key != "layer2.0.bn1.num_batches_tracked"}
    save_file(without_counters(state), tmp_path / "w.safetensors")
    files = [tmp_path / "w.safetensors"]
    for content in (without_counters(state), one_missing):
        files.append(saved(tmp_path, content))
        loaded = resnet18(attention, weights=files[-1]).state_dict()
        assert all(torch.equal(loaded[key], state[key]) for key in without_counters(state))
    plain = resnet18("stage", weights=saved(tmp_path, without_counters(resnet18("none").state_dict())))
    assert plain.bn1.num_batches_tracked == 0
    loaded = resnet18(attention, weights=files[0]).state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in without_counters(state))


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "module._orig_mod.", "model.", "backbone.", "_forward_module.", "net.encoder.", "0."],
)
@pytest.mark.parametrize("attention", ["none", "stage"])
def test_keys_behind_a_prefix(prefix, attention, tmp_path):
    """A wrapper's prefix is named, whatever wrapper it was, also with other tensors or without counters."""
    state = resnet18(attention).state_dict()
    with_prefix = {prefix + key: value for key, value in state.items()}
    others = {"criterion.weight": torch.ones(6), **without_counters(with_prefix), "queue": torch.ones(3)}
    for content in (with_prefix, others):
        with pytest.raises(ReproError, match=f"begin with '{prefix}': save .*get_submodule.'{prefix[:-1]}'"):
            resnet18("stage", weights=saved(tmp_path, content))


def test_file_of_an_averaged_model(tmp_path):
    """The keys of torch's AveragedModel begin with 'module.', beside a counter."""
    averaged = AveragedModel(resnet18("stage"), use_buffers=True)
    with pytest.raises(ReproError, match="begin with 'module.': save"):
        resnet18("stage", weights=saved(tmp_path, averaged.state_dict()))
    assert resnet18("stage", weights=saved(tmp_path, averaged.module.state_dict())).attention == "stage"


def test_file_of_a_compiled_model(tmp_path):
    """A compiled network's file is refused with the prefix, and saved as told it loads."""
    compiled = torch.compile(resnet18("block"), backend="eager")
    with pytest.raises(ReproError, match="begin with '_orig_mod.'"):
        resnet18("block", weights=saved(tmp_path, compiled.state_dict()))
    resnet18("block", weights=saved(tmp_path, compiled.get_submodule("_orig_mod").state_dict()))


def test_checkpoints_name_their_entry(tmp_path):
    """A training's checkpoint is no state_dict: the entry that is one is named, and loads when it is saved alone."""
    model = resnet18("none")
    state, optimizer = model.state_dict(), torch.optim.SGD(model.parameters(), 0.1)
    for content, named in (
        ({"state_dict": state, "epoch": 3}, "in 'state_dict':"),
        ({"model": state, "optimizer": optimizer.state_dict(), "mean": torch.ones(3)}, "in 'model':"),
        ({"net": state, "ema": state, "scaler": {}}, "in 'net' and 'ema':"),
    ):
        with pytest.raises(ReproError, match=f"is a checkpoint whose weights lie {named} save"):
            resnet18("none", weights=saved(tmp_path, content))
    for content in ({"epoch": 3, "optimizer": optimizer.state_dict()}, {0: torch.ones(1)}, torch.ones(1), [state]):
        with pytest.raises(ReproError, match="no plain state_dict"):
            resnet18("none", weights=saved(tmp_path, content))


def differing_files():
    plain, stage = resnet18("none").state_dict(), resnet18("stage").state_dict()
    identity, reduced = dict(gate_init="identity"), dict(reduction=8)
    yield "stage in none", stage, {}, "another arm"
    yield "stage in half", stage, dict(attention="half"), "another arm"
    yield "stage in block", stage, dict(attention="block"), "another arm"
    yield "block in stage", resnet18("block", **identity).state_dict(), dict(attention="stage"), "another arm"
    yield "identity", resnet18("stage", **identity).state_dict(), dict(attention="stage"), "with gate_init='identity'"
    yield "default", stage, dict(attention="stage", **identity), "made with gate_init='default': build"
    yield (
        "reduction",
        resnet18("block", **reduced).state_dict(),
        dict(attention="block"),
        "made with reduction=8: build",
    )
    both = resnet18("stage", **identity, **reduced).state_dict()
    yield "two differences", both, dict(attention="stage"), "gate_init='identity' or 'double' and reduction=8: build"
    yield "another depth", models.resnet34().state_dict(), {}, "larger network"
    yield "another block", resnet50("none").state_dict(), {}, "another architecture"
    yield "another network", models.alexnet().state_dict(), {}, "another architecture"
    yield "no tensor", {}, {}, "a part of the network"
    yield "one stage", {key: value for key, value in plain.items() if "layer1.0" in key}, {}, "a part of the network"
    yield "one tensor more", plain | {"mean": torch.zeros(3)}, dict(attention="stage"), "'mean' .* other tensors too"
    yield "grey", plain | {"conv1.weight": torch.zeros(64, 1, 7, 7)}, {}, r"\(64, 1, 7, 7\) .* channels of its input"
    yield "scalar head", plain | {"fc.weight": torch.ones(())}, {}, "'fc.weight' is \\(\\) .* other sizes"


def test_weights_that_differ_say_how(tmp_path):
    """Only what differs is named: arm, gate_init, reduction, a part, sizes or the architecture."""
    words = ("another architecture", "another arm", "gate_init", "reduction", "a part of", "larger", "other sizes")
    for name, state, arguments, message in differing_files():
        with pytest.raises(ReproError, match=message) as raised:
            resnet18(**arguments, weights=saved(tmp_path, state))
        reasons = [word for word in words if word in str(raised.value)]
        assert len(reasons) == (2 if name == "two differences" else 1), (name, reasons)


def test_published_weights_are_checked_on_every_load(tmp_path, monkeypatch):
    """torchvision checks the hash at download only; here an altered file in its cache is refused too."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.save(resnet50("none", num_classes=1000).state_dict(), tmp_path / "checkpoints" / "resnet50-11ad3fa6.pth")
    with pytest.raises(ReproError, match="does not have the sha256 11ad3fa6"):
        resnet50("stage", weights="IMAGENET1K_V2")


@pytest.mark.parametrize(
    "arm",
    [
        "alexnet",
        "vgg11_bn",
        "densenet121",
        "mobilenet_v3_large",
        "stage-identity",
        "stage-double",
        "half",
        "none-shuffled",
        "none",
        "none-zero",
        "half-planted",
        "stage-identity-untied",
    ],
)
def test_every_arm_classifies(arm, images):
    """Each arm of the profiles can be built, takes 64 px and has a layer to explain."""
    model = build_model(arm, "resnet18", num_classes=6).eval()
    with torch.no_grad():
        assert model(images).shape == (3, 6)
    assert {module.momentum for module in model.modules() if isinstance(module, nn.BatchNorm2d)} <= {0.1}
    assert all(isinstance(layer, nn.Module) for layer in stage_layers(model).values())


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_none_zero_is_torchvisions_zero_init_residual(backbone):
    """From the same seed: the last BatchNorm of every block starts at 0, and every other weight is that of `none`."""
    torch.manual_seed(0)
    ours = build_model("none-zero", backbone, num_classes=6).state_dict()
    torch.manual_seed(0)
    theirs = models.get_model(backbone, num_classes=6, zero_init_residual=True).state_dict()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    torch.manual_seed(0)
    plain = build_model("none", backbone, num_classes=6).state_dict()
    differs = {name for name, value in plain.items() if not torch.equal(value, ours[name])}
    last = "bn2" if backbone == "resnet18" else "bn3"
    assert differs == {name for name in plain if name.endswith(f".{last}.weight") and name.startswith("layer")}


def test_none_zero_takes_no_pretrained_weights():
    """They would lose their last BatchNorms."""
    with pytest.raises(ReproError, match="weights: no 'IMAGENET1K_V1' for none-zero: leave none-zero out"):
        build_model("none-zero", "resnet50", 6, weights="IMAGENET1K_V1")


@pytest.mark.parametrize("make", [resnet18, resnet50])
@pytest.mark.parametrize("attention", ATTENTION)
def test_an_empty_batch(make, attention, images):
    """No images give no logits and no gates, in evaluation mode, with a graph and without one."""
    model = make(attention, num_classes=5).eval()
    counts = [len(gate) for gate in model(images[:1], return_gates=True)[1].values()]
    for mode in (torch.enable_grad(), torch.inference_mode()):
        with mode:
            logits, gates = model(images[:0], return_gates=True)
            assert logits.shape == model(images[:0]).shape == (0, 5)
            assert [gate.shape[:2] for gate in gates.values()] == [(count, 0) for count in counts]


def test_a_stage_is_its_blocks():
    """A stage counts, indexes and slices its blocks, its SE aside, as torchvision's stages do."""
    for attention in ATTENTION:
        stage = resnet50(attention).layer3
        assert len(stage) == len(list(stage)) == 6
        assert stage[-1] is stage[5] and list(stage[1:3]) == [stage[1], stage[2]]
