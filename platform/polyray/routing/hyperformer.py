"""The HyperFormer baseline: a network writes each task's modules from an embedding of the task."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from polyray.config import Section
from polyray.modules.layout import Layout
from polyray.modules.mix import Mix, Rows
from polyray.routing.learned import symmetric
from polyray.routing.names import TaskNames, distinct
from polyray.routing.options import Granularity, SkillCount
from polyray.routing.router import Allocation, NewRow


class HyperFormerOptions(SkillCount, Granularity):
    """The choices of a HyperFormer; `n_skills` is the width of its hidden layer."""


class HyperFormer(nn.Module):
    """Modules generated as W2 ReLU(W1 e(task)) (Mahabadi et al. 2021; Ponti et al. 2023, section 2.4).

    The generator W2 is linear in the hidden units, so its columns are the inventory's skills and the hidden units
    are the mix: this router computes ReLU(W1 e(task)) with embedding and hidden width n_skills, per site, and the
    LoRA stack is W2. Rows are neither normalised nor bounded.
    embedding [sites or 1, tasks, skills]; weight [sites or 1, skills, skills].
    """

    Options: ClassVar[type[Section]] = HyperFormerOptions
    speed: ClassVar[Literal["routing", "skills"]] = "skills"
    by_task: ClassVar[bool] = True
    trains_rows: ClassVar[bool] = True
    starts_afresh: ClassVar[bool] = False
    has_rows: ClassVar[bool] = False
    module_kinds: ClassVar[tuple[str, ...]] = ("lora",)

    def __init__(self, tasks: Sequence[str], layout: Layout, options: Any, generator: torch.Generator) -> None:
        super().__init__()
        self.tasks, self.layout = TaskNames(tasks), layout
        self.options: HyperFormerOptions = options
        n_tables, width = (len(layout.sites) if options.granularity == "site" else 1), options.n_skills
        self.embedding = nn.Parameter(torch.empty(n_tables, len(tasks), width).normal_(generator=generator))
        bound = (6 / width) ** 0.5  # Kaiming, for a ReLU
        self.weight = nn.Parameter(torch.empty(n_tables, width, width).uniform_(-bound, bound, generator=generator))

    @classmethod
    def from_state(cls, tasks: Sequence[str], layout: Layout, options: Any, state: Mapping[str, Tensor]) -> Self:
        """The router with these embeddings and weights."""
        router = cls(tasks, layout, options, torch.Generator().manual_seed(0))
        router.load_state_dict(state)
        return router

    @property
    def n_skills(self) -> int:
        """Hidden units of the generator."""
        return self.options.n_skills

    def _hidden(self, rows: list[int]) -> Tensor:
        embedding = self.embedding.index_select(1, torch.tensor(rows, device=self.embedding.device))
        return torch.bmm(embedding, self.weight).relu().unsqueeze(1)

    def forward(self, tasks: Sequence[str] | Tensor, generator: torch.Generator | None = None) -> Mix:
        """The generator's hidden units for a batch of tasks [batch], as a mix.

        Raises:
            InputError: a task is unknown.
        """
        row_tasks, row_of_example = distinct(self.tasks.rows(tasks))
        return Mix(self._hidden(row_tasks), Rows(row_of_example, len(row_tasks), self.embedding.device))

    def allocation(self) -> Allocation:
        """Each hidden unit as a share of the largest of its site."""
        hidden = self._hidden(list(range(len(self.tasks)))).detach().flatten(0, 1)
        shares = hidden / hidden.amax((1, 2), keepdim=True).clamp_min(torch.finfo(hidden.dtype).tiny)
        sites = self.layout.sites if self.options.granularity == "site" else ("all sites",)
        return Allocation(probabilities=shares, tables=sites, tasks=self.tasks.names)

    def same_mixture(self) -> list[int]:
        """Every task has an embedding of its own."""
        return list(range(len(self.tasks)))

    def log_prior(self) -> None:
        """None: hidden units are no allocation."""

    def for_task(self, name: str, relatives: Sequence[str], generator: torch.Generator, *, keep: bool) -> Self:
        """A generator with one embedding; `keep`: the trained generator, and the mean of the known embeddings."""
        new = type(self)([name], self.layout, self.options, generator)
        if keep:
            with torch.no_grad():
                new.weight.copy_(self.weight)
                new.embedding.copy_(self.embedding.mean(1, keepdim=True))
        return new

    def add_task(self, name: str, generator: torch.Generator, row: NewRow) -> None:
        """An embedding for a new task near the mean of the known ones; the old ones keep every bit.

        Raises:
            InputError: the name is taken.
        """
        names = self.tasks.with_new(name)
        old = self.embedding.detach()
        near = old.mean(1, keepdim=True)
        new = near + symmetric(tuple(near.shape), generator).to(near)
        self.embedding = nn.Parameter(torch.cat([old, new], 1))
        self.tasks = names
