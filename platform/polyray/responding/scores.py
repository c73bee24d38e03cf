"""Scores of responses: of each, of all together, and the intervals of these."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from polyray.analysis.bootstrap import interval, resampled_scores
from polyray.judges.judgements import JUDGEMENTS
from polyray.judges.options import ScoreResponsesOptions
from polyray.judges.responses import score_responses
from polyray.metrics import METRICS
from polyray.responding.pieces import examples_of
from polyray.responding.recipe import RespondRecipe
from polyray.tasks import Task, load_suite
from polyray.training.scoring import write_predictions

PREDICTION = "prediction"
RESPONSES = "responses"  # what objectives of dialogues predict


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
        InputError: a metric needs a network or a text that there is not.
        StorageError: the disk refused.
    """
    recipe = scored.recipe
    suite = load_suite(recipe.tasks)
    task = suite.tasks[scored.task]
    examples = examples_of(recipe, suite, scored.task)
    texts = [response[PREDICTION] for response in scored.responses]
    if METRICS[task.metric].scores == RESPONSES:
        scores = of_responses(task, texts, examples, recipe.responses, scored.out / JUDGEMENTS)
    else:
        scores = of_answers(task, texts, examples, recipe.responses)
    fields = [{**response, "scores": values} for response, values in zip(scored.responses, scores.of_each, strict=True)]
    write_predictions(scored.out, scored.task, examples, fields)
    return {"scores": scores.of_all, "intervals": scores.intervals, "judges": scores.judges}


@dataclass(frozen=True, kw_only=True)
class TaskScores:
    """Scores of the responses to one task.

    of_all: the task's own metric first. intervals: bounds of metrics. judges: networks that judged.
    """

    of_each: list[dict[str, float]]
    of_all: dict[str, float]
    intervals: dict[str, list[float]]
    judges: dict[str, Any]


def of_responses(
    task: Task, texts: Sequence[str], examples: Sequence[Any], options: ScoreResponsesOptions, judgements: Path
) -> TaskScores:
    """Scores of responses in dialogues, with the task's own metric in any case; judgements: see `ResponseScorer`."""
    main = task.metric
    names = (main, *options.metrics) if options.metrics else ()
    scores = score_responses(texts, examples, options.model_copy(update={"metrics": names}), judgements)
    totals = {name: total for name, total in scores.totals(options).items() if total["n"]}
    ordered = [main, *(name for name in totals if name != main)]
    return TaskScores(
        of_each=scores.of_each(), of_all={name: totals[name]["value"] for name in ordered},
        intervals={name: [totals[name]["low"], totals[name]["high"]] for name in ordered},
        judges=dict(scores.networks),
    )  # fmt: skip


def of_answers(task: Task, texts: Sequence[str], examples: Sequence[Any], options: ScoreResponsesOptions) -> TaskScores:
    """Scores of answers by the task's own metric."""

    def score(indices: Sequence[int]) -> float:
        chosen = task.score([texts[index] for index in indices], [examples[index] for index in indices])
        return next(iter(chosen.values()))

    resampled = resampled_scores(score, len(examples), options.draws, options.seed)
    bounds = list(interval(resampled, options.share))
    return TaskScores(
        of_each=[task.score([text], [example]) for text, example in zip(texts, examples, strict=True)],
        of_all=task.score(texts, examples), intervals={task.metric: bounds}, judges={},
    )  # fmt: skip
