"""The suite planted: seeded text-to-text tasks, each a composition of a few latent skills that are known.

A skill is a rule of spelling. A task applies the rules of its subset, in the order of SKILLS, to made-up words; nothing
in the input names the task. Tasks of one subset differ in how frequent each letter is. The test tasks are subsets of
the same skills that no train task has, with few examples, so learned allocations can be compared with the true ones.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate, combinations

from pydantic import Field, model_validator

from polyray.config import Section
from polyray.errors import InputError
from polyray.tasks.examples import TextAnswers
from polyray.tasks.task import Cached, Suite, Task

VOWELS, CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxyz"
MOST_TRIES = 1_000  # draws of subsets before the options count as impossible


def _rotate(letters: str) -> Callable[[str], str]:
    return partial(_translate, str.maketrans(letters, letters[1:] + letters[0]))


def _translate(table: Mapping[int, int], word: str) -> str:
    return word.translate(table)


def _stutter(word: str) -> str:
    return word[0] + word


def _plural(word: str) -> str:
    return word + "s"


def _reverse(word: str) -> str:
    return word[::-1]


SKILLS: dict[str, Callable[[str], str]] = {
    "vowels": _rotate("aeiou"),  # a becomes e, e becomes i, ..., u becomes a
    "lips": _rotate("bpfvmw"),
    "teeth": _rotate("dtsz"),
    "liquids": _rotate("lrnjy"),
    "throat": _rotate("cghkqx"),
    "stutter": _stutter,  # the first letter twice
    "plural": _plural,  # an s at the end
    "reverse": _reverse,
}


class PlantedOptions(Section):
    """Numbers of planted tasks and of their examples, and their composition."""

    n_skills: int = Field(default=5, ge=2, le=len(SKILLS))
    """Latent skills: the first so many of vowels, lips, teeth, liquids, throat, stutter, plural, reverse."""
    subset_sizes: tuple[int, ...] = Field(default=(2, 3), min_length=1)
    """Numbers of skills that a task may compose."""
    train_subsets: int = Field(default=8, ge=1)
    """Different subsets of skills among the train tasks."""
    test_subsets: int = Field(default=6, ge=0)
    """Held-out subsets: one test task each."""
    tasks_per_subset: int = Field(default=3, ge=1, le=100)
    """Train tasks of the same subset; they differ in how frequent each letter is."""
    train_examples: int = Field(default=500, ge=1, le=5000)
    """Examples to learn from in each train task."""
    dev_examples: int = Field(default=20, ge=1, le=1000)
    """Examples for choosing settings in each train task."""
    test_examples: int = Field(default=50, ge=1, le=1000)
    """Examples to score, in each train and test task."""
    shots: int = Field(default=8, ge=1, le=64)
    """Examples to learn from in each few-shot sample of a test task, and as many for choosing settings."""
    samples: int = Field(default=2, ge=1, le=20)
    """Few-shot samples of each test task: the seeds 0, 1, ..."""
    min_length: int = Field(default=4, ge=4, le=32)
    """Letters of the shortest word."""
    max_length: int = Field(default=7, ge=4, le=32)
    """Letters of the longest word."""
    skew: float = Field(default=0.7, ge=0, le=2)
    """Difference of letter frequencies between tasks: standard deviation of their logarithm; 0: none."""
    seed: int = 0
    """Seed of subsets, letter frequencies and words."""

    @model_validator(mode="after")
    def _checked(self) -> "PlantedOptions":
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is more than max_length {self.max_length}")
        wrong = [size for size in self.subset_sizes if not 1 <= size <= self.n_skills]
        if wrong or not self.subset_sizes:
            raise ValueError(f"subset_sizes must be numbers from 1 to n_skills = {self.n_skills}")
        return self


def load_planted(options: PlantedOptions) -> Suite:
    """The planted suite with the true skills of each task as `allocation`; equal options give equal examples.

    Raises:
        InputError: there are not enough different subsets for the train and test tasks.
    """
    train, test = _subsets(options)
    played = {
        "train": {_name(subset, n): subset for subset in train for n in range(options.tasks_per_subset)},
        "test": {_name(subset, 0): subset for subset in test},
    }
    allocation = {name: subset for tasks in played.values() for name, subset in tasks.items()}
    tasks = {
        name: _task(options, name, subset, held_out=role == "test")
        for role, members in played.items()
        for name, subset in members.items()
    }
    partition = {"train": tuple(played["train"]), "dev": (), "test": tuple(played["test"])}
    return Suite(name="planted", tasks=tasks, partition=partition, allocation=allocation)


def compose(word: str, subset: Sequence[int]) -> str:
    """`word` after the skills numbered in `subset`, applied in the order of SKILLS.

    Raises:
        IndexError: a number is not one of SKILLS.
    """
    rules = list(SKILLS.values())
    for skill in sorted(subset):
        word = rules[skill](word)
    return word


def _subsets(options: PlantedOptions) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    sizes = sorted(set(options.subset_sizes))
    subsets = [subset for size in sizes for subset in combinations(range(options.n_skills), size)]
    n_subsets = options.train_subsets + options.test_subsets
    if n_subsets > len(subsets):
        raise InputError(
            f"train_subsets + test_subsets = {n_subsets}, but {options.n_skills} skills have {len(subsets)} subsets of "
            f"{' or '.join(map(str, sizes))}. Take fewer, or raise n_skills."
        )
    generator = random.Random(f"{options.seed}-subsets")
    for _ in range(MOST_TRIES):
        generator.shuffle(subsets)
        train, test = subsets[: options.train_subsets], subsets[options.train_subsets : n_subsets]
        if _tells_skills_apart(train, options.n_skills):
            return train, test
    raise InputError(
        f"{options.train_subsets} train subsets cannot tell {options.n_skills} skills apart. Raise train_subsets."
    )


def _tells_skills_apart(subsets: Sequence[tuple[int, ...]], n_skills: int) -> bool:
    """Whether every skill is somewhere, is missing somewhere and never goes only with the same other one."""
    columns = [tuple(skill in subset for subset in subsets) for skill in range(n_skills)]
    return len(set(columns)) == n_skills and all(0 < sum(column) < len(subsets) for column in columns)


def _name(subset: tuple[int, ...], number: int) -> str:
    return f"{_category(subset)}-{number}"


def _category(subset: tuple[int, ...]) -> str:
    names = list(SKILLS)
    return "+".join(names[skill] for skill in subset)


def _task(options: PlantedOptions, name: str, subset: tuple[int, ...], *, held_out: bool) -> Task:
    return Task(
        name=name,
        category=_category(subset),
        metric="EM",
        labels=None,
        seeds=tuple(range(options.samples)) if held_out else (0,),
        read=Cached(partial(_examples, options, name, subset, held_out)),
    )


def _examples(
    options: PlantedOptions, name: str, subset: tuple[int, ...], held_out: bool, split: str, seed: int
) -> tuple[TextAnswers, ...]:
    n_train, n_dev = (options.shots, options.shots) if held_out else (options.train_examples, options.dev_examples)
    n_test = options.test_examples  # the same ones for every seed
    start = n_test + seed * (n_train + n_dev)
    spans = {
        "test": slice(n_test),
        "train": slice(start, start + n_train),
        "dev": slice(start + n_train, start + n_train + n_dev),
    }
    words = _words(options, name, spans[split].stop)[spans[split]]
    return tuple(TextAnswers(task=name, input=word, outputs=(compose(word, subset),)) for word in words)


def _words(options: PlantedOptions, name: str, count: int) -> list[str]:
    """`count` different words; a longer list begins with the shorter one."""
    generator = random.Random(f"{options.seed}-{name}")
    letters = [(kind, _cumulative_frequencies(kind, options.skew, generator)) for kind in (VOWELS, CONSONANTS)]
    words: dict[str, None] = {}
    while len(words) < count:
        length, first = generator.randint(options.min_length, options.max_length), generator.randint(0, 1)
        kinds = [letters[(first + position) % 2] for position in range(length)]  # vowels and consonants take turns
        words["".join(generator.choices(kind, cum_weights=sums)[0] for kind, sums in kinds)] = None
    return list(words)


def _cumulative_frequencies(letters: str, skew: float, generator: random.Random) -> list[float]:
    """The frequency of each letter, added to those of the letters before it."""
    return list(accumulate(math.exp(skew * generator.gauss(0, 1)) for _ in letters))
