"""Allocations that nobody learns: shared, private, expert."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.layout import Layout
from polyray.modules.mix import Mix, Rows
from polyray.routing.names import TaskNames, distinct
from polyray.routing.options import RoutingOptions


class FixedRouter(nn.Module):
    """A given table of tasks x skills, each row normalised (Ponti et al. 2023, section 2.4).

    table [tasks, skills], non-negative, no row all zero; not trained, saved with the router. is_private: every task has
    a skill of its own by intention, so that a new task brings a new one.
    """

    table: Tensor

    def __init__(self, tasks: Sequence[str], table: Tensor, is_private: bool = False) -> None:
        super().__init__()
        self.tasks, self.is_private = TaskNames(tasks), is_private
        if table.dim() != 2 or len(table) != len(self.tasks) or bool((table < 0).any()):
            raise InputError(f"An allocation of {len(tasks)} tasks is [tasks, skills] >= 0, found {list(table.shape)}.")
        empty = [task for task, row in zip(tasks, table, strict=True) if not row.any()]
        if empty:
            raise InputError(f"Task {empty[0]!r} uses no skill: give it at least one.")
        self.register_buffer("table", table.float())

    @property
    def n_skills(self) -> int:
        """Columns of the table."""
        return self.table.shape[1]

    def forward(self, tasks: Sequence[str] | Tensor, generator: torch.Generator | None = None) -> Mix:
        """The mix of a batch of tasks [batch], given by name or row; nothing is drawn.

        Raises:
            InputError: a task is unknown.
        """
        kept, places = distinct(self.tasks.rows(tasks))
        device = self.table.device
        rows = self.table.index_select(0, torch.tensor(kept, device=device))
        return Mix((rows / rows.sum(-1, keepdim=True))[None, None], Rows(places, len(kept), device))

    def probabilities(self) -> Tensor:
        """[1, tasks, skills], 1 where a task uses a skill."""
        return (self.table > 0).float()[None]

    def add_task(self, name: str, row: Tensor) -> None:
        """A row [skills or more] for a new task; a wider row brings skills that no old task uses.

        Raises:
            InputError: the name is taken, or the row is narrower than the table or all zero.
        """
        if row.dim() != 1 or len(row) < self.n_skills or not row.any() or bool((row < 0).any()):
            raise InputError(f"The row of task {name!r} has at least {self.n_skills} entries >= 0, not all zero.")
        wider = nn.functional.pad(self.table, (0, len(row) - self.n_skills))
        self.tasks = self.tasks.with_new(name)
        self.table = torch.cat([wider, row[None].to(wider)])


def shared(tasks: Sequence[str], layout: Layout, options: RoutingOptions, generator: torch.Generator) -> FixedRouter:
    """One skill for all tasks."""
    return FixedRouter(tasks, torch.ones(len(tasks), 1))


def private(tasks: Sequence[str], layout: Layout, options: RoutingOptions, generator: torch.Generator) -> FixedRouter:
    """One skill for each task."""
    return FixedRouter(tasks, torch.eye(len(tasks)), is_private=True)


def expert(tasks: Sequence[str], layout: Layout, options: RoutingOptions, generator: torch.Generator) -> FixedRouter:
    """The skills that `options.allocation` names for each task.

    Raises:
        InputError: a task has no entry there, or an entry names no skill or a negative one.
    """
    return FixedRouter(tasks, expert_table(tasks, options.allocation))


def expert_table(tasks: Sequence[str], allocation: Mapping[str, Sequence[int]]) -> Tensor:
    """[tasks, skills], 1 where `allocation` gives a task a skill; as many skills as its largest number asks for."""
    missing = [task for task in tasks if not allocation.get(task)]
    if missing:
        raise InputError(f"routing.allocation names no skill for task {missing[0]!r} ({len(missing)} tasks lack one).")
    lowest = min(min(skills) for skills in allocation.values() if skills)
    if lowest < 0:
        raise InputError(f"routing.allocation numbers skills from 0, found {lowest}.")
    table = torch.zeros(len(tasks), 1 + max(max(skills) for skills in allocation.values() if skills))
    for row, task in enumerate(tasks):
        table[row, list(allocation[task])] = 1
    return table
