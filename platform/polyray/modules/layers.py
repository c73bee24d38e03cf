"""How each kind of layer runs with weights of its own for every row of a batch.

`updates` maps the layer's parameter names to [rows, *shape]; what is missing is the same for all rows.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyray.errors import InputError
from polyray.modules.mix import Rows

Updates = Mapping[str, Tensor]


def matrices(layer: nn.Module) -> dict[str, tuple[int, int]]:
    """The weights of `layer` that a module may change, as (out, in) matrices; biases are left out.

    Raises:
        InputError: no skill can sit on this kind of layer.
    """
    _runner(layer)
    if isinstance(layer, nn.Embedding):
        return {"weight": (layer.embedding_dim, layer.num_embeddings)}
    return {name: (p.shape[0], p[0].numel()) for name, p in layer.named_parameters() if p.dim() > 1}


def run_layer(layer: nn.Module, updates: Updates, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """The output of `layer` where row r uses parameter + update[r].

    An update has the parameter's shape behind the rows, or for a convolution [rows, out, in * height * width].
    """
    return _runner(layer)(layer, updates, rows.widen(_batch(layer, inputs)), *inputs, **named)


def _batch(layer: nn.Module, inputs: tuple[Any, ...]) -> int:
    if not isinstance(inputs[0], Tensor):
        raise InputError(
            f"A {type(layer).__name__} that carries skills takes tensors, found {type(inputs[0]).__name__}."
        )
    return inputs[0].shape[1 if isinstance(layer, nn.GRU | nn.LSTM) and not layer.batch_first else 0]


def total(parameter: Tensor, updates: Updates, name: str) -> Tensor:
    """The parameter called `name` with its update, [rows, *shape], or [1, *shape] where it has none."""
    if name not in updates:
        return parameter.unsqueeze(0)
    return parameter.unsqueeze(0) + updates[name].reshape(-1, *parameter.shape).to(parameter.dtype)


def affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Linear layer by row: x [rows, n, in], weight [rows or 1, out, in], bias [rows or 1, out] -> [rows, n, out]."""
    weight = weight.expand(x.shape[0], -1, -1)
    if bias is None:
        return torch.bmm(x, weight.mT)
    return torch.baddbmm(bias.unsqueeze(1).expand(x.shape[0], 1, -1), x, weight.mT)


def _linear(layer: nn.Linear, updates: Updates, rows: Rows, x: Tensor) -> Tensor:
    together = rows.gather(x)
    bias = None if layer.bias is None else total(layer.bias, updates, "bias")
    y = affine(together.reshape(rows.n_rows, -1, x.shape[-1]), total(layer.weight, updates, "weight"), bias)
    return rows.scatter(y.view(*together.shape[:-1], -1))


def _embedding(layer: nn.Embedding, updates: Updates, rows: Rows, ids: Tensor) -> Tensor:
    y: Tensor = layer(ids)
    if "weight" not in updates:
        return y
    own = rows.index.view(-1, *[1] * (ids.dim() - 1))
    table = updates["weight"].reshape(-1, layer.embedding_dim)  # [rows * entries, width]
    return y + functional.embedding(own * layer.num_embeddings + ids, table)


def _conv2d(layer: nn.Conv2d, updates: Updates, rows: Rows, x: Tensor) -> Tensor:
    """All rows in one grouped convolution."""
    if layer.padding_mode != "zeros":
        raise InputError(f"A Conv2d that carries skills pads with zeros, found padding_mode={layer.padding_mode!r}.")
    together = rows.gather(x)  # [rows, most, in, h, w]
    n, most = together.shape[:2]
    weight = total(layer.weight, updates, "weight").expand(n, *layer.weight.shape)
    bias = None if layer.bias is None else total(layer.bias, updates, "bias").expand(n, -1).reshape(-1)
    stacked = together.transpose(0, 1).reshape(most, n * x.shape[1], *x.shape[2:])
    y = functional.conv2d(
        stacked, weight.reshape(-1, *weight.shape[2:]), bias, layer.stride, layer.padding, layer.dilation,
        groups=n * layer.groups,
    )  # fmt: skip
    return rows.scatter(y.view(most, n, layer.out_channels, *y.shape[2:]).transpose(0, 1))


def _gates(layer: nn.Module, updates: Updates, x: Tensor, side: str) -> Tensor:
    """x [rows, n, in] -> [rows, n, gates * hidden] through `weight_SIDE` and `bias_SIDE`."""
    bias: Tensor | None = (
        layer.get_parameter(f"bias_{side}") if f"bias_{side}" in dict(layer.named_parameters()) else None
    )
    bias = None if bias is None else total(bias, updates, f"bias_{side}")
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


def _gru_cell(layer: nn.GRUCell, updates: Updates, rows: Rows, x: Tensor, hx: Tensor | None = None) -> Tensor:
    hidden = rows.gather(x.new_zeros(x.shape[0], layer.hidden_size) if hx is None else hx)
    from_input = _gates(layer, updates, rows.gather(x), "ih")
    return rows.scatter(gru_step(from_input, _gates(layer, updates, hidden, "hh"), hidden))


def _lstm_cell(
    layer: nn.LSTMCell, updates: Updates, rows: Rows, x: Tensor, hx: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    zeros = x.new_zeros(x.shape[0], layer.hidden_size)
    hidden, cell = (rows.gather(state) for state in (hx or (zeros, zeros)))
    gates = _gates(layer, updates, rows.gather(x), "ih") + _gates(layer, updates, hidden, "hh")
    hidden, cell = lstm_step(gates, cell)
    return rows.scatter(hidden), rows.scatter(cell)


def _recurrent(layer: nn.GRU | nn.LSTM, updates: Updates, rows: Rows, x: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
    """GRU and LSTM over time, all layers and directions; the input side of every step in one product."""
    if layer.dropout or (isinstance(layer, nn.LSTM) and layer.proj_size):
        raise InputError("A recurrent layer that carries skills has neither dropout between layers nor a projection.")
    is_lstm = isinstance(layer, nn.LSTM)
    steps = x if not layer.batch_first else x.transpose(0, 1)  # [time, batch, in]
    directions = 2 if layer.bidirectional else 1
    zeros = x.new_zeros(layer.num_layers * directions, steps.shape[1], layer.hidden_size)
    first = (hx if is_lstm else (hx,)) if hx is not None else (zeros,) * (2 if is_lstm else 1)
    lasts: list[list[Tensor]] = []
    for depth in range(layer.num_layers):
        outputs = []
        for direction in range(directions):
            place = depth * directions + direction
            suffix = f"l{depth}" + ("_reverse" if direction else "")
            state = [rows.gather(part[place]) for part in first]
            ordered = steps.flip(0) if direction else steps
            out, last = _scan(layer, updates, rows, ordered, state, suffix)
            outputs.append(out.flip(0) if direction else out)
            lasts.append([rows.scatter(part) for part in last])
        steps = torch.cat(outputs, -1)
    ends = tuple(torch.stack([last[part] for last in lasts]) for part in range(len(first)))
    return (steps.transpose(0, 1) if layer.batch_first else steps), (ends if is_lstm else ends[0])


def _scan(
    layer: nn.GRU | nn.LSTM, updates: Updates, rows: Rows, steps: Tensor, state: list[Tensor], suffix: str
) -> tuple[Tensor, list[Tensor]]:
    """One layer in one direction: steps [time, batch, in] -> [time, batch, hidden] and the last state by rows."""
    together = rows.gather(steps.transpose(0, 1))  # [rows, most, time, in]
    n, most, time = together.shape[:3]
    from_input = _gates(layer, updates, together.reshape(n, most * time, -1), f"ih_{suffix}").view(n, most, time, -1)
    outputs = []
    for step in range(time):
        from_hidden = _gates(layer, updates, state[0], f"hh_{suffix}")
        if isinstance(layer, nn.LSTM):
            state = list(lstm_step(from_input[:, :, step] + from_hidden, state[1]))
        else:
            state = [gru_step(from_input[:, :, step], from_hidden, state[0])]
        outputs.append(rows.scatter(state[0]))
    return torch.stack(outputs), state


LAYERS: dict[type[nn.Module], Callable[..., Any]] = {
    nn.Linear: _linear,
    nn.Embedding: _embedding,
    nn.Conv2d: _conv2d,
    nn.GRUCell: _gru_cell,
    nn.LSTMCell: _lstm_cell,
    nn.GRU: _recurrent,
    nn.LSTM: _recurrent,
}


def _runner(layer: nn.Module) -> Callable[..., Any]:
    for kind in type(layer).__mro__:
        if kind in LAYERS:
            return LAYERS[kind]
    known = ", ".join(kind.__name__ for kind in LAYERS)
    raise InputError(f"No skill can sit on a {type(layer).__name__}. Layers that carry skills: {known}.")
