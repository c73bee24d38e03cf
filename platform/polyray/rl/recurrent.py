"""GRU and LSTM over time for rows of sequences, with gradients by hand: a few operations a step in place of dozens."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

WAIT = 1e4  # added to a GRU's update gate it becomes exactly 1: the state stays as it is


def gru(from_input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The last state of a GRU that begins with zeros (Cho et al. 2014, as torch.nn.GRU computes it).

    from_input [time, rows, n, 3 * hidden]: inputs times `weight_ih` plus `bias_ih`; weight [rows or 1, 3 * hidden,
    hidden], bias [rows or 1, 3 * hidden] -> [rows, n, hidden].
    """
    last: Tensor = _Gru.apply(from_input, weight, bias)
    return last


class _Gru(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, from_input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        time, rows, n, triple = from_input.shape
        hidden = triple // 3
        wide = weight.mT.expand(rows, -1, -1)
        added = bias.unsqueeze(1).expand(rows, -1, -1)
        states = from_input.new_zeros(time + 1, rows, n, hidden)
        from_hidden = torch.empty_like(from_input)
        gates = torch.empty_like(from_input)  # reset, update, new
        split = (2 * hidden, hidden)
        for entering, inner, gate, state, following in zip(
            from_input, from_hidden, gates, states[:-1], states[1:], strict=True
        ):
            torch.baddbmm(added, state, wide, out=inner)
            reset_update, new = gate.split(split, -1)
            entering_gates, entering_new = entering.split(split, -1)
            inner_gates, inner_new = inner.split(split, -1)
            torch.add(entering_gates, inner_gates, out=reset_update)
            reset, update = reset_update.sigmoid_().split(hidden, -1)
            torch.addcmul(entering_new, reset, inner_new, out=new).tanh_()
            torch.lerp(new, state, update, out=following)
        ctx.save_for_backward(states, gates, from_hidden, weight)
        return states[time].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states, gates, from_hidden, weight = ctx.saved_tensors
        hidden = g.shape[-1]
        wide = weight.expand(gates.shape[1], -1, -1)
        reset, update, new = gates.split(hidden, -1)
        to_input = torch.empty_like(gates)  # what a step's gradient is times the state's
        to_reset, to_update, to_new = to_input.split(hidden, -1)
        torch.mul(1 - update, 1 - new * new, out=to_new)
        torch.mul(to_new * from_hidden[..., 2 * hidden :], reset * (1 - reset), out=to_reset)
        torch.mul(states[:-1] - new, update * (1 - update), out=to_update)
        g_hidden = to_input.clone()
        g_hidden[..., 2 * hidden :] *= reset
        kept = torch.empty_like(states[:-1])  # the gradient of each step's state
        steps = (g_hidden.unflatten(-1, (3, hidden)), g_hidden, update, kept)
        for apart, together, stays, own in zip(*(reversed(part.unbind(0)) for part in steps), strict=True):
            own.copy_(g)
            apart.mul_(own.unsqueeze(-2))
            g = torch.baddbmm(own * stays, together, wide)
        to_input.unflatten(-1, (3, hidden)).mul_(kept.unsqueeze(-2))
        g_weight, g_bias = _weight_gradients(g_hidden, states[:-1], weight.shape[0])
        return to_input, g_weight, g_bias


def lstm(
    from_input: Tensor, keep: Tensor, state: tuple[Tensor, Tensor], weight: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """An LSTM over time whose state is cleared where an episode begins (Hochreiter & Schmidhuber 1997).

    from_input [time, rows, n, 4 * hidden]: inputs times `weight_ih` plus both biases; keep [time, rows, n, 1]: 0 where
    the state is cleared before the step, else 1; state: hidden and cell [rows, n, hidden]; weight [rows or 1,
    4 * hidden, hidden] -> hidden states [time, rows, n, hidden], and the last state.
    """
    hiddens, cell = _Lstm.apply(from_input, keep, *state, weight)
    return hiddens, (hiddens[-1], cell)


class _Lstm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, from_input: Tensor, keep: Tensor, hidden: Tensor, cell: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        time, rows, n, quadruple = from_input.shape
        size = quadruple // 4
        wide = weight.mT.expand(rows, -1, -1)
        gates = torch.empty_like(from_input)  # in, forget, new, out
        before = from_input.new_empty(2, time, rows, n, size)  # hidden and cell at the start of each step
        squashed, hiddens = torch.empty_like(before[0]), torch.empty_like(before[0])
        parts = (from_input, keep, gates, before[0], before[1], squashed, hiddens)
        for entering, stays, gate, old_hidden, old_cell, tanh, following in zip(*parts, strict=True):
            torch.mul(hidden, stays, out=old_hidden)
            torch.mul(cell, stays, out=old_cell)
            torch.baddbmm(entering, old_hidden, wide, out=gate)
            doors, new, out = gate.split((2 * size, size, size), -1)
            enter, forget = doors.sigmoid_().split(size, -1)
            cell = (forget * old_cell).addcmul_(enter, new.tanh_())
            torch.tanh(cell, out=tanh)
            hidden = torch.mul(out.sigmoid_(), tanh, out=following)
        ctx.save_for_backward(gates, before, squashed, keep, weight)
        return hiddens, cell

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_hiddens: Tensor, g_cell: Tensor) -> tuple[Tensor | None, ...]:
        gates, before, squashed, keep, weight = ctx.saved_tensors
        size = squashed.shape[-1]
        wide = weight.expand(gates.shape[1], -1, -1)
        enter, forget, new, out = gates.split(size, -1)
        g_gates = torch.empty_like(gates)  # first: what a step's gradient is times the cell's, for `out` the hidden's
        to_enter, to_forget, to_new, to_out = g_gates.split(size, -1)
        torch.mul(new, enter * (1 - enter), out=to_enter)
        torch.mul(before[1], forget * (1 - forget), out=to_forget)
        torch.mul(squashed, out * (1 - out), out=to_out)
        torch.mul(enter, 1 - new * new, out=to_new)
        to_cell = out * (1 - squashed * squashed)
        g_hidden = torch.zeros_like(g_cell)
        steps = (g_gates, g_hiddens, to_cell, forget * keep, keep)
        for gate, given, through, stays, kept in zip(*(reversed(part.unbind(0)) for part in steps), strict=True):
            g_hidden = g_hidden + given
            g_cell = torch.addcmul(g_cell, g_hidden, through)
            of_cell, of_hidden = gate.split((3 * size, size), -1)
            of_cell.unflatten(-1, (3, size)).mul_(g_cell.unsqueeze(-2))
            of_hidden.mul_(g_hidden)
            g_hidden = torch.bmm(gate, wide) * kept
            g_cell = g_cell * stays
        g_weight, _ = _weight_gradients(g_gates, before[0], weight.shape[0])
        return g_gates, None, g_hidden, g_cell, g_weight


def _weight_gradients(g: Tensor, states: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Of a weight and a bias that are used at every step: g [time, rows, n, out], states [time, rows, n, in]."""
    g, states = (tensor.transpose(0, 1).flatten(1, 2) for tensor in (g, states))
    weight, bias = torch.bmm(g.mT, states), g.sum(1)
    return (weight, bias) if rows == len(weight) else (weight.sum(0, keepdim=True), bias.sum(0, keepdim=True))
