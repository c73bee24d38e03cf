"""A product is the same whichever library makes it."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from polyray.modules import product
from polyray.modules.attach import attach
from polyray.modules.mix import Mix, Rows
from polyray.modules.options import ModuleOptions
from polyray.modules.product import rows_times
from polyray.modules.site import mixing

needs_onednn = pytest.mark.skipif(product.ONEDNN is None, reason="torch was built without oneDNN")


@pytest.fixture
def onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN for products of any size, on any processor."""
    monkeypatch.setattr(product, "ON_AMD", True)
    monkeypatch.setattr(product, "LARGE", 1)


@pytest.fixture
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product that does not go through oneDNN fails."""
    monkeypatch.setattr(product, "functional", None)


@needs_onednn
@pytest.mark.usefixtures("onednn", "nothing_else")
@pytest.mark.parametrize("batch", [(1,), (40,), (3, 7), (2, 3, 5)])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_onednn_gives_what_the_definition_gives(batch: tuple[int, ...], turned: bool, with_bias: bool) -> None:
    x, bias = torch.randn(*batch, 24), torch.randn(10) if with_bias else None
    weight = torch.randn(24, 10).mT if turned else torch.randn(10, 24)
    found = rows_times(x, weight, bias)
    wanted = x.double() @ weight.double().mT + (0 if bias is None else bias.double())
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


@needs_onednn
@pytest.mark.usefixtures("onednn", "nothing_else")
@pytest.mark.parametrize("x", [torch.randn(8, 2, 24).transpose(0, 1), torch.randn(1, 24).expand(6, 24)])
def test_onednn_reads_rows_that_lie_apart(x: Tensor) -> None:
    weight = torch.randn(10, 48)[:, ::2]
    torch.testing.assert_close(rows_times(x, weight), x @ weight.mT, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_of_number_stay_where_they_were(dtype: torch.dtype) -> None:
    x, weight = torch.randn(40, 24, dtype=dtype), torch.randn(10, 24, dtype=dtype)
    assert torch.equal(rows_times(x, weight), functional.linear(x, weight))


@pytest.mark.usefixtures("onednn")
def test_a_build_without_onednn_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "ONEDNN", None)
    x, weight = torch.randn(40, 24), torch.randn(10, 24)
    assert torch.equal(rows_times(x, weight), functional.linear(x, weight))


@pytest.mark.usefixtures("onednn")
def test_the_switch_of_torch_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = torch.randn(40, 24), torch.randn(10, 24)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert torch.equal(rows_times(x, weight), functional.linear(x, weight))


@needs_onednn
def test_sites_give_the_same_with_onednn_as_without(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(24, 16), nn.Linear(16, 10, bias=False)).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    inventory = attach(net, ["[01]"], "lora", 3, ModuleOptions(rank=2), generator)
    for parameter in inventory.parameters():
        nn.init.normal_(parameter, generator=generator)
    x = torch.randn(4, 5, 24, requires_grad=True)
    results = []
    for on_amd in (False, True):
        monkeypatch.setattr(product, "ON_AMD", on_amd)
        monkeypatch.setattr(product, "LARGE", 1)
        weights = torch.rand(2, 1, 2, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
        with mixing(inventory, Mix(weights, Rows([1, 0, 0, 1], 2, weights.device))):
            y = net(x)
            results.append([y, *torch.autograd.grad(y.square().sum(), [x, weights, *inventory.parameters()])])
    for without, with_it in zip(*results, strict=True):
        torch.testing.assert_close(with_it, without, rtol=1e-4, atol=1e-4)
