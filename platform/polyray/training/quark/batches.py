"""Batches of responses from the pool, which grows by a round of drawn responses every so many updates."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from polyray.backbones import Backbone
from polyray.decoding.quark import reward_token
from polyray.errors import InputError
from polyray.objectives import EvaluationOptions
from polyray.objectives.answers import AnswerBatch
from polyray.tasks import DialogueExample, Suite
from polyray.training.batches import TrainingData
from polyray.training.data import Encoded, encoded
from polyray.training.evaluation import predictions
from polyray.training.model import Modular
from polyray.training.quark.pool import RewardPool
from polyray.training.quark.recipe import QuarkRecipe
from polyray.training.worker import Worker

Reward = Callable[[Sequence[str], Sequence[DialogueExample]], Sequence[float]]
"""From responses and their examples to the reward of each, NaN where there is none; the larger the better."""


@dataclass(frozen=True, eq=False, kw_only=True)
class QuarkBatch:
    """The same responses behind inputs with the token of their quantile, and without.

    conditioned: with it; its loss counts. plain: without, for the reference.
    """

    conditioned: AnswerBatch
    plain: AnswerBatch

    @property
    def objective(self) -> str:
        """Key of OBJECTIVES."""
        return self.conditioned.objective

    @property
    def tasks(self) -> tuple[str, ...]:
        """The name of each example's task."""
        return self.conditioned.tasks

    @property
    def counts(self) -> Tensor:
        """[B], tokens of each response."""
        return self.conditioned.counts

    @property
    def weights(self) -> Tensor:
        """[B], each example's share in the mean loss."""
        return self.conditioned.weights

    @property
    def n_tokens(self) -> int:
        """Tokens read and written, of both."""
        return self.conditioned.n_tokens + self.plain.n_tokens

    def out_of(self, total: float) -> Self:
        """This batch with weights out of `total` counts."""
        return replace(self, conditioned=self.conditioned.out_of(total))

    def to(self, device: torch.device) -> Self:
        """This batch on `device`."""
        return replace(self, conditioned=self.conditioned.to(device), plain=self.plain.to(device))


def asking(example: DialogueExample, token: str) -> DialogueExample:
    """The example with the token of a quantile before its input."""
    return replace(example, control=(token, *example.control))


class QuarkBatches:
    """Source of batches for a training by Quark.

    Attributes:
        sampler: the pool, whose state stands in checkpoints.
        fingerprints: of the training examples, by task.
    """

    def __init__(self, recipe: QuarkRecipe, suite: Suite, backbone: Backbone, worker: Worker, reward: Reward) -> None:
        """Encode the training examples with the token for the highest rewards, so that lengths are checked.

        Raises:
            InputError: the suite has no training tasks, or their examples do not fit the backbone.
        """
        self._recipe, self._suite, self._backbone, self._worker = recipe, suite, backbone, worker
        self._reward = reward
        data = TrainingData(recipe, suite, backbone, worker)
        self.fingerprints = data.fingerprints
        self._examples: tuple[DialogueExample, ...] = data.encoded.examples
        best = [asking(example, recipe.quark.best) for example in self._examples]
        self._asked = encoded(backbone, suite, best, recipe.text)
        self._plain = data.encoded
        self._policy: Modular | None = None
        self.restart()

    @property
    def encoded(self) -> Encoded:
        """The inputs that are answered."""
        return self._asked

    def restart(self) -> None:
        """Begin again with an empty pool."""
        options = self._recipe.training
        self.sampler = RewardPool(self._recipe.quark.quantiles, options.batch, options.seed)

    def follow(self, policy: Modular) -> None:
        """Let this network draw the responses."""
        self._policy = policy

    def draw(self) -> QuarkBatch:
        """This worker's share of the next batch; before it comes a round, where one is due."""
        per_round = self._recipe.quark.every * self._recipe.training.accumulate
        if self.sampler.n_drawn == per_round * len(self.sampler.means):
            self._round()
        rank, world = self._worker.rank, self._worker.world
        chosen = self.sampler.draw()[rank::world]
        plain = [replace(self._examples[index], outputs=(response,)) for index, response, _ in chosen]
        tokens = [reward_token(quantile) for *_, quantile in chosen]
        conditioned = [asking(example, token) for example, token in zip(plain, tokens, strict=True)]
        batch = QuarkBatch(conditioned=self._collated(conditioned), plain=self._collated(plain))
        if world > 1:
            batch = batch.out_of(self._worker.mean(float(batch.counts.sum())))
        return batch.to(self._worker.device)

    def _collated(self, examples: Sequence[DialogueExample]) -> AnswerBatch:
        text = self._recipe.text.model_copy(update={"too_long": "truncate"})
        data = encoded(self._backbone, self._suite, examples, text)
        batch: AnswerBatch = data.objective.collate(self._backbone, data.rows)
        return batch

    def _round(self) -> None:
        """Draw responses, the first round without a token, and add those that have a reward to the pool.

        Raises:
            InputError: none has one.
        """
        assert self._policy is not None  # `follow` comes before the first batch
        n_rounds, options = len(self.sampler.means), self._recipe.quark.draw
        data = self._asked if n_rounds else self._plain
        chosen = self._chosen(n_rounds)[self._worker.rank :: self._worker.world]
        seed = random.Random(f"{options.seed}-{n_rounds}-{self._worker.rank}").getrandbits(31)
        evaluation = EvaluationOptions.model_validate(
            {**options.model_dump(exclude={"n"}), "seed": seed if options.sample else 0}
        )
        rows = Encoded(objective=data.objective, rows=tuple(data.rows[index] for index in chosen))
        texts = predictions(self._policy, rows, evaluation, self._recipe.text.max_output)
        rewards = self._reward(texts, [self._examples[index] for index in chosen])
        scored = [row for row in zip(chosen, texts, rewards, strict=True) if not math.isnan(row[2])]
        drawn = [row for rows_of_one in self._worker.gather(scored) for row in rows_of_one]
        if not drawn:
            raise InputError(f"quark.reward={self._recipe.quark.reward} says nothing about any of the responses.")
        prompts, responses, values = zip(*drawn, strict=True)
        self.sampler.add(list(prompts), list(responses), list(values))

    def _chosen(self, n_rounds: int) -> list[int]:
        """The numbers of the inputs that are answered in a round, the same on all workers."""
        indices = range(len(self._examples))
        n = min(self._recipe.quark.draw.n or len(indices), len(indices))
        return sorted(random.Random(f"{self._recipe.training.seed}-{n_rounds}").sample(indices, n))
