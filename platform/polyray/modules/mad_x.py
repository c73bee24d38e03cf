"""MAD-X: bottlenecks in the layers and an invertible adapter behind the embeddings."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.adapters import AdapterSet, Mixture
from polyray.modules.layers import linear_widths
from polyray.modules.mix import Rows
from polyray.modules.stack import Mixed, StackOptions


class MadXOptions(StackOptions):
    """The choices of MAD-X."""

    reduction: float = Field(2.0, ge=1)
    """Width of the network over that of the adapters' hidden layers."""


class Bottleneck(AdapterSet):
    """Adapters whose output is added to that of the layer."""

    def act(self, y: Tensor, mixed: Mixture, rows: Rows) -> Tensor:
        """y [batch, *length, features] and the change of the rows' adapters."""
        return y + self.change(y, mixed, rows)


class Coupling(nn.Module):
    """Additive coupling of the two halves of an embedding (NICE, Dinh et al. 2015), for alike layers and all skills.

    a, b -> a' = a + f(b), b' = b + g(a'), where f and g are the weighted sums of the skills' adapters: invertible
    for all weights.
    """

    def __init__(self, n_sites: int, n_skills: int, width: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = AdapterSet(n_sites, n_skills, width // 2, rank, generator)
        self.second = AdapterSet(n_sites, n_skills, width // 2, rank, generator)

    def prepare(self, weights: Tensor) -> list[tuple[Mixture, Mixture]]:
        """For each site the adapters f and g under weights [sites, 1, rows, skills]."""
        return list(zip(self.first.prepare(weights), self.second.prepare(weights), strict=True))

    def act(self, y: Tensor, mixed: tuple[Mixture, Mixture], rows: Rows) -> Tensor:
        """The coupled halves of y [batch, *length, width]."""
        a, b = y.chunk(2, -1)
        a = a + self.first.change(b, mixed[0], rows)
        return torch.cat([a, b + self.second.change(a, mixed[1], rows)], -1)

    def invert(self, y: Tensor, mixed: tuple[Mixture, Mixture], rows: Rows) -> Tensor:
        """The y whose coupled halves these are."""
        a, b = y.chunk(2, -1)
        b = b - self.second.change(a, mixed[1], rows)
        return torch.cat([a - self.first.change(b, mixed[0], rows), b], -1)


class MadXStack(nn.Module):
    """The language adapters of MAD-X (Pfeiffer et al. 2020, sections 3.1 to 3.3), for alike layers and all skills.

    Behind linear layers they are bottlenecks, as of `BottleneckStack`; behind the layer norm of the embeddings they are
    invertible, and a masked language model undoes them before it decodes. Hidden layers have the network's width over
    `reduction` units. A fresh module changes nothing.
    """

    Options: ClassVar[type[StackOptions]] = MadXOptions
    blends: ClassVar[bool] = False
    joins: ClassVar[bool] = False
    by_token: ClassVar[bool] = False
    changes_weights: ClassVar[bool] = False
    reads_weights: ClassVar[bool] = False
    stacks: ClassVar[bool] = True
    inverts: ClassVar[bool] = True

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: MadXOptions, generator: torch.Generator
    ) -> None:
        """Fresh adapters.

        Raises:
            InputError: the layers are neither linear nor the one layer norm of embeddings of an even width.
        """
        super().__init__()
        layer, widths = layers[0], linear_widths(layers[0])
        width = widths[1] if widths else 0
        if isinstance(layer, nn.LayerNorm) and len(layers) == 1:
            width = layer.normalized_shape[-1]
        if not width or (widths is None and width % 2):
            raise InputError(
                "modules.kind=mad_x acts on the outputs of Linear layers and of the one LayerNorm of embeddings of an "
                f"even width, found {len(layers)} x {type(layer).__name__}."
            )
        rank = max(1, int(width / options.reduction))
        form = Bottleneck if widths else Coupling
        self.adapter = form(len(layers), n_skills, width, rank, generator)

    def prepare(self, weights: Tensor) -> Sequence[Mixed]:
        """For each site the adapters under weights [sites, 1, rows, skills]."""
        return self.adapter.prepare(weights)

    def run(self, layer: nn.Module, mixed: Mixed, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of `layer` through the rows' adapters."""
        y: Tensor = layer(*inputs, **named)
        return self.adapter.act(y, mixed, rows.widen(len(y)))

    def invert(self, mixed: Mixed, rows: Rows, states: Tensor) -> Tensor:
        """The states [n, width] that the rows' invertible adapters make `states` of; rows: of the n states."""
        return self.adapter.invert(states, mixed, rows) if isinstance(self.adapter, Coupling) else states
