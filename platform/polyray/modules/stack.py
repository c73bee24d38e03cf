"""The interface of a kind of module: all skills' modules for alike layers, stacked."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor, nn

from polyray.config import Section
from polyray.errors import InputError
from polyray.modules.changes import Change
from polyray.modules.mix import Rows

Entry = TypeVar("Entry")
Mixed = Any  # one site's entry of a stack's `prepare`, which its `run` takes


class StackOptions(Section):
    """The choices of a kind of module."""

    @property
    def n_heads(self) -> int:
        """Heads of multi-head routing."""
        return 1


class Stack(Protocol):
    """Modules of one kind for alike layers and all skills; an entry of MODULES says as attributes what it can do.

    An entry is an `nn.Module` whose parameters and buffers all have the shape [sites, heads, skills, ...]: a skill's
    file holds their slices [heads, ...] by their names.

    Attributes:
        Options: the fields that the kind reads.
        blends: whether a mix is one module again, the weighted sum of the tensors.
        joins: whether what `prepare` gives for a site is a tensor [rows, ...], or a dict or tuple of such: then several
            inventories can act in one batch (modules/blocks.py).
        by_token: whether tokens of one example may have mixes of their own: then it is a `TokenStack`.
        changes_weights: whether the modules change a layer's parameters, not its outputs: then it is a `WeightStack`.
        reads_weights: whether a linear layer computes with the changed weight itself: not where it is quantised.
        stacks: whether a layer may carry modules of several inventories, of this kind and others.
        inverts: whether it changes the embeddings in a way that is undone before tokens are predicted: then it is an
            `InvertibleStack`.
    """

    Options: ClassVar[type[StackOptions]]
    blends: ClassVar[bool]
    joins: ClassVar[bool]
    by_token: ClassVar[bool]
    changes_weights: ClassVar[bool]
    reads_weights: ClassVar[bool]
    stacks: ClassVar[bool]
    inverts: ClassVar[bool]

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: Any, generator: torch.Generator
    ) -> None: ...

    def prepare(self, weights: Tensor) -> Sequence[Mixed]:
        """For each site the modules mixed with weights [sites, heads, rows, skills], once for all calls of `run`."""

    def run(self, layer: nn.Module, mixed: Mixed, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of `layer` with `mixed` composed into it."""


class TokenStack(Stack, Protocol):
    """Modules of a kind that acts token by token."""

    def run_tokens(self, layer: nn.Module, site: int, weights: Tensor, x: Tensor) -> Tensor:
        """The output of `layer` with weights [*batch, skills] for every token of x [*batch, width]."""


class InvertibleStack(Stack, Protocol):
    """Modules of a kind that changes embeddings invertibly."""

    def invert(self, mixed: Mixed, rows: Rows, states: Tensor) -> Tensor:
        """The inverse of what `run` does behind embeddings, on states [n, width]; rows: of the n states."""


class WeightStack(Stack, Protocol):
    """Modules of a kind that changes parameters."""

    def updates(self, layer: nn.Module, mixed: Mixed) -> Mapping[str, Tensor]:
        """The changes of the parameters of `layer`, name -> [rows, *shape], that `prepare` gave as `mixed`."""

    def row_changes(self, layers: Sequence[nn.Module], weights: Tensor) -> list[dict[str, Tensor]]:
        """For each site and parameter name the change [rows, *shape] under weights [sites, heads, rows, skills]."""

    @staticmethod
    def parameter_changes(layer: nn.Module, options: Any, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
        """The changes of the parameters of `layer` that one skill's tensors [heads, ...] there amount to."""


def by_site(entries: Mapping[str, Iterable[Entry]]) -> list[dict[str, Entry]]:
    """Entries by name and site, turned to entries by site and name."""
    return [dict(zip(entries, of_site, strict=True)) for of_site in zip(*entries.values(), strict=True)]


def no_changes(kind: str) -> InputError:
    """The error of a kind whose modules change outputs."""
    return InputError(f"{kind} modules change a layer's outputs, not its weights.")
