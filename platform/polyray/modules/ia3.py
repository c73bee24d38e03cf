"""(IA)3: learned rescaling of a layer's outputs."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyray.modules.bottleneck import output_features
from polyray.modules.dense import no_heads
from polyray.modules.mix import Rows
from polyray.modules.options import ModuleOptions
from polyray.modules.site import Mixed, slices


class Ia3Stack(nn.Module):
    """Rescaling of the outputs of alike linear layers (Liu et al. 2022, section 3.3).

    y = layer(x) becomes y * (1 + sum_s w_s delta_s), delta [sites, 1, skills, features], zero when fresh. The paper
    rescales keys, values and the hidden layer of the feed-forward network after its non-linearity; a site rescales
    before it, which is the same for a ReLU and positive scales and for the linear half of a gated network.
    """

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: ModuleOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        no_heads(options, "ia3")
        self.delta = nn.Parameter(torch.zeros(len(layers), 1, n_skills, output_features(layers[0], "ia3")))

    def parts(self, site: int) -> dict[str, Tensor]:
        """The tensors of one site, each [1, skills, ...]."""
        return slices(self, site)

    def prepare(self, weights: Tensor) -> list[Mixed]:
        """For each site: [rows, features]."""
        delta = torch.bmm(weights[:, 0].to(self.delta.dtype), self.delta[:, 0])
        return [(rows,) for rows in delta.unbind(0)]

    def run(self, layer: nn.Module, mixed: Mixed, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of `layer`, rescaled by row."""
        y: Tensor = layer(*inputs, **named)
        own = mixed[0].index_select(0, rows.widen(y.shape[0]).index).to(y.dtype)
        return y * (1 + own.view(y.shape[0], *[1] * (y.dim() - 2), -1))

    def run_tokens(self, layer: nn.Module, site: int, weights: Tensor, x: Tensor) -> Tensor:
        """Each token its own mixture of scales: x [*batch, in], weights [*batch, skills]."""
        y: Tensor = layer(x)
        return y * (1 + (weights.to(self.delta.dtype) @ self.delta[site, 0]).to(y.dtype))
