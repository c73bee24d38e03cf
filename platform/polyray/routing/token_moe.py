"""Routing of tokens instead of tasks: the paper's comparison with sparse mixtures of experts."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.layout import Layout
from polyray.modules.mix import TokenMix
from polyray.routing.names import TaskNames
from polyray.routing.options import RoutingOptions


class TokenMoE(nn.Module):
    """A gate at every site sends each token to its `top` skills (Shazeer et al. 2017; Fedus et al. 2022).

    gates [width, skills] for each site, U(-1e-3, 1e-3). Tasks share everything; their names are kept for reports.
    """

    def __init__(
        self, tasks: Sequence[str], layout: Layout, options: RoutingOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        if not 1 <= options.top <= options.n_skills:
            raise InputError(
                f"routing.top is {options.top}; it must lie in 1 to {options.n_skills} (routing.n_skills)."
            )
        if not all(layout.widths):
            site = layout.sites[layout.widths.index(0)]
            raise InputError(f"routing.kind=token_moe needs linear layers; site {site!r} is not.")
        self.tasks, self.options, self.sites = TaskNames(tasks), options, layout.sites
        self.gates = nn.ParameterList(
            torch.empty(width, options.n_skills).uniform_(-1e-3, 1e-3, generator=generator) for width in layout.widths
        )

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
        return TokenMix(dict(zip(self.sites, self.gates, strict=True)), self.options.top)

    def add_task(self, name: str) -> None:
        """Let `name` be a known task.

        Raises:
            InputError: the name is taken.
        """
        self.tasks = self.tasks.with_new(name)
