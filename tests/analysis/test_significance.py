"""Intervals and paired tests from sums, against samples that are scored anew and draws that are listed."""

import math
import random
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from polyray.analysis import significance
from polyray.analysis.bootstrap import interval, resampled_scores
from polyray.analysis.significance import holm, paired_difference, resampled_totals
from polyray.metrics.bleu import bleu
from polyray.metrics.measurement import Measurement

REFERENCES = [["the hotel has free wifi and parking"], ["yes it does"], ["rooms start at eighty pounds a night"]] * 4
FIRST = ["the hotel has wifi and free parking", "yes it does", "a room is eighty pounds"] * 4
SECOND = ["the hotel has free wifi", "no it does not", "rooms start at eighty pounds a night"] * 4


def test_resampled_totals_are_the_scores_of_each_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = bleu(FIRST, REFERENCES)

    def anew(indices: Sequence[int]) -> float:
        return bleu([FIRST[i] for i in indices], [REFERENCES[i] for i in indices]).value

    slow = resampled_scores(anew, len(FIRST), 20, seed=7)
    assert resampled_totals(measured.statistics, measured.total, 20, 7) == pytest.approx(slow, abs=1e-12)
    monkeypatch.setattr(significance, "_CELLS", 3 * len(FIRST))  # seven blocks in place of one
    assert resampled_totals(measured.statistics, measured.total, 20, 7) == pytest.approx(slow, abs=1e-12)


def test_exchanging_outputs_gives_the_p_of_all_exchanges() -> None:
    # of the 2^6 exchanges of six pairs, those that differ in the mean at least as much as the systems do
    draw = random.Random(0)
    first, second = ([draw.random() for _ in range(6)] for _ in range(2))
    second = [x + 0.3 for x in second]
    differences = np.subtract(second, first)
    observed = abs(differences.mean())
    listed = [abs(np.mean(signs * differences)) >= observed - 1e-12 for signs in product((1, -1), repeat=6)]
    exact = sum(listed) / 64
    left, right = Measurement.averaged(first), Measurement.averaged(second)
    tested = paired_difference(
        left.statistics, right.statistics, left.total, test="randomisation", n_draws=20_000, seed=1
    )
    assert tested.value == pytest.approx(differences.mean()) and 0.05 < exact < 0.5
    assert tested.p == pytest.approx(exact, abs=0.01)


def test_the_interval_and_p_of_the_paired_bootstrap_are_those_of_resampled_differences() -> None:
    first, second = bleu(FIRST, REFERENCES), bleu(SECOND, REFERENCES)
    tested = paired_difference(
        first.statistics, second.statistics, first.total, test="bootstrap", n_draws=60, seed=3, share=0.9
    )
    scores = [
        [
            bleu([texts[i] for i in draw], [REFERENCES[i] for i in draw]).value
            for draw in np.random.default_rng([3, len(FIRST)]).integers(0, len(FIRST), (60, len(FIRST)))
        ]
        for texts in (FIRST, SECOND)
    ]
    differences = np.subtract(scores[1], scores[0])
    assert (tested.low, tested.high) == pytest.approx(interval(differences.tolist(), 0.9))
    value = second.value - first.value
    extreme = sum(abs(difference - differences.mean()) >= abs(value) for difference in differences)
    assert tested.value == pytest.approx(value) and tested.p == pytest.approx((extreme + 1) / 61)


def test_equal_systems_do_not_differ_and_unequal_ones_do() -> None:
    generator = np.random.default_rng(0)
    first = Measurement.averaged(generator.random(80).tolist())
    second = Measurement.averaged((first.values + 0.2).tolist())
    for test in ("bootstrap", "randomisation"):
        same, other = (
            paired_difference(first.statistics, x.statistics, first.total, test=test, n_draws=500, seed=0)
            for x in (first, second)
        )
        assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
        assert other.value == pytest.approx(0.2) and other.p == pytest.approx(1 / 501)
        assert other.low == pytest.approx(0.2) and other.high == pytest.approx(0.2)


def test_samples_without_an_example_that_counts_are_left_out() -> None:
    # one of two examples counts: a quarter of the samples holds the other one alone
    first, second = Measurement.averaged([0.5, math.nan]), Measurement.averaged([0.75, math.nan])
    for test in ("bootstrap", "randomisation"):
        tested = paired_difference(first.statistics, second.statistics, first.total, test=test, n_draws=40, seed=0)
        assert (tested.value, tested.low, tested.high) == (0.25, 0.25, 0.25)
        assert tested.p == 1.0 if test == "randomisation" else tested.p < 0.05


def test_holm_by_hand() -> None:
    # 0.01 * 3, 0.02 * 2, 0.04 * 1 but no less than the one before it
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []
