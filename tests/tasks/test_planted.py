"""Planted tasks are what their allocation says, the same for the same seed, and held out where they claim to be."""

import pickle

import pytest
from pydantic import ValidationError

from polyray.errors import InputError
from polyray.tasks.planted import SKILLS, PlantedOptions, compose, load_planted
from polyray.tasks.task import SPLITS, Suite, read_all

SMALL = PlantedOptions(train_examples=12, dev_examples=5, test_examples=9, tasks_per_subset=2, samples=3)


@pytest.fixture(scope="module")
def suite() -> Suite:
    return load_planted(SMALL)


def test_the_same_options_give_the_same_suite(suite: Suite) -> None:
    again = load_planted(SMALL)
    assert again.partition == suite.partition
    assert again.allocation == suite.allocation
    assert read_all(again) == read_all(suite)


def test_another_seed_gives_other_words(suite: Suite) -> None:
    other = load_planted(SMALL.model_copy(update={"seed": 1}))
    words = {example.input for rows in read_all(suite).values() for example in rows}
    others = {example.input for rows in read_all(other).values() for example in rows}
    assert len(words & others) < 0.1 * len(words)


def test_a_suite_can_be_sent_to_another_process(suite: Suite) -> None:
    assert read_all(pickle.loads(pickle.dumps(suite))) == read_all(suite)


def test_there_are_as_many_tasks_and_examples_as_asked_for(suite: Suite) -> None:
    assert {split: len(names) for split, names in suite.partition.items()} == {"train": 16, "dev": 0, "test": 6}
    train, test = (suite.tasks[suite.partition[split][0]] for split in ("train", "test"))
    assert [len(train.examples(split)) for split in SPLITS] == [12, 5, 9]
    assert train.seeds == (0,)
    assert [len(test.examples(split, seed)) for split in SPLITS for seed in test.seeds] == [8] * 6 + [9] * 3


def test_no_word_is_in_two_splits_or_samples_but_for_the_shared_test_split(suite: Suite) -> None:
    for task in suite.tasks.values():
        samples = [task.examples("test")]
        samples += [task.examples(split, seed) for split in ("train", "dev") for seed in task.seeds]
        words = [example.input for sample in samples for example in sample]
        assert len(words) == len(set(words))
        assert all(task.examples("test", seed) == task.examples("test") for seed in task.seeds)


def test_gold_answers_score_one(suite: Suite) -> None:
    for task in suite.tasks.values():
        rows = task.examples("test")
        assert task.score([row.outputs[0] for row in rows], rows) == {"EM": 1}
        assert task.score([row.input for row in rows], rows)["EM"] < 0.6


def test_every_output_is_its_tasks_skills_applied_in_their_order(suite: Suite) -> None:
    assert suite.allocation is not None
    for name, rows in read_all(suite).items():
        for row in rows:
            word = row.input
            for number, rule in enumerate(SKILLS.values()):
                word = rule(word) if number in suite.allocation[name] else word
            assert row.outputs == (word,)
            assert row.task == name


@pytest.mark.parametrize("seed", range(5))
def test_held_out_subsets_are_new_but_their_skills_are_not(seed: int) -> None:
    suite = load_planted(SMALL.model_copy(update={"seed": seed}))
    assert suite.allocation is not None
    train, test = ([suite.allocation[name] for name in suite.partition[split]] for split in ("train", "test"))
    assert not set(train) & set(test)
    assert len(set(train)) == SMALL.train_subsets
    assert len(set(test)) == len(test)
    assert {skill for subset in train for skill in subset} == set(range(SMALL.n_skills))


@pytest.mark.parametrize(
    ("word", "skill", "expected"),
    [
        ("sudoku", "vowels", "saduka"),
        ("bamip", "lips", "pawif"),
        ("dozes", "teeth", "todez"),
        ("lunary", "liquids", "rujanl"),
        ("cohax", "throat", "gokac"),
        ("bolato", "stutter", "bbolato"),
        ("bolato", "plural", "bolatos"),
        ("bolato", "reverse", "otalob"),
    ],
)
def test_a_skill_spells_as_documented(word: str, skill: str, expected: str) -> None:
    assert SKILLS[skill](word) == expected


def test_skills_apply_in_the_order_of_the_table_whatever_the_order_of_the_subset() -> None:
    names = list(SKILLS)
    chosen = [names.index(name) for name in ("reverse", "plural", "vowels")]
    assert compose("bolato", chosen) == "sutelub"  # buletu, then buletus, then from behind


def test_more_subsets_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match=r"train_subsets \+ test_subsets = 26, but 5 skills have 20 subsets of 2 or 3"):
        load_planted(PlantedOptions(train_subsets=20))


def test_too_few_subsets_to_tell_the_skills_apart_is_refused() -> None:
    with pytest.raises(InputError, match=r"2 train subsets cannot tell 5 skills apart\. Raise"):
        load_planted(PlantedOptions(train_subsets=2))


@pytest.mark.parametrize("wrong", [{"min_length": 9}, {"subset_sizes": (6,)}, {"subset_sizes": ()}, {"n_skills": 9}])
def test_options_that_cannot_be_met_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PlantedOptions.model_validate(wrong)
