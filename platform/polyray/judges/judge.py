"""Networks that judge responses, each with the metrics that it gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from polyray.config import Section
from polyray.errors import InputError
from polyray.judges.bertscore import BertScore
from polyray.judges.critic import load_critic, unfaithfulness
from polyray.judges.options import ScoreResponsesOptions
from polyray.judges.q2.grammar import Grammar, PhraseRules, SpacyGrammar
from polyray.judges.q2.networks import Entailment, Q2Options, QuestionWriter, Reader
from polyray.judges.q2.score import Judges, q2_scores
from polyray.metrics.measurement import Floats, Measurement
from polyray.metrics.responses import Reads, ResponseMetric, Texts

T = TypeVar("T")
Measured = dict[str, Measurement]


class Network(Protocol):
    """A network that judges.

    n_cut: texts or pairs so far that were longer than they may be.
    """

    n_cut: int

    @property
    def fingerprint(self) -> str:
        """Fingerprint of all its weights."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Metrics that are computed together.

    Attributes:
        names: of the metrics.
        reads: the texts that responses are compared with.
        judge: from responses and, for each, at least one text to each metric of them; those of networks are means.
        record: the networks as they stand beside the scores.
        networks, options: all that its judgements depend on but for the texts; no networks: it is not kept.
    """

    names: tuple[str, ...]
    reads: Reads
    judge: Callable[[Sequence[str], Texts], Measured]
    record: Callable[[], dict[str, Any]]
    networks: tuple[Network, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def plain_judges(metrics: Sequence[ResponseMetric]) -> list[Judge]:
    """One judge for each metric that needs no network."""

    def judge(metric: ResponseMetric, responses: Sequence[str], texts: Texts) -> Measured:
        return {metric.name: metric.function(responses, texts)}

    return [
        Judge(names=(metric.name,), reads=metric.reads, judge=partial(judge, metric), record=dict) for metric in metrics
    ]


def bert_judges(options: ScoreResponsesOptions) -> list[Judge]:
    """BERTScore against references and against knowledge, by one encoder; none without a model."""
    if not options.bertscore.model:
        return []
    scorer = BertScore(options.bertscore)

    def scores(responses: Sequence[str], texts: Texts) -> list[tuple[float, float, float]]:
        """Precision, recall and F1 against the text for which F1 is highest."""
        left, right, counts = paired(responses, texts)
        return [max(some, key=lambda score: score[2]) for some in grouped(scorer.scores(left, right), counts)]

    def against_references(responses: Sequence[str], texts: Texts) -> Measured:
        precision, recall, f1 = np.asarray(scores(responses, texts)).T
        return averaged({"BERTScore": f1, "BERTScore-P": precision, "BERTScore-R": recall})

    def against_knowledge(responses: Sequence[str], texts: Texts) -> Measured:
        return averaged({"BERT-F1": np.asarray(scores(responses, texts))[:, 2]})

    def record() -> dict[str, Any]:
        return {"bertscore": {**scorer.frozen.record, "layer": scorer.options.layer}}

    by_encoder = partial(Judge, record=record, networks=(scorer.frozen,), options=deciding(options.bertscore))
    return [
        by_encoder(names=("BERTScore", "BERTScore-P", "BERTScore-R"), reads="references", judge=against_references),
        by_encoder(names=("BERT-F1",), reads="knowledge", judge=against_knowledge),
    ]


def critic_judges(options: ScoreResponsesOptions) -> list[Judge]:
    """The critic: whether a response is unfaithful to every snippet, and the least probability of it over snippets."""
    if not options.critic.model:
        return []
    critic = load_critic(options.critic)

    def judge(responses: Sequence[str], texts: Texts) -> Measured:
        left, right, counts = paired(responses, texts)
        calls, probabilities = unfaithfulness(critic, list(zip(right, left, strict=True)), options.critic.unfaithful)
        values = {"Critic": calls.tolist(), "Critic-P": probabilities.tolist()}
        return averaged({name: [min(some) for some in grouped(each, counts)] for name, each in values.items()})

    return [
        Judge(
            names=("Critic", "Critic-P"), reads="knowledge", judge=judge, record=lambda: {"critic": critic.record},
            networks=(critic,), options={**deciding(options.critic), "labels": critic.labels},
        )
    ]  # fmt: skip


def q2_judges(options: ScoreResponsesOptions) -> list[Judge]:
    """Q2 by its three networks."""
    if not options.q2.questions:
        return []
    lacking = [name for name in ("answers", "entailment") if not vars(options.q2)[name]]
    if lacking:
        raise InputError(f"q2 needs three networks: set {' and '.join(f'q2.{name}' for name in lacking)} to folders.")
    writer, reader, entailment = QuestionWriter(options.q2), Reader(options.q2), Entailment(options.q2)
    grammar = _grammar(options.q2)
    judges = Judges(grammar=grammar, ask=writer, answer=reader, compare=entailment)
    networks: Mapping[str, Any] = {"questions": writer, "answers": reader, "entailment": entailment}

    def judge(responses: Sequence[str], texts: Texts) -> Measured:
        left, right, counts = paired(responses, texts)
        scores = grouped(q2_scores(left, right, judges, keep_personal=options.q2.personal == "keep"), counts)
        return averaged(
            {
                "Q2": [max(score.q2 for score in some) for some in scores],
                "Q2-F1": [max(score.overlap for score in some) for some in scores],
            }
        )

    def record() -> dict[str, Any]:
        return {"q2": {**{name: network.frozen.record for name, network in networks.items()}, "spans": grammar.record}}

    return [
        Judge(
            names=("Q2", "Q2-F1"), reads="knowledge", judge=judge, record=record,
            networks=(writer.frozen, reader.frozen, entailment.frozen),
            options={**deciding(options.q2), "spans": grammar.record},
        )
    ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Family:
    """Judges that need the same network.

    Attributes:
        names: of their metrics.
        option: that names the folder of the network; folder: its value.
        load: the judges, none where there is no such folder.
    """

    names: tuple[str, ...]
    option: str
    folder: Callable[[ScoreResponsesOptions], str]
    load: Callable[[ScoreResponsesOptions], list[Judge]]


FAMILIES = (
    Family(
        names=("BERTScore", "BERTScore-P", "BERTScore-R", "BERT-F1"), option="bertscore.model",
        folder=lambda options: options.bertscore.model, load=bert_judges,
    ),
    Family(
        names=("Critic", "Critic-P"), option="critic.model", folder=lambda options: options.critic.model,
        load=critic_judges,
    ),
    Family(names=("Q2", "Q2-F1"), option="q2.questions", folder=lambda options: options.q2.questions, load=q2_judges),
)  # fmt: skip


def deciding(options: Section) -> dict[str, Any]:
    """The options of a judge that decide what it says: neither where its networks lie nor how many texts go at once."""
    return options.model_dump(mode="json", exclude={*options.files, "batch"})


def averaged(values: Mapping[str, Sequence[float] | Floats]) -> Measured:
    """Metrics whose value for several responses is the mean."""
    return {name: Measurement.averaged(list(each)) for name, each in values.items()}


def paired(responses: Sequence[str], texts: Texts) -> tuple[list[str], list[str], list[int]]:
    """Each response beside each of its texts, and the number of texts of each."""
    left = [response for response, some in zip(responses, texts, strict=True) for _ in some]
    return left, [text for some in texts for text in some], [len(some) for some in texts]


def grouped(values: Sequence[T], counts: Sequence[int]) -> list[Sequence[T]]:
    """The values of each response, of those of all pairs."""
    ends = np.cumsum(counts).tolist()
    return [values[end - count : end] for end, count in zip(ends, counts, strict=True)]


def _grammar(options: Q2Options) -> Grammar:
    return SpacyGrammar(options.spacy) if options.spacy else PhraseRules()
