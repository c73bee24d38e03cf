"""Heads that tell labels apart: their keys, which name the labels, and the rows of a batch that use each."""

from collections.abc import Iterator, Sequence
from urllib.parse import quote, unquote

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.objectives.objective import Network
from polyray.tasks import Task

INIT_STD = 0.02  # of a fresh head's weights, as in transformers


def head_key(objective: str, task: Task) -> str:
    """The objective's name and the task's labels: tasks with equal ones, of other languages for example, share a head.

    Raises:
        InputError: the task has no labels.
    """
    if not task.labels:
        raise InputError(f"Task {task.name!r} has no labels to tell apart (Task.labels).")
    return f"{objective}:{','.join(quote(label, safe='').replace('.', '%2E') for label in task.labels)}"


def labels_of(key: str) -> tuple[str, ...]:
    """The labels that the head under `key` tells apart, in the order of its outputs."""
    return tuple(map(unquote, key.partition(":")[2].split(",")))


def rows_by_head(network: Network, keys: Sequence[str]) -> Iterator[tuple[list[int], nn.Module]]:
    """For each of the keys of a batch's rows the rows that have it, and the head.

    Raises:
        InputError: the network has no such head.
    """
    for key in dict.fromkeys(keys):
        if key not in network.heads:
            heads = " | ".join(", ".join(labels_of(head)) for head in network.heads)
            raise InputError(
                f"There is no head for the labels {', '.join(labels_of(key))}; "
                f"{f'known heads have the labels {heads}' if heads else 'these skills have no heads at all'}."
            )
        yield [row for row, of_row in enumerate(keys) if of_row == key], network.heads[key]


def label_numbers(task: str, labels: Sequence[str], head_labels: Sequence[str]) -> tuple[int, ...]:
    """The number of each of an example's labels among those that its head tells apart.

    Raises:
        InputError: one is not among them.
    """
    unknown = set(labels).difference(head_labels)
    if unknown:
        raise InputError(f"Task {task!r} has the labels {', '.join(head_labels)}; an example has {min(unknown)!r}.")
    return tuple(head_labels.index(label) for label in labels)


class LinearHead(nn.Linear):
    """Linear layer behind dropout: [*, width] -> [*, n_outputs]."""

    def __init__(self, width: int, n_outputs: int, dropout: float, generator: torch.Generator) -> None:
        super().__init__(width, n_outputs)
        self.dropout = dropout
        with torch.no_grad():
            self.weight.normal_(0.0, INIT_STD, generator=generator)
            self.bias.zero_()

    def forward(self, hidden: Tensor) -> Tensor:
        """The scores of the outputs."""
        hidden = hidden.to(self.weight.dtype)  # of a backbone in bf16
        return super().forward(nn.functional.dropout(hidden, self.dropout, self.training))
