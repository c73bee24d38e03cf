"""A learned table of logits: one row per task, at every site or for the whole backbone."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from polyray.config import Section
from polyray.modules.layout import Layout
from polyray.modules.mix import Mix, Rows
from polyray.routing.names import TaskNames, distinct
from polyray.routing.options import LearnedOptions
from polyray.routing.prior import ibp_log_prior
from polyray.routing.router import Allocation, NewRow

Noise = Callable[[Tensor], Tensor]


class LearnedRouter(nn.Module, ABC):
    """Rows of logits, drawn from U(-1e-3, 1e-3), that `weigh` turns into weights over skills.

    logits [sites or 1, heads, tasks, skills]. Each learned router is this class with a `weigh` of its own.
    """

    Options: ClassVar[type[Section]] = LearnedOptions
    speed: ClassVar[Literal["routing", "skills"]] = "routing"
    by_task: ClassVar[bool] = True
    trains_rows: ClassVar[bool] = True
    starts_afresh: ClassVar[bool] = False
    has_rows: ClassVar[bool] = True
    module_kinds: ClassVar[tuple[str, ...]] = ()

    def __init__(self, tasks: Sequence[str], layout: Layout, options: Any, generator: torch.Generator) -> None:
        super().__init__()
        self.tasks, self.layout = TaskNames(tasks), layout
        self.options: LearnedOptions = options
        n_tables = len(layout.sites) if options.granularity == "site" else 1
        self.logits = nn.Parameter(symmetric((n_tables, layout.n_heads, len(tasks), options.n_skills), generator))

    @abstractmethod
    def weigh(self, logits: Tensor, noise: Noise | None) -> Tensor:
        """Weights over skills: logits [..., skills] -> [..., skills] with sum 1, perturbed where there is noise."""

    @classmethod
    def from_state(cls, tasks: Sequence[str], layout: Layout, options: Any, state: Mapping[str, Tensor]) -> Self:
        """The router with these logits."""
        router = cls(tasks, layout, options, torch.Generator().manual_seed(0))
        router.load_state_dict(state)
        return router

    @property
    def n_skills(self) -> int:
        """Skills that a row shares its weight among."""
        return self.options.n_skills

    def forward(self, tasks: Sequence[str] | Tensor, generator: torch.Generator | None = None) -> Mix:
        """The mix of a batch of tasks [batch], given by name or row; noise, in training only, comes from `generator`.

        Raises:
            InputError: a task is unknown.
        """
        return self.mix(self.tasks.rows(tasks), lambda like: uniform(like, generator))

    def mix(self, rows: Sequence[int], noise: Noise) -> Mix:
        """The mix of a batch of tasks, given by rows of the table; `noise` is drawn in training only."""
        noisy = self.training and self.options.sample != "none"
        if noisy and self.options.sample == "example":
            row_tasks, row_of_example = rows, list(range(len(rows)))
        else:
            row_tasks, row_of_example = distinct(rows)
        device = self.logits.device
        logits = self.logits.index_select(2, torch.tensor(row_tasks, device=device))
        return Mix(self.weigh(logits, noise if noisy else None), Rows(row_of_example, len(row_tasks), device))

    def allocation(self) -> Allocation:
        """Sigmoids of the logits, one table for each site and head."""
        probabilities = self.logits.detach().sigmoid().flatten(0, 1)
        sites = self.layout.sites if self.options.granularity == "site" else ("all sites",)
        heads = self.layout.n_heads
        tables = tuple(f"{site} {head}" if heads > 1 else site for site in sites for head in range(heads))
        return Allocation(probabilities=probabilities, tables=tables, tasks=self.tasks.names)

    def same_mixture(self) -> list[int]:
        """Every task has a row of its own."""
        return list(range(len(self.tasks)))

    def log_prior(self) -> Tensor | None:
        """The Indian Buffet Process prior of the logits times `options.ibp`; None where that is 0."""
        return self._prior(self.logits) if self.options.ibp else None

    def log_prior_apart(self) -> Tensor | None:
        """The sum over tasks of the log prior that each would have alone; None where there is none."""
        only_tasks = self.logits.movedim(2, 0).unsqueeze(-2)  # [tasks, tables, heads, 1, skills]
        return len(self.tasks) * self._prior(only_tasks) if self.options.ibp else None

    def _prior(self, logits: Tensor) -> Tensor:
        """The prior of tables of logits [..., tasks, skills] times its coefficient, the mean over the tables."""
        options = self.options
        return options.ibp * ibp_log_prior(
            logits, alpha=options.ibp_alpha, columns=options.ibp_columns, centred=options.ibp_centred
        )

    def for_task(self, name: str, relatives: Sequence[str], generator: torch.Generator, *, keep: bool) -> Self:
        """A router with one fresh row (Ponti et al. 2023, section 4.2)."""
        return type(self)([name], self.layout, self.options, generator)

    def join(self, routers: Sequence[Self], names: Sequence[str]) -> Self:
        """One router with the only row of each of `routers`, for tasks called `names`."""
        logits = torch.cat([router.logits.detach() for router in routers], 2)
        return type(self).from_state(names, self.layout, self.options, {"logits": logits}).to(logits.device)

    def add_task(self, name: str, generator: torch.Generator, row: NewRow) -> None:
        """A row for a new task; the old rows keep every bit.

        Raises:
            InputError: the name is taken, or `row.like` is unknown.
        """
        old = self.logits.detach()
        names = self.tasks.with_new(name)
        if row.init == "copy":
            new = old[:, :, self.tasks.rows([row.like])]
        elif row.init == "mean":
            new = old.mean(2, keepdim=True)
        else:
            new = symmetric((*old.shape[:2], 1, old.shape[3]), generator).to(old)
        self.logits = nn.Parameter(torch.cat([old, new], 2))
        self.tasks = names


def symmetric(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Logits from U(-1e-3, 1e-3): no skill is preferred."""
    return torch.empty(shape).uniform_(-1e-3, 1e-3, generator=generator)


def uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """U(0, 1) of the shape of `like`, drawn on the generator's device so that a seed means the same everywhere."""
    tiny = torch.finfo(torch.float32).eps
    u = torch.rand(like.shape, generator=generator, device=generator.device if generator else like.device)
    return u.clamp_(tiny, 1 - tiny).to(like.device)
