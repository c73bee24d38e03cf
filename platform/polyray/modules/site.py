"""A layer of the backbone that carries skills, and the block of code in which a mix is in force."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

from torch import Tensor, nn

from polyray.errors import RunError
from polyray.modules.mix import Mix, Rows, TokenMix
from polyray.modules.stack import Mixed, Stack, TokenStack


class Slot:
    """The mix in force for the sites of one inventory; empty outside `mixing`."""

    def __init__(self) -> None:
        self.opened = False
        self.bare = False
        self.rows: Rows | None = None
        self.tokens: TokenMix | None = None
        self.mixed: dict[str, Mixed] = {}

    def clear(self) -> None:
        """Forget the mix."""
        self.rows, self.tokens, self.mixed = None, None, {}


class Site(nn.Module):
    """A layer of the backbone into which the modules in force are composed; it stands where `layer` stood."""

    def __init__(self, layer: nn.Module, name: str, slot: Slot, stack: tuple[Stack, int]) -> None:
        super().__init__()
        self.layer = layer
        self.name = name
        self._slot = slot
        self._stack = stack  # in a tuple: the inventory owns the stack's parameters, the backbone must not

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:  # `linear.weight.dtype`, `linear.in_features`: backbones ask their layers
            return getattr(super().__getattr__("layer"), name)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The layer's output under the mix in force.

        Raises:
            RunError: no mix is in force.
        """
        slot = self._slot
        stack, index = self._stack
        if slot.bare:
            return self.layer(*inputs, **named)
        if slot.rows is not None:
            return stack.run(self.layer, slot.mixed[self.name], slot.rows, inputs, named)
        if slot.tokens is not None:
            weights = slot.tokens.weights(self.name, inputs[0])
            return cast(TokenStack, stack).run_tokens(self.layer, index, weights, inputs[0])  # set_mix has checked it
        raise RunError(
            f"No mix is in force at site {self.name!r}. Call the backbone inside `with mixing(inventory, mix):`; "
            "with activation checkpointing, backward() belongs inside it too."
        )


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
        RunError: a mix of this inventory is in force already.
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
