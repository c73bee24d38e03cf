"""Sites write their gradients into one tensor; whatever autograd does with them, it holds their sum."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck

from polyray.modules.attach import Inventory, attach
from polyray.modules.lora import LoraOptions
from polyray.modules.mix import Mix, Rows
from polyray.modules.site import mixing

SKILLS, BATCH = 3, 4
ROWS = Rows([1, 0, 0, 1], 2, torch.device("cpu"))


class Twice(nn.Module):
    """Two alike sites: how often and in which order they run is up to `run`."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 5), nn.Linear(5, 5)
        self.run: Callable[[Tensor], Tensor] = lambda x: self.second(self.first(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


@pytest.fixture
def net() -> tuple[Twice, Inventory]:
    torch.manual_seed(0)
    net = Twice().double()
    inventory = attach(net, ["first", "second"], "lora", SKILLS, LoraOptions(rank=2), torch.Generator()).double()
    for parameter in inventory.parameters():
        nn.init.normal_(parameter)
    return net, inventory


def _output(net: Twice, inventory: Inventory) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(BATCH, 3, 5, generator=generator, dtype=torch.float64).requires_grad_()
    weights = torch.rand(2, 1, 2, SKILLS, generator=generator, dtype=torch.float64).requires_grad_()
    inventory.set_mix(Mix(weights, ROWS))
    return net(x), x, weights


def test_a_layer_that_runs_twice_gets_both_gradients(net: tuple[Twice, Inventory]) -> None:
    backbone, inventory = net
    backbone.run = lambda x: backbone.first(backbone.second(backbone.first(x)))

    def run(*_: Tensor) -> Tensor:
        with mixing(inventory):
            return _output(backbone, inventory)[0]

    assert gradcheck(run, list(inventory.parameters()), fast_mode=True)


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def test_a_layer_that_does_not_run_gets_zeros(net: tuple[Twice, Inventory]) -> None:
    backbone, inventory = net
    backbone.run = backbone.first
    with mixing(inventory):
        _output(backbone, inventory)[0].sum().backward()
    for parameter in inventory.parameters():
        assert _gradient(parameter)[0].norm() > 0
        assert (_gradient(parameter)[1] == 0).all()


def test_two_passes_through_one_graph_add_up(net: tuple[Twice, Inventory]) -> None:
    backbone, inventory = net
    with mixing(inventory):
        loss = _output(backbone, inventory)[0].sum()
        loss.backward(retain_graph=True)
        once = [_gradient(parameter).clone() for parameter in inventory.parameters()]
        loss.backward()
    for parameter, first in zip(inventory.parameters(), once, strict=True):
        assert torch.equal(_gradient(parameter), 2 * first)


def test_a_pass_that_stops_before_the_parameters_leaves_nothing_behind(net: tuple[Twice, Inventory]) -> None:
    backbone, inventory = net
    parameters = list(inventory.parameters())
    with mixing(inventory):
        y, x, weights = _output(backbone, inventory)
        torch.autograd.grad(y.square().sum(), [x, weights], retain_graph=True)
        found = torch.autograd.grad(y.sum(), parameters)
    with mixing(inventory):
        wanted = torch.autograd.grad(_output(backbone, inventory)[0].sum(), parameters)
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one, other)


def test_batches_accumulate(net: tuple[Twice, Inventory]) -> None:
    backbone, inventory = net
    for _ in range(3):
        with mixing(inventory):
            _output(backbone, inventory)[0].sum().backward()
    with mixing(inventory):
        once = torch.autograd.grad(_output(backbone, inventory)[0].sum(), list(inventory.parameters()))
    for parameter, gradient in zip(inventory.parameters(), once, strict=True):
        assert torch.allclose(_gradient(parameter), 3 * gradient, rtol=1e-12, atol=1e-12)
