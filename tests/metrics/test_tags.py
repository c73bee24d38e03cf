"""Entities and their F1, tags and their accuracy: by hand, and against seqeval."""

import random
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from polyray.metrics import METRICS, entities


def score(metric: str, predictions: Sequence[Sequence[str]], tags: Sequence[Sequence[str]]) -> dict[str, float]:
    return METRICS[metric].score(predictions, [SimpleNamespace(tags=sentence) for sentence in tags])


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O B-PER I-PER O B-LOC", [("PER", 1, 2), ("LOC", 4, 4)]),
        ("I-PER I-PER O I-LOC", [("PER", 0, 1), ("LOC", 3, 3)]),  # IOB1: entities begin with I-
        ("I-PER B-PER I-PER", [("PER", 0, 0), ("PER", 1, 2)]),  # IOB1: B- divides neighbours of one type
        ("B-PER I-LOC I-LOC", [("PER", 0, 0), ("LOC", 1, 2)]),  # another type begins
        ("B-PER B-PER", [("PER", 0, 0), ("PER", 1, 1)]),
        ("I-PER O I-PER", [("PER", 0, 0), ("PER", 2, 2)]),
        ("B-creative-work I-creative-work", [("creative-work", 0, 1)]),
        ("B-A E-A E-A S-A I-A", [("A", 0, 1), ("A", 2, 2), ("A", 3, 3), ("A", 4, 4)]),  # BIOES
        ("B-A L-A U-B", [("A", 0, 1), ("B", 2, 2)]),  # BILOU
        ("X-A B-A", [("A", 1, 1)]),
        ("O O", []),
        ("", []),
    ],
)
def test_entities_of_a_sentence_are_read_from_its_tags(tags: str, spans: list[tuple[str, int, int]]) -> None:
    assert entities(tags.split()) == spans


def test_f1_of_entities_by_hand() -> None:
    # true: PER 0-1, LOC 3; ORG 0.  predicted: PER 0-1 right, LOC 3 as ORG; ORG 0-1 has a wrong end.
    # 1 right of 3 predicted and of 3 true: precision 1/3, recall 1/3. F1 2 * 1 / (3 + 3).
    true = [["B-PER", "I-PER", "O", "B-LOC"], ["B-ORG", "O"]]
    predicted = [["B-PER", "I-PER", "O", "B-ORG"], ["B-ORG", "I-ORG"]]
    assert score("Entity-F1", predicted, true) == {"Entity-F1": 1 / 3, "precision": 1 / 3, "recall": 1 / 3}
    # one of the two true entities, nothing else: precision 1, recall 1/2, F1 2/3
    assert score("Entity-F1", [["B-A", "O"]], [["B-A", "B-A"]]) == pytest.approx(
        {"Entity-F1": 2 / 3, "precision": 1.0, "recall": 0.5}
    )


def test_f1_is_zero_if_nothing_is_right_and_one_if_there_is_nothing_to_be_found_and_nothing_is() -> None:
    assert score("Entity-F1", [["O"]], [["B-A"]])["Entity-F1"] == 0.0
    assert score("Entity-F1", [["B-A"]], [["O"]])["Entity-F1"] == 0.0
    assert score("Entity-F1", [["O"]], [["O"]])["Entity-F1"] == 1.0


def test_accuracy_counts_words_and_not_sentences() -> None:
    assert score("Tag-ACC", [["N", "V", "N"], ["V"]], [["N", "V", "V"], ["N"]]) == {"Tag-ACC": 0.5}


@pytest.mark.parametrize("metric", ["Entity-F1", "Tag-ACC"])
def test_missing_predictions_and_nothing_to_score_are_refused(metric: str) -> None:
    with pytest.raises(ValueError, match="Found 1 predictions for 2 examples"):
        score(metric, [["O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="nothing to score"):
        score(metric, [], [])
    with pytest.raises(ValueError, match="Example 1 has 2 words, found 1 predicted tags"):
        score(metric, [["O"], ["O"]], [["O"], ["O", "O"]])


def test_entities_and_f1_equal_those_of_seqeval() -> None:
    labeling = pytest.importorskip(
        "seqeval.metrics.sequence_labeling", reason="the comparison needs seqeval: pip install polyray[test]"
    )
    draw = random.Random(0)
    tags = ["O", "O", "B-A", "I-A", "B-B", "I-B", "B-c-d", "I-c-d", "E-A", "S-A", "E-B"]
    for _ in range(50):
        true = [[draw.choice(tags) for _ in range(draw.randint(1, 12))] for _ in range(5)]
        predicted = [[draw.choice([tag, draw.choice(tags)]) for tag in sentence] for sentence in true]
        assert all(entities(sentence) == labeling.get_entities(sentence) for sentence in [*true, *predicted])
        scores = score("Entity-F1", predicted, true)
        assert scores["Entity-F1"] == pytest.approx(labeling.f1_score(true, predicted, zero_division=0))
        assert scores["precision"] == pytest.approx(labeling.precision_score(true, predicted, zero_division=0))
        assert scores["recall"] == pytest.approx(labeling.recall_score(true, predicted, zero_division=0))
