"""Scores equal numbers worked by hand and obey the laws of scores."""

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, matthews_corrcoef

from polyray.metrics import METRICS, macro_f1, matthews_correlation
from polyray.metrics.matching import normalised

TEXT_METRICS = [name for name, metric in METRICS.items() if metric.scores == "answers"]
WORD = st.sampled_from(["red", "Green", "cat", "dog", "3", "-1.5", "runs,", "sat"])
WORDS = st.lists(WORD, min_size=1, max_size=6).map(" ".join)
NUMBERS = st.floats(-1e6, 1e6).map(str)
ANYTHING = st.text(max_size=12)


def examples_for(metric: str) -> st.SearchStrategy[list[tuple[str, tuple[str, ...]]]]:
    if metric == "Pearson-Correlation":
        return st.lists(st.tuples(ANYTHING | NUMBERS, st.tuples(NUMBERS)), min_size=1, max_size=8)
    return st.lists(
        st.tuples(ANYTHING | WORDS, st.lists(WORDS, min_size=1, max_size=3).map(tuple)), min_size=1, max_size=8
    )


def number(metric: str, predictions: Sequence[str], answers: Sequence[Any]) -> float:
    """The number that the entry of METRICS gives texts."""
    scores = METRICS[metric].score(predictions, [SimpleNamespace(outputs=accepted) for accepted in answers])
    assert list(scores) == [metric]
    return scores[metric]


def scored(metric: str, pairs: list[tuple[str, tuple[str, ...]]]) -> float:
    return number(metric, [prediction for prediction, _ in pairs], [answers for _, answers in pairs])


@pytest.mark.parametrize(
    ("metric", "predictions", "answers", "by_hand"),
    [
        # case, punctuation and articles do not count; the second answer is as good as the first; half are right
        ("EM", ["The cat!", "a dog"], [("Cat",), ("fox", "wolf")], 0.5),
        ("EM", ["wolf"], [("fox", "The Wolf.")], 1.0),
        ("EM", ["an owl", "a banana", "ant"], [("owl",), ("Banana",), ("t",)], 2 / 3),  # articles are whole words
        # only case does not count
        ("ACC", ["YES", "no.", "b"], [("yes",), ("no",), ("a", "B")], 2 / 3),
        # 2 of the prediction's 3 words and of the answer's 4 are shared: 2 * 2 / (3 + 4); the best answer counts
        ("QA-F1", ["red cat sat"], [("red cat runs home", "blue")], 4 / 7),
        ("QA-F1", ["cat cat"], [("cat",)], 2 / 3),  # a repeated word matches once: 2 * 1 / (2 + 1)
        ("QA-F1", ["x"], [("y",)], 0.0),
        # a: 1 right, 1 missed -> 2/3; b: 1 right, 1 false -> 2/3
        ("Classification-F1", ["a", "b", "b"], [("a",), ("a",), ("b",)], 2 / 3),
        # a predicted text that is no label is a class of F1 0: (2/3 + 0) / 2
        ("Classification-F1", ["a", "junk"], [("a",), ("a",)], 1 / 3),
        # true positive 1, false negative 1, true negative 2: 1 * 2 / sqrt(1 * 2 * 2 * 3)
        (
            "Matthew-Correlation",
            ["acceptable", "junk", "unacceptable", "junk"],
            [("acceptable",), ("acceptable",), ("unacceptable",), ("unacceptable",)],
            2 / math.sqrt(12),
        ),
        ("Matthew-Correlation", ["b", "a"], [("a",), ("b",)], -1.0),
        ("Matthew-Correlation", ["a", "a"], [("a",), ("b",)], 0.0),
        # gold -1 0 1, predicted -1 1 0 about their means: 1 / (sqrt 2 * sqrt 2)
        ("Pearson-Correlation", ["1", "3", "2"], [("1",), ("2",), ("3",)], 0.5),
        # the unreadable one counts as 0: gold -1 0 1, predicted -1 1 0 about the mean 1
        ("Pearson-Correlation", ["oops", "2", "1"], [("1",), ("2",), ("3",)], 0.5),
        ("Pearson-Correlation", ["nan", "2", "1"], [("1",), ("2",), ("3",)], 0.5),
        ("Pearson-Correlation", ["-inf", "2", "1"], [("1",), ("2",), ("3",)], 0.5),
        ("Pearson-Correlation", ["nan", "inf", ""], [("1",), ("2",), ("3",)], 0.0),
        # as above with 1e200 as the unit, whose square is no double
        ("Pearson-Correlation", ["1e200", "3e200", "2e200"], [("1e200",), ("2e200",), ("3e200",)], 0.5),
        ("Pearson-Correlation", ["3", "2", "1"], [("1",), ("2",), ("3",)], -1.0),
        ("Pearson-Correlation", ["2", "2"], [("1",), ("5",)], 0.0),
        # in order "the cat sat": 3 of the prediction's 3 words and of the answer's 5 are shared: 2 * 3 / (3 + 5)
        ("Rouge-L", ["the cat sat"], [("the big cat sat down",)], 0.75),
        ("Rouge-L", ["sat cat"], [("cat sat", "dog")], 0.5),  # order counts: 1 shared of 2 and 2
        # each sentence of the answer adds its words; "." ends a sentence and is no word: 2 * 3 / (4 + 3)
        ("Rouge-L", ["b a. c d"], [("a b. c",)], 2 * 2 / (4 + 3)),
        # "a b" and "b a" share "b", not "a": of equally long subsequences the last word of the prediction is dropped;
        # with "a" of the other sentence both words are shared: 2 * 2 / (2 + 2)
        ("Rouge-L", ["b a"], [("a. a b",)], 1.0),
        ("Rouge-L", ["?!"], [("cat", "?!")], 0.0),
    ],
)
def test_the_score_equals_the_number_worked_by_hand(
    metric: str, predictions: list[str], answers: list[tuple[str, ...]], by_hand: float
) -> None:
    assert number(metric, predictions, answers) == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize("metric", TEXT_METRICS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_score_is_a_number_in_its_range(metric: str, data: st.DataObject) -> None:
    score = scored(metric, data.draw(examples_for(metric)))
    lowest = -1.0 if metric.endswith("Correlation") else 0.0
    assert lowest <= score <= 1.0


@pytest.mark.parametrize("metric", TEXT_METRICS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_order_of_examples_does_not_matter(metric: str, data: st.DataObject) -> None:
    pairs = data.draw(examples_for(metric))
    assert scored(metric, data.draw(st.permutations(pairs))) == pytest.approx(scored(metric, pairs), abs=1e-9)


@pytest.mark.parametrize("metric", TEXT_METRICS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_predicting_the_first_answer_scores_one(metric: str, data: st.DataObject) -> None:
    pairs = [(answers[0], answers) for _, answers in data.draw(examples_for(metric))]
    if metric.endswith("Correlation"):  # undefined where all answers are alike
        kind = "Pearson" if metric.startswith("Pearson") else "Matthew"
        extra = {"Pearson": ("1e6", "-1e6"), "Matthew": ("up", "down")}[kind]
        pairs += [(answer, (answer,)) for answer in extra]
    assert scored(metric, pairs) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("metric", ["EM", "ACC", "QA-F1", "Rouge-L"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_one_more_accepted_answer_never_lowers_the_score(metric: str, data: st.DataObject) -> None:
    pairs = data.draw(examples_for(metric))
    more = [(prediction, (*answers, data.draw(WORDS))) for prediction, answers in pairs]
    assert scored(metric, more) >= scored(metric, pairs)


@given(pairs=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None)
def test_macro_f1_equals_the_mean_over_labels_counted_one_by_one(pairs: list[tuple[str, str]]) -> None:
    labels = {label for pair in pairs for label in pair}
    each = []
    for label in labels:
        hits = sum(gold == label == predicted for gold, predicted in pairs)
        each.append(2 * hits / (sum(gold == label for gold, _ in pairs) + sum(label == text for _, text in pairs)))
    slow = sum(each) / len(each)
    assert macro_f1([predicted for _, predicted in pairs], [(gold,) for gold, _ in pairs]) == pytest.approx(slow)
    assert f1_score(*zip(*pairs, strict=True), average="macro", zero_division=0.0) == pytest.approx(slow)


@given(pairs=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None)
def test_matthews_correlation_equals_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    assume(len({label for pair in pairs for label in pair}) > 1)  # scikit-learn warns of a single label
    expected = float(matthews_corrcoef(*zip(*pairs, strict=True)))
    assert matthews_correlation([predicted for _, predicted in pairs], [(gold,) for gold, _ in pairs]) == (
        pytest.approx(expected, abs=1e-12)
    )


def test_many_different_labels_score_without_a_warning() -> None:
    labels = [f"label {i}" for i in range(40)]
    assert macro_f1(labels, [(label,) for label in labels]) == 1.0


@given(text=st.text(max_size=30))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    if "a" not in text.lower():  # "a-n" loses its hyphen first and its article second
        assert normalised(normalised(text)) == normalised(text)


@pytest.mark.parametrize("metric", TEXT_METRICS)
def test_a_missing_prediction_is_refused(metric: str) -> None:
    with pytest.raises(ValueError, match="Found 1 predictions for 2 examples"):
        number(metric, ["1"], [("1",), ("2",)])


@pytest.mark.parametrize("metric", TEXT_METRICS)
def test_scoring_nothing_is_refused(metric: str) -> None:
    with pytest.raises(ValueError, match="nothing to score"):
        number(metric, [], [])


@pytest.mark.parametrize("answers", [(), "cat"])
def test_an_example_without_a_list_of_answers_is_refused(answers: tuple[str, ...] | str) -> None:
    with pytest.raises(ValueError, match="Example 0"):
        number("EM", ["cat"], [answers])


def test_an_answer_that_is_no_number_cannot_be_correlated() -> None:
    with pytest.raises(ValueError, match="'high' is not a number"):
        number("Pearson-Correlation", ["1", "2"], [("1",), ("high",)])
