"""Predictions and scores."""

from collections.abc import Mapping, Sequence
from typing import Any

from polyray.objectives import EvaluationOptions, Network
from polyray.tasks import Example, Task
from polyray.training.data import Encoded


def predictions(network: Network, data: Encoded, options: EvaluationOptions, max_output: int) -> list[Any]:
    """The prediction for each row of `data`; tasks may be mixed freely.

    Raises:
        InputError: answers are to be ranked, and a row has none to choose among.
    """
    return data.objective.predict(network, data.rows, options, max_output)


def score(
    tasks: Mapping[str, Task], examples: Sequence[Example], predicted: Sequence[Any]
) -> dict[str, dict[str, float]]:
    """For each task among the examples {metric: value}, its own metric first."""
    by_task: dict[str, tuple[list[Any], list[Example]]] = {}
    for example, prediction in zip(examples, predicted, strict=True):
        pairs = by_task.setdefault(example.task, ([], []))
        pairs[0].append(prediction)
        pairs[1].append(example)
    return {name: tasks[name].score(*pairs) for name, pairs in by_task.items()}
