"""Few-shot adaptations that are trained together, each as if it were alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polyray.backbones.backbone import device_of
from polyray.modules.site import mixing
from polyray.objectives import Batch, EvaluationOptions
from polyray.training.adaptation import Adapted, FewShotData
from polyray.training.blocks.model import BlockModel, block_predictions, named
from polyray.training.blocks.optimizer import BlockAdam
from polyray.training.loop import is_due
from polyray.training.methods import AdaptationOptions, Method
from polyray.training.model import Modular
from polyray.training.sampler import Sampler
from polyray.training.starting import start


@dataclass(frozen=True, eq=False, kw_only=True)
class Adaptation:
    """One training among several: `options` have one rate of each kind; relatives as for `adapt`."""

    data: FewShotData
    options: AdaptationOptions
    relatives: Sequence[str] = ()


class BlockBatches:
    """Batches with as many rows of every adaptation, block by block, as each would draw them alone."""

    def __init__(self, model: BlockModel, adaptations: Sequence[Adaptation]) -> None:
        self._backbone, self._objective = model.backbone, adaptations[0].data.train.objective
        self._rows = [named(each.data.train, name) for name, each in zip(model.names, adaptations, strict=True)]
        self._samplers = [
            Sampler([len(each.data.train.rows)], each.options.batch, 1.0, each.options.seed) for each in adaptations
        ]

    def draw(self) -> Batch:
        """The next batch, on the model's device."""
        pairs = zip(self._rows, self._samplers, strict=True)
        rows = [of_block[row] for of_block, sampler in pairs for _, row in sampler.draw()]
        batch: Batch = self._objective.collate(self._backbone, rows)
        return batch.to(device_of(self._backbone.network))


def adapt_together(
    model: Modular, method: Method, adaptations: Sequence[Adaptation], decoding: EvaluationOptions
) -> list[Adapted | None]:
    """The result of each adaptation, None where its loss had no bounds, as `adapt` gives it up to rounding.

    Their batches are one batch, their looks at development sets one decoding; see docs/concepts.md. What the backbone
    itself drops out, or a decoding samples, is drawn for all together, by the seed of the first. Only adaptations that
    `stacks` (training/methods.py) allows can be trained so. No adapted copy is on the backbone afterwards.

    Raises:
        ValueError: their steps, batches, looks, beta2 or weight_decay differ.
    """
    shared = {(o.steps, o.batch, o.looks) for o in (each.options for each in adaptations)}
    if len(shared) > 1:
        raise ValueError("adaptations that are trained together share steps, batch and looks")
    generators = [torch.Generator().manual_seed(each.options.seed) for each in adaptations]
    with torch.random.fork_rng():
        torch.manual_seed(adaptations[0].options.seed)
        singles = [
            start(model, method, each.data.task, each.relatives, generator)
            for each, generator in zip(adaptations, generators, strict=True)
        ]
        return _train(singles, method, adaptations, generators, decoding)


def _train(
    singles: Sequence[Modular], method: Method, adaptations: Sequence[Adaptation],
    generators: Sequence[torch.Generator], decoding: EvaluationOptions,
) -> list[Adapted | None]:  # fmt: skip
    """Train copies of `singles`, each of which ends in the state that its development set chose."""
    model = BlockModel(singles)
    model.backbone.freeze()
    model.inventory.requires_grad_(method != "row")
    best: list[Adapted | None] = [None] * len(singles)
    bounded = torch.ones(len(singles), dtype=torch.bool)
    for step, losses in _fit(model, adaptations, generators):
        bounded &= losses < float("inf")
        dev_sets = {block: adaptations[block].data for block in bounded.nonzero()[:, 0].tolist()}
        for block, dev in _look(model, dev_sets, [each.data.longest_answer for each in adaptations], decoding).items():
            before, options = best[block], adaptations[block].options
            if before is None or dev > before.dev:
                single = singles[block]
                model.copy_to(block, single)
                best[block] = Adapted(
                    model=single.eval(), dev=dev, rate=options.lr, routing_rate=options.routing_lr, step=step
                )
    return best


def _fit(
    model: BlockModel, adaptations: Sequence[Adaptation], generators: Sequence[torch.Generator]
) -> Iterator[tuple[int, Tensor]]:
    """Train, and give the number of steps and the blocks' mean losses [blocks] since the last time at each look."""
    options = [each.options for each in adaptations]
    steps, every = options[0].steps, options[0].look_every
    adam, batches = BlockAdam(model, options), BlockBatches(model, adaptations)
    lost, n_lost = torch.zeros(len(options)), 0
    for step in range(1, steps + 1):
        model.train()
        batch = batches.draw()
        with mixing(model.inventory):
            losses = model(batch, generators)
            model.total(losses).backward()
        adam.step(step - 1, steps)
        lost, n_lost = lost + losses.detach().cpu(), n_lost + 1
        if is_due(step, steps, every):
            yield step, lost / n_lost
            lost, n_lost = torch.zeros(len(options)), 0


def _look(
    model: BlockModel, data: dict[int, FewShotData], limits: Sequence[int], decoding: EvaluationOptions
) -> dict[int, float]:
    """The score of some blocks on their development sets."""
    if not data:
        return {}
    predicted = block_predictions(model, {block: few.dev for block, few in data.items()}, decoding, limits)
    return {block: few.score(predicted[block]) for block, few in data.items()}
