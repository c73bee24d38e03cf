"""Metrics of responses: by hand, and against sacrebleu and rouge-score."""

import math
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from polyray.metrics import METRICS
from polyray.metrics.bleu import bleu
from polyray.metrics.chrf import chrf
from polyray.metrics.responses import OVERLAP, ResponseMetric, extractive_metrics

WORDS = ["the", "a", "Hotel", "room", "has", "free-wifi", "wifi", ",", "parking", "is", "not", "12.50", "naïve", "!"]
ALL = (*OVERLAP, *extractive_metrics(case=True))


def example(outputs: Sequence[str] = (), knowledge: Sequence[str] = ()) -> Any:
    return SimpleNamespace(outputs=tuple(outputs), knowledge=tuple(knowledge))


def drawn(n: int, seed: int) -> tuple[list[str], list[list[str]]]:
    """Predictions, some empty and some right, and one to three references for each."""
    draw = random.Random(seed)

    def text(shortest: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(shortest, 9)))

    references = [[text(1) for _ in range(draw.randint(1, 3))] for _ in range(n)]
    return [draw.choice([text(0), some[0]]) for some in references], references


def columns(references: list[list[str]]) -> Any:
    """sacrebleu's form: a list of all first references, one of all second ones, None where there is none."""
    return [[some[i] if i < len(some) else None for some in references] for i in range(3)]


@pytest.mark.parametrize("seed", range(3))
def test_bleu_and_chrf_equal_those_of_sacrebleu(seed: int) -> None:
    predictions, references = drawn(12, seed)
    for measure, corpus, sentence in ((bleu, BLEU(), BLEU(effective_order=True)), (chrf, CHRF(), CHRF())):
        for size in (1, 12):
            expected = corpus.corpus_score(predictions[:size], columns(references[:size])).score
            assert 100 * measure(predictions[:size], references[:size]).value == pytest.approx(expected)
        each = [sentence.sentence_score(*pair).score for pair in zip(predictions, references, strict=True)]
        assert 100 * measure(predictions, references).values == pytest.approx(each)


def test_bleu_of_short_texts_by_hand() -> None:
    # "yes it is" has n-grams of orders 1 to 3 and none of order 4: corpus BLEU is 0, that of the sentence has 3 orders
    short = bleu(["yes it is"], [["yes it is"]])
    assert short.value == 0.0 and short.values == pytest.approx([1.0])
    # orders 1 to 4: 4/5, 2/4, 1/3, then 0/2 counts as 1/2 a match: (4/5 * 1/2 * 1/3 * 1/4) ** (1/4); lengths are equal
    smoothed = bleu(["a b c x d"], [["a b c y d"]])
    assert smoothed.value == pytest.approx((4 / 5 * 2 / 4 * 1 / 3 * 1 / 4) ** 0.25)
    # three orders without a match count 1/2, 1/4 and 1/8 of one
    rare = bleu(["a b c d e"], [["a y b z c"]])
    assert rare.value == pytest.approx((3 / 5 * 0.5 / 4 * 0.25 / 3 * 0.125 / 2) ** 0.25)
    # as long as half the reference: exp(1 - 2)
    assert bleu(["a b c d"], [["a b c d e f g h"]]).value == pytest.approx(math.exp(-1))


@pytest.mark.processes
def test_rouge_equals_that_of_the_package_rouge_score() -> None:
    scorer = pytest.importorskip(
        "rouge_score.rouge_scorer", reason="the comparison needs rouge-score: pip install polyray[test]"
    ).RougeScorer(["rouge1", "rouge2", "rougeL"])
    predictions, references = drawn(60, seed=4)
    for kind in ("rouge1", "rouge2", "rougeL"):
        metric = METRICS[kind]
        assert isinstance(metric, ResponseMetric)
        pairs = zip(references, predictions, strict=True)
        expected = [scorer.score_multi(some, text)[kind].fmeasure for some, text in pairs]
        measured = metric.measure(predictions, [example(some) for some in references])
        assert measured.values == pytest.approx(expected)


def test_rouge_by_hand() -> None:
    # of 3 and 4 words 2 are shared, in order; of 2 and 3 pairs of words none; the best reference counts
    examples = [example(["The cat sat down", "x"])]
    scores = {kind: METRICS[kind].score(["cat never sat"], examples)[kind] for kind in ("rouge1", "rouge2", "rougeL")}
    assert scores == pytest.approx({"rouge1": 4 / 7, "rouge2": 0.0, "rougeL": 4 / 7})
    assert METRICS["rougeL"].score(["sat cat"], [example(["cat sat"])])["rougeL"] == 0.5


def test_the_best_snippet_of_knowledge_counts_for_each_metric_and_each_response_once() -> None:
    # copied in two words from the first snippet (2 of 4, one fragment), all but one from the second in single words
    response, snippets = "free wifi no parking", ["free wifi", "parking no wifi", ""]
    coverage, density, longest = (
        metric.measure([response], [example(knowledge=snippets)]).value for metric in extractive_metrics(case=True)
    )
    assert (coverage, density, longest) == (3 / 4, (2 * 2) / 4, 2 / 4)
    # content words free wifi parking; 2 of 2 with the first, 2 of 2 ("no" is a stop word) with the second
    assert METRICS["Knowledge-F1"].score([response], [example(knowledge=snippets)])["Knowledge-F1"] == 4 / 5


def test_examples_without_knowledge_or_references_are_left_out() -> None:
    examples = [example(["yes"]), example(["no"], ["the pool"]), example(knowledge=["a bar"])]
    metric = METRICS["Knowledge-F1"]
    assert isinstance(metric, ResponseMetric)
    measured = metric.measure([" pool ", "pool", "gym"], examples)
    assert np.isnan(measured.values[0]) and measured.values[1:].tolist() == [1.0, 0.0]
    assert measured.value == 0.5 and measured.n == 2
    assert METRICS["chrF"].score(["yes ", "no", "gym"], examples)["chrF"] == 1.0
    with pytest.raises(ValueError, match="no example has knowledge"):
        metric.score(["yes"], examples[:1])


def test_every_metric_of_responses_is_a_mean_or_sum_over_examples_in_its_range() -> None:
    predictions, references = drawn(8, seed=9)
    examples = [example(some, some) for some in references]
    for metric in ALL:
        measured = metric.measure(predictions, examples)
        assert measured.values.shape == (8,) and measured.value == metric.score(predictions, examples)[metric.name]
        assert 0 <= measured.value <= (9 if metric.name == "Density" else 1), metric.name
        reversed_order = metric.measure(predictions[::-1], examples[::-1])
        assert reversed_order.values[::-1].tolist() == measured.values.tolist()
        assert reversed_order.value == pytest.approx(measured.value)
        gold = metric.measure([some[0] for some in references], examples)
        assert all(gold.values >= measured.values) or metric.reads == "knowledge", metric.name
        with pytest.raises(ValueError, match="Found 1 predictions for 8"):
            metric.score(predictions[:1], examples)
