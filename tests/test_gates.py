"""Gates replaced in a network: networks whose answer to other gates is known."""

from functools import partial

import numpy as np
import pytest
import torch

from paper_repro import gates, model
from paper_repro.config import GATED

SIZE = 32


@pytest.fixture(scope="module")
def images():
    return torch.randn(12, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def network(attention, strength=20.0):
    """An untrained ResNet18 whose gates depend on the image, the more the larger `strength` is."""
    torch.manual_seed(0)
    built = model.resnet18(attention, num_classes=4, reduction=8).eval()
    with torch.no_grad():
        for module in built.modules():
            if isinstance(module, model.SqueezeExcitation):
                module.fc2.weight *= strength
    return built


@pytest.mark.parametrize("attention", GATED)
def test_its_own_gates_leave_a_network_as_it_is(attention, images):
    """Every gate computed is replaced, each by its own, pass after pass; afterwards the network computes its gates."""
    net = network(attention)
    with torch.no_grad():
        logits, own = net(images, return_gates=True)
        with gates.given(net, own):
            assert torch.equal(net(images), logits) and torch.equal(net(images), logits)
        with gates.given(net, {stage: gate.flip(1) for stage, gate in own.items()}):
            assert not torch.allclose(net(images), logits)
        assert torch.equal(net(images), logits)


@pytest.mark.parametrize("attention", GATED)
def test_mean_gates_are_those_of_all_batches(attention, images):
    """Batches of any size count by their photographs."""
    net = network(attention)
    with torch.no_grad():
        expected = {stage: gate.mean(1) for stage, gate in net(images, return_gates=True)[1].items()}
    found = gates.mean_gates(net, images.split(5))
    assert found.keys() == expected.keys()
    for stage, mean in expected.items():
        torch.testing.assert_close(found[stage], mean)


def test_a_network_without_gates_has_no_means(images):
    assert gates.mean_gates(network("none"), [images]) == {}


@pytest.mark.parametrize("attention, strength", [("half", 1.0), *((name, 0.0) for name in GATED)])
def test_gates_that_do_not_depend_on_the_image_lose_nothing(attention, strength, images):
    """The control `half`, and SE modules whose second layer has no weights but its bias."""
    net = network(attention, strength)
    with torch.no_grad():
        truth = net(images).argmax(1).numpy()
    truth[:3] = (truth[:3] + 1) % 4  # wrong with any gates
    found = gates.static_gates(net, [images.flip(3)], images, truth)
    assert found["own"].tolist() == found["static"].tolist() == [0] * 3 + [1] * 9


class ByGate(torch.nn.Module):
    """Answers by its gate alone, the mean colour of the photograph."""

    def __init__(self):
        super().__init__()
        self.layer1, self.unused = torch.nn.Module(), torch.nn.Linear(1, 1)
        self.layer1.se = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())

    def forward(self, images, return_gates=False):
        gate = self.layer1.se(images)  # (N, 3)
        return (gate, {"layer1": gate[None]}) if return_gates else gate.expand(len(images), -1)


def test_gates_that_decide_are_lost():
    """With static gates the network gives one answer, the most frequent of its training photographs."""
    truth = np.array([0, 1, 2, 2, 1, 0, 0])
    pictures = torch.eye(3)[:, :, None, None].expand(-1, -1, 4, 4)
    found = gates.static_gates(ByGate(), [pictures[[1, 1, 0]], pictures[[1, 2]]], pictures[truth], truth)
    assert found["own"].tolist() == [1] * 7
    assert found["static"].tolist() == (truth == 1).astype(int).tolist()


@pytest.mark.parametrize("attention", GATED)
def test_equal_gates_in_all_cells_are_one_gate(attention, images):
    """A grid of equal gates gives the answer of that gate; no gradient reaches the modules."""
    net = network(attention)
    with torch.no_grad():
        logits, own = net(images, return_gates=True)
    laid = {stage: gate[..., None, None].expand(-1, -1, -1, 2, 2) for stage, gate in own.items()}
    with gates.given(net, laid):
        answer = net(images)
    torch.testing.assert_close(answer.detach(), logits)
    answer.sum().backward()
    assert all(parameter.grad is None for name, parameter in net.named_parameters() if ".se." in name)
    assert net.conv1.weight.grad.abs().sum() > 0


def test_a_cells_gate_acts_on_its_cell_alone():
    """Gates 1, 2, 3 and 4 of the four cells multiply the quarters of the stage's output."""
    stage = partial(model.resnet18, num_classes=4, reduction=8)("stage_output").eval().layer3
    x = torch.randn(2, 128, 12, 12)
    with torch.no_grad():
        with gates.given(torch.nn.ModuleDict({"layer3": stage}), {"layer3": torch.ones(1, 1, 256)}):
            plain = stage(x)  # (2, 256, 6, 6)
        grid = torch.arange(1.0, 5).view(1, 1, 1, 2, 2).expand(1, 2, 256, 2, 2)
        with gates.given(torch.nn.ModuleDict({"layer3": stage}), {"layer3": grid}):
            found = stage(x)
    factors = torch.arange(1.0, 5).view(2, 2).repeat_interleave(3, 0).repeat_interleave(3, 1)
    torch.testing.assert_close(found, plain * factors)
