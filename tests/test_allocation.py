"""The analysis of an allocation against laws and numbers worked by hand."""

import math

import numpy as np
import pytest

from polyray.analysis.allocation import (
    LINKAGES,
    analyse,
    assignment_accuracy,
    clusters,
    features,
    hierarchy,
    leaf_order,
    recovery_ami,
    subsets,
)
from polyray.errors import InputError

TRUTH = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 1], [1, 1, 0], [1, 1, 0]], dtype=float)


def test_an_undecided_allocation_has_entropy_one_and_no_density() -> None:
    found = analyse(np.full((2, 5, 3), 0.5))
    assert found.metrics() == pytest.approx({"discreteness": 0.0, "entropy": 1.0, "density": 0.0, "usage": 1.0})


def test_a_binary_allocation_has_entropy_zero() -> None:
    found = analyse(TRUTH)
    assert (found.entropy, found.discreteness) == (0.0, 1.0)
    assert found.density == pytest.approx(10 / 18)


def test_entropy_of_one_quarter_is_the_binary_entropy_in_bits() -> None:
    bits = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))  # 0.8113
    assert analyse([[0.25, 0.75]]).entropy == pytest.approx(bits)


def test_usage_is_the_entropy_of_the_skills_shares() -> None:
    # column sums 3 and 1: shares 3/4 and 1/4, whose entropy over log 2 is 0.8113
    found = analyse([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    assert found.usage == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))


def test_usage_is_one_for_equal_use_and_zero_when_one_skill_does_all() -> None:
    assert analyse(np.eye(4)).usage == pytest.approx(1.0)
    assert analyse([[1.0, 0.0], [1.0, 0.0]]).usage == 0.0
    assert analyse(np.zeros((3, 2))).usage == 0.0
    assert analyse(np.ones((3, 1))).usage == 1.0


def test_the_whole_is_the_mean_of_its_sites(probabilities: np.ndarray) -> None:
    found, alone = analyse(probabilities), [analyse(site) for site in probabilities]
    assert found.discreteness_by_skill.shape == found.density_by_skill.shape == (4, 5)
    for name, values in found.by_site().items():
        assert values == pytest.approx([site.metrics()[name] for site in alone])
        assert found.metrics()[name] == pytest.approx(values.mean())


def test_the_order_of_tasks_and_skills_does_not_change_the_analysis(probabilities: np.ndarray) -> None:
    mixed = probabilities[:, ::-1][:, :, [3, 0, 4, 1, 2]]
    assert analyse(mixed).metrics() == pytest.approx(analyse(probabilities).metrics())


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros((0, 4)), [[1.5]], [[-0.1]], [[math.nan]]])
def test_what_is_no_table_of_probabilities_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"allocation"):
        analyse(wrong)  # type: ignore[arg-type]


def test_features_put_the_sites_of_a_task_side_by_side(probabilities: np.ndarray) -> None:
    rows = features(probabilities)
    assert rows.shape == (7, 20)
    assert rows[2].tolist() == np.concatenate([probabilities[site, 2] for site in range(4)]).tolist()


def test_the_nearest_tasks_are_merged_first() -> None:
    merges = hierarchy([[0.0], [1.0], [0.1]], linkage="single")
    assert merges[0].tolist() == pytest.approx([0, 2, 0.1, 2])
    assert merges[1].tolist() == pytest.approx([1, 3, 0.9, 3])
    assert leaf_order(merges).index(1) in (0, 2)


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_a_cut_gives_exactly_n_clusters_even_with_equal_distances(linkage: str, n: int) -> None:
    found = clusters(hierarchy(TRUTH, linkage=linkage), n)
    assert sorted(set(found.tolist())) == list(range(n))
    assert found[0] == 0


def test_the_cut_of_a_clear_allocation_is_its_groups() -> None:
    assert clusters(hierarchy(TRUTH), 3).tolist() == [0, 0, 1, 1, 2, 2]


def test_a_hierarchy_that_is_not_defined_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        hierarchy([[1.0, 0.0]])
    with pytest.raises(ValueError, match="euclidean"):
        hierarchy(TRUTH, linkage="ward", metric="cosine")
    with pytest.raises(ValueError, match="not defined"):
        hierarchy([[0.0, 0.0], [1.0, 0.0]], metric="cosine")
    with pytest.raises(InputError, match="Did you mean 'average'"):
        hierarchy(TRUTH, linkage="averag")
    with pytest.raises(ValueError, match="1 to 6"):
        clusters(hierarchy(TRUTH), 7)


def test_subsets_list_the_tasks_of_each_set_of_skills() -> None:
    found = subsets([[0.9, 0.2], [0.1, 0.3], [0.8, 0.7], [0.6, 0.5]], ["a", "b", "c", "d"])
    assert list(found.items()) == [((), ["b"]), ((0,), ["a", "d"]), ((0, 1), ["c"])]
    with pytest.raises(ValueError, match="2 names"):
        subsets([[1.0]], ["a", "b"])


def test_the_truth_recovers_itself_in_any_order_of_skills_and_tasks() -> None:
    assert recovery_ami(TRUTH, TRUTH) == pytest.approx(1.0)
    assert recovery_ami(TRUTH[:, [2, 0, 1]], TRUTH) == pytest.approx(1.0)
    order = [5, 0, 3, 2, 4, 1]
    noisy = np.abs(TRUTH - np.linspace(0.01, 0.2, 18).reshape(6, 3))
    assert recovery_ami(noisy[order], TRUTH[order]) == pytest.approx(recovery_ami(noisy, TRUTH)) == pytest.approx(1.0)


def test_chance_recovers_about_nothing() -> None:
    generator = np.random.default_rng(0)
    truth = np.eye(4)[np.arange(40) % 4]
    scores = [recovery_ami(generator.random((40, 4)), truth) for _ in range(20)]
    assert abs(float(np.mean(scores))) < 0.05


def test_accuracy_is_one_for_the_truth_with_its_skills_permuted() -> None:
    assert assignment_accuracy(TRUTH[:, [2, 0, 1]] * 0.9, TRUTH) == 1.0


def test_accuracy_counts_the_cells_under_the_best_matching() -> None:
    # learned columns (1,1,0) and (0,0,0) against (0,0,1) and (1,1,1): first with second, 2 + 2 of 6 cells agree
    assert assignment_accuracy([[1, 0], [1, 0], [0, 0]], [[0, 1], [0, 1], [1, 1]]) == pytest.approx(4 / 6)


def test_a_skill_without_partner_is_wrong_for_each_of_its_tasks() -> None:
    truth = [[1, 0], [0, 1], [0, 1]]
    assert assignment_accuracy([[0], [1], [1]], truth) == pytest.approx(5 / 6)  # the missing skill has one task
    more = [[1, 0, 1], [0, 1, 1], [0, 1, 0]]
    assert assignment_accuracy(more, truth) == pytest.approx(7 / 9)  # the extra one has two
    assert assignment_accuracy([[1, 0, 0], [0, 1, 0], [0, 1, 0]], truth) == 1.0


def test_sites_are_matched_each_alone() -> None:
    both = np.stack([TRUTH[:, [1, 2, 0]], 1.0 - TRUTH])
    assert assignment_accuracy(both, TRUTH) == pytest.approx((1.0 + assignment_accuracy(1.0 - TRUTH, TRUTH)) / 2)


def test_another_number_of_tasks_is_refused() -> None:
    with pytest.raises(ValueError, match="5 tasks"):
        recovery_ami(TRUTH[:5], TRUTH)
    with pytest.raises(ValueError, match="5 tasks"):
        assignment_accuracy(TRUTH[:5], TRUTH)


@pytest.fixture
def probabilities() -> np.ndarray:
    return np.random.default_rng(7).random((4, 7, 5))
