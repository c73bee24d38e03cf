"""Accuracy and macro F1 of labels, by hand."""

from types import SimpleNamespace

import pytest

from polyray.metrics import METRICS


def test_accuracy_and_macro_f1_by_hand() -> None:
    # true a a b c, predicted a b b A: "A" is another label than "a"; F1 of a 2/3, b 2/3, c 0, A 0
    examples = [SimpleNamespace(label=label) for label in "aabc"]
    assert METRICS["Label-ACC"].score(list("abbA"), examples) == {"Label-ACC": 0.5, "macro_f1": pytest.approx(1 / 3)}
    scores = METRICS["Label-F1"].score(list("abbA"), examples)
    assert list(scores) == ["Label-F1", "accuracy"] and list(scores.values()) == pytest.approx([1 / 3, 0.5])
    for metric in ("Label-ACC", "Label-F1"):
        with pytest.raises(ValueError, match="Found 1 predictions for 4 examples"):
            METRICS[metric].score(["a"], examples)
        with pytest.raises(ValueError, match="nothing to score"):
            METRICS[metric].score([], [])
