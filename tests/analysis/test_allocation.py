"""Discreteness, density and usage of an allocation against laws and numbers worked by hand."""

import math

import numpy as np
import pytest

from polyray.analysis.allocation import analyse, features, subsets

TRUTH = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 1], [1, 1, 0], [1, 1, 0]], dtype=float)


@pytest.fixture
def probabilities() -> np.ndarray:
    return np.random.default_rng(7).random((4, 7, 5))


def test_an_undecided_allocation_has_entropy_one_and_no_density() -> None:
    analysis = analyse(np.full((2, 5, 3), 0.5))
    assert analysis.metrics() == pytest.approx({"discreteness": 0.0, "entropy": 1.0, "density": 0.0, "usage": 1.0})


def test_a_binary_allocation_has_entropy_zero() -> None:
    analysis = analyse(TRUTH)
    assert (analysis.entropy, analysis.discreteness) == (0.0, 1.0)
    assert analysis.density == pytest.approx(10 / 18)


def test_entropy_of_one_quarter_is_the_binary_entropy_in_bits() -> None:
    bits = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))  # 0.8113
    assert analyse([[0.25, 0.75]]).entropy == pytest.approx(bits)


def test_usage_is_the_entropy_of_the_skills_shares() -> None:
    # column sums 3 and 1: shares 3/4 and 1/4, whose entropy over log 2 is 0.8113
    analysis = analyse([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    assert analysis.usage == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))


def test_usage_of_three_skills_is_relative_to_the_entropy_of_equal_use() -> None:
    # shares 1/2, 1/4, 1/4: 1.5 bits of log2 3
    assert analyse([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]).usage == pytest.approx(1.5 / math.log2(3))


def test_every_number_of_an_analysis_lies_between_zero_and_one() -> None:
    cells = 0.5 + np.linspace(-1e-7, 1e-7, 2001)  # their entropies round to slightly more than one bit
    for figure in analyse(np.stack([cells, cells]).T[None]).by_site().values():
        assert ((figure >= 0.0) & (figure <= 1.0)).all()
    assert (analyse(cells[None]).discreteness_by_skill >= 0.0).all()


def test_usage_is_one_for_equal_use_and_zero_when_one_skill_does_all() -> None:
    assert analyse(np.eye(4)).usage == pytest.approx(1.0)
    assert analyse([[1.0, 0.0], [1.0, 0.0]]).usage == 0.0
    assert analyse(np.zeros((3, 2))).usage == 0.0
    assert analyse(np.ones((3, 1))).usage == 1.0


def test_the_whole_is_the_mean_of_its_sites(probabilities: np.ndarray) -> None:
    together, alone = analyse(probabilities), [analyse(site) for site in probabilities]
    assert together.discreteness_by_skill.shape == together.density_by_skill.shape == (4, 5)
    for name, values in together.by_site().items():
        assert values == pytest.approx([site.metrics()[name] for site in alone])
        assert together.metrics()[name] == pytest.approx(values.mean())


def test_the_order_of_tasks_and_skills_does_not_change_the_analysis(probabilities: np.ndarray) -> None:
    mixed = probabilities[:, ::-1][:, :, [3, 0, 4, 1, 2]]
    assert analyse(mixed).metrics() == pytest.approx(analyse(probabilities).metrics())


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros((0, 4)), [[1.5]], [[-0.1]], [[math.nan]]])
def test_a_table_of_anything_but_probabilities_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"allocation"):
        analyse(wrong)  # type: ignore[arg-type]


def test_features_put_the_sites_of_a_task_side_by_side(probabilities: np.ndarray) -> None:
    rows = features(probabilities)
    assert rows.shape == (7, 20)
    assert rows[2].tolist() == np.concatenate([probabilities[site, 2] for site in range(4)]).tolist()


def test_subsets_list_the_tasks_of_each_set_of_skills() -> None:
    groups = subsets([[0.9, 0.2], [0.1, 0.3], [0.8, 0.7], [0.6, 0.5], [0.4, 0.6]], ["a", "b", "c", "d", "e"])
    assert list(groups.items()) == [((), ["b"]), ((0,), ["a", "d"]), ((1,), ["e"]), ((0, 1), ["c"])]
    for names in (["a"], ["a", "b", "c"]):
        with pytest.raises(ValueError, match=f"{len(names)} names"):
            subsets([[1.0], [0.0]], names)
