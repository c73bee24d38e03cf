"""The HyperFormer baseline: a network writes each task's modules from an embedding of the task."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyray.modules.layout import Layout
from polyray.modules.mix import Mix, Rows
from polyray.routing.learned import symmetric
from polyray.routing.names import TaskNames, distinct
from polyray.routing.options import RoutingOptions


class HyperFormer(nn.Module):
    """Modules generated as W2 ReLU(W1 e(task)) (Mahabadi et al. 2021; Ponti et al. 2023, section 2.4).

    The generator W2 is linear in the hidden units, so its columns are the inventory's skills and the hidden units
    are the mix: this router computes ReLU(W1 e(task)) with embedding and hidden width n_skills, per site, and the
    LoRA stack is W2. Rows are neither normalised nor bounded.
    embedding [sites or 1, tasks, skills]; weight [sites or 1, skills, skills].
    """

    def __init__(
        self, tasks: Sequence[str], layout: Layout, options: RoutingOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.tasks, self.options = TaskNames(tasks), options
        sites, width = (len(layout.sites) if options.granularity == "site" else 1), options.n_skills
        self.embedding = nn.Parameter(torch.empty(sites, len(tasks), width).normal_(generator=generator))
        bound = (6 / width) ** 0.5  # Kaiming, for a ReLU
        self.weight = nn.Parameter(torch.empty(sites, width, width).uniform_(-bound, bound, generator=generator))

    @property
    def n_skills(self) -> int:
        """Hidden units of the generator."""
        return self.options.n_skills

    def _hidden(self, rows: list[int]) -> Tensor:
        chosen = self.embedding.index_select(1, torch.tensor(rows, device=self.embedding.device))
        return torch.bmm(chosen, self.weight).relu().unsqueeze(1)

    def forward(self, tasks: Sequence[str] | Tensor, generator: torch.Generator | None = None) -> Mix:
        """The generator's hidden units for a batch of tasks [batch], as a mix.

        Raises:
            InputError: a task is unknown.
        """
        kept, places = distinct(self.tasks.rows(tasks))
        return Mix(self._hidden(kept), Rows(places, len(kept), self.embedding.device))

    def probabilities(self) -> Tensor:
        """[sites, tasks, skills], each hidden unit as a share of the largest of its site."""
        hidden = self._hidden(list(range(len(self.tasks)))).detach().flatten(0, 1)
        return hidden / hidden.amax((1, 2), keepdim=True).clamp_min(torch.finfo(hidden.dtype).tiny)

    def add_task(self, name: str, generator: torch.Generator) -> None:
        """An embedding for a new task near the mean of the known ones; the old ones keep every bit.

        Raises:
            InputError: the name is taken.
        """
        names = self.tasks.with_new(name)
        old = self.embedding.detach()
        near = old.mean(1, keepdim=True)
        row = near + symmetric(tuple(near.shape), generator).to(near)
        self.embedding = nn.Parameter(torch.cat([old, row], 1))
        self.tasks = names
