"""A layer with parameters of its own for every row of a batch, one row after the other.

`modules/fast/rowwise.py` gives the same for some kinds of layer with all rows in one product.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from polyray.modules.mix import Rows

Updates = Mapping[str, Tensor]
"""Name of a parameter -> its change [rows, *shape]; parameters that it lacks are the same for all rows.

A change may also have the shape of the parameter as a matrix, as [rows, out, in * height * width] of a convolution.
"""


def total(parameter: Tensor, updates: Updates, name: str) -> Tensor:
    """The parameter called `name` with its update, [rows, *shape], or [1, *shape] where it has none."""
    if name not in updates:
        return parameter.unsqueeze(0)
    return parameter.unsqueeze(0) + updates[name].reshape(-1, *parameter.shape).to(parameter.dtype)


def row_by_row(layer: nn.Module, updates: Updates, rows: Rows, x: Tensor, hx: Any = None) -> Any:
    """The output of `layer` where row r uses parameter + update[r]: the layer runs once for each row.

    x, and hx, the first state of recurrent layers, are the layer's own inputs for the whole batch; so is the output.
    """
    over_time = isinstance(layer, nn.GRU | nn.LSTM)
    dim, state_dim = (0 if layer.batch_first else 1, 1) if over_time else (0, 0)  # of examples
    parameters = {
        name: total(parameter, updates, name).expand(rows.n_rows, *parameter.shape).unbind(0)
        for name, parameter in layer.named_parameters()
    }
    outputs = []
    for row, examples in enumerate(rows.examples):
        if len(examples):
            state = () if hx is None else (_take(hx, examples, state_dim),)
            of_row = {name: tensors[row] for name, tensors in parameters.items()}
            outputs.append(functional_call(layer, of_row, (_take(x, examples, dim), *state)))
    order = torch.cat(rows.examples).argsort()
    if not over_time:
        return _join(outputs, order, dim)
    steps, states = zip(*outputs, strict=True)
    return _join(steps, order, dim), _join(states, order, state_dim)


def _take(tensors: Any, examples: Tensor, dim: int) -> Any:
    """Some examples of a tensor, or of each tensor of a tuple."""
    if isinstance(tensors, Tensor):
        return tensors.index_select(dim, examples)
    return tuple(_take(tensor, examples, dim) for tensor in tensors)


def _join(outputs: Sequence[Any], order: Tensor, dim: int) -> Any:
    """Tensors of several rows, or tuples of them, as one with the examples in `order`."""
    if isinstance(outputs[0], Tensor):
        return torch.cat(list(outputs), dim).index_select(dim, order)
    return tuple(_join(tensors, order, dim) for tensors in zip(*outputs, strict=True))
