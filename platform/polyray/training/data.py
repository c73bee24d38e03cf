"""The suite of a job: its tasks and examples, read and checked before anything starts."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polyray.backbones.backbone import Backbone, anchor
from polyray.errors import InputError
from polyray.objectives.batches import Row, TextOptions, encode
from polyray.tasks import Example, Suite, Task


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Examples and their rows of token numbers, in one order."""

    examples: tuple[Example, ...]
    rows: tuple[Row, ...]


def partition_tasks(suite: Suite, name: str) -> tuple[str, ...]:
    """The tasks that the partition calls `name`.

    Raises:
        InputError: there are none.
    """
    tasks = suite.partition.get(name, ())
    if not tasks:
        raise InputError(f"The suite {suite.name} has no {name} tasks. Choose them with tasks.partition.")
    return tasks


def pooled_examples(task: Task, splits: Sequence[str]) -> tuple[Example, ...]:
    """The distinct examples of the splits of all seeds."""
    return tuple(dict.fromkeys(x for seed in task.seeds for split in splits for x in task.examples(split, seed)))


def first_examples(task: Task, split: str, seed: int | None, limit: int) -> tuple[Example, ...]:
    """The first `limit` (0: all) examples of a split."""
    examples = task.examples(split, seed)
    return examples[:limit] if limit else examples


def encoded(backbone: Backbone, suite: Suite, examples: Sequence[Example], text: TextOptions) -> Encoded:
    """The examples as rows; what an encoder chooses among is embedded on the way, so call it before skills are on.

    Raises:
        InputError: a text is too long, or a task does not fit the backbone.
    """
    rows = encode(backbone, suite.tasks, examples, text)
    if backbone.kind == "encoder":
        anchor(backbone, [text for row in rows for text in row.candidates])
    return Encoded(examples=tuple(examples), rows=tuple(rows))


def category_allocation(suite: Suite) -> dict[str, tuple[int, ...]]:
    """One skill for each first word of the tasks' category: CrossFit's own expert knowledge."""
    first_words = {name: task.category.partition("/")[0] for name, task in suite.tasks.items()}
    skills = {word: skill for skill, word in enumerate(dict.fromkeys(first_words.values()))}
    return {name: (skills[word],) for name, word in first_words.items()}


def examples_fingerprint(examples: Sequence[Example]) -> str:
    """sha256 over the inputs and outputs of examples, in order."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update("\t".join((example.input, *example.outputs)).encode() + b"\n")
    return digest.hexdigest()


def mean_score(scores: Mapping[str, Mapping[str, float]]) -> float:
    """The mean over tasks of their metrics."""
    values = [value for metrics in scores.values() for value in metrics.values()]
    return sum(values) / len(values)
