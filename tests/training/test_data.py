"""A suite's examples as training takes them, and the experts' allocation by category."""

import hashlib
from dataclasses import replace

import pytest
from training_cases import answer_task, answers, suite_of

from polyray.errors import InputError
from polyray.tasks import TextAnswers
from polyray.training.data import (
    category_allocation,
    examples_fingerprint,
    first_examples,
    mean_score,
    partition_tasks,
    pooled_examples,
)


def test_experts_give_one_skill_to_each_first_word_of_a_category() -> None:
    categories = {"a": "qa/closed", "b": "classification/sentiment", "c": "qa/multiple-choice", "d": "", "e": "qa"}
    tasks = [replace(answer_task(name), category=category) for name, category in categories.items()]
    assert category_allocation(suite_of(*tasks)) == {"a": (0,), "b": (1,), "c": (0,), "d": (2,), "e": (0,)}


def test_a_fingerprint_covers_inputs_and_outputs_in_order() -> None:
    one, two = TextAnswers(task="t", input="a", outputs=("b", "c")), TextAnswers(task="t", input="d", outputs=("e",))
    assert examples_fingerprint([one, two]) == hashlib.sha256(b"a\tb\tc\nd\te\n").hexdigest()
    assert examples_fingerprint([two, one]) != examples_fingerprint([one, two])


def test_pooled_examples_are_those_of_all_seeds_and_splits_without_repeats() -> None:
    three = answers("colour", 3)

    def read(split: str, seed: int) -> tuple[TextAnswers, ...]:
        return three[seed : seed + 2] if split == "train" else three[:1]

    task = replace(answer_task("colour"), seeds=(0, 1), read=read)
    assert pooled_examples(task, ("train", "dev")) == three
    assert first_examples(task, "train", 1, 1) == three[1:2] and first_examples(task, "train", 1, 0) == three[1:]


def test_tasks_that_a_partition_lacks_are_asked_for() -> None:
    suite = replace(suite_of(answer_task("colour")), partition={"train": ("colour",), "test": ()})
    assert partition_tasks(suite, "train") == ("colour",)
    with pytest.raises(InputError, match=r"The suite toy has no test tasks\. Choose them with tasks\.partition\."):
        partition_tasks(suite, "test")


def test_the_mean_score_is_of_the_tasks_own_metrics() -> None:
    assert mean_score({"a": {"EM": 0.5}, "b": {"Masked-ACC": 1.0, "loss": 7.0}}) == 0.75
