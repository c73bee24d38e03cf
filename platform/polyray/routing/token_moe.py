"""Routing of tokens instead of tasks: the paper's comparison with sparse mixtures of experts."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from polyray.config import Section
from polyray.errors import InputError
from polyray.modules.layout import Layout
from polyray.modules.mix import TokenMix
from polyray.routing.names import TaskNames
from polyray.routing.options import SkillCount, TopOptions
from polyray.routing.router import NewRow


class TokenMoeOptions(SkillCount, TopOptions):
    """The choices of a mixture of experts."""


class TokenMoE(nn.Module):
    """A gate at every site sends each token to its `top` skills (Shazeer et al. 2017; Fedus et al. 2022).

    gates [width, skills] for each site, U(-1e-3, 1e-3). Tasks share everything; their names are kept for reports.
    """

    Options: ClassVar[type[Section]] = TokenMoeOptions
    speed: ClassVar[Literal["routing", "skills"]] = "skills"
    by_task: ClassVar[bool] = False
    trains_rows: ClassVar[bool] = True
    starts_afresh: ClassVar[bool] = False
    has_rows: ClassVar[bool] = False
    module_kinds: ClassVar[tuple[str, ...]] = ()

    def __init__(self, tasks: Sequence[str], layout: Layout, options: Any, generator: torch.Generator) -> None:
        super().__init__()
        if options.top > options.n_skills:
            raise InputError(
                f"routing.top is {options.top}; it must lie in 1 to {options.n_skills} (routing.n_skills)."
            )
        if not all(layout.widths):
            site = layout.sites[layout.widths.index(0)]
            raise InputError(f"routing.kind=token_moe needs linear layers; site {site!r} is not.")
        self.tasks, self.layout = TaskNames(tasks), layout
        self.options: TokenMoeOptions = options
        self.gates = nn.ParameterList(
            torch.empty(width, options.n_skills).uniform_(-1e-3, 1e-3, generator=generator) for width in layout.widths
        )

    @classmethod
    def from_state(cls, tasks: Sequence[str], layout: Layout, options: Any, state: Mapping[str, Tensor]) -> Self:
        """The router with these gates."""
        router = cls(tasks, layout, options, torch.Generator().manual_seed(0))
        router.load_state_dict(state)
        return router

    @property
    def n_skills(self) -> int:
        """Experts at every site."""
        return self.options.n_skills

    def forward(self, tasks: Sequence[str] | Tensor, generator: torch.Generator | None = None) -> TokenMix:
        """The gates of every site; `tasks` are checked, and otherwise do not matter.

        Raises:
            InputError: a task is unknown.
        """
        self.tasks.rows(tasks)
        return TokenMix(dict(zip(self.layout.sites, self.gates, strict=True)), self.options.top)

    def allocation(self) -> None:
        """None: tasks have no rows."""

    def same_mixture(self) -> list[int]:
        """All tasks share the gates."""
        return [0] * len(self.tasks)

    def log_prior(self) -> None:
        """None: there is no allocation."""

    def for_task(self, name: str, relatives: Sequence[str], generator: torch.Generator, *, keep: bool) -> Self:
        """The same gates, or newly drawn ones."""
        new = type(self)([name], self.layout, self.options, generator)
        if keep:
            new.load_state_dict(self.state_dict())
        return new

    def add_task(self, name: str, generator: torch.Generator, row: NewRow) -> None:
        """Let `name` be a known task.

        Raises:
            InputError: the name is taken.
        """
        self.tasks = self.tasks.with_new(name)
