"""Predictions and scores."""

from collections.abc import Mapping, Sequence
from typing import Any

from polyray.backbones.backbone import device_of
from polyray.objectives import EvaluationOptions, Network
from polyray.objectives.objective import in_batches
from polyray.tasks import Example, Task
from polyray.training.data import Encoded


def predictions(network: Network, data: Encoded, options: EvaluationOptions, max_output: int) -> list[Any]:
    """The prediction for each row of `data`; tasks may be mixed freely.

    Raises:
        InputError: answers are to be ranked, and a row has none to choose among.
    """
    return data.objective.predict(network, data.rows, options, max_output)


def mean_losses(network: Network, data: Encoded, size: int) -> dict[str, float]:
    """For each task among the rows the mean loss of what is predicted in them, weighed as in a batch of training.

    Args:
        size: rows of a batch.
    """
    device = device_of(network.backbone.network)

    def step(rows: Sequence[Any]) -> list[tuple[float, float]]:
        batch = data.objective.collate(network.backbone, rows).to(device)
        losses = data.objective.loss(network, batch)
        return list(zip(losses.tolist(), batch.counts.tolist(), strict=True))

    sums: dict[str, tuple[float, float]] = {}
    pairs = in_batches(network, data.rows, size, step)
    for row, (loss, count) in zip(data.rows, pairs, strict=True):
        total, counts = sums.get(row.example.task, (0.0, 0.0))
        sums[row.example.task] = (total + loss * count, counts + count)
    return {task: total / max(1.0, counts) for task, (total, counts) in sums.items()}


def log_likelihoods(network: Network, data: Encoded, size: int) -> list[float]:
    """Log-likelihood of what is predicted in each row, the sum over its tokens.

    Args:
        size: rows of a batch.
    """
    device = device_of(network.backbone.network)

    def step(rows: Sequence[Any]) -> list[float]:
        batch = data.objective.collate(network.backbone, rows).to(device)
        sums: list[float] = (-data.objective.loss(network, batch) * batch.counts).tolist()
        return sums

    return in_batches(network, data.rows, size, step)


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
