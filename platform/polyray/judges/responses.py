"""All scores of a system's responses: each response's own, and those of all with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from polyray.analysis.bootstrap import interval
from polyray.analysis.significance import Difference, Test, paired_difference, resampled_totals
from polyray.errors import InputError
from polyray.judges.judge import FAMILIES, Judge, Measured, plain_judges
from polyray.judges.judgements import judge_once
from polyray.judges.options import ScoreResponsesOptions
from polyray.lookup import lookup
from polyray.metrics.measurement import Measurement
from polyray.metrics.responses import OVERLAP, Reads, ResponseMetric, Texts, extractive_metrics


class Grounded(Protocol):
    """An example whose response is scored."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Accepted responses."""

    @property
    def knowledge(self) -> tuple[str, ...]:
        """Snippets that a response is to rest on."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ResponseScores:
    """The metrics of a system's responses, by name, and the networks that judged."""

    measurements: Mapping[str, Measurement]
    networks: Mapping[str, Any]

    def of_each(self) -> list[dict[str, float]]:
        """For each response the metrics that say something about it."""
        columns = {name: measurement.values.tolist() for name, measurement in self.measurements.items()}
        n = len(next(iter(columns.values())))
        return [
            {name: values[index] for name, values in columns.items() if not np.isnan(values[index])}
            for index in range(n)
        ]

    def totals(self, options: ScoreResponsesOptions) -> dict[str, dict[str, float]]:
        """For each metric the value for all responses, the bounds of its interval, and the responses it is about."""
        totals = {}
        for name, x in self.measurements.items():
            samples = resampled_totals(x.statistics, x.total, options.draws, options.seed)
            low, high = interval(samples[~np.isnan(samples)].tolist(), options.share)
            totals[name] = {"value": x.value, "low": low, "high": high, "n": x.n}
        return totals

    def minus(self, other: "ResponseScores", test: Test, options: ScoreResponsesOptions) -> dict[str, Difference]:
        """For each metric that both have, the difference to another system on the same examples."""
        return {
            name: paired_difference(
                other.measurements[name].statistics, x.statistics, x.total, test=test, n_draws=options.draws,
                seed=options.seed, share=options.share,
            )
            for name, x in self.measurements.items()
            if name in other.measurements
        }  # fmt: skip


class ResponseScorer:
    """Metrics and networks, loaded once, for the responses of any number of systems."""

    def __init__(self, options: ScoreResponsesOptions, judgements: Path | None = None) -> None:
        """Load the networks.

        Args:
            judgements: folder in which what networks say is kept and looked up; None: nowhere.

        Raises:
            InputError: there is no such metric, its network is not named, or a network cannot be loaded.
        """
        check_metrics(options)
        self.options, self._judgements = options, judgements
        judges = plain_judges(all_metrics(options))
        for family in FAMILIES:
            if not options.metrics or set(family.names) & set(options.metrics):
                judges += family.load(options)
        self._judges = [judge for judge in judges if any(map(self._wants, judge.names))]

    def __call__(self, predictions: Sequence[str], examples: Sequence[Grounded]) -> ResponseScores:
        """The scores of a response to each example, with metrics for which some example has a text.

        Raises:
            InputError: no example has what a metric reads that was asked for, or there is nothing to score.
        """
        if len(predictions) != len(examples) or not examples:
            raise InputError(f"Found {len(predictions)} responses for {len(examples)} examples; expected one for each.")
        texts: dict[Reads, Texts] = {
            "references": [example.outputs for example in examples],
            "knowledge": [self._snippets(example) for example in examples],
        }
        self._check_texts(texts)
        measurements: dict[str, Measurement] = {}
        for judge in self._judges:
            indices = [index for index, some in enumerate(texts[judge.reads]) if some]
            if indices:
                responses = [predictions[index].strip() for index in indices]
                measured = self._measured(judge, responses, [texts[judge.reads][index] for index in indices])
                measurements |= {
                    name: x.spread(indices, len(examples)) for name, x in measured.items() if self._wants(name)
                }
        networks = {name: record for judge in self._judges for name, record in judge.record().items()}
        return ResponseScores(measurements=measurements, networks=networks)

    def _measured(self, judge: Judge, responses: Sequence[str], texts: Texts) -> Measured:
        if self._judgements is None or not judge.networks:
            return judge.judge(responses, texts)
        return judge_once(judge, responses, texts, self._judgements)

    def _snippets(self, example: Grounded) -> tuple[str, ...]:
        """The texts of knowledge that a response is compared with, one by one."""
        joined = self.options.snippets == "joined" and example.knowledge
        return ("\n".join(example.knowledge),) if joined else example.knowledge

    def _wants(self, name: str) -> bool:
        return not self.options.metrics or name in self.options.metrics

    def _check_texts(self, texts: Mapping[Reads, Texts]) -> None:
        """Refuse examples without what the metrics read.

        Raises:
            InputError: there are none for a metric that was asked for, or for any.
        """
        lacking = {reads for reads, of_each in texts.items() if not any(of_each)}
        for judge in self._judges:
            if judge.reads in lacking and (self.options.metrics or len(lacking) == len(texts)):
                raise InputError(f"{judge.names[0]} compares responses with {judge.reads}, and no example has any.")


def score_responses(
    predictions: Sequence[str], examples: Sequence[Grounded], options: ScoreResponsesOptions,
    judgements: Path | None = None,
) -> ResponseScores:  # fmt: skip
    """The scores of one system's responses; for several systems load a `ResponseScorer` once.

    Args:
        judgements: as `ResponseScorer`.

    Raises:
        InputError: as `ResponseScorer`.
    """
    return ResponseScorer(options, judgements)(predictions, examples)


def all_metrics(options: ScoreResponsesOptions) -> tuple[ResponseMetric, ...]:
    """The metrics that need no network."""
    return (*OVERLAP, *extractive_metrics(case=options.case))


def check_metrics(options: ScoreResponsesOptions) -> None:
    """Refuse metrics that there are not.

    Raises:
        InputError: a metric is unknown, or needs a network that `options` do not name.
    """
    families = {name: family for family in FAMILIES for name in family.names}
    names = [*(metric.name for metric in all_metrics(options)), *families]
    for name in options.metrics:
        lookup(dict.fromkeys(names), name, "metric of responses")
        if name in families and not families[name].folder(options):
            raise InputError(f"metrics: {name} needs a network; set {families[name].option} to its folder.")
