"""Metrics of responses in a dialogue, against accepted responses and against the knowledge that they rest on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from polyray.metrics.bleu import bleu
from polyray.metrics.chrf import chrf
from polyray.metrics.fragments import extraction
from polyray.metrics.knowledge import knowledge_f1
from polyray.metrics.measurement import Measurement
from polyray.metrics.rouge_n import rouge_l, rouge_n

Reads = Literal["references", "knowledge"]
Texts = Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class ResponseMetric:
    """A metric of responses; examples have `outputs`, accepted responses, and `knowledge`, snippets of text.

    Attributes:
        reads: what a response is compared with.
        function: from the responses and, for each, the texts that it is compared with, at least one.
    """

    name: str
    about: str
    reads: Reads
    function: Callable[[Sequence[str], Texts], Measurement]
    scores: str = "responses"

    def score(self, predictions: Sequence[str], examples: Sequence[Any]) -> dict[str, float]:
        """The value for all examples together.

        Raises:
            ValueError: there is nothing to score, or not one prediction for each example.
        """
        return {self.name: self.measure(predictions, examples).value}

    def measure(self, predictions: Sequence[str], examples: Sequence[Any]) -> Measurement:
        """The value for each example and for all, of responses without spaces around them.

        Examples without a text to compare with are left out, as NaN.

        Raises:
            ValueError: as `score`.
        """
        if len(predictions) != len(examples):
            raise ValueError(
                f"Found {len(predictions)} predictions for {len(examples)} examples; expected one for each."
            )
        texts = [example.outputs if self.reads == "references" else example.knowledge for example in examples]
        indices = [index for index, some in enumerate(texts) if some]
        if not indices:
            raise ValueError(f"There is nothing to score: no example has {self.reads}.")
        return self.function([predictions[i].strip() for i in indices], [texts[i] for i in indices]).spread(
            indices, len(examples)
        )


def best_of(score: Callable[[str, str], float], predictions: Sequence[str], texts: Texts) -> Measurement:
    """Mean over responses of the best `score(response, text)` over the texts of its example."""
    return Measurement.averaged(
        [max(score(response, text) for text in some) for response, some in zip(predictions, texts, strict=True)]
    )


def extractive_metrics(*, case: bool) -> tuple[ResponseMetric, ...]:
    """Coverage, density and longest fragment against the snippet of knowledge for which each is highest.

    They describe a response, which is no better for being copied.

    Args:
        case: whether upper and lower case differ.
    """
    share = partial(_coverage, case=case), partial(_density, case=case), partial(_longest, case=case)
    about = (
        "Share of a response's words that stand in a fragment of its knowledge.",
        "Mean length in words of the fragment of its knowledge that each word stands in.",
        "Longest fragment of its knowledge as a share of a response.",
    )
    return tuple(
        ResponseMetric(name=name, about=text, reads="knowledge", function=partial(best_of, function))
        for name, text, function in zip(("Coverage", "Density", "LCS"), about, share, strict=True)
    )


def _coverage(response: str, knowledge: str, *, case: bool) -> float:
    return extraction(response, knowledge, case=case).coverage


def _density(response: str, knowledge: str, *, case: bool) -> float:
    return extraction(response, knowledge, case=case).density


def _longest(response: str, knowledge: str, *, case: bool) -> float:
    return extraction(response, knowledge, case=case).longest


OVERLAP = (
    ResponseMetric(
        name="BLEU", reads="references", function=bleu,
        about="BLEU of responses by sacrebleu, from 0 to 1; of one response with effective order.",
    ),
    ResponseMetric(name="chrF", reads="references", function=chrf, about="F2 of n-grams of 1 to 6 characters."),
    ResponseMetric(
        name="rouge1", reads="references", function=partial(best_of, partial(rouge_n, order=1)),
        about="F of the words that a response shares with the best reference (ROUGE-1).",
    ),
    ResponseMetric(
        name="rouge2", reads="references", function=partial(best_of, partial(rouge_n, order=2)),
        about="F of the pairs of words that a response shares with the best reference (ROUGE-2).",
    ),
    ResponseMetric(
        name="rougeL", reads="references", function=partial(best_of, rouge_l),
        about="F of the longest common subsequence with the best reference (ROUGE-L of single texts).",
    ),
    ResponseMetric(
        name="Knowledge-F1", reads="knowledge", function=partial(best_of, knowledge_f1),
        about="F1 of content words between a response and the best snippet of its knowledge.",
    ),
)  # fmt: skip
