"""A learned table of logits: one row per task, at every site or for the whole backbone."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.layout import Layout
from polyray.modules.mix import Mix, Rows
from polyray.routing.names import TaskNames, distinct
from polyray.routing.options import RoutingOptions

Noise = Callable[[Tensor], Tensor]
Weigh = Callable[[Tensor, Noise | None, RoutingOptions], Tensor]


class LearnedRouter(nn.Module):
    """Rows of logits, drawn from U(-1e-3, 1e-3), that `weigh` turns into weights over skills.

    logits [sites or 1, heads, tasks, skills].
    """

    def __init__(
        self,
        weigh: Weigh,
        tasks: Sequence[str],
        layout: Layout,
        options: RoutingOptions,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if options.temperature <= 0:
            raise InputError(f"routing.temperature is {options.temperature}; it must be above 0.")
        self.tasks, self.options, self.weigh = TaskNames(tasks), options, weigh
        sites = len(layout.sites) if options.granularity == "site" else 1
        self.logits = nn.Parameter(symmetric((sites, layout.n_heads, len(tasks), options.n_skills), generator))

    @property
    def n_skills(self) -> int:
        """Skills that a row shares its weight among."""
        return self.options.n_skills

    def forward(self, tasks: Sequence[str] | Tensor, generator: torch.Generator | None = None) -> Mix:
        """The mix of a batch of tasks [batch], given by name or row; noise, in training only, comes from `generator`.

        Raises:
            InputError: a task is unknown.
        """
        rows = self.tasks.rows(tasks)
        noisy = self.training and self.options.sample != "none"
        if noisy and self.options.sample == "example":
            kept, places = rows, list(range(len(rows)))
        else:
            kept, places = distinct(rows)
        device = self.logits.device
        chosen = self.logits.index_select(2, torch.tensor(kept, device=device))
        noise: Noise | None = (lambda like: uniform(like, generator)) if noisy else None
        return Mix(self.weigh(chosen, noise, self.options), Rows(places, len(kept), device))

    def probabilities(self) -> Tensor:
        """[sites * heads, tasks, skills], how strongly a task uses a skill, without noise, each in [0, 1]."""
        return self.logits.detach().sigmoid().flatten(0, 1)

    def add_task(
        self,
        name: str,
        generator: torch.Generator,
        init: Literal["uniform", "mean", "copy"] = "uniform",
        like: str | None = None,
    ) -> None:
        """A row for a new task; the old rows keep every bit.

        init: fresh U(-1e-3, 1e-3), the mean of the known rows, or a copy of the task `like`.

        Raises:
            InputError: the name is taken, or `like` is unknown.
        """
        old = self.logits.detach()
        names = self.tasks.with_new(name)
        if init == "copy":
            row = old[:, :, self.tasks.rows([like or ""])]
        elif init == "mean":
            row = old.mean(2, keepdim=True)
        else:
            row = symmetric((*old.shape[:2], 1, old.shape[3]), generator).to(old)
        self.logits = nn.Parameter(torch.cat([old, row], 2))
        self.tasks = names


def symmetric(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Logits from U(-1e-3, 1e-3): no skill is preferred."""
    return torch.empty(shape).uniform_(-1e-3, 1e-3, generator=generator)


def uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """U(0, 1) of the shape of `like`, drawn on the generator's device so that a seed means the same everywhere."""
    tiny = torch.finfo(torch.float32).eps
    u = torch.rand(like.shape, generator=generator, device=generator.device if generator else like.device)
    return u.clamp_(tiny, 1 - tiny)
