"""The recovery of a planted allocation against laws and numbers worked by hand."""

import numpy as np
import pytest

from polyray.analysis.recovery import assignment_accuracy, recovery_ami

TRUTH = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 1], [1, 1, 0], [1, 1, 0]], dtype=float)


def test_the_truth_recovers_itself_in_any_order_of_skills_and_tasks() -> None:
    assert recovery_ami(TRUTH, TRUTH) == pytest.approx(1.0)
    assert recovery_ami(TRUTH[:, [2, 0, 1]], TRUTH) == pytest.approx(1.0)
    order = [5, 0, 3, 2, 4, 1]
    noisy = np.abs(TRUTH - np.linspace(0.01, 0.2, 18).reshape(6, 3))
    assert recovery_ami(noisy[order], TRUTH[order]) == pytest.approx(recovery_ami(noisy, TRUTH)) == pytest.approx(1.0)


def test_recovery_cuts_the_tree_of_the_linkage_and_distance_that_it_is_given() -> None:
    # gaps 1, 1, 1.2, 1.4, 1.6: single linkage cuts off the last point, average linkage the last two
    points, truth = np.array([[0.0], [1.0], [2.0], [3.2], [4.6], [6.2]]), np.eye(2)[[0, 0, 0, 0, 1, 1]]
    assert recovery_ami(points, truth) == pytest.approx(1.0)
    assert recovery_ami(points, truth, linkage="single") < 0.5
    directions, truth = np.array([[1.0, 1.0], [10.0, 10.0], [1.0, 2.0]]), np.eye(2)[[0, 0, 1]]
    assert recovery_ami(directions, truth, metric="cosine") == pytest.approx(1.0)
    assert recovery_ami(directions, truth) < 0.5


def test_recovery_is_one_if_only_one_cut_is_possible() -> None:
    learned = np.random.default_rng(0).random((4, 3))
    assert recovery_ami(learned, np.ones((4, 2))) == recovery_ami(learned, np.eye(4)) == 1.0
    assert recovery_ami(learned[:1], [[1.0, 0.0]]) == 1.0


def test_chance_recovers_about_nothing() -> None:
    generator = np.random.default_rng(0)
    truth = np.eye(4)[np.arange(40) % 4]
    scores = [recovery_ami(generator.random((40, 4)), truth) for _ in range(20)]
    assert abs(float(np.mean(scores))) < 0.05


def test_accuracy_is_one_for_the_truth_with_its_skills_permuted() -> None:
    assert assignment_accuracy(TRUTH[:, [2, 0, 1]] * 0.51, TRUTH) == 1.0
    assert assignment_accuracy(TRUTH * 0.5, TRUTH) == pytest.approx(8 / 18)  # off everywhere: 1 - density


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
