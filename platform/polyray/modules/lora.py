"""Low-rank modules: the mean of the skills' factors, applied to whole rows of a batch at once."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyray.errors import InputError
from polyray.modules.layers import Updates, matrices, run_layer
from polyray.modules.lowrank import Factors, Sharing, low_rank_linear
from polyray.modules.means import mean
from polyray.modules.mix import Rows
from polyray.modules.options import ModuleOptions


class LoraStack(nn.Module):
    """LoRA for alike sites and all skills (Hu et al. 2021; mixed as Ponti et al. 2023, Eq. 6).

    For each weight [out, in] of the layer: at each site down [heads, skills, in/heads, rank] and
    up [heads, skills, rank, out/heads]. The factors are mixed apart, as every reference does:
    W + (alpha / rank) (sum_s w_s down_s) (sum_s w_s up_s).
    """

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: ModuleOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.options = options
        self.matrices = matrices(layers[0])
        heads = options.n_splits
        if options.rank < 1:
            raise InputError(f"modules.rank is {options.rank}; it must be at least 1.")
        self.down, self.up = nn.ModuleDict(), nn.ModuleDict()
        for name, (wide_out, wide_in) in self.matrices.items():
            if wide_in % heads or wide_out % heads:
                raise InputError(
                    f"modules.n_splits={heads} does not divide a layer of {wide_in} to {wide_out} features."
                )
            bound = 1 / math.sqrt(3 * wide_in)  # gain(leaky_relu, sqrt 5) / sqrt(in), as McGill-NLP/polytropon draws it
            down, up = (
                (heads, n_skills, wide_in // heads, options.rank),
                (heads, n_skills, options.rank, wide_out // heads),
            )
            self.down[name] = nn.ParameterList(
                torch.empty(down).uniform_(-bound, bound, generator=generator) for _ in layers
            )
            self.up[name] = nn.ParameterList(torch.zeros(up) for _ in layers)

    def parts(self, site: int) -> dict[str, Tensor]:
        """The tensors of one site, each [heads, skills, ...]: `down.NAME` and `up.NAME` for each weight."""
        found = {}
        for name in self.matrices:
            found[f"down.{name}"] = self._factor(self.down, name, site)
            found[f"up.{name}"] = self._factor(self.up, name, site)
        return found

    @staticmethod
    def _factor(factors: nn.ModuleDict, name: str, site: int) -> Tensor:
        return cast(Tensor, cast(nn.ParameterList, factors[name])[site])

    def mixed(self, weights: Tensor) -> list[list[Factors]]:
        """For each site and weight of the layer its factors, scaled: weights [sites, heads, rows, skills]."""
        scale = self.options.alpha / self.options.rank
        sites = weights.shape[0]
        columns = []
        for name in self.matrices:
            down = mean(weights * scale, [self._factor(self.down, name, site) for site in range(sites)], dim=1)
            up = mean(weights, [self._factor(self.up, name, site) for site in range(sites)], dim=2)
            columns.append([Factors(*pair) for pair in zip(down, up, strict=True)])
        return [list(site) for site in zip(*columns, strict=True)]

    def run(
        self, layer: nn.Module, mixed: list[Factors], rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]
    ) -> Any:
        """The output of `layer` with the rows' low-rank updates."""
        if isinstance(layer, nn.Linear):
            return low_rank_linear(layer, inputs[0], mixed[0], rows)
        return run_layer(layer, self.updates(layer, mixed), rows, inputs, named)

    def updates(self, layer: nn.Module, mixed: list[Factors]) -> Updates:
        """What the rows add to the weights of `layer`."""
        products = {
            name: torch.bmm(factors.down, factors.up)  # [rows, in, out]: an embedding's own layout
            for name, factors in zip(self.matrices, mixed, strict=True)
        }
        turned = not isinstance(layer, nn.Embedding)
        return {name: product.mT if turned else product for name, product in products.items()}

    def run_tokens(self, layer: nn.Module, site: int, weights: Tensor, x: Tensor) -> Tensor:
        """Each token its own mixture of outputs: x [*batch, in], weights [*batch, skills].

        Raises:
            InputError: the layer is not linear, or n_splits is not 1.
        """
        if not isinstance(layer, nn.Linear) or self.options.n_splits != 1:
            raise InputError("routing.kind=token_moe needs linear layers and modules.n_splits=1.")
        down, up = self._factor(self.down, "weight", site)[0], self._factor(self.up, "weight", site)[0]
        skills, wide, rank = down.shape
        hidden = x @ down.permute(1, 0, 2).reshape(wide, skills * rank)
        scaled = hidden.unflatten(-1, (skills, rank)) * (weights * (self.options.alpha / rank)).unsqueeze(-1)
        y: Tensor = functional.linear(x, layer.weight, layer.bias) + scaled.flatten(-2) @ up.reshape(skills * rank, -1)
        return y


def share(mixed: Sequence[list[Factors]]) -> list[list[Factors]]:
    """The factors of linear sites that read one input, told of each other."""
    sharing = Sharing([factors[0].down for factors in mixed])
    return [[replace(factors[0], sharing=sharing, place=place), *factors[1:]] for place, factors in enumerate(mixed)]
