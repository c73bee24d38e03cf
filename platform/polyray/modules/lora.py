"""Low-rank modules: the mean of the skills' factors, applied to whole rows of a batch at once."""

import math
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from polyray.errors import InputError
from polyray.modules.changes import Change, LowRankChange
from polyray.modules.fast.gathered import apart
from polyray.modules.fast.lowrank import Factors, FusedLinears, LazyFactors, Member, low_rank_linear
from polyray.modules.fast.means import mean
from polyray.modules.layers import Updates, matrices, run_layer
from polyray.modules.mix import Rows
from polyray.modules.site import StackOptions


class LoraOptions(StackOptions):
    """The choices of LoRA."""

    rank: int = Field(16, ge=1)
    """Columns of `down`."""
    alpha: float = Field(1.0, gt=0)
    """An update is scaled by alpha / rank."""
    n_splits: int = Field(1, ge=1)
    """Heads of multi-head routing (MHR, Caccia et al. 2023): parts of inputs and outputs with mixes of their own."""

    @property
    def n_heads(self) -> int:
        """Heads of multi-head routing."""
        return self.n_splits


class LoraStack(nn.Module):
    """LoRA for alike sites and all skills (Hu et al. 2021; mixed as Ponti et al. 2023, Eq. 6).

    For each weight [out, in] of the layer: down [sites, heads, skills, rank * in/heads] and
    up [sites, heads, skills, rank * out/heads], flat for `mean`. The factors are mixed apart, as every reference does:
    W + (alpha / rank) (sum_s w_s down_s^T) (sum_s w_s up_s). `parts`, and so files, hold down^T, as references do.
    """

    Options: ClassVar[type[StackOptions]] = LoraOptions
    blends: ClassVar[bool] = True
    by_token: ClassVar[bool] = True
    changes_weights: ClassVar[bool] = True

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: LoraOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.options = options
        self.matrices = matrices(layers[0])
        self.linear = isinstance(layers[0], nn.Linear)
        heads = options.n_splits
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for name, (wide_out, wide_in) in self.matrices.items():
            if wide_in % heads or wide_out % heads:
                raise InputError(
                    f"modules.n_splits={heads} does not divide a layer of {wide_in} to {wide_out} features."
                )
            drawn = torch.empty(len(layers), heads, n_skills, wide_in // heads, options.rank)
            bound = 1 / math.sqrt(3 * wide_in)  # gain(leaky_relu, sqrt 5) / sqrt(in), as McGill-NLP/polytropon draws it
            drawn.uniform_(-bound, bound, generator=generator)
            self.down[name] = nn.Parameter(drawn.mT.flatten(3))
            self.up[name] = nn.Parameter(torch.zeros(len(layers), heads, n_skills, options.rank * wide_out // heads))

    def parts(self, site: int) -> dict[str, Tensor]:
        """The tensors of one site, each [heads, skills, ...]: `down.NAME` and `up.NAME` for each weight."""
        found = {}
        for name in self.matrices:
            found[f"down.{name}"] = self._factor(self.down, name, site).mT
            found[f"up.{name}"] = self._factor(self.up, name, site)
        return found

    def _factor(self, factors: nn.ParameterDict, name: str, site: int) -> Tensor:
        """[heads, skills, rank, in or out/heads]."""
        flat: Tensor = factors[name][site]
        return flat.view(*flat.shape[:2], self.options.rank, -1)

    def prepare(self, weights: Tensor) -> list[LazyFactors] | list[list[Factors]]:
        """For each site its factors: weights [sites, heads, rows, skills]. Linear layers mix them when they run."""
        if not self.linear:
            return self.factors(weights)
        (downs, of_downs), (ups, of_ups) = apart(self.down["weight"]), apart(self.up["weight"])
        tensors = zip(*self._weights(weights), downs, ups, strict=True)
        return [
            LazyFactors(self.options.rank, (of_down, down, of_up, up), (of_downs, of_ups), site)
            for site, (of_down, of_up, down, up) in enumerate(tensors)
        ]

    @staticmethod
    def share(layers: Sequence[nn.Module], prepared: Sequence[Any]) -> list[Member]:
        """The entries of linear sites that read one input, told of each other."""
        fused = FusedLinears(cast(Sequence[nn.Linear], layers), prepared)
        return [Member(fused, index) for index in range(len(layers))]

    def changes(self, layers: Sequence[nn.Module], weights: Tensor) -> list[dict[str, Tensor]]:
        """For each site and weight the rows' low-rank update [rows, *shape of the matrix]."""
        return [dict(self.updates(layer, site)) for layer, site in zip(layers, self.factors(weights), strict=True)]

    @staticmethod
    def parameter_changes(layer: nn.Module, options: Any, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
        """Low-rank changes of all weights; the heads of multi-head routing are joined."""
        scale = options.alpha / options.rank
        changes: dict[str, Change] = {}
        for name in matrices(layer):
            down, up = (
                tensors[f"down.{name}"],
                tensors[f"up.{name}"],
            )  # [heads, in/heads, rank], [heads, rank, out/heads]
            into, out = down.flatten(0, 1).T, up.transpose(1, 2).flatten(0, 1)  # [rank, in], [out, rank]
            left, right = (into.T, out.T) if isinstance(layer, nn.Embedding) else (out, into)
            shape = tuple(layer.get_parameter(name).shape)
            changes[name] = LowRankChange(left=left, right=right, scale=scale, shape=shape)
        return changes

    def additions(self) -> None:
        """None: the factors are mixed apart, so the update is no weighted sum of updates."""

    def factors(self, weights: Tensor) -> list[list[Factors]]:
        """For each site and weight of the layer its mixed factors."""
        rank, (of_down, of_up) = self.options.rank, self._weights(weights)
        columns = []
        for name in self.matrices:
            downs = map(mean, of_down, self.down[name].unbind(0), repeat(rank))
            ups = map(mean, of_up, self.up[name].unbind(0), repeat(rank))
            columns.append([Factors(down, up) for down, up in zip(downs, ups, strict=True)])
        return [list(site) for site in zip(*columns, strict=True)]

    def _weights(self, weights: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Each site's weights of `down`, which carry the update's scale, and of `up`."""
        dtype = next(self.parameters()).dtype
        scaled = weights * (self.options.alpha / self.options.rank)
        return scaled.to(dtype).unbind(0), weights.to(dtype).unbind(0)

    def run(
        self,
        layer: nn.Module,
        mixed: "LazyFactors | Member | list[Factors]",
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
