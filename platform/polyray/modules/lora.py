"""Low-rank modules (LoRA): the skills' factors are averaged, then applied to all examples of a row at once."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from polyray.errors import InputError
from polyray.modules.changes import Change, LowRankChange
from polyray.modules.layers import is_quantised, linear_widths, matrices, run_layer, transposed
from polyray.modules.mix import Rows
from polyray.modules.stack import StackOptions, by_site

Factors = Mapping[str, tuple[Tensor, Tensor]]
"""Name of a weight [out, in] -> down [rows, rank, in] and up [rows, rank, out], which holds the factors of each row."""


class LoraOptions(StackOptions):
    """The choices of LoRA."""

    rank: int = Field(16, ge=1)
    """Rows of `down` and `up`."""
    alpha: float = Field(1.0, gt=0)
    """An update is scaled by alpha / rank."""
    n_splits: int = Field(1, ge=1)
    """Heads of multi-head routing (MHR, Caccia et al. 2023): blocks of inputs and outputs with mixes of their own."""

    @property
    def n_heads(self) -> int:
        """Heads of multi-head routing."""
        return self.n_splits


class LoraStack(nn.Module):
    """LoRA for alike sites and all skills (Hu et al. 2021; mixed as Ponti et al. 2023, Eq. 6).

    For each weight [out, in] of the layer: down [sites, heads, skills, rank, in/heads] and up [sites, heads, skills,
    rank, out/heads]. The factors are averaged apart: W + (alpha / rank) (sum_s w_s up_s)^T (sum_s w_s down_s).
    """

    Options: ClassVar[type[StackOptions]] = LoraOptions
    blends: ClassVar[bool] = True
    joins: ClassVar[bool] = True
    by_token: ClassVar[bool] = True
    changes_weights: ClassVar[bool] = True
    reads_weights: ClassVar[bool] = False
    stacks: ClassVar[bool] = True
    inverts: ClassVar[bool] = False

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: LoraOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.options = options
        heads, rank = options.n_splits, options.rank
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for name, (width_out, width_in) in matrices(layers[0]).items():
            if width_in % heads or width_out % heads:
                raise InputError(
                    f"modules.n_splits={heads} does not divide a layer of {width_in} to {width_out} features."
                )
            shape = (len(layers), heads, n_skills)
            bound = 1 / math.sqrt(3 * width_in)  # gain(leaky_relu, sqrt 5) / sqrt(in), as McGill-NLP/polytropon draws
            drawn = torch.empty(*shape, width_in // heads, rank).uniform_(-bound, bound, generator=generator)
            self.down[name] = nn.Parameter(drawn.mT.contiguous())
            self.up[name] = nn.Parameter(torch.zeros(*shape, rank, width_out // heads))

    def prepare(self, weights: Tensor) -> list[dict[str, tuple[Tensor, Tensor]]]:
        """For each site the factors of its weights, averaged with weights [sites, heads, rows, skills]."""
        scaled = weights * (self.options.alpha / self.options.rank)
        return by_site(
            {
                name: zip(average(scaled, self.down[name]), average(weights, self.up[name]), strict=True)
                for name in self.down
            }
        )

    def run(self, layer: nn.Module, mixed: Factors, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of `layer` with the rows' low-rank updates."""
        if linear_widths(layer) is not None:
            return low_rank_linear(layer, *mixed["weight"], rows.widen(len(inputs[0])), inputs[0])
        return run_layer(layer, updates(layer, mixed), rows, inputs, named)

    def updates(self, layer: nn.Module, mixed: Factors) -> Mapping[str, Tensor]:
        """The products of the rows' factors."""
        return updates(layer, mixed)

    def row_changes(self, layers: Sequence[nn.Module], weights: Tensor) -> list[dict[str, Tensor]]:
        """For each site and weight the rows' low-rank update [rows, *shape of the matrix]."""
        return [updates(layer, factors) for layer, factors in zip(layers, self.prepare(weights), strict=True)]

    @staticmethod
    def parameter_changes(layer: nn.Module, options: Any, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
        """Low-rank changes of all weights; the heads of multi-head routing are joined."""
        scale = options.alpha / options.rank
        changes: dict[str, Change] = {}
        for name in matrices(layer):
            factors = (tensors[f"down.{name}"], tensors[f"up.{name}"])  # [heads, rank, in/heads or out/heads]
            down, up = (factor.transpose(0, 1).flatten(1) for factor in factors)  # [rank, in], [rank, out]
            left, right = (down.T, up) if transposed(layer) else (up.T, down)
            shape = tuple(layer.get_parameter(name).shape)
            shape = (len(left), right.shape[1]) if is_quantised(layer) else shape
            changes[name] = LowRankChange(left=left, right=right, scale=scale, shape=shape)
        return changes

    def run_tokens(self, layer: nn.Module, site: int, weights: Tensor, x: Tensor) -> Tensor:
        """Each token its own mixture of outputs: x [*batch, in], weights [*batch, skills].

        Raises:
            InputError: the layer is not linear, or n_splits is not 1.
        """
        if linear_widths(layer) is None or self.options.n_splits != 1:
            raise InputError("routing.kind=token_moe needs linear layers and modules.n_splits=1.")
        down, up = self.down["weight"][site, 0], self.up["weight"][site, 0]  # [S, rank, in], [S, rank, out]
        hidden = functional.linear(x, down.flatten(0, 1).to(x.dtype)).unflatten(-1, down.shape[:2])  # [*batch, S, rank]
        scaled = hidden * (weights * (self.options.alpha / self.options.rank)).unsqueeze(-1).to(x.dtype)
        y: Tensor = layer(x) + scaled.flatten(-2) @ up.flatten(0, 1).to(x.dtype)
        return y


def average(weights: Tensor, factors: Tensor) -> tuple[Tensor, ...]:
    """For each site the factors of all skills, averaged by row, the heads side by side.

    weights [sites, heads, rows, skills], factors [sites, heads, skills, rank, width] -> [rows, rank, heads * width].
    """
    # As one product of flat factors, whose gradient has the parameter's own strides: DDP warns of others.
    mixed = torch.matmul(weights.to(factors.dtype), factors.flatten(3)).unflatten(-1, factors.shape[3:])
    side_by_side = mixed.permute(0, 2, 3, 1, 4).flatten(3)  # [sites, rows, rank, heads * width]
    return tuple(side_by_side.unbind(0))


def low_rank_linear(layer: nn.Module, down: Tensor, up: Tensor, rows: Rows, x: Tensor) -> Tensor:
    """layer(x) + (x down_r^T) up_r with the factors of the row r of each example.

    down [R, rank, in], up [R, rank, out], x [B, *length, in] -> [B, *length, out]. Examples of one row stand together
    where that is a view, or where moving them costs less than copying the factors for each of them (length <= rank).
    """
    if rows.in_blocks or x.shape[1:-1].numel() <= down.shape[1]:
        grouped = rows.gather(x)  # [R, most, *length, in]
        return rows.scatter(_low_rank_linear(layer, down, up, grouped))
    return _low_rank_linear(layer, down[rows.index], up[rows.index], x)


def _low_rank_linear(layer: nn.Module, down: Tensor, up: Tensor, x: Tensor) -> Tensor:
    """layer(x) + (x down^T) up, factors [R, rank, in or out] and x [R, *, in] row by row -> [R, *, out]."""
    flat = x.reshape(len(x), -1, x.shape[-1])  # [R, n, in]
    hidden = torch.bmm(flat, down.to(x.dtype).mT)  # [R, n, rank]
    y: Tensor = layer(flat)
    if is_quantised(layer):  # bitsandbytes gives views, which autograd lets nobody change
        y = torch.baddbmm(y, hidden, up.to(y.dtype))
    else:
        y.baddbmm_(hidden, up.to(y.dtype))  # in place: one pass over the outputs less
    return y.view(*x.shape[:-1], -1)


def updates(layer: nn.Module, factors: Factors) -> dict[str, Tensor]:
    """Updates of the weights of `layer` by row: name -> [rows, out, in], or [rows, in, out] as it stores them."""
    if transposed(layer):
        return {name: torch.bmm(down.mT, up) for name, (down, up) in factors.items()}
    return {name: torch.bmm(up.mT, down) for name, (down, up) in factors.items()}
