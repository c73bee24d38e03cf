"""The kinds of layer that carry skills which change weights."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.fast import rowwise as fast
from polyray.modules.mix import Rows
from polyray.modules.rowwise import Updates, row_by_row

LAYERS: dict[type[nn.Module], Callable[..., Any]] = {
    nn.Linear: fast.linear,
    nn.Embedding: fast.embedding,
    nn.Conv2d: fast.conv2d,
    nn.GRUCell: fast.gru_cell,
    nn.LSTMCell: fast.lstm_cell,
    nn.GRU: row_by_row,  # torch's own loop over time for each row is faster than one of ours over all rows
    nn.LSTM: row_by_row,
}
"""Kind of layer -> its output where row r uses parameter + update[r]; `row_by_row` would do for each."""


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

    Raises:
        InputError: no skill can sit on this kind of layer, or its input is no tensor.
    """
    if not isinstance(inputs[0], Tensor):
        raise InputError(
            f"A {type(layer).__name__} that carries skills takes tensors, found {type(inputs[0]).__name__}."
        )
    batch = inputs[0].shape[1 if isinstance(layer, nn.GRU | nn.LSTM) and not layer.batch_first else 0]
    return _runner(layer)(layer, updates, rows.widen(batch), *inputs, **named)


def _runner(layer: nn.Module) -> Callable[..., Any]:
    for kind in type(layer).__mro__:
        if kind in LAYERS:
            return LAYERS[kind]
    names = ", ".join(kind.__name__ for kind in LAYERS)
    raise InputError(f"No skill can sit on a {type(layer).__name__}. Layers that carry skills: {names}.")
