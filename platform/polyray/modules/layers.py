"""The kinds of layer that carry skills which change weights."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.fast import rowwise as fast
from polyray.modules.mix import Rows
from polyray.modules.rowwise import Updates, row_by_row

CONV1D = "transformers.pytorch_utils.Conv1D"
"""GPT-2's linear layer, whose weight is [in, out]; by its name, for agents use no transformers, which loads slowly."""

FALCON = "transformers.models.falcon.modeling_falcon.FalconLinear"
"""A linear layer with a forward method of its own that computes what nn.Linear's does."""

QUANTISED = tuple(f"bitsandbytes.nn.modules.{name}" for name in ("Linear8bitLt", "Linear4bit"))
"""Linear layers whose weight is stored in a few bits; they compute what nn.Linear does with the rounded weight."""

LAYERS: dict[type[nn.Module] | str, Callable[..., Any]] = {
    nn.Linear: fast.linear,
    CONV1D: fast.conv1d,
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
    runner(layer)
    widths = linear_widths(layer)  # quantised weights are stored in another shape
    if widths is not None:
        return {"weight": (widths[1], widths[0])}
    if transposed(layer):
        width_in, width_out = layer.get_parameter("weight").shape
        return {"weight": (width_out, width_in)}
    return {name: (p.shape[0], p[0].numel()) for name, p in layer.named_parameters() if p.dim() > 1}


def linear_widths(layer: nn.Module) -> tuple[int, int] | None:
    """Features of the input and of the output of a linear layer; None where the layer is not linear."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    if _is_conv1d(layer):
        width_in, width_out = layer.get_parameter("weight").shape
        return width_in, width_out
    return None


def is_plain_linear(layer: nn.Module) -> bool:
    """Whether `layer` is linear and computes as its class does: subclasses may do something else with their weight."""
    kind = type(layer)
    inherits = issubclass(kind, nn.Linear) and kind.forward is nn.Linear.forward
    return inherits or _qualified_name(kind) in (CONV1D, FALCON, *QUANTISED)


def is_quantised(layer: nn.Module) -> bool:
    """Whether the weight of a linear layer is stored as integers, so that no change can be added to it."""
    return isinstance(layer, nn.Linear) and not layer.weight.is_floating_point()


def carries_skills(layer: nn.Module) -> bool:
    """Whether LAYERS has an entry for `layer`."""
    return any(key in LAYERS for kind in type(layer).__mro__ for key in (kind, _qualified_name(kind)))


def transposed(layer: nn.Module) -> bool:
    """Whether the weight of `layer` is stored as [in, out]."""
    return isinstance(layer, nn.Embedding) or _is_conv1d(layer)


def fan_in(layer: nn.Module, parameter: Tensor) -> int:
    """Inputs of each output of `parameter`, a weight of `layer`."""
    return len(parameter) if _is_conv1d(layer) else parameter[0].numel()


def _is_conv1d(layer: nn.Module) -> bool:
    return CONV1D in map(_qualified_name, type(layer).__mro__)


def _qualified_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


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
    return runner(layer)(layer, updates, rows.widen(batch), *inputs, **named)


def runner(layer: nn.Module) -> Callable[..., Any]:
    """The entry of LAYERS for `layer`.

    Raises:
        InputError: no skill can sit on this kind of layer.
    """
    for kind in type(layer).__mro__:
        for key in (kind, _qualified_name(kind)):
            if key in LAYERS:
                return LAYERS[key]
    names = ", ".join(kind.rpartition(".")[2] if isinstance(kind, str) else kind.__name__ for kind in LAYERS)
    raise InputError(f"No skill can sit on a {type(layer).__name__}. Layers that carry skills: {names}.")
