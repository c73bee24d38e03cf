"""A layer of the backbone that carries skills, and the block of code in which a mix is in force."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from polyray.config import Section
from polyray.errors import InputError, RunError
from polyray.modules.changes import Change
from polyray.modules.mix import Mix, Rows, TokenMix

Mixed = Any  # one site's share of a stack's `prepare`, which its `run` takes


class StackOptions(Section):
    """The choices of a kind of module."""

    @property
    def n_heads(self) -> int:
        """Heads of multi-head routing."""
        return 1


class Stack(Protocol):
    """Modules of one kind for alike sites and all skills; an entry of MODULES says as attributes what it can do.

    Attributes:
        Options: the fields that the kind reads.
        blends: whether a mix is one module again, the weighted sum of the tensors.
        by_token: whether tokens of one example may have mixes of their own (`run_tokens`).
        changes_weights: whether the modules change a layer's parameters (`changes`), not its outputs.
    """

    Options: ClassVar[type[StackOptions]]
    blends: ClassVar[bool]
    by_token: ClassVar[bool]
    changes_weights: ClassVar[bool]

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: Any, generator: torch.Generator
    ) -> None: ...

    @staticmethod
    def share(layers: Sequence[nn.Module], prepared: Sequence[Mixed]) -> Sequence[Mixed]:
        """The entries of `prepare` for sites that read one input, linked where it pays to run them together."""

    def parts(self, site: int) -> dict[str, Tensor]:
        """The parameters and buffers of one site, each [heads, skills, ...]; writing into them changes the module."""

    def prepare(self, weights: Tensor) -> list[Mixed]:
        """One entry per site for the rows of a mix: weights [sites, heads, rows, skills]."""

    def changes(self, layers: Sequence[nn.Module], weights: Tensor) -> list[dict[str, Tensor]]:
        """For each site and parameter name the change [rows, *shape] under weights [sites, heads, rows, skills].

        Raises:
            InputError: modules of this kind change outputs, not parameters.
        """

    @staticmethod
    def parameter_changes(layer: nn.Module, options: Any, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
        """The changes of the parameters of `layer` that one skill's tensors there, as in `parts`, amount to.

        Raises:
            InputError: modules of this kind change outputs, not parameters.
        """

    def additions(self) -> dict[str, Tensor] | None:
        """The change that each skill adds to each parameter, flattened: name -> [sites, skills, numel].

        None where a mix changes parameters otherwise than by a weighted sum of such changes.
        """

    def run(self, layer: nn.Module, mixed: Mixed, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of `layer` with `mixed` composed into it."""

    def run_tokens(self, layer: nn.Module, site: int, weights: Tensor, x: Tensor) -> Tensor:
        """The same with weights [*batch, skills] for every token of x [*batch, width]."""


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
    """Stands where `layer` stood and composes the module in force into it."""

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
            return stack.run_tokens(self.layer, index, slot.tokens.weights(self.name, inputs[0]), inputs[0])
        raise RunError(
            f"No mix is in force at site {self.name!r}. Call the backbone inside `with mixing(inventory, mix):`; "
            "with activation checkpointing, backward() belongs inside it too."
        )


class Mixable(Protocol):
    """What `mixing` needs of an inventory."""

    slot: Slot

    def set_mix(self, mix: Mix | TokenMix | Tensor) -> None:
        """Fill the slot."""


@contextmanager
def mixing(inventory: Mixable, mix: Mix | TokenMix | Tensor | None = None) -> Iterator[Slot]:
    """Within the block the sites of `inventory` use `mix`: forward, loss and backward belong inside.

    mix: a router's output, or a tensor [batch, skills]; None leaves it to `inventory.put_in_force` inside the block
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


def no_changes(kind: str) -> InputError:
    """The error of a kind whose modules change outputs."""
    return InputError(f"{kind} modules change a layer's outputs, not its weights.")


def slices(stack: nn.Module, site: int) -> dict[str, Tensor]:
    """`parts` of a stack whose parameters and buffers are laid out [sites, heads, skills, ...]."""
    return {name: tensor[site] for name, tensor in stack.state_dict().items()}


def find(backbone: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The parent of the submodule `name` and its name there."""
    parent, _, last = name.rpartition(".")
    return backbone.get_submodule(parent), last


def alike(layers: Sequence[nn.Module]) -> dict[tuple[Any, ...], list[int]]:
    """The places of layers that one stack can serve: same type, same parameter names and shapes."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, layer in enumerate(layers):
        shapes = tuple((name, tuple(p.shape)) for name, p in layer.named_parameters())
        groups.setdefault((type(layer), shapes), []).append(place)
    return groups
