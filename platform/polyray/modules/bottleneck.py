"""Bottleneck adapters: a small network after a layer."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.adapters import AdapterSet
from polyray.modules.layers import linear_widths
from polyray.modules.mix import Rows
from polyray.modules.stack import Mixed, StackOptions


class BottleneckOptions(StackOptions):
    """The choices of bottleneck adapters."""

    rank: int = Field(16, ge=1)
    """Width of the hidden layer."""


class BottleneckStack(AdapterSet):
    """Adapters with one hidden layer behind alike linear layers (Houlsby et al. 2019; Pfeiffer et al. 2021).

    y = layer(x) becomes y + sum_s w_s (up_s relu(down_s y + down_bias_s) + up_bias_s): the site is the last linear
    layer of a sublayer, so that the adapter sees the sublayer's output before it joins the residual stream.
    A fresh module changes nothing.
    """

    Options: ClassVar[type[StackOptions]] = BottleneckOptions
    blends: ClassVar[bool] = False
    joins: ClassVar[bool] = False
    by_token: ClassVar[bool] = True
    changes_weights: ClassVar[bool] = False
    reads_weights: ClassVar[bool] = False
    stacks: ClassVar[bool] = True
    inverts: ClassVar[bool] = False

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: BottleneckOptions, generator: torch.Generator
    ) -> None:
        super().__init__(len(layers), n_skills, output_features(layers[0], "bottleneck"), options.rank, generator)

    def run(self, layer: nn.Module, mixed: Mixed, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of `layer` and what the rows' adapters add to it."""
        y: Tensor = layer(*inputs, **named)
        return y + self.change(y, mixed, rows.widen(len(y)))

    def run_tokens(self, layer: nn.Module, site: int, weights: Tensor, x: Tensor) -> Tensor:
        """Each token its own mixture of adapters: x [*batch, in], weights [*batch, skills]."""
        y: Tensor = layer(x)
        return y + self.change_of_tokens(site, y, weights)


def output_features(layer: nn.Module, kind: str) -> int:
    """Width of the output of a linear layer, on which modules of `kind` act.

    Raises:
        InputError: the layer is not linear.
    """
    widths = linear_widths(layer)
    if widths is None:
        raise InputError(f"modules.kind={kind} acts on the outputs of Linear layers, found a {type(layer).__name__}.")
    return widths[1]
