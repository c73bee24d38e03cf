"""The accuracy of hidden tokens by hand."""

import math

import pytest

from polyray.metrics import METRICS, Recovery


def test_every_hidden_token_counts_the_same_whatever_text_it_is_of() -> None:
    # 3 of 4 and 0 of 1 tokens: 3/5; losses 4 * 0.5 + 1 * 3 = 5 over 5 tokens: 1 nat
    recoveries = [Recovery(tokens=4, hits=3, loss=0.5), Recovery(tokens=1, hits=0, loss=3.0)]
    assert METRICS["Masked-ACC"].score(recoveries, [None, None]) == pytest.approx(
        {"Masked-ACC": 0.6, "loss": 1.0, "perplexity": math.e}
    )


def test_nothing_hidden_and_a_missing_prediction_are_refused() -> None:
    with pytest.raises(ValueError, match="no masked token"):
        METRICS["Masked-ACC"].score([Recovery(tokens=0, hits=0, loss=0.0)], [None])
    with pytest.raises(ValueError, match="Found 1 predictions for 2 examples"):
        METRICS["Masked-ACC"].score([Recovery(tokens=1, hits=0, loss=0.0)], [None, None])
