"""Spearman's correlation and the area under the ROC curve, against scipy and every pair."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from polyray.analysis.ranks import area_under_roc, ranks, spearman

GENERATOR = np.random.default_rng(0)
FIRST = GENERATOR.integers(0, 5, (3, 20)).astype(float)  # many ties
SECOND = FIRST + GENERATOR.normal(size=(3, 20))


def test_ranks_of_equal_values_are_their_mean() -> None:
    assert ranks(np.asarray([[3.0, 1.0, 3.0, 2.0], [0.0, 0.0, 0.0, 9.0]])).tolist() == [[3.5, 1, 3.5, 2], [2, 2, 2, 4]]


def test_spearman_of_each_row_equals_scipys() -> None:
    expected = [spearmanr(*pair).statistic for pair in zip(FIRST, SECOND, strict=True)]
    assert spearman(FIRST, SECOND) == pytest.approx(expected)
    assert spearman(np.ones(4), np.arange(4.0)) == 0.0


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    positive = SECOND > 2
    for scores, kinds, area in zip(FIRST, positive, area_under_roc(FIRST, positive), strict=True):
        pairs = [(a > b) + (a == b) / 2 for a in scores[kinds] for b in scores[~kinds]]
        assert area == pytest.approx(np.mean(pairs))
    assert np.isnan(area_under_roc(FIRST[0], np.ones(20, dtype=bool)))
