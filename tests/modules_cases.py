"""Layers of every kind, a small net of two sites on each, and batches whose examples share rows in every way."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from gathering import for_cases
from modules_slow import SLOW, Attention, first
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.pytorch_utils import Conv1D

from polyray.modules.attach import Inventory, attach
from polyray.modules.kinds import MODULES
from polyray.modules.mix import Mix, Rows
from polyray.modules.site import Site

BATCH, LENGTH, SKILLS = 6, 5, 3
SIZES = {"rank": 2, "alpha": 3.0, "length": 2, "density": 0.3}  # of modules, as far as a kind has them
BEHIND = ("bottleneck", "ia3", "mad_x")  # act on the output of a linear layer
PARAMETRIC, CHANGES_OUTPUTS = ("lora", "sparse", "dense"), ("bottleneck", "ia3")


@dataclass(frozen=True)
class Kind:
    """A kind of layer: how to make one, and inputs for a batch of it."""

    layer: Callable[[], nn.Module]
    inputs: Callable[[int, torch.Generator], Tensor]
    modules: tuple[str, ...] = PARAMETRIC


def floats(*shape: int) -> Callable[[int, torch.Generator], Tensor]:
    return lambda batch, generator: torch.randn(batch, *shape, generator=generator, dtype=torch.float64)


LAYERS = {
    "linear": Kind(lambda: nn.Linear(6, 4), floats(LENGTH, 6), PARAMETRIC + BEHIND),
    "linear without bias": Kind(lambda: nn.Linear(6, 4, bias=False), floats(LENGTH, 6), PARAMETRIC + BEHIND),
    "linear, 2-D": Kind(lambda: nn.Linear(6, 4), floats(6), PARAMETRIC + BEHIND),
    "linear, 4-D": Kind(lambda: nn.Linear(6, 4), floats(2, 3, 6), PARAMETRIC + BEHIND),
    "conv1d": Kind(lambda: Conv1D(4, 6), floats(LENGTH, 6), PARAMETRIC + BEHIND),
    "embedding": Kind(lambda: nn.Embedding(9, 4), lambda n, g: torch.randint(9, (n, LENGTH), generator=g)),
    "embedding, 1-D": Kind(lambda: nn.Embedding(9, 4), lambda n, g: torch.randint(9, (n,), generator=g)),
    "conv2d": Kind(lambda: nn.Conv2d(2, 4, 3, padding=1, stride=2), floats(2, 5, 5)),
    "conv2d in groups": Kind(lambda: nn.Conv2d(4, 4, 3, groups=2, bias=False), floats(4, 5, 5)),
    "gru cell": Kind(lambda: nn.GRUCell(6, 4), floats(6)),
    "lstm cell": Kind(lambda: nn.LSTMCell(6, 4), floats(6)),
    "gru": Kind(lambda: nn.GRU(6, 4, batch_first=True, bidirectional=True), floats(3, 6)),
    "lstm": Kind(lambda: nn.LSTM(6, 4, num_layers=2, batch_first=True), floats(3, 6)),
    **{
        f"attention, {mask} mask": Kind(partial(Attention, 8, 2, 2, mask), floats(LENGTH, 8), ("prefix",))
        for mask in ("none", "bool", "float", "causal")
    },
    "attention, grouped": Kind(lambda: Attention(8, 4, 2, "causal"), floats(LENGTH, 8), ("prefix",)),
    **{
        f"attention, {mask} mask, biased": Kind(partial(Attention, 8, 2, 2, mask, True), floats(LENGTH, 8), ("prefix",))
        for mask in ("none", "bool", "float", "causal")
    },
}  # fmt: skip
CASES = [(module, layer) for layer, kind in LAYERS.items() for module in kind.modules]
PATHS: dict[str, tuple[list[int], int]] = {
    "a row for each example": ([0, 1, 2, 3, 4, 5], 6),
    "blocks": ([0, 0, 1, 1, 2, 2], 3),
    "unequal groups": ([1, 0, 1, 1, 2, 1], 3),
    "one row": ([0] * 6, 1),
    "a row that nobody uses": ([2, 0, 2, 0, 0, 2], 3),
}
every_case = for_cases([{"kind": kind, "layer": layer} for kind, layer in CASES])


def every_case_by(*paths: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator of a test of every kind of module on every kind of layer, on each of the paths."""
    return for_cases([{"kind": kind, "layer": layer, "path": path} for kind, layer in CASES for path in paths])


class Net(nn.Module):
    """Two alike sites that read the same input."""

    def __init__(self, layer: Callable[[], nn.Module]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.sites = nn.ModuleList([layer(), layer()]).double()
        self.checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        if self.checkpointing:
            return torch.stack([first(_plain(checkpoint(site, x, use_reentrant=False))) for site in self.sites])
        return torch.stack([first(_plain(site(x))) for site in self.sites])


def _plain(output: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    """Outputs per step of recurrent layers over time; both states of cells."""
    if isinstance(output, tuple) and output[0].dim() == 3:
        return output[0]
    return output


def net_with(
    kind: str, layer: str, n_skills: int = SKILLS, fresh: bool = False, **options: Any
) -> tuple[Net, Inventory]:
    net = Net(LAYERS[layer].layer)
    fields = MODULES[kind].Options.model_fields
    chosen = MODULES[kind].Options(**{name: value for name, value in SIZES.items() if name in fields} | options)
    inventory = attach(net, ["sites.[01]"], kind, n_skills, chosen, seed(1)).double()
    if not fresh:
        generator = seed(2)
        with torch.no_grad():
            for parameter in inventory.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return net, inventory


def seed(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def mix_of(path: str, heads: int = 1) -> Mix:
    of, n_rows = PATHS[path]
    weights = torch.rand(2, heads, n_rows, SKILLS, generator=seed(3), dtype=torch.float64)
    return Mix(weights, Rows(of, n_rows, weights.device))


def slowly(net: Net, inventory: Inventory, mix: Mix, x: Tensor) -> Tensor:
    """The definition, site by site and example by example; each example stands `len(x) / batch` times in `x`."""
    skills = [inventory.skill(index) for index in range(inventory.n_skills)]
    times, outputs = len(x) // len(mix.rows), []
    for position, site in enumerate(net.sites):
        name = inventory.sites[position]
        factors = [
            {key.partition("/")[2]: t for key, t in skill.items() if key.startswith(f"{name}/")} for skill in skills
        ]
        layer = site.layer if isinstance(site, Site) else site
        alone = _Stepwise(layer) if isinstance(layer, nn.GRU | nn.LSTM) else layer
        weights = mix.weights[position][:, [row for row in mix.rows.row_of_example for _ in range(times)]]
        rows = [
            SLOW[inventory.kind](alone, factors, weights[:, index], x[index : index + 1], inventory.options)
            for index in range(len(x))
        ]
        outputs.append(torch.cat(rows))
    return torch.stack(outputs)


class _Stepwise(nn.Module):
    """A recurrent layer under its own parameter names whose output is the states of every step."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        for name, parameter in layer.named_parameters():
            self.register_parameter(name, parameter)
        self._layer = (layer,)

    def forward(self, x: Tensor) -> Tensor:
        named: dict[str, Tensor] = dict(self.named_parameters())
        states: Tensor = torch.func.functional_call(self._layer[0], named, (x,))[0]
        return states
