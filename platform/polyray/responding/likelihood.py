"""Likelihood of given answers under trained skills or a whole network."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from polyray.config import Section
from polyray.modules.site import without_skills
from polyray.objectives import TextOptions
from polyray.responding.network import NetworkConfig
from polyray.tasks import load_suite
from polyray.training.data import encoded, first_examples
from polyray.training.evaluation import log_likelihoods
from polyray.training.scoring import write_predictions


class LikelihoodOptions(Section):
    """Examples whose answers are scored."""

    split: Literal["train", "dev", "test"] = "test"
    """Which examples of each task."""
    tasks: tuple[str, ...] = ()
    """Tasks of the suite by name; empty: all."""
    max_examples: int = Field(0, ge=0)
    """Examples of a task at most, the first ones; 0: all."""
    batch: int = Field(16, ge=1)
    """Examples at once."""
    gpus: float = Field(0, ge=0)
    """GPUs of the Ray task that scores one task; a fraction shares one."""


class LikelihoodRecipe(NetworkConfig):
    """Score given answers by their likelihood, under trained skills or a whole network."""

    score: LikelihoodOptions = LikelihoodOptions()
    """Examples whose answers are scored."""
    text: TextOptions = TextOptions()
    """Lengths of texts."""


@dataclass(frozen=True, kw_only=True)
class Likelihoods:
    """The answers to one task; those of each example go below `out`."""

    recipe: LikelihoodRecipe
    out: Path
    task: str

    def moved(self, out: Path) -> Self:
        """The same answers with another folder."""
        return replace(self, out=out)


def score_likelihoods(piece: Likelihoods) -> dict[str, Any]:
    """Mean loss a token of a task's first answers, its perplexity, and their number; predictions/TASK.jsonl has each.

    Raises:
        InputError: the network cannot be loaded, or a text is too long.
        StorageError: the disk refused.
    """
    recipe, options = piece.recipe, piece.recipe.score
    suite = load_suite(recipe.tasks)
    examples = first_examples(suite.tasks[piece.task], options.split, None, options.max_examples)
    network = recipe.source.load([piece.task])
    with without_skills(network.inventory):
        data = encoded(network.backbone, suite, examples, recipe.text)
    totals, n_tokens = log_likelihoods(network, data, options.batch), [row.n_written for row in data.rows]
    of_each = [{"loss": -total / max(1, n), "tokens": n} for total, n in zip(totals, n_tokens, strict=True)]
    write_predictions(piece.out, piece.task, data.examples, [{"scores": values} for values in of_each])
    loss = -sum(totals) / max(1, sum(n_tokens))
    scores = {"loss": loss, "perplexity": math.exp(loss), "tokens": sum(n_tokens), "examples": len(totals)}
    return {"scores": scores, "too_long": sum(row.cut for row in data.rows)}
