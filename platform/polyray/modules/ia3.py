"""(IA)3: learned rescaling of a layer's outputs."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from polyray.modules.bottleneck import output_features
from polyray.modules.mix import Rows
from polyray.modules.stack import Mixed, StackOptions


class Ia3Options(StackOptions):
    """(IA)3 has no choices."""


class Ia3Stack(nn.Module):
    """Rescaling of the outputs of alike linear layers (Liu et al. 2022, section 3.3).

    y = layer(x) becomes y * (1 + sum_s w_s delta_s), delta [sites, 1, skills, features], zero when fresh. The paper
    rescales keys, values and the hidden layer of the feed-forward network after its non-linearity; a site rescales
    before it, which is the same for a ReLU and positive scales and for the linear half of a gated network.
    """

    Options: ClassVar[type[StackOptions]] = Ia3Options
    blends: ClassVar[bool] = True
    joins: ClassVar[bool] = True
    by_token: ClassVar[bool] = True
    changes_weights: ClassVar[bool] = False
    reads_weights: ClassVar[bool] = False
    stacks: ClassVar[bool] = True
    inverts: ClassVar[bool] = False

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: Ia3Options, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.delta = nn.Parameter(torch.zeros(len(layers), 1, n_skills, output_features(layers[0], "ia3")))

    def prepare(self, weights: Tensor) -> list[Mixed]:
        """For each site the rows' deltas [rows, features]."""
        return list(torch.bmm(weights[:, 0].to(self.delta.dtype), self.delta[:, 0]).unbind(0))

    def run(self, layer: nn.Module, mixed: Mixed, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of `layer`, rescaled by row."""
        y: Tensor = layer(*inputs, **named)
        delta = mixed.index_select(0, rows.widen(len(y)).index).to(y.dtype)  # [batch, features]
        return y * (1 + delta.view(len(y), *[1] * (y.dim() - 2), -1))

    def run_tokens(self, layer: nn.Module, site: int, weights: Tensor, x: Tensor) -> Tensor:
        """Each token its own mixture of scales: x [*batch, in], weights [*batch, skills]."""
        y: Tensor = layer(x)
        return y * (1 + (weights.to(self.delta.dtype) @ self.delta[site, 0]).to(y.dtype))
