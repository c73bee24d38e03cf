"""The suite of a job: which tasks, which examples, read and checked before anything starts."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polyray.backbones.backbone import Backbone, anchor
from polyray.config import Section
from polyray.errors import InputError
from polyray.objectives.batches import Lengths, Row, encode
from polyray.tasks import Example, Suite, Task, TaskOptions, load_suite


class TasksSection(TaskOptions):
    """Which tasks, and which of their splits training sees."""

    train_splits: tuple[str, ...] = ("train", "dev")
    """Splits of the training tasks that multi-task training uses, from every few-shot seed, repeats left out."""


class SuiteConfig(Section):
    """A config with a suite of tasks."""

    suite: str = "planted"
    """Family of tasks: see `polyray list tasks`."""
    tasks: TasksSection = TasksSection()
    """Which tasks of it."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Examples and their rows of token numbers, in one order."""

    examples: tuple[Example, ...]
    rows: tuple[Row, ...]


def suite_of(config: SuiteConfig) -> Suite:
    """The suite with its tasks.

    Raises:
        InputError: the data are missing or malformed.
    """
    options = TaskOptions(**{name: getattr(config.tasks, name) for name in TaskOptions.model_fields})
    return load_suite(config.suite, options)


def part(suite: Suite, name: str) -> tuple[str, ...]:
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


def held(task: Task, split: str, seed: int | None, most: int) -> tuple[Example, ...]:
    """The first `most` (0: all) examples of a split."""
    examples = task.examples(split, seed)
    return examples[:most] if most else examples


def encoded(backbone: Backbone, suite: Suite, examples: Sequence[Example], lengths: Lengths) -> Encoded:
    """The examples as rows; what an encoder chooses among is embedded on the way, so call it before skills are on.

    Raises:
        InputError: a text is too long, or a task does not fit the backbone.
    """
    rows = encode(backbone, suite.tasks, examples, lengths)
    if backbone.kind == "encoder":
        anchor(backbone, [text for row in rows for text in row.candidates])
    return Encoded(examples=tuple(examples), rows=tuple(rows))


def category_allocation(suite: Suite) -> dict[str, tuple[int, ...]]:
    """One skill for each first word of the tasks' category: CrossFit's own expert knowledge."""
    first = {name: task.category.partition("/")[0] for name, task in suite.tasks.items()}
    number = {word: place for place, word in enumerate(dict.fromkeys(first.values()))}
    return {name: (number[word],) for name, word in first.items()}


def of_examples(examples: Sequence[Example]) -> str:
    """A fingerprint of examples: sha256 of their inputs and outputs in order."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update("\t".join((example.input, *example.outputs)).encode() + b"\n")
    return digest.hexdigest()


def mean_score(scores: Mapping[str, Mapping[str, float]]) -> float:
    """The mean over tasks of their metrics."""
    values = [value for metrics in scores.values() for value in metrics.values()]
    return sum(values) / len(values)
