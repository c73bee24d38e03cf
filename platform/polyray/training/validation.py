"""Scores on dev examples while a training goes on, which they do not disturb."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any, Self

import torch

from polyray.backbones import Backbone
from polyray.backbones.backbone import device_of
from polyray.errors import InputError
from polyray.objectives import ValidationOptions
from polyray.tasks import Suite
from polyray.training.data import Encoded, encoded_once, mean_score, partition_tasks, pooled_examples
from polyray.training.evaluation import mean_losses, predictions, score
from polyray.training.model import Modular
from polyray.training.recipe import SuiteRecipe

SHOWN = 5  # names of tasks in a message


class Validator:
    """The dev examples of the training tasks, encoded once, and how they are scored.

    No random state, mode or parameter of the model is another one after a call than before it.
    """

    def __init__(self, suite: Suite, data: Encoded, options: ValidationOptions, *, max_output: int, seed: int) -> None:
        """Scoring of `data`, whose tasks are in `suite`.

        Args:
            max_output: tokens of an answer at most; no more are written than the longest target has.
            seed: draws tokens, where the options say that they are drawn.
        """
        self._suite, self._data, self._options, self._seed = suite, data, options, seed
        self._max_output = min(max_output, max(row.n_written for row in data.rows))

    @classmethod
    def of(cls, recipe: SuiteRecipe, suite: Suite, backbone: Backbone) -> Self | None:
        """The validation that the recipe asks for, None for none; call it before skills are on `backbone`.

        Raises:
            InputError: a training task has no dev examples for it.
        """
        if not recipe.evaluation.every:
            return None
        data = encoded_once(backbone, suite, validation_examples(recipe, suite), recipe.text)
        tasks = {row.example.task for row in data.rows}
        _refuse_empty(suite, [task for task in partition_tasks(suite, "train") if task not in tasks])
        return cls(suite, data, recipe.evaluation, max_output=recipe.text.max_output, seed=recipe.training.seed)

    @property
    def tasks(self) -> list[str]:
        """The tasks that are scored."""
        return list(dict.fromkeys(row.example.task for row in self._data.rows))

    def __call__(self, model: Modular, tasks: Sequence[str] = ()) -> dict[str, Any]:
        """Mean score and mean loss over tasks, and those of each: `score`, `loss`, `tasks`, `losses`.

        Args:
            tasks: that are scored; empty: all.
        """
        device = device_of(model.network)
        rows = tuple(row for row in self._data.rows if not tasks or row.example.task in tasks)
        data = Encoded(objective=self._data.objective, rows=rows)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):  # drawn answers use torch's generators
            torch.manual_seed(self._seed)
            predicted = predictions(model, data, self._options, self._max_output)
            losses = mean_losses(model, data, self._options.batch)
        scores = score(self._suite.tasks, data.examples, predicted)
        by_task = {name: next(iter(metrics.values())) for name, metrics in scores.items()}
        return {"score": mean_score(scores), "loss": fmean(losses.values()), "tasks": by_task, "losses": losses}


def validation_examples(recipe: SuiteRecipe, suite: Suite) -> list[Any]:
    """Dev examples of every training task: those of all few-shot splits that are not trained on, the first ones.

    Raises:
        InputError: a task has none.
    """
    splits, limit = recipe.tasks.train_splits, recipe.evaluation.dev_examples
    if "dev" in splits:
        raise InputError(
            f"evaluation.every={recipe.evaluation.every} scores dev examples while training, and "
            f"tasks.train_splits=[{', '.join(splits)}] trains on them: set tasks.train_splits=[train], or "
            "evaluation.every=0."
        )
    examples, empty = [], []
    for name in partition_tasks(suite, "train"):
        task = suite.tasks[name]
        learned = set(pooled_examples(task, splits))
        unseen = [example for example in pooled_examples(task, ("dev",)) if example not in learned]
        examples += unseen[: limit or None]
        empty += [] if unseen else [name]
    _refuse_empty(suite, empty)
    return examples


def _refuse_empty(suite: Suite, empty: Sequence[str]) -> None:
    """Refuse training tasks without anything to validate on."""
    if empty:
        more = f" and {len(empty) - SHOWN} more" if len(empty) > SHOWN else ""
        raise InputError(
            f"evaluation.every scores dev examples while training; {len(empty)} of the training tasks of the suite "
            f"{suite.name} have none that are not trained on too: {', '.join(map(repr, empty[:SHOWN]))}{more}. Give "
            "them dev examples, leave them out (tasks.include), or set evaluation.every=0."
        )
