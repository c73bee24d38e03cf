"""Attachment scores by hand."""

from types import SimpleNamespace

import pytest

from polyray.metrics import METRICS

EXAMPLES = [
    SimpleNamespace(heads=(2, 0, 2), relations=("nsubj:pass", "root", "punct")),
    SimpleNamespace(heads=(0,), relations=("root",)),
]


def test_attachment_by_hand() -> None:
    # of 4 words: 1 right without its subtype, 2 right, 3 right head and wrong relation, 4 wrong head. las 2/4, uas 3/4;
    # without the words of the root 1 and 3 are left: 1/2 and 2/2
    predicted = [((2, "nsubj"), (0, "root"), (2, "obj")), ((1, "root"),)]
    shares = {"las": 2 / 4, "uas": 3 / 4, "las_noroot": 1 / 2, "uas_noroot": 1.0}
    for metric in ("las", "uas"):
        scores = METRICS[metric].score(predicted, EXAMPLES)
        assert scores == shares and next(iter(scores)) == metric
    perfect = [tuple(zip(x.heads, x.relations, strict=True)) for x in EXAMPLES]
    assert set(METRICS["las"].score(perfect, EXAMPLES).values()) == {1.0}
    assert METRICS["las"].score([((0, "root"),)], EXAMPLES[1:])["uas_noroot"] == 1.0


def test_missing_predictions_are_refused() -> None:
    for predicted, message in (
        ([], "Found 0 predictions for 2"), ([(), ((0, "root"),)], "Example 0 has 3 words, found 0"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            METRICS["las"].score(predicted, EXAMPLES)
    with pytest.raises(ValueError, match="nothing to score"):
        METRICS["las"].score([], [])
