"""Linear layers plus a low-rank update of each row, by the contraction that suits the shapes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from polyray.modules.fast.gathered import StackedGradient
from polyray.modules.fast.means import mean, mean_gradients
from polyray.modules.mix import Rows

Tensors = tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Factors:
    """One weight's mixed factors: down [rows, rank, in] and up [rows, rank, out]."""

    down: Tensor
    up: Tensor


class LazyFactors:
    """One linear site's factors, mixed where they are used, so that they are still in the cache there.

    tensors: the weights of down [heads, rows, skills], all skills' down, flat [heads, skills, rank * in/heads], and the
    same of up. gathered: where the gradients of down and up go, to the place `site`.
    """

    def __init__(
        self, rank: int, tensors: Tensors, gathered: tuple[StackedGradient, StackedGradient], site: int
    ) -> None:
        self.rank, self.tensors, self.gathered, self.site = rank, tensors, gathered, site
        self._kept: Factors | None = None

    def factors(self, dtype: torch.dtype) -> Factors:
        """The mixed factors, kept for the next call: for use without gradients."""
        if self._kept is None or self._kept.down.dtype != dtype:
            down_weights, down, up_weights, up = self.tensors
            self._kept = Factors(
                mean(down_weights, down, self.rank).to(dtype), mean(up_weights, up, self.rank).to(dtype)
            )
        return self._kept


class FusedLinears:
    """Linear sites that read one input (q, k and v of an attention), run in one step of autograd."""

    def __init__(self, layers: Sequence[nn.Linear], unmixed: Sequence[LazyFactors]) -> None:
        self._layers, self._unmixed = layers, unmixed
        self._seen: Tensor | None = None
        self._ready: dict[int, Tensor] = {}

    def output(self, place: int, x: Tensor, rows: Rows) -> Tensor:
        """That of the member `place`.

        The first member to see an input computes for all; the others find theirs as long as they see the same tensor.
        """
        if self._seen is not x:
            self._seen, self._ready = x, dict(enumerate(low_rank_linear(self._layers, x, self._unmixed, rows)))
        y = self._ready.pop(place, None)
        if not self._ready:
            self._seen = None
        if y is None:  # a member that sees its input twice
            (y,) = low_rank_linear(self._layers[place : place + 1], x, self._unmixed[place : place + 1], rows)
        return y


@dataclass(frozen=True, eq=False)
class Member:
    """A site's place among those with which it runs."""

    together: FusedLinears
    place: int


@dataclass(frozen=True, eq=False)
class _Arranged:
    """An input [rows, n, in] whose rows match those of factors, or their rows at `index`; and the way back."""

    x: Tensor
    index: Tensor | None
    undo: Callable[[Tensor], Tensor]


def low_rank_linear(layers: Sequence[nn.Linear], x: Tensor, unmixed: Sequence[LazyFactors], rows: Rows) -> list[Tensor]:
    """layer(x) + (x down_row^T) up_row of several layers: x [batch, *length, in] -> each [batch, *length, out]."""
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        with torch.autocast(kind, enabled=False):  # every tensor's type is chosen from here on
            return _low_rank_linear(layers, x.to(dtype), unmixed, rows)
    return _low_rank_linear(layers, x, unmixed, rows)


def _low_rank_linear(
    layers: Sequence[nn.Linear], x: Tensor, unmixed: Sequence[LazyFactors], rows: Rows
) -> list[Tensor]:
    arranged = _arrange(x, rows.widen(x.shape[0]), unmixed[0].rank)
    bases = [_as(x.dtype, layer) for layer in layers]
    if torch.is_grad_enabled():
        members = [tensor for base, site in zip(bases, unmixed, strict=True) for tensor in (*base, *site.tensors)]
        outputs = _LowRank.apply(arranged.x, arranged.index, unmixed, *members)
    else:
        outputs = [
            _without_gradients(arranged, *base, site.factors(x.dtype))
            for base, site in zip(bases, unmixed, strict=True)
        ]
    return [arranged.undo(y) for y in outputs]


def _as(dtype: torch.dtype, layer: nn.Linear) -> tuple[Tensor, Tensor | None]:
    weight: Tensor = layer.weight
    bias: Tensor | None = layer.bias
    if weight.dtype == dtype:
        return weight, bias
    return weight.to(dtype), None if bias is None else bias.to(dtype)


def _arrange(x: Tensor, rows: Rows, rank: int) -> _Arranged:
    """Examples of one row together where a view shows them in blocks, or where moving them costs less than copying
    their factors (length <= rank); else each example gets a copy of its row's factors."""
    wide = x.shape[-1]
    lead = x.shape[:-1]
    if rows.in_blocks:
        return _Arranged(x.reshape(rows.n_rows, -1, wide), None, lambda y: y.view(*lead, -1))
    if lead[1:].numel() <= rank:
        together = rows.gather(x)  # [rows, most, *length, in]
        shape = together.shape[:-1]
        return _Arranged(together.reshape(rows.n_rows, -1, wide), None, lambda y: rows.scatter(y.view(*shape, -1)))
    return _Arranged(x.reshape(lead[0], -1, wide), rows.index, lambda y: y.view(*lead, -1))


def _without_gradients(arranged: _Arranged, weight: Tensor, bias: Tensor | None, factors: Factors) -> Tensor:
    down, up = _pick(factors.down, arranged.index), _pick(factors.up, arranged.index)
    return functional.linear(arranged.x, weight, bias).baddbmm_(torch.bmm(arranged.x, down.mT), up)


def _pick(factor: Tensor, index: Tensor | None) -> Tensor:
    return factor if index is None else factor.index_select(0, index)


class _LowRank(torch.autograd.Function):
    """Of each member W x + b + (x down^T) up, its skills mixed right before and differentiated right after their use.

    All in place: one pass less over the outputs, and over the input's gradient, than autograd's. A member is (weight,
    bias, down_weights, downs, up_weights, ups).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, index: Tensor | None, unmixed: Sequence[LazyFactors], *members: Tensor
    ) -> tuple[Tensor, ...]:
        rank = unmixed[0].rank
        outputs: list[Tensor] = []
        kept: list[Tensor] = []
        for first in range(0, len(members), 6):
            weight, bias, down_weights, downs, up_weights, ups = members[first : first + 6]
            down = _mixed(down_weights, downs, x, index, rank)
            hidden = torch.bmm(x, down.mT)  # [rows, n, rank]
            y = functional.linear(x, weight, bias)
            up = _mixed(up_weights, ups, x, index, rank)
            outputs.append(y.baddbmm_(hidden, up))
            kept += (hidden, down, up)
        ctx.save_for_backward(x, index, *members, *kept)
        ctx.n, ctx.unmixed = len(members), unmixed
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gs: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_autocast_enabled(gs[0].device.type):
            with torch.autocast(gs[0].device.type, enabled=False):
                return _gradients(ctx, gs)
        return _gradients(ctx, gs)


def _mixed(weights: Tensor, skills: Tensor, x: Tensor, index: Tensor | None, rank: int) -> Tensor:
    mixed = mean(weights, skills, rank)
    if mixed.dtype != x.dtype:
        mixed = mixed.to(x.dtype)
    return _pick(mixed, index)


def _gradients(ctx: Any, gs: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    x, index, *saved = ctx.saved_tensors
    of_x, _, _, *wanted = ctx.needs_input_grad
    g_x: Tensor | None = None
    found: list[Tensor | None] = []
    for first, g, site in zip(range(0, ctx.n, 6), gs, ctx.unmixed, strict=True):
        weight, _, down_weights, downs, up_weights, ups = saved[first : first + 6]
        of_weight, of_bias, of_down_weights, of_downs, of_up_weights, of_ups = wanted[first : first + 6]
        hidden, down, up = saved[ctx.n + first // 2 : ctx.n + first // 2 + 3]
        g_hidden = torch.bmm(g, up.mT)
        into = site.gathered[1].piece(site.site) if of_ups else None
        of_up = _mean_gradients(up_weights, ups, index, of_up_weights, of_ups, (hidden, g), into)
        if of_x:
            g_x = functional.linear(g, weight.mT) if g_x is None else g_x.add_(functional.linear(g, weight.mT))
            g_x.baddbmm_(g_hidden, down)
        into = site.gathered[0].piece(site.site) if of_downs else None
        of_down = _mean_gradients(down_weights, downs, index, of_down_weights, of_downs, (g_hidden, x), into)
        found += (
            g.flatten(0, 1).mT @ x.flatten(0, 1) if of_weight else None,
            g.sum((0, 1)) if of_bias else None,
            *of_down,
            *of_up,
        )
    return g_x, None, None, *found


def _mean_gradients(
    weights: Tensor,
    skills: Tensor,
    index: Tensor | None,
    of_weights: bool,
    of_skills: bool,
    product: tuple[Tensor, Tensor],
    into: Tensor | None,
) -> tuple[Tensor | None, Tensor | None]:
    """Those of `mean` from the gradient left^T right of each row's factor: [rows, n, rank] and [rows, n, width]."""
    if not (of_weights or of_skills):
        return None, None
    left, right = product
    g = torch.bmm(left.mT, right)
    if index is not None:
        g = g.new_zeros(weights.shape[1], *g.shape[1:]).index_add_(0, index, g)
    if g.dtype != skills.dtype:
        g = g.to(skills.dtype)
    return mean_gradients(weights, skills, g, of_weights, of_skills, into)
