"""Low-rank modules: the mean of the skills' factors, applied to whole rows of a batch at once."""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyray.errors import InputError
from polyray.modules.layers import Updates, matrices, run_layer
from polyray.modules.lowrank import Factors, Member, Together, Unmixed, low_rank_linear
from polyray.modules.means import mean
from polyray.modules.mix import Rows
from polyray.modules.options import ModuleOptions


class LoraStack(nn.Module):
    """LoRA for alike sites and all skills (Hu et al. 2021; mixed as Ponti et al. 2023, Eq. 6).

    For each weight [out, in] of the layer: at each site down [heads, skills, rank * in/heads] and
    up [heads, skills, rank * out/heads], flat for `mean`. The factors are mixed apart, as every reference does:
    W + (alpha / rank) (sum_s w_s down_s^T) (sum_s w_s up_s). `parts`, and so files, hold down^T, as references do.
    """

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: ModuleOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.options = options
        self.matrices = matrices(layers[0])
        self.linear = isinstance(layers[0], nn.Linear)
        heads = options.n_splits
        if options.rank < 1:
            raise InputError(f"modules.rank is {options.rank}; it must be at least 1.")
        self.down, self.up = nn.ModuleDict(), nn.ModuleDict()
        for name, (wide_out, wide_in) in self.matrices.items():
            if wide_in % heads or wide_out % heads:
                raise InputError(
                    f"modules.n_splits={heads} does not divide a layer of {wide_in} to {wide_out} features."
                )
            drawn = (heads, n_skills, wide_in // heads, options.rank)
            bound = 1 / math.sqrt(3 * wide_in)  # gain(leaky_relu, sqrt 5) / sqrt(in), as McGill-NLP/polytropon draws it
            self.down[name] = nn.ParameterList(
                torch.empty(drawn).uniform_(-bound, bound, generator=generator).mT.flatten(2) for _ in layers
            )
            self.up[name] = nn.ParameterList(
                torch.zeros(heads, n_skills, options.rank * wide_out // heads) for _ in layers
            )

    def parts(self, site: int) -> dict[str, Tensor]:
        """The tensors of one site, each [heads, skills, ...]: `down.NAME` and `up.NAME` for each weight."""
        found = {}
        for name in self.matrices:
            found[f"down.{name}"] = self._factor(self.down, name, site).mT
            found[f"up.{name}"] = self._factor(self.up, name, site)
        return found

    def _factor(self, factors: nn.ModuleDict, name: str, site: int) -> Tensor:
        """[heads, skills, rank, in or out/heads]."""
        flat = cast(Tensor, cast(nn.ParameterList, factors[name])[site])
        return flat.view(*flat.shape[:2], self.options.rank, -1)

    def mixed(self, weights: Tensor) -> list[Unmixed] | list[list[Factors]]:
        """For each site its factors: weights [sites, heads, rows, skills]. Linear layers mix them when they run."""
        if not self.linear:
            return self.factors(weights)
        return [Unmixed(self.options.rank, *tensors) for tensors in self._unmixed("weight", weights)]

    def factors(self, weights: Tensor) -> list[list[Factors]]:
        """For each site and weight of the layer its mixed factors."""
        rank = self.options.rank
        columns = [
            [
                Factors(mean(down_weights, down, rank), mean(up_weights, up, rank))
                for down_weights, down, up_weights, up in self._unmixed(name, weights)
            ]
            for name in self.matrices
        ]
        return [list(site) for site in zip(*columns, strict=True)]

    def _unmixed(self, name: str, weights: Tensor) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """For each site the weights of `down`, which carry the update's scale, `down`, the weights of `up`, `up`."""
        downs, ups = cast(nn.ParameterList, self.down[name]), cast(nn.ParameterList, self.up[name])
        scaled = weights * (self.options.alpha / self.options.rank)
        of_down, of_up = (part.to(downs[0].dtype).unbind(0) for part in (scaled, weights))
        return list(zip(of_down, downs, of_up, ups, strict=True))

    def run(
        self,
        layer: nn.Module,
        mixed: "Unmixed | Member | list[Factors]",
        rows: Rows,
        inputs: tuple[Any, ...],
        named: dict[str, Any],
    ) -> Any:
        """The output of `layer` with the rows' low-rank updates."""
        if isinstance(mixed, list):
            return run_layer(layer, self.updates(layer, mixed), rows, inputs, named)
        if isinstance(mixed, Member):
            return mixed.together.output(mixed.place, inputs[0], rows)
        return low_rank_linear([cast(nn.Linear, layer)], inputs[0], [mixed], rows)[0]

    def updates(self, layer: nn.Module, factors: list[Factors]) -> Updates:
        """What the rows add to the weights of `layer`."""
        products = {}
        for name, pair in zip(self.matrices, factors, strict=True):
            if isinstance(layer, nn.Embedding):
                products[name] = torch.bmm(pair.down.mT, pair.up)  # [rows, in, out]: an embedding's own layout
            else:
                products[name] = torch.bmm(pair.up.mT, pair.down)
        return products

    def run_tokens(self, layer: nn.Module, site: int, weights: Tensor, x: Tensor) -> Tensor:
        """Each token its own mixture of outputs: x [*batch, in], weights [*batch, skills].

        Raises:
            InputError: the layer is not linear, or n_splits is not 1.
        """
        if not isinstance(layer, nn.Linear) or self.options.n_splits != 1:
            raise InputError("routing.kind=token_moe needs linear layers and modules.n_splits=1.")
        down, up = self._factor(self.down, "weight", site)[0], self._factor(self.up, "weight", site)[0]
        skills, rank, _ = down.shape
        hidden = functional.linear(x, down.flatten(0, 1))
        scaled = hidden.unflatten(-1, (skills, rank)) * (weights * (self.options.alpha / rank)).unsqueeze(-1)
        y: Tensor = functional.linear(x, layer.weight, layer.bias) + scaled.flatten(-2) @ up.reshape(skills * rank, -1)
        return y


def share(layers: Sequence[nn.Linear], mixed: Sequence[Unmixed]) -> list[Member]:
    """The entries of linear sites that read one input, told of each other."""
    together = Together(layers, mixed)
    return [Member(together, place) for place in range(len(layers))]
