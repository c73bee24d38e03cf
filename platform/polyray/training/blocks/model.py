"""Several models of one task each, with inventories of one form on one backbone, as one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from polyray.modules.blocks import BlockInventory
from polyray.objectives import OBJECTIVES, Batch, EvaluationOptions
from polyray.routing.blocks import BlockRouter
from polyray.training.data import Encoded
from polyray.training.model import Modular


class BlockModel(nn.Module):
    """k models as one network, whose batches mix examples of all; block b is a copy of model b.

    Attributes:
        names: of the blocks, which stand for the tasks in rows that the network reads: see `named`.
    """

    def __init__(self, models: Sequence[Modular]) -> None:
        super().__init__()
        self.backbone, self.network = models[0].backbone, models[0].network
        self.names = [f"{model.router.tasks.names[0]} ({block})" for block, model in enumerate(models)]
        self.inventory = BlockInventory([model.inventory for model in models])
        self.router = BlockRouter(self.names, [model.router for model in models])
        self.heads = nn.ModuleDict()
        self.inventory.install(self.network)

    def forward(self, batch: Batch, generators: Sequence[torch.Generator]) -> Tensor:
        """[blocks], the mean loss of each block's examples, which stand together and are equally many.

        Call it inside `mixing(model.inventory)`, and `backward()` too; each block's noise comes from its generator.
        """
        self.inventory.set_mix(self.router(batch.tasks, generators))
        losses = OBJECTIVES[batch.objective].loss(self, batch).view(len(self.names), -1)
        counts = batch.counts.view(losses.shape)
        return (losses * (counts / counts.sum(1, keepdim=True).clamp_min(1))).sum(1)

    def total(self, losses: Tensor) -> Tensor:
        """The sum of all that the blocks minimise, from their `losses` [blocks]."""
        log_prior = self.router.table.log_prior_apart()
        return losses.sum() if log_prior is None else losses.sum() - log_prior

    def copy_to(self, block: int, model: Modular) -> None:
        """Overwrite what `model` has of its own with the block's present state."""
        self.inventory.copy_to(block, model.inventory)
        self.router.copy_to(block, model.router)


def named(data: Encoded, name: str, limit: int = 0) -> tuple[Any, ...]:
    """The rows of one task as rows of the block called `name`, answered with at most `limit` tokens."""
    return tuple(replace(row, example=replace(row.example, task=name), limit=limit) for row in data.rows)


def block_predictions(
    model: BlockModel, data: Mapping[int, Encoded], options: EvaluationOptions, limits: Sequence[int]
) -> dict[int, list[Any]]:
    """The predictions for the rows of some blocks, {block: rows}, in shared batches.

    Args:
        limits: tokens of a written answer at most, for each block of the model.
    """
    rows = [row for block, encoded in data.items() for row in named(encoded, model.names[block], limits[block])]
    searches: dict[int, list[int]] = {}
    for number, row in enumerate(rows):  # a beam search has other ends under another limit; greedy answers are cut
        searches.setdefault(row.limit if options.beams > 1 else max(limits), []).append(number)
    predicted: dict[int, Any] = {}
    for limit, numbers in searches.items():
        objective = next(iter(data.values())).objective
        answers = objective.predict(model, [rows[number] for number in numbers], options, limit)
        predicted.update(zip(numbers, answers, strict=True))
    in_order = iter(range(len(rows)))
    return {block: [predicted[next(in_order)] for _ in encoded.rows] for block, encoded in data.items()}
