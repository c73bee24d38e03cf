"""Task and Suite: what every family of tasks hands to training and evaluation."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from polyray.errors import InputError
from polyray.formats import check_name
from polyray.lookup import lookup
from polyray.metrics import METRICS
from polyray.skills.form import TaskForm, TextOptions

SPLITS = ("train", "dev", "test")
Read = Callable[[str, int], tuple[Any, ...]]  # (split, seed) -> the task's examples, all of one kind


@dataclass(frozen=True, kw_only=True)
class LabelLocation:
    """First location of a label in a split: "FILE:LINE"."""

    split: str
    label: str
    location: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """Examples under one name, the objective that puts them to a network, and the metric that scores predictions."""

    name: str
    category: str
    metric: str  # a key of polyray.metrics.METRICS
    labels: tuple[str, ...] | None  # closed set of answers or tags; None: there is none
    seeds: tuple[int, ...]  # few-shot samples, (0,) where there is one only
    read: Read
    has_choices: bool = False  # every example brings its own choices
    objective: str = "answers"  # a key of polyray.objectives.OBJECTIVES
    prompt: str = "{input}"  # what the network reads, a format string over the fields of an input
    inline_choices: bool = False  # an example's own choices stand inside its input
    locations: tuple[LabelLocation, ...] = ()  # the first of each label in each split, from suites that know them
    control: tuple[str, ...] = ()  # tokens before an input that is to be answered, which say how

    def __post_init__(self) -> None:
        check_name(self.name, "task")
        lookup(METRICS, self.metric, "metric")

    @property
    def rankable(self) -> bool:
        """Whether every example has a closed set of answers to rank: the task's labels or its own choices."""
        return self.labels is not None or self.has_choices

    def candidates(self, example: Any) -> tuple[str, ...]:
        """The answers that an example of texts is ranked among: its own choices, or else the task's labels."""
        return example.choices or self.labels or ()

    def form(self, text: TextOptions) -> TaskForm:
        """The task's form, as skills keep it: the way it is put to a network; `text`: the lengths in training."""
        choices: Literal["labels", "own", "inline"] = "own" if self.has_choices else "labels"
        return TaskForm(
            objective=self.objective, metric=self.metric, prompt=self.prompt, labels=self.labels or (),
            choices="inline" if self.inline_choices else choices, text=text, control=self.control,
        )  # fmt: skip

    def examples(self, split: str, seed: int | None = None) -> tuple[Any, ...]:
        """The examples of `split` in the few-shot sample `seed` (None: the first one).

        Raises:
            InputError: the task has no such split or seed, or its data are malformed.
        """
        lookup(dict.fromkeys(SPLITS), split, "split")
        chosen = self.seeds[0] if seed is None else seed
        if chosen not in self.seeds:
            raise InputError(f"The task {self.name!r} has no seed {chosen}. Known: {', '.join(map(str, self.seeds))}.")
        return self.read(split, chosen)

    def score(self, predictions: Sequence[Any], examples: Sequence[Any]) -> dict[str, float]:
        """{metric: value} of `predictions` for `examples`: first the task's metric, 1 is perfect, then its details.

        Raises:
            ValueError: there are no examples, or not one prediction for each.
        """
        return lookup(METRICS, self.metric, "metric").score(predictions, examples)


def first_locations(labels: Iterable[tuple[str, str, str]]) -> tuple[LabelLocation, ...]:
    """First location of each label in each split, of (split, label, "FILE:LINE") in the order of the files."""
    first: dict[tuple[str, str], LabelLocation] = {}
    for split, label, location in labels:
        if (split, label) not in first:
            first[split, label] = LabelLocation(split=split, label=label, location=location)
    return tuple(first.values())


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A named family of tasks and the part that each plays."""

    name: str
    tasks: Mapping[str, Task]  # in the order of the partition
    partition: Mapping[str, tuple[str, ...]]  # "train", "dev", "test" -> names of tasks
    allocation: Mapping[str, tuple[int, ...]] | None = None  # planted tasks: the true skills of each
    figures: Mapping[str, Any] = field(default_factory=dict)  # of the examples of its tasks, where it has some


class Cached:
    """A `read` that reads each split and seed once; it pickles if the `read` inside does."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._examples: dict[tuple[str, int], tuple[Any, ...]] = {}

    def __call__(self, split: str, seed: int) -> tuple[Any, ...]:
        """The examples of `split` and `seed`."""
        if (split, seed) not in self._examples:
            self._examples[split, seed] = self._read(split, seed)
        return self._examples[split, seed]


def read_all(
    suite: Suite,
    names: Sequence[str] | None = None,
    splits: Sequence[str] = SPLITS,
    seeds: Sequence[int] | None = None,
) -> dict[str, tuple[Any, ...]]:
    """Examples of each named task (None: all), those of all `splits` and `seeds` (None: each task's own) joined.

    Reading is cached, so calling this before training finds malformed data early and costs nothing later.

    Raises:
        InputError: the suite lacks a task, the task lacks a split or seed, or its data are malformed.
    """
    examples: dict[str, tuple[Any, ...]] = {}
    for name in suite.tasks if names is None else names:
        task = lookup(suite.tasks, name, "task")
        chosen = task.seeds if seeds is None else seeds
        examples[name] = tuple(x for split in splits for seed in chosen for x in task.examples(split, seed))
    return examples
