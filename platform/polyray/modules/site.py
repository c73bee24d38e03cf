"""A layer of the backbone that carries skills, and the block of code in which a mix is in force."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from torch import Tensor, nn

from polyray.errors import RunError
from polyray.modules.mix import Mix, TokenMix
from polyray.modules.occupant import Occupant, Slot, composed


class Site(nn.Module):
    """A layer of the backbone into which the modules in force are composed; it stands where `layer` stood.

    occupants: the modules of each inventory at this layer, the lowest first.
    """

    def __init__(self, layer: nn.Module, name: str, occupants: tuple[Occupant, ...]) -> None:
        super().__init__()
        self.layer = layer
        self.name = name
        self.occupants = occupants  # in a tuple: inventories own the stacks' parameters, the backbone must not

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:  # `linear.weight.dtype`, `linear.in_features`: backbones ask their layers
            return getattr(super().__getattr__("layer"), name)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The layer's output under the mixes in force.

        Raises:
            RunError: no mix is in force.
        """
        occupants = [occupant for occupant in self.occupants if not occupant.slot.bare]
        if not occupants:
            return self.layer(*inputs, **named)
        if len(occupants) == 1:
            return occupants[0].run(self.layer, inputs, named)
        return composed(self.layer, occupants, inputs, named)


class Mixable(Protocol):
    """The interface of an inventory that `mixing` uses."""

    slot: Slot

    def set_mix(self, mix: Mix | TokenMix | Tensor) -> None:
        """Fill the slot."""


@contextmanager
def mixing(inventory: Mixable, mix: Mix | TokenMix | Tensor | None = None) -> Iterator[Slot]:
    """Within the block the sites of `inventory` use `mix`: forward, loss and backward belong inside.

    mix: a router's output, or a tensor [batch, skills]; None leaves it to `inventory.set_mix` inside the block
    (as a wrapped model's forward does under DDP).

    Raises:
        RunError: a mix of this inventory is in force already, in a block around this one or for good.
        InputError: the mix does not fit the inventory.
    """
    if inventory.slot.opened:
        raise RunError("A mix is in force already: blocks of `mixing` over one inventory cannot be nested.")
    inventory.slot.opened = True
    try:
        if mix is not None:
            inventory.set_mix(mix)
        yield inventory.slot
    finally:
        inventory.slot.clear()
        inventory.slot.opened = False


@contextmanager
def without_skills(inventory: Mixable) -> Iterator[None]:
    """Within the block the backbone runs as if no skills sat on it.

    Raises:
        RunError: a mix of this inventory is in force.
    """
    if inventory.slot.opened:
        raise RunError("A mix is in force: skills cannot be left out inside `mixing`.")
    inventory.slot.bare = True
    try:
        yield
    finally:
        inventory.slot.bare = False
