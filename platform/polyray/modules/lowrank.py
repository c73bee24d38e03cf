"""A linear layer plus a low-rank update of each row, by the contraction that suits the shapes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from polyray.modules.mix import Rows

JOINED_RANK = 24  # above it one wide product is no faster than several narrow ones (measured, docs/performance.md) ...
FEW_ROWS = 4  # ... but for a handful of rows, where the narrow ones cannot fill a kernel


class Sharing:
    """Sites that read one input (q, k and v of an attention) multiply it by all their `down` factors at once."""

    def __init__(self, downs: Sequence[Tensor]) -> None:
        self._downs = tuple(downs)
        self._seen: Tensor | None = None
        self._ready: dict[int, Tensor] = {}

    def hidden(self, place: int, x: Tensor, arranged: "_Arranged") -> Tensor | None:
        """x down for the member `place`, [rows, n, rank]; None where a product of its own is cheaper.

        The first member to see an input computes for all; the others find theirs as long as they see the same tensor.
        """
        if self._seen is not x:
            joined_rank = len(self._downs) * self._downs[0].shape[-1]
            if joined_rank > JOINED_RANK and arranged.x.shape[0] > FEW_ROWS:
                return None
            parts = _Join.apply(arranged.x, *[arranged.pick(down) for down in self._downs])
            self._seen, self._ready = x, dict(enumerate(parts))
        part = self._ready.pop(place, None)
        if not self._ready:
            self._seen = None
        return part


@dataclass(frozen=True, eq=False)
class Factors:
    """One site's mixed factors: down [rows, in, rank], up [rows, rank, out], and whom it shares its input with."""

    down: Tensor
    up: Tensor
    sharing: Sharing | None = None
    place: int = 0


@dataclass(frozen=True, eq=False)
class _Arranged:
    """An input [rows, n, in] whose rows match what `pick` makes of factors, and the way back for the output."""

    x: Tensor
    pick: Callable[[Tensor], Tensor]
    undo: Callable[[Tensor], Tensor]


def low_rank_linear(layer: nn.Linear, x: Tensor, factors: Factors, rows: Rows) -> Tensor:
    """layer(x) + (x down_row) up_row for each example's row: x [batch, *length, in] -> [batch, *length, out]."""
    rows = rows.widen(x.shape[0])
    weight: Tensor = layer.weight
    bias: Tensor | None = layer.bias
    down, up, given = factors.down, factors.up, x
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        given, weight, up = x.to(dtype), weight.to(dtype), up.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    arranged = _arrange(given, rows, down.shape[-1])
    hidden = None if factors.sharing is None else factors.sharing.hidden(factors.place, x, arranged)
    if hidden is None:
        own = arranged.pick(down.to(given.dtype))
        return arranged.undo(_LowRank.apply(arranged.x, weight, bias, own, arranged.pick(up)))
    return arranged.undo(_Raise.apply(arranged.x, weight, bias, hidden, arranged.pick(up)))


def _arrange(x: Tensor, rows: Rows, rank: int) -> _Arranged:
    """Examples of one row together where a view shows them in blocks, or where moving them costs less than copying
    their factors (length <= rank); else each example gets a copy of its row's factors."""
    wide = x.shape[-1]
    lead = x.shape[:-1]
    if rows.in_blocks:
        return _Arranged(x.reshape(rows.n_rows, -1, wide), _same, lambda y: y.view(*lead, -1))
    if lead[1:].numel() <= rank:
        together = rows.gather(x)  # [rows, most, *length, in]
        shape = together.shape[:-1]
        return _Arranged(together.reshape(rows.n_rows, -1, wide), _same, lambda y: rows.scatter(y.view(*shape, -1)))
    index = rows.index
    return _Arranged(
        x.reshape(lead[0], -1, wide), lambda part: part.index_select(0, index), lambda y: y.view(*lead, -1)
    )


def _same(part: Tensor) -> Tensor:
    return part


class _LowRank(torch.autograd.Function):
    """W x + b + (x down) up in place: one pass less over the output, and over the input's gradient, than autograd's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor) -> Tensor:
        hidden = torch.bmm(x, down)  # [rows, n, rank]
        ctx.save_for_backward(x, weight, down, up, hidden)
        ctx.has_bias = bias is not None
        return functional.linear(x, weight, bias).baddbmm_(hidden, up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, down, up, hidden = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        g_hidden = torch.bmm(g, up.mT)
        g_x = torch.matmul(g, weight).baddbmm_(g_hidden, down.mT) if wanted[0] else None
        g_weight, g_bias = _base_gradients(g, x, wanted[1], ctx.has_bias and wanted[2])
        g_down = torch.bmm(x.mT, g_hidden) if wanted[3] else None
        g_up = torch.bmm(hidden.mT, g) if wanted[4] else None
        return g_x, g_weight, g_bias, g_down, g_up


class _Raise(torch.autograd.Function):
    """W x + b + hidden up in place."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, hidden: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, up, hidden)
        ctx.has_bias = bias is not None
        return functional.linear(x, weight, bias).baddbmm_(hidden, up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, up, hidden = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        g_x = torch.matmul(g, weight) if wanted[0] else None
        g_weight, g_bias = _base_gradients(g, x, wanted[1], ctx.has_bias and wanted[2])
        g_hidden = torch.bmm(g, up.mT) if wanted[3] else None
        g_up = torch.bmm(hidden.mT, g) if wanted[4] else None
        return g_x, g_weight, g_bias, g_hidden, g_up


class _Join(torch.autograd.Function):
    """x [rows, n, in] times several factors [rows, in, rank] in one product -> several [rows, n, rank]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *downs: Tensor) -> tuple[Tensor, ...]:
        joined = torch.cat(downs, -1).to(x.dtype)
        ctx.save_for_backward(x, joined)
        ctx.dtype = downs[0].dtype
        parts: tuple[Tensor, ...] = torch.bmm(x, joined).split(downs[0].shape[-1], -1)
        return parts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gs: Tensor) -> tuple[Tensor | None, ...]:
        x, joined = ctx.saved_tensors
        g = torch.cat(gs, -1)
        g_x = torch.bmm(g, joined.mT) if ctx.needs_input_grad[0] else None
        if not any(ctx.needs_input_grad[1:]):
            return g_x, *[None] * len(gs)
        g_joined = torch.bmm(x.mT, g).to(ctx.dtype)
        return g_x, *g_joined.split(gs[0].shape[-1], -1)


def _base_gradients(g: Tensor, x: Tensor, weight: bool, bias: bool) -> tuple[Tensor | None, Tensor | None]:
    return (g.flatten(0, 1).mT @ x.flatten(0, 1) if weight else None), (g.sum((0, 1)) if bias else None)
