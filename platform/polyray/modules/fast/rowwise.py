"""Layers with parameters of their own for every row, all rows in one product.

Each function equals `row_by_row` (modules/rowwise.py) for its kind of layer and takes what that takes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyray.errors import InputError
from polyray.modules.mix import Rows
from polyray.modules.rowwise import Updates, total


def linear(layer: nn.Linear, updates: Updates, rows: Rows, x: Tensor) -> Tensor:
    """Linear layer in one batched product: x [batch, *length, in] -> [batch, *length, out]."""
    return _by_row(layer, updates, rows, x, transposed=False)


def conv1d(layer: nn.Module, updates: Updates, rows: Rows, x: Tensor) -> Tensor:
    """transformers' Conv1D, a linear layer with its weight as [in, out]: x [batch, *length, in] -> [..., out]."""
    return _by_row(layer, updates, rows, x, transposed=True)


def _by_row(layer: nn.Module, updates: Updates, rows: Rows, x: Tensor, transposed: bool) -> Tensor:
    """Output of a linear layer: x [batch, *length, in] -> [batch, *length, out].

    A change smaller than the steps of a bf16 weight would be rounded away in their sum: it gets a product of its own.
    """
    grouped = rows.gather(x)  # [rows, most, *length, in]
    flat = grouped.reshape(rows.n_rows, -1, x.shape[-1])
    parameters = dict(layer.named_parameters())
    if _is_finer(updates, parameters["weight"]):
        changes = {name: change.to(x.dtype) for name, change in updates.items()}
        weight = changes["weight"].view(-1, *parameters["weight"].shape)
        y = layer(flat) + affine(flat, weight.mT if transposed else weight, changes.get("bias"))
    else:
        totals = {name: total(parameter, updates, name) for name, parameter in parameters.items()}
        weight = totals["weight"]
        y = affine(flat, weight.mT if transposed else weight, totals.get("bias"))
    return rows.scatter(y.view(*grouped.shape[:-1], -1))


def _is_finer(updates: Updates, parameter: Tensor) -> bool:
    """Whether changes of a weight are stored with more digits than the weight itself."""
    return "weight" in updates and torch.finfo(updates["weight"].dtype).eps < torch.finfo(parameter.dtype).eps


def affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Linear map by row: x [rows, n, in], weight [rows or 1, out, in], bias [rows or 1, out] -> [rows, n, out]."""
    weight = weight.expand(len(x), -1, -1)
    if bias is None:
        return torch.bmm(x, weight.mT)
    return torch.baddbmm(bias.unsqueeze(1).expand(len(x), 1, -1), x, weight.mT)


def embedding(layer: nn.Embedding, updates: Updates, rows: Rows, ids: Tensor) -> Tensor:
    """Embedding in one look-up, the rows' changes under each other: ids [batch, *length] -> [batch, *length, width]."""
    y: Tensor = layer(ids)
    if "weight" not in updates:
        return y
    row = rows.index.view(-1, *[1] * (ids.dim() - 1))
    table = updates["weight"].reshape(-1, layer.embedding_dim)  # [rows * entries, width]
    return y + functional.embedding(row * layer.num_embeddings + ids, table).to(y.dtype)


def conv2d(layer: nn.Conv2d, updates: Updates, rows: Rows, x: Tensor) -> Tensor:
    """Convolution with the rows as groups of channels: x [batch, in, height, width].

    Raises:
        InputError: it pads otherwise than with zeros.
    """
    if layer.padding_mode != "zeros":
        raise InputError(f"A Conv2d that carries skills pads with zeros, found padding_mode={layer.padding_mode!r}.")
    grouped = rows.gather(x)  # [rows, most, in, h, w]
    n, most = grouped.shape[:2]
    weight = total(layer.weight, updates, "weight").expand(n, *layer.weight.shape)
    bias = None if layer.bias is None else total(layer.bias, updates, "bias").expand(n, -1).reshape(-1)
    side_by_side = grouped.transpose(0, 1).reshape(most, n * x.shape[1], *x.shape[2:])
    y = functional.conv2d(
        side_by_side, weight.reshape(-1, *weight.shape[2:]), bias, layer.stride, layer.padding, layer.dilation,
        groups=n * layer.groups,
    )  # fmt: skip
    return rows.scatter(y.view(most, n, layer.out_channels, *y.shape[2:]).transpose(0, 1))


def gru_cell(layer: nn.GRUCell, updates: Updates, rows: Rows, x: Tensor, hx: Tensor | None = None) -> Tensor:
    """One step of a GRU: x [batch, in], state hx [batch, hidden], zero without it -> [batch, hidden]."""
    hidden = rows.gather(x.new_zeros(len(x), layer.hidden_size) if hx is None else hx)
    from_input = _gates(layer, updates, rows.gather(x), "ih")
    return rows.scatter(gru_step(from_input, _gates(layer, updates, hidden, "hh"), hidden))


def lstm_cell(
    layer: nn.LSTMCell, updates: Updates, rows: Rows, x: Tensor, hx: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: x [batch, in], hidden state and cell hx [batch, hidden] each, zero without them."""
    zeros = x.new_zeros(len(x), layer.hidden_size)
    hidden, cell = (rows.gather(state) for state in (hx or (zeros, zeros)))
    gates = _gates(layer, updates, rows.gather(x), "ih") + _gates(layer, updates, hidden, "hh")
    hidden, cell = lstm_step(gates, cell)
    return rows.scatter(hidden), rows.scatter(cell)


def _gates(layer: nn.RNNCellBase, updates: Updates, x: Tensor, side: str) -> Tensor:
    """x [rows, n, in] -> [rows, n, gates * hidden] through `weight_SIDE` and `bias_SIDE`."""
    bias = total(layer.get_parameter(f"bias_{side}"), updates, f"bias_{side}") if layer.bias else None
    return affine(x, total(layer.get_parameter(f"weight_{side}"), updates, f"weight_{side}"), bias)


def gru_step(from_input: Tensor, from_hidden: Tensor, hidden: Tensor) -> Tensor:
    """Next state of a GRU (Cho et al. 2014, as torch.nn.GRU computes it).

    from_input, from_hidden [..., 3 * size]: input and hidden [..., size] through their weights and biases, in torch's
    order reset, update, new.
    """
    reset_x, update_x, new_x = from_input.chunk(3, -1)
    reset_h, update_h, new_h = from_hidden.chunk(3, -1)
    update = torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
    return new + update * (hidden - new)


def lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Next hidden state and cell of an LSTM (Hochreiter & Schmidhuber 1997, with forget gate).

    gates [..., 4 * size]: input and hidden state through weights and biases, added up, in torch's order input, forget,
    new, output; cell [..., size].
    """
    keep_in, forget, new, out = gates.chunk(4, -1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(keep_in) * torch.tanh(new)
    return torch.sigmoid(out) * torch.tanh(cell), cell
