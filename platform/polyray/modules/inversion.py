"""The inverse of what skills do to embeddings, before tokens are predicted with these."""

from typing import cast

from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.mix import Rows
from polyray.modules.occupant import Occupant
from polyray.modules.site import Site
from polyray.modules.stack import InvertibleStack


def inverted(network: nn.Module, states: Tensor, examples: Tensor, batch: int) -> Tensor:
    """States [n, width] through the inverses of the invertible modules on `network` that are in force, the last first.

    Args:
        examples: [n], for each state the index of its example in the batch.
        batch: number of examples.

    Raises:
        InputError: an invertible module is of another width than the states.
    """
    for site in [module for module in network.modules() if isinstance(module, Site)]:
        for occupant in reversed(site.occupants):
            if occupant.stack.inverts and not occupant.slot.bare:
                states = _undone(occupant, site.layer, states, examples, batch)
    return states


def _undone(occupant: Occupant, layer: nn.Module, states: Tensor, examples: Tensor, batch: int) -> Tensor:
    rows = occupant.rows().widen(batch)
    of_states = Rows([rows.row_of_example[example] for example in examples.tolist()], rows.n_rows, states.device)
    if isinstance(layer, nn.LayerNorm) and layer.normalized_shape[-1] != states.shape[-1]:
        raise InputError(
            f"The invertible adapter at {occupant.name!r} is {layer.normalized_shape[-1]} wide; tokens are predicted "
            f"from {states.shape[-1]} features here."
        )
    mixed = occupant.slot.mixed[occupant.name]
    return cast(InvertibleStack, occupant.stack).invert(mixed, of_states, states)
