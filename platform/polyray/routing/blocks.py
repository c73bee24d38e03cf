"""The routers of several inventories as one."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from polyray.modules.mix import Mix, Rows
from polyray.routing.learned import Noise, uniform
from polyray.routing.names import TaskNames
from polyray.routing.router import Router


class RowRouter(Router, Protocol):
    """A router that is a table with a row for each task; its parameters, if any, are [tables, heads, tasks, skills]."""

    def mix(self, rows: Sequence[int], noise: Noise) -> Mix:
        """The mix of a batch of tasks, given by rows of the table; `noise` is drawn in training only."""

    def log_prior_apart(self) -> Tensor | None:
        """The sum over tasks of the log prior that each would have alone; None where there is none."""

    def join(self, routers: Sequence[Any], names: Sequence[str]) -> "RowRouter":
        """One router with the only row of each of `routers`, for tasks called `names`."""


class BlockRouter(nn.Module):
    """Routers that know one task each, as one table with a row for each block: the router of a `BlockInventory`.

    Attributes:
        names: of the blocks, which stand for their tasks.
        table: the joined router.
    """

    def __init__(self, names: Sequence[str], routers: Sequence[Router]) -> None:
        super().__init__()
        self.names = TaskNames(names)
        self.table = cast(RowRouter, routers[0]).join(routers, names)

    def of_blocks(self, tensor: Tensor) -> Tensor:
        """A view [blocks, tables, heads, skills] of a trained tensor."""
        return tensor.movedim(2, 0)

    @torch.no_grad()
    def copy_to(self, block: int, router: Router) -> None:
        """Overwrite the trained row of `router` with that of a block."""
        for mine, its in zip(self.table.parameters(), router.parameters(), strict=True):
            its.copy_(self.of_blocks(mine)[block].unsqueeze(2))

    def forward(self, blocks: Sequence[str], generators: Sequence[torch.Generator] = ()) -> Mix:
        """The mix of a batch, the block of each example given by name: as many rows for each block.

        In training each block has as many examples, in the blocks' order, and its noise comes from its own generator.
        """
        rows = self.names.rows(blocks)
        if self.training:
            return self.table.mix(rows, lambda like: _by_block(like, generators))
        mix = self.table.mix(range(len(self.names)), lambda like: uniform(like, None))
        return Mix(mix.weights, Rows(rows, len(self.names), mix.rows.device))


def _by_block(like: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """U(0, 1) of the shape of `like` [tables, heads, blocks * rows, skills], each block's from its generator."""
    blocks = like.chunk(len(generators), 2)
    return torch.cat([uniform(block, generator) for block, generator in zip(blocks, generators, strict=True)], 2)
