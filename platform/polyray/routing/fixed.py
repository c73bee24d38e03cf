"""Allocations that nobody learns: shared, private, expert."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from polyray.config import NoOptions, Section
from polyray.errors import InputError
from polyray.modules.layout import Layout
from polyray.modules.mix import Mix, Rows
from polyray.routing.learned import Noise
from polyray.routing.names import TaskNames, distinct
from polyray.routing.router import Allocation, NewRow


class FixedRouter(nn.Module):
    """A given table of tasks x skills, each row normalised (Ponti et al. 2023, section 2.4).

    table [tasks, skills], non-negative, no row all zero; not trained, saved with the router.
    """

    Options: ClassVar[type[Section]] = NoOptions
    speed: ClassVar[Literal["routing", "skills"]] = "routing"
    by_task: ClassVar[bool] = True
    trains_rows: ClassVar[bool] = False
    starts_afresh: ClassVar[bool] = False
    has_rows: ClassVar[bool] = True
    module_kinds: ClassVar[tuple[str, ...]] = ()
    table: Tensor

    def __init__(self, tasks: Sequence[str], table: Tensor) -> None:
        super().__init__()
        self.tasks = TaskNames(tasks)
        if table.dim() != 2 or len(table) != len(self.tasks) or bool((table < 0).any()):
            raise InputError(f"An allocation of {len(tasks)} tasks is [tasks, skills] >= 0, found {list(table.shape)}.")
        empty = [task for task, row in zip(tasks, table, strict=True) if not row.any()]
        if empty:
            raise InputError(f"Task {empty[0]!r} uses no skill: give it at least one.")
        self.register_buffer("table", table.float())

    @classmethod
    def from_state(cls, tasks: Sequence[str], layout: Layout, options: Any, state: Mapping[str, Tensor]) -> Self:
        """The router with this table, to which rows and skills may have been added."""
        router = cls.__new__(cls)
        FixedRouter.__init__(router, tasks, state["table"])
        return router

    @property
    def n_skills(self) -> int:
        """Columns of the table."""
        return self.table.shape[1]

    def forward(self, tasks: Sequence[str] | Tensor, generator: torch.Generator | None = None) -> Mix:
        """The mix of a batch of tasks [batch], given by name or row; nothing is drawn.

        Raises:
            InputError: a task is unknown.
        """
        return self.mix(self.tasks.rows(tasks))

    def mix(self, rows: Sequence[int], noise: Noise | None = None) -> Mix:
        """The mix of a batch of tasks, given by rows of the table; nothing is drawn."""
        row_tasks, row_of_example = distinct(rows)
        device = self.table.device
        weights = self.table.index_select(0, torch.tensor(row_tasks, device=device))
        return Mix((weights / weights.sum(-1, keepdim=True))[None, None], Rows(row_of_example, len(row_tasks), device))

    def allocation(self) -> Allocation:
        """One table for all sites, 1 where a task uses a skill."""
        return Allocation(probabilities=(self.table > 0).float()[None], tables=("all sites",), tasks=self.tasks.names)

    def same_mixture(self) -> list[int]:
        """Tasks with equal rows have the same mixture."""
        rows = [tuple(row) for row in self.table.tolist()]
        return [rows.index(row) for row in rows]

    def log_prior(self) -> None:
        """None: nothing is learned."""

    def log_prior_apart(self) -> None:
        """None: nothing is learned."""

    def for_task(self, name: str, relatives: Sequence[str], generator: torch.Generator, *, keep: bool) -> "FixedRouter":
        """The new task uses the skills of its relatives, or all skills where it has none."""
        rows = self.table[self.tasks.rows(relatives)]
        row = rows.amax(0, keepdim=True) if len(rows) else torch.ones_like(self.table[:1])
        return FixedRouter([name], row)

    def join(self, routers: Sequence["FixedRouter"], names: Sequence[str]) -> "FixedRouter":
        """One router with the only row of each of `routers`, for tasks called `names`."""
        return FixedRouter(names, torch.cat([router.table for router in routers]))

    def add_task(self, name: str, generator: torch.Generator, row: NewRow) -> None:
        """A row for a new task: of `row.skills`, or where these are empty of `usual_skills`.

        Raises:
            InputError: the name is taken, or nothing says which skills the task uses.
        """
        skills = row.skills or self.usual_skills(name)
        wider = nn.functional.pad(self.table, (0, max(0, 1 + max(skills) - self.n_skills)))
        new = torch.zeros_like(wider[:1])
        new[0, list(skills)] = 1
        self.tasks = self.tasks.with_new(name)
        self.table = torch.cat([wider, new])

    def usual_skills(self, name: str) -> tuple[int, ...]:
        """The skills of a new task of which nothing else is said.

        Raises:
            InputError: there are several skills to choose from.
        """
        if self.n_skills == 1:
            return (0,)
        raise InputError(f"A fixed allocation needs the row of skills that the new task {name!r} uses.")


class SharedRouter(FixedRouter):
    """One skill for all tasks."""

    def __init__(self, tasks: Sequence[str], layout: Layout, options: Any, generator: torch.Generator) -> None:
        super().__init__(tasks, torch.ones(len(tasks), 1))


class PrivateRouter(FixedRouter):
    """One skill for each task."""

    starts_afresh: ClassVar[bool] = True

    def __init__(self, tasks: Sequence[str], layout: Layout, options: Any, generator: torch.Generator) -> None:
        super().__init__(tasks, torch.eye(len(tasks)))

    def for_task(self, name: str, relatives: Sequence[str], generator: torch.Generator, *, keep: bool) -> FixedRouter:
        """The new task has one skill, its own."""
        return FixedRouter([name], torch.ones(1, 1))

    def usual_skills(self, name: str) -> tuple[int, ...]:
        """A new skill."""
        return (self.n_skills,)


class ExpertOptions(Section):
    """The choices of a given allocation."""

    allocation: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """The skills of each task, from 0. Empty: what experts say of the tasks (one skill for each first word of a task's
    category; for the levels of the paper its Table 2)."""


class ExpertRouter(FixedRouter):
    """The skills that `routing.allocation` names for each task."""

    Options: ClassVar[type[Section]] = ExpertOptions

    def __init__(self, tasks: Sequence[str], layout: Layout, options: Any, generator: torch.Generator) -> None:
        super().__init__(tasks, expert_table(tasks, options.allocation))


def expert_table(tasks: Sequence[str], allocation: Mapping[str, Sequence[int]]) -> Tensor:
    """[tasks, skills], 1 where `allocation` gives a task a skill; as many skills as its largest number asks for.

    Raises:
        InputError: a task has no entry, or an entry names no skill or a negative one.
    """
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
