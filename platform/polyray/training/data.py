"""The suite of a job: its tasks and examples, read and checked before anything starts."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from polyray.backbones import Backbone
from polyray.backbones.backbone import device_of
from polyray.errors import InputError
from polyray.objectives import Objective, TextOptions, objective_for
from polyray.reuse import is_reusing, reused
from polyray.tasks import Example, Suite, Task


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Examples as the rows of their objective."""

    objective: Objective
    rows: tuple[Any, ...]

    @property
    def examples(self) -> tuple[Any, ...]:
        """The example of each row."""
        return tuple(row.example for row in self.rows)


def partition_tasks(suite: Suite, name: str) -> tuple[str, ...]:
    """The tasks that the partition calls `name`.

    Raises:
        InputError: there are none.
    """
    tasks = suite.partition.get(name, ())
    if not tasks:
        raise InputError(f"The suite {suite.name} has no {name} tasks. Choose them with tasks.partition.")
    return tasks


def pooled_examples(task: Task, splits: Sequence[str]) -> tuple[Any, ...]:
    """The distinct examples of the splits of all seeds."""
    return tuple(dict.fromkeys(x for seed in task.seeds for split in splits for x in task.examples(split, seed)))


def repeats(suite: Suite, names: Sequence[str]) -> str:
    """A sentence on test examples that are also train or dev examples of their task and seed; empty: there are none."""
    counts = {}
    for name in names:
        task = suite.tasks[name]
        tests = [(seed, example.line) for seed in task.seeds for example in task.examples("test", seed)]
        sources = [(seed, split) for seed in task.seeds for split in ("train", "dev")]
        learned = {(seed, example.line) for seed, split in sources for example in task.examples(split, seed)}
        n_repeated = sum(line in learned for line in tests)
        if n_repeated:
            counts[name] = f"{n_repeated} of {len(tests)} test examples of {name!r}"
    if not counts:
        return ""
    more = f" and some of {len(counts) - 5} more tasks" if len(counts) > 5 else ""
    return f"{', '.join([*counts.values()][:5])}{more} are among the train or dev examples too: scores flatter."


def unlearned(suite: Suite, trained: Sequence[str], splits: Sequence[str], scored: Sequence[str]) -> str:
    """A sentence on labels of test examples that no training example has; empty: there are none.

    Args:
        trained: names of the tasks that are trained on; those with equal labels share a head.
        splits: of these tasks, that are trained on.
        scored: names of the tasks whose test examples are scored.
    """
    learned: dict[Any, set[str]] = {}
    for name in trained:
        labels = {first.label for first in suite.tasks[name].locations if first.split in splits}
        learned.setdefault(suite.tasks[name].labels, set()).update(labels)
    lines = []
    for name in scored:
        task = suite.tasks[name]
        seen = learned.get(task.labels, set())
        tests = [first for first in task.locations if first.split == "test" and first.label not in seen]
        lines += [f"{first.label!r} of {name!r} ({first.location})" for first in tests]
    if not lines:
        return ""
    more = f" and {len(lines) - 5} more labels" if len(lines) > 5 else ""
    return (
        f"{', '.join(lines[:5])}{more}: no training example has them, so they are never predicted and count as wrong. "
        "If that is not meant, rename or leave them out, for tagging with tasks.relabel or tasks.types."
    )


def first_examples(task: Task, split: str, seed: int | None, limit: int) -> tuple[Any, ...]:
    """The first `limit` (0: all) examples of a split."""
    examples = task.examples(split, seed)
    return examples[:limit] if limit else examples


def encoded(backbone: Backbone, suite: Suite, examples: Sequence[Any], text: TextOptions) -> Encoded:
    """The examples as rows of the objective that their tasks share; call it before skills are on.

    Raises:
        InputError: a text is too long, the tasks do not fit the backbone, or they have different objectives.
    """
    objective = objective_for(backbone, [suite.tasks[name] for name in dict.fromkeys(x.task for x in examples)])
    return Encoded(objective=objective, rows=tuple(objective.encode(backbone, suite.tasks, examples, text)))


def encoded_once(backbone: Backbone, suite: Suite, examples: Sequence[Any], text: TextOptions) -> Encoded:
    """As `encoded`, for a backbone as it was loaded; a process that trains many times encodes once.

    Raises:
        InputError: as there.
    """
    if not is_reusing():
        return encoded(backbone, suite, examples, text)
    tasks = [suite.tasks[name] for name in dict.fromkeys(x.task for x in examples)]
    device = str(device_of(backbone.network))
    key = ("encoded", backbone.fingerprint, backbone.dtype, device, text, *tasks, *backbone.anchors, *examples)

    def encode() -> tuple[Encoded, dict[str, Tensor]]:
        return encoded(backbone, suite, examples, text), dict(backbone.anchors)

    rows, anchors = reused(key, encode)  # the embeddings of answers, which encoding leaves on the backbone, too
    backbone.anchors.update(anchors)
    return rows


def category_allocation(suite: Suite) -> dict[str, tuple[int, ...]]:
    """One skill for each first word of the tasks' category: CrossFit's own expert knowledge."""
    first_words = {name: task.category.partition("/")[0] for name, task in suite.tasks.items()}
    skills = {word: skill for skill, word in enumerate(dict.fromkeys(first_words.values()))}
    return {name: (skills[word],) for name, word in first_words.items()}


def examples_fingerprint(examples: Sequence[Example]) -> str:
    """sha256 over the texts of examples, in order."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(example.line.encode() + b"\n")
    return digest.hexdigest()


def mean_score(scores: Mapping[str, Mapping[str, float]]) -> float:
    """The mean over tasks of their own metrics, which stand first among the figures of each."""
    values = [next(iter(metrics.values())) for metrics in scores.values()]
    return sum(values) / len(values)
