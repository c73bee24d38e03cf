"""Scores of responses: of each, of all together, and the intervals of these."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from polyray.analysis.bootstrap import interval, resampled_scores
from polyray.files import make_folders, write_file
from polyray.formats import file_name
from polyray.metrics import METRICS, Metric
from polyray.tasks import load_suite
from polyray.training.responding.pieces import examples_of
from polyray.training.responding.recipe import RespondRecipe
from polyray.training.scoring import PREDICTIONS

PREDICTION = "prediction"


@dataclass(frozen=True, kw_only=True)
class ScoredTask:
    """The responses to all examples of a task, to be scored; predictions go below `out`."""

    recipe: RespondRecipe
    out: Path
    task: str
    responses: Sequence[dict[str, Any]]

    def moved(self, out: Path) -> Self:
        """The same responses with another folder."""
        return replace(self, out=out)


def score_task(scored: ScoredTask) -> dict[str, Any]:
    """Score the responses to a task: metrics and their intervals; predictions/TASK.jsonl has the scores of each.

    Raises:
        StorageError: the disk refused.
    """
    recipe = scored.recipe
    suite = load_suite(recipe.tasks)
    examples = examples_of(recipe, suite, scored.task)
    texts = [response[PREDICTION] for response in scored.responses]
    names = dict.fromkeys((suite.tasks[scored.task].metric, *recipe.score.metrics))
    metrics = [METRICS[name] for name in names]
    scores = _scores(metrics, texts, examples)
    intervals = {
        name: bounds for metric in metrics
        for name, bounds in _interval(metric, texts, examples, recipe.score.resamples).items()
    }  # fmt: skip
    lines = []
    for example, response in zip(examples, scored.responses, strict=True):
        own = {
            name: value for metric in metrics for name, value in metric.score([response[PREDICTION]], [example]).items()
        }
        lines.append(json.dumps({**example.record(), **response, "scores": own}, ensure_ascii=False) + "\n")
    make_folders(scored.out / PREDICTIONS)
    write_file(scored.out / PREDICTIONS / f"{file_name(scored.task)}.jsonl", "".join(lines))
    return {"scores": scores, "intervals": intervals}


def _scores(metrics: Sequence[Metric], texts: Sequence[str], examples: Sequence[Any]) -> dict[str, float]:
    return {name: value for metric in metrics for name, value in metric.score(texts, examples).items()}


def _interval(metric: Metric, texts: Sequence[str], examples: Sequence[Any], n_draws: int) -> dict[str, list[float]]:
    if not n_draws:
        return {}

    def score(indices: Sequence[int]) -> float:
        chosen = metric.score([texts[index] for index in indices], [examples[index] for index in indices])
        return next(iter(chosen.values()))

    low, high = interval(resampled_scores(score, len(examples), n_draws, seed=0))
    return {metric.name: [low, high]}
