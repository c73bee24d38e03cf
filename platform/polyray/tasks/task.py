"""Example, Task, Suite: what every family of tasks hands to training and evaluation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from polyray.errors import InputError
from polyray.lookup import lookup
from polyray.metrics import METRICS

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True)
class Example:
    """One input of a task with its accepted outputs."""

    task: str
    input: str
    outputs: tuple[str, ...]  # accepted answers, the first is the training target
    choices: tuple[str, ...] | None = None  # this example's own candidates; None: the task's labels


@dataclass(frozen=True, kw_only=True)
class Task:
    """Examples under one name and the metric that scores predictions for them."""

    name: str
    category: str
    metric: str  # a key of polyray.metrics.METRICS
    labels: tuple[str, ...] | None  # closed set of answers; None: free text
    seeds: tuple[int, ...]  # few-shot samples, (0,) where there is one only
    read: Callable[[str, int], tuple[Example, ...]]
    has_choices: bool = False  # every example brings its own choices

    def __post_init__(self) -> None:
        lookup(METRICS, self.metric, "metric")

    @property
    def rankable(self) -> bool:
        """Whether every example has a closed set of answers to rank: the task's labels or its own choices."""
        return self.labels is not None or self.has_choices

    def examples(self, split: str, seed: int | None = None) -> tuple[Example, ...]:
        """The examples of `split` in the few-shot sample `seed` (None: the first one).

        Raises:
            InputError: the task has no such split or seed, or its data are malformed.
        """
        lookup(dict.fromkeys(SPLITS), split, "split")
        chosen = self.seeds[0] if seed is None else seed
        if chosen not in self.seeds:
            raise InputError(f"The task {self.name!r} has no seed {chosen}. Known: {', '.join(map(str, self.seeds))}.")
        return self.read(split, chosen)

    def score(self, predictions: Sequence[str], examples: Sequence[Example]) -> float:
        """The task's metric of `predictions`, without spaces around them, for `examples`; 1 is perfect.

        Raises:
            ValueError: there are no examples, or not one prediction for each.
        """
        metric = lookup(METRICS, self.metric, "metric")
        return metric([prediction.strip() for prediction in predictions], [example.outputs for example in examples])


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A named family of tasks and the part that each plays."""

    name: str
    tasks: Mapping[str, Task]  # in the order of the partition
    partition: Mapping[str, tuple[str, ...]]  # "train", "dev", "test" -> names of tasks
    allocation: Mapping[str, tuple[int, ...]] | None = None  # planted tasks: the true skills of each


class Cached:
    """A `read` that reads each split and seed once; it pickles if the `read` inside does."""

    def __init__(self, read: Callable[[str, int], tuple[Example, ...]]) -> None:
        self._read = read
        self._kept: dict[tuple[str, int], tuple[Example, ...]] = {}

    def __call__(self, split: str, seed: int) -> tuple[Example, ...]:
        """The examples of `split` and `seed`."""
        if (split, seed) not in self._kept:
            self._kept[split, seed] = self._read(split, seed)
        return self._kept[split, seed]


def read_all(
    suite: Suite,
    names: Sequence[str] | None = None,
    splits: Sequence[str] = SPLITS,
    seeds: Sequence[int] | None = None,
) -> dict[str, tuple[Example, ...]]:
    """Examples of each named task (None: all), those of all `splits` and `seeds` (None: each task's own) joined.

    Reading is cached, so calling this before training finds malformed data early and costs nothing later.

    Raises:
        InputError: the suite lacks a task, the task lacks a split or seed, or its data are malformed.
    """
    found: dict[str, tuple[Example, ...]] = {}
    for name in suite.tasks if names is None else names:
        task = lookup(suite.tasks, name, "task")
        chosen = task.seeds if seeds is None else seeds
        found[name] = tuple(x for split in splits for seed in chosen for x in task.examples(split, seed))
    return found
