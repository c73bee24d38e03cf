"""Sampled gradients of few entries of a weight are those of the whole gradient."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from polyray.training import sampled
from polyray.training.entries import ChosenEntries


class Pair(nn.Module):
    """Two layers on inputs [batch, time, width], the first perhaps run anew in the backward pass."""

    def __init__(self, again: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.again = nn.Linear(40, 50), nn.Linear(50, 30, bias=False), again

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = checkpoint(self.first, inputs, use_reentrant=False) if self.again else self.first(inputs)
        outputs: Tensor = self.second(torch.tanh(hidden))
        return outputs


ENTRIES = {
    "first.weight": torch.tensor([0, 41, 42, 1999], dtype=torch.int32), "first.bias": torch.tensor([1, 7]),
    "second.weight": torch.tensor([700, 1400]),
}  # fmt: skip
INPUTS = torch.randn(3, 5, 40, generator=torch.Generator().manual_seed(1))


def gradients(network: Pair, dtype: torch.dtype = torch.float32, autocast: bool = False) -> Tensor:
    """Gradients of the chosen entries over two backward passes."""
    chosen = ChosenEntries(network.to(dtype), ENTRIES)
    with chosen.installed():
        for scale in (1.0, 2.0):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                loss = network(scale * INPUTS.to(dtype)).float().pow(2).sum()
            loss.backward()
        assert network.first.weight.grad is None and network.second.weight.grad is None
    assert "forward" not in vars(network.first) and chosen.values.grad is not None
    return chosen.values.grad


def test_sampled_gradients_equal_whole_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    plain = sampled.add_sampled

    def counted(target: Tensor, *arguments: Tensor) -> None:
        calls.append(len(target))
        plain(target, *arguments)

    monkeypatch.setattr("polyray.training.entries.add_sampled", counted)
    variants: dict[str, tuple[bool, torch.dtype, bool, int]] = {
        "plain": (False, torch.float32, False, 4), "fp64": (False, torch.float64, False, 4),
        "checkpointed": (True, torch.float32, False, 4), "bf16": (False, torch.bfloat16, False, 0),
        "autocast": (False, torch.float32, True, 0),
    }  # fmt: skip
    for name, (again, dtype, autocast, n_sampled) in variants.items():
        monkeypatch.setattr(sampled, "DENSEST", 0.01)
        calls.clear()
        few = gradients(Pair(again), dtype, autocast)
        assert len(calls) == n_sampled, name
        monkeypatch.setattr(sampled, "DENSEST", 0.0)
        torch.testing.assert_close(few, gradients(Pair(again), dtype, autocast), rtol=1e-5, atol=1e-4)


def test_weights_with_many_entries_or_several_layers_are_not_sampled() -> None:
    network = Pair()
    indices = torch.arange(21)
    assert sampled.pattern(indices, network.first.weight) is None
    assert sampled.pattern(indices[:20], network.first.weight) is not None
    assert sampled.sampling_linears(network).keys() == {id(network.first.weight), id(network.second.weight)}
    network.second = nn.Linear(40, 50)
    network.second.weight = network.first.weight
    assert sampled.sampling_linears(network) == {}
