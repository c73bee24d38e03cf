"""Several inventories of one form side by side on one backbone: each example uses the skills of its own block."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.attach import Inventory
from polyray.modules.mix import Mix, TokenMix
from polyray.modules.occupant import Slot
from polyray.modules.stack import Mixed, Stack


class BlockInventory(nn.Module):
    """k inventories of one form as one, of which each is a block.

    A mix of it is block-diagonal: of its rows each block has the same number, in the blocks' order, and they weigh the
    S skills of their own block alone. A stack holds its sites' modules block by block, [sites * blocks, heads, skills,
    ...], so that skills are mixed in one product per stack, as of k times as many sites.

    Attributes:
        n_blocks: number of inventories, k.
        sites, n_heads, n_skills: those of each inventory.
    """

    def __init__(self, inventories: Sequence[Inventory]) -> None:
        super().__init__()
        first = inventories[0]
        self._form = (first,)  # in a tuple: its parameters are not this module's
        if not first.entry.joins:
            raise InputError(f"{first.kind} modules of several inventories cannot act in one batch.")
        self.n_blocks, self.slot = len(inventories), Slot()
        self.sites, self.n_heads, self.n_skills = first.sites, first.n_heads, first.n_skills
        layers, generator = list(first.layers.values()), torch.Generator()
        self.stacks = nn.ModuleList(
            cast(
                nn.Module,
                first.entry(
                    [layers[site] for site in sites for _ in inventories], first.n_skills, first.options, generator
                ),
            )
            for sites in first.stack_sites
        )
        self.to(next(first.parameters()).device)
        for block, inventory in enumerate(inventories):
            for mine, its in self._pairs(block, inventory):
                mine.copy_(its)

    def of_blocks(self, tensor: Tensor) -> Tensor:
        """A view [blocks, sites, *rest] of a stack's tensor [sites * blocks, *rest]."""
        by_site: Tensor = tensor.unflatten(0, (-1, self.n_blocks))
        return by_site.movedim(1, 0)

    def copy_to(self, block: int, inventory: Inventory) -> None:
        """Overwrite the skills of `inventory` with those of a block."""
        for mine, its in self._pairs(block, inventory):
            its.copy_(mine)

    def _pairs(self, block: int, inventory: Inventory) -> list[tuple[Tensor, Tensor]]:
        """Each tensor of a block, as a view, with that of an inventory."""
        return [
            (self.of_blocks(tensor)[block], its)
            for mine, stack in zip(self.stacks, inventory.stacks, strict=True)
            for tensor, its in zip(mine.state_dict().values(), stack.state_dict().values(), strict=True)
        ]

    def set_mix(self, mix: Mix | TokenMix | Tensor) -> None:
        """Let the sites use `mix` until the block of `mixing` ends.

        Raises:
            InputError: it is no mix of rows, or has no equal number of rows for each block, or does not fit.
        """
        self.slot.clear()
        if not isinstance(mix, Mix) or mix.weights.shape[2] % self.n_blocks or mix.weights.shape[3] != self.n_skills:
            raise InputError(f"A mix of {self.n_blocks} blocks has as many rows for each, of {self.n_skills} skills.")
        weights = mix.weights.expand(len(self.sites), self.n_heads, -1, -1)
        by_block = weights.unflatten(2, (self.n_blocks, -1)).transpose(1, 2)  # [sites, blocks, heads, rows, skills]
        with torch.autocast(weights.device.type, enabled=False):  # as `Inventory.set_mix`
            for stack, sites in zip(self.stacks, self._form[0].stack_sites, strict=True):
                mixed = cast(Stack, stack).prepare(by_block[sites].flatten(0, 1))
                for number, site in enumerate(sites):
                    blocks = mixed[number * self.n_blocks : (number + 1) * self.n_blocks]
                    self.slot.mixed[self.sites[site]] = joined(blocks)
        self.slot.rows = mix.rows

    def install(self, backbone: nn.Module) -> None:
        """Let the sites of `backbone` use these inventories in place of the one that they had."""
        self._form[0].put_sites(backbone, self.slot, self.stacks)


def joined(blocks: Sequence[Mixed]) -> Mixed:
    """A site's mixed modules of several blocks as one, their rows one after the other."""
    first = blocks[0]
    if isinstance(first, Tensor):
        return torch.cat(list(blocks))
    if isinstance(first, dict):
        return {name: joined([block[name] for block in blocks]) for name in first}
    return tuple(joined(tensors) for tensors in zip(*blocks, strict=True))
