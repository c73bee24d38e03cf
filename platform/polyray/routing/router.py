"""A router's interface, and the allocation that it may have."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

import torch
from torch import Tensor, nn

from polyray.config import Section
from polyray.modules.layout import Layout
from polyray.modules.mix import Mix, TokenMix
from polyray.routing.names import TaskNames


@dataclass(frozen=True, eq=False, kw_only=True)
class Allocation:
    """Table of tasks and skills: how strongly each task uses each skill.

    probabilities [tables, tasks, skills] in [0, 1], one table for each name in `tables`: a site, one of its heads, or
    the whole backbone.
    """

    probabilities: Tensor
    tables: tuple[str, ...]
    tasks: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class NewRow:
    """First values of the row of a new task; each router reads those fields that it has a use for.

    Attributes:
        init: of learned logits: fresh, the mean of the known rows, or a copy of the row of the task `like`.
        skills: for a given allocation, the skills that the task uses, from 0.
    """

    init: Literal["uniform", "mean", "copy"] = "uniform"
    like: str = ""
    skills: tuple[int, ...] = ()


class Router(Protocol):
    """From the tasks of a batch to the mix of skills; an entry of ROUTERS says as attributes what it can do.

    Attributes:
        Options: the fields that the router reads.
        speed: which of the two learning rates its parameters have.
        by_task: whether every task has one mix in a forward pass, as agents need; else tokens have mixes of their own.
        trains_rows: whether a task's row can be trained alone.
        starts_afresh: whether a new task begins with newly drawn skills, because no trained one belongs to it.
        has_rows: whether all its state is a table with a row for each task: then its class is a `RowRouter`.
        module_kinds: the kinds of module that it can mix; empty: all.
        tasks, n_skills: the rows and columns of its table.
    """

    Options: ClassVar[type[Section]]
    speed: ClassVar[Literal["routing", "skills"]]
    by_task: ClassVar[bool]
    trains_rows: ClassVar[bool]
    starts_afresh: ClassVar[bool]
    has_rows: ClassVar[bool]
    module_kinds: ClassVar[tuple[str, ...]]
    tasks: TaskNames

    def __init__(self, tasks: Sequence[str], layout: Layout, options: Any, generator: torch.Generator) -> None: ...

    @property
    def n_skills(self) -> int:
        """Skills that a mix weighs."""

    def __call__(self, tasks: Sequence[str] | Tensor, generator: torch.Generator | None = None) -> Mix | TokenMix:
        """The mix of a batch of tasks [batch], given by name or row; noise, in training only, comes from `generator`.

        Raises:
            InputError: a task is unknown.
        """

    @classmethod
    def from_state(cls, tasks: Sequence[str], layout: Layout, options: Any, state: Mapping[str, Tensor]) -> Self:
        """The router that `state_dict` was taken from; tasks may have been added to it."""

    def for_task(self, name: str, relatives: Sequence[str], generator: torch.Generator, *, keep: bool) -> "Router":
        """A router that knows only the new task `name`, for few-shot adaptation.

        Args:
            relatives: known tasks of the same category.
            keep: take over trained parameters that belong to no single task; else draw them anew.
        """

    def add_task(self, name: str, generator: torch.Generator, row: NewRow) -> None:
        """A row for a new task beside the known ones, which keep every bit; it may bring new skills.

        Raises:
            InputError: the name is taken, or `row` does not fit.
        """

    def allocation(self) -> Allocation | None:
        """The table of tasks and skills without noise; None where tasks have no rows."""

    def same_mixture(self) -> list[int]:
        """For every task the first task that always has the same mixture."""

    def log_prior(self) -> Tensor | None:
        """The log prior of the allocation times its coefficient, a scalar to add to the log likelihood, if any."""

    def train(self, mode: bool = True) -> Self:
        """Training mode, in which noise is drawn, or evaluation mode."""

    def eval(self) -> Self:
        """Evaluation mode."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """The trained tensors."""

    def state_dict(self) -> dict[str, Any]:
        """All tensors that `from_state` needs."""


def module_of(router: Router) -> nn.Module:
    """The router as the torch module that it is: parameters, state dict, device."""
    assert isinstance(router, nn.Module)
    return router
