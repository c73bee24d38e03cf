"""Bootstrap intervals, by laws and by hand."""

import math
from collections.abc import Sequence

import pytest

from polyray.analysis.bootstrap import interval, resampled_scores

VALUES = [float(number % 2) for number in range(400)]


def mean(indices: Sequence[int]) -> float:
    return sum(VALUES[index] for index in indices) / len(indices)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    scores = resampled_scores(mean, len(VALUES), 2000, seed=0)
    low, high = interval(scores)
    deviation = 0.5 / math.sqrt(len(VALUES))  # of the mean of fair coins
    assert low == pytest.approx(0.5 - 1.96 * deviation, abs=0.005) and high == pytest.approx(
        0.5 + 1.96 * deviation, abs=0.005
    )


def test_two_systems_on_the_same_examples_get_the_same_samples() -> None:
    shifted = resampled_scores(lambda indices: mean(indices) + 0.25, len(VALUES), 50, seed=3)
    assert [x - y for x, y in zip(shifted, resampled_scores(mean, len(VALUES), 50, seed=3), strict=True)] == (
        pytest.approx([0.25] * 50)
    )
    assert len(set(shifted)) > 10 and resampled_scores(mean, len(VALUES), 50, seed=4) != shifted


def test_an_interval_by_hand() -> None:
    assert interval(range(101), share=0.9) == pytest.approx((5.0, 95.0))
    assert all(math.isnan(bound) for bound in interval([]))
