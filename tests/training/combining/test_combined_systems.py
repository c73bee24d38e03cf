"""Ensembles, greedy subsets and routing on numbers worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from polyray.training.combining.plan import Members
from polyray.training.combining.recipe import CombineRecipe
from polyray.training.combining.systems import averaged, centroid, greedy_subset, nearest, probabilities
from polyray.training.combining.table import centroids_of


def test_scores_become_probabilities_over_the_candidates_of_each_example() -> None:
    log = np.log
    first, second = np.array([log(1), log(3), 0.0, 0.0, 0.0]), np.array([1000.0, 0.0, log(2), log(1), log(1)])
    both = probabilities([first, second], [2, 3])
    assert np.allclose(both[0], [[0.25, 0.75], [1.0, 0.0]]) and np.allclose(both[1], [[1 / 3] * 3, [0.5, 0.25, 0.25]])
    with pytest.raises(ValueError, match=r"have \[5, 4\] scores, not 5"):
        probabilities([first, second[:4]], [2, 3])


def test_the_mean_of_probabilities_decides_not_the_number_of_votes() -> None:
    members = [np.array([[0.9, 0.1], [0.45, 0.55], [0.45, 0.55]])]
    assert averaged(members, [(0, 1, 2)]) == [0] and averaged(members, [(1, 2)]) == [1]


def test_a_greedy_subset_takes_the_best_member_beside_those_it_has() -> None:
    worth = {(0,): 5, (1,): 6, (2,): 4, (1, 0): 6, (1, 2): 9, (1, 2, 0): 8}
    asked: list[tuple[int, ...]] = []

    def score(subset: object) -> float:
        assert isinstance(subset, tuple)
        asked.append(subset)
        return worth[subset]

    assert greedy_subset(3, 2, score) == (1, 2) and asked == [(0,), (1,), (2,), (1, 0), (1, 2)]
    assert greedy_subset(3, 9, lambda subset: 0.0) == (0, 1, 2)


def test_the_nearest_centroids_are_those_of_the_largest_cosine() -> None:
    centroids = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    inputs = np.array([[0.8, 0.6], [0.0, 1.0]])
    assert nearest(inputs, centroids, 2).tolist() == [[2, 0], [1, 2]]
    assert np.allclose(centroid(np.array([[1.0, 0.0], [0.0, 1.0]])), [0.5**0.5, 0.5**0.5])


def test_the_centroid_of_a_skill_is_that_of_its_own_tasks() -> None:
    members = Members(folders=(Path("a"), Path("b")), names=("a", "b"), owners={"one": 0, "two": 0, "three": 1})
    inputs = {"train/one": [[1.0, 0.0]], "train/two": [[0.0, 1.0]], "train/three": [[0.0, -2.0]]}
    centroids = centroids_of(members, {name: np.array(rows) for name, rows in inputs.items()})
    assert np.allclose(centroids, [[0.5**0.5, 0.5**0.5], [0.0, -1.0]])


def test_candidates_scored_otherwise_are_those_of_another_recipe() -> None:
    recipe = CombineRecipe()
    assert recipe.fingerprint == CombineRecipe(routed=(1,)).fingerprint != CombineRecipe(split="train").fingerprint
