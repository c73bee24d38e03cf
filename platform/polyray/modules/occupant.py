"""The modules of one inventory at one layer, and the composition of those of several inventories in their order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from polyray.errors import InputError, RunError
from polyray.modules.adapters import Adapters
from polyray.modules.layers import is_quantised, run_layer
from polyray.modules.mix import Rows, TokenMix
from polyray.modules.stack import Mixed, Stack, TokenStack, WeightStack


class Slot:
    """The mix in force for the sites of one inventory; empty outside `mixing`."""

    def __init__(self) -> None:
        self.opened = False
        self.bare = False
        self.constant = False
        self.rows: Rows | None = None
        self.tokens: TokenMix | None = None
        self.mixed: dict[str, Mixed] = {}

    def clear(self) -> None:
        """Forget the mix."""
        self.rows, self.tokens, self.mixed = None, None, {}

    def follow(self, device: torch.device) -> None:
        """Bring a mix that is kept in force to the device of the backbone's inputs, if it is not there."""
        if self.rows is not None and self.rows.device != device:
            self.rows = Rows(self.rows.row_of_example, self.rows.n_rows, device)
            self.mixed = {name: moved(mixed, device) for name, mixed in self.mixed.items()}


@dataclass(frozen=True, eq=False)
class Occupant:
    """The modules of one inventory at the layer called `name`: those of site `index` in a stack of theirs."""

    name: str
    slot: Slot
    stack: Stack
    index: int

    def run(self, layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of `layer` with these modules under the mix in force.

        Raises:
            RunError: no mix is in force.
        """
        if self.slot.tokens is not None:
            weights = self.slot.tokens.weights(self.name, inputs[0])
            return cast(TokenStack, self.stack).run_tokens(layer, self.index, weights, inputs[0])  # set_mix checked it
        if self.slot.constant:
            self.slot.follow(next(x.device for x in (*inputs, *named.values()) if isinstance(x, Tensor)))
        rows = self.rows()
        return self.stack.run(layer, self.slot.mixed[self.name], rows, inputs, named)

    def rows(self) -> Rows:
        """The rows of the mix in force.

        Raises:
            RunError: no mix is in force.
        """
        if self.slot.rows is None:
            raise RunError(
                f"No mix is in force at site {self.name!r}. Call the backbone inside `with mixing(inventory, mix):`; "
                "with activation checkpointing, backward() belongs inside it too."
            )
        return self.slot.rows

    def updates(self, layer: nn.Module, batch: int) -> tuple[Mapping[str, Tensor], Rows]:
        """The changes of the layer's parameters for each row of the mix in force, and the rows of `batch` inputs.

        Raises:
            RunError: no mix is in force.
            InputError: the mix is one of tokens.
        """
        if self.slot.tokens is not None:
            raise InputError("Modules that are mixed token by token cannot be stacked with others that change weights.")
        rows = self.rows().widen(batch)
        return cast(WeightStack, self.stack).updates(layer, self.slot.mixed[self.name]), rows


def moved(mixed: Mixed, device: torch.device) -> Mixed:
    """A site's mixed modules on a device."""
    if isinstance(mixed, Tensor):
        return mixed.to(device)
    if isinstance(mixed, dict):
        return {name: moved(tensor, device) for name, tensor in mixed.items()}
    entries = [moved(entry, device) for entry in mixed]
    return type(mixed)(*entries) if isinstance(mixed, Adapters) else tuple(entries)


def composed(layer: nn.Module, occupants: Sequence[Occupant], inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """The output of `layer` with the modules of several inventories.

    Changes of its weights are added up, in the layer; the other modules act on its output, one after the other.

    Raises:
        RunError: no mix of one of them is in force.
        InputError: the layer is quantised and two of them change its weights.
    """
    of_weights = [occupant for occupant in occupants if occupant.stack.changes_weights]
    if len(of_weights) == 1:
        output = of_weights[0].run(layer, inputs, named)
    elif of_weights:
        output = _with_summed_updates(layer, of_weights, inputs, named)
    else:
        output = layer(*inputs, **named)
    for occupant in occupants:
        if not occupant.stack.changes_weights:
            output = occupant.run(_constant(output), inputs, named)
    return output


def _with_summed_updates(
    layer: nn.Module, occupants: Sequence[Occupant], inputs: tuple[Any, ...], named: dict[str, Any]
) -> Any:
    """The output of `layer` with the sum of changes of its weights; a row for each combination of the mixes' rows."""
    if is_quantised(layer):
        raise InputError("Two skills change the weights of a quantised layer: load the backbone in fp32 or bf16.")
    over_time = isinstance(layer, nn.GRU | nn.LSTM) and not layer.batch_first
    changes = [occupant.updates(layer, inputs[0].shape[1 if over_time else 0]) for occupant in occupants]
    of_examples = list(zip(*(rows.row_of_example for _, rows in changes), strict=True))
    combinations = list(dict.fromkeys(of_examples))
    rows = Rows([combinations.index(rows) for rows in of_examples], len(combinations), inputs[0].device)
    total: dict[str, Tensor] = {}
    for number, (updates, _) in enumerate(changes):
        for name, update in updates.items():
            of_rows = update[[combination[number] for combination in combinations]]
            total[name] = total[name] + of_rows.view_as(total[name]) if name in total else of_rows
    return run_layer(layer, total, rows, inputs, named)


def _constant(output: Any) -> nn.Module:
    """Stand-in for a layer whose output is known."""
    return cast(nn.Module, lambda *inputs, **named: output)
