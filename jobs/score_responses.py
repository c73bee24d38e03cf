"""Scoring responses that any systems wrote, with intervals, and comparing the systems."""

import json
from collections.abc import Mapping
from itertools import combinations
from typing import Any, ClassVar

from pydantic import Field

from polyray.analysis.significance import Test, holm
from polyray.errors import Interrupted
from polyray.files import make_folders, write_file
from polyray.formats import check_name, file_name
from polyray.judges.judgements import JUDGEMENTS
from polyray.judges.options import ScoreResponsesOptions
from polyray.judges.responses import ResponseScorer, ResponseScores, check_metrics
from polyray.judges.systems import GroundedExample, ResponseFields, read_systems
from polyray.progress import bars
from polyray.reports.console import print_note
from polyray.runs.job import Job, Result
from polyray.runs.run import Run

SCORES = "scores"  # folder of the scores of single responses


class Config(ScoreResponsesOptions):
    """Score responses that one system or several wrote, and compare the systems on the same examples."""

    files: ClassVar[frozenset[str]] = frozenset({"systems", "examples"})

    systems: dict[str, str] = Field(default_factory=dict)
    """File of each system by its name: JSON lines with a response each, such as predictions/TASK.jsonl of `respond`."""
    examples: str = ""
    """File of JSON lines with references and knowledge, in the order of the responses; empty: they stand with these."""
    fields: ResponseFields = ResponseFields()
    """Names of the fields of a line."""
    test: Test = "randomisation"
    """Paired test of two systems: outputs exchanged at random, or examples drawn again (bootstrap)."""


def run(config: Config, run: Run) -> Result:
    """Score system by system in this process, on a GPU if there is one; see `Config`.

    What networks said is kept in the run folder: a run that goes on asks them for the rest.

    Raises:
        Interrupted: the run was asked to stop.
    """
    predictions, examples = check(config)
    scorer, scores = ResponseScorer(config, run.out / JUDGEMENTS), dict[str, ResponseScores]()
    make_folders(run.out / SCORES)
    with bars(run.console) as display:
        line = display.add_task("scoring", total=len(predictions), note="")
        for name, responses in predictions.items():
            if run.stop_requested:
                raise Interrupted("The scoring was stopped, as asked.")
            scores[name] = scorer(responses, examples)
            _write(run, name, responses, examples, scores[name])
            display.update(line, advance=1, note=name)
    metrics = {
        "responses": {name: of_system.totals(config) for name, of_system in scores.items()},
        "comparisons": comparisons(config, scores),
        "networks": list(scores.values())[-1].networks, "n": len(examples),
    }  # fmt: skip
    print_note(run.console, f"The scores of each response are in {run.out / SCORES}.")
    return Result(metrics=metrics)


def check(config: Config) -> tuple[dict[str, list[str]], list[GroundedExample]]:
    """Read all files.

    Raises:
        InputError: a file is wrong, or there is no such metric.
    """
    check_metrics(config)
    for name in config.systems:
        check_name(name, "system")
    return read_systems(config.systems, config.examples, config.fields)


def comparisons(config: Config, scores: Mapping[str, ResponseScores]) -> list[dict[str, Any]]:
    """Every pair of systems and metric, with p adjusted over the pairs of each metric (`p_holm`)."""
    rows = [
        {"first": first, "second": second, "metric": metric, **vars(difference)}
        for first, second in combinations(scores, 2)
        for metric, difference in scores[second].minus(scores[first], config.test, config).items()
    ]
    for metric in dict.fromkeys(row["metric"] for row in rows):
        of_metric = [row for row in rows if row["metric"] == metric]
        for row, adjusted in zip(of_metric, holm([row["p"] for row in of_metric]), strict=True):
            row["p_holm"] = adjusted
    return rows


def _write(run: Run, name: str, responses: list[str], examples: list[GroundedExample], scores: ResponseScores) -> None:
    """Write scores/NAME.jsonl: each response with what it was compared with and its scores."""
    lines = [
        json.dumps(
            {
                "prediction": response, "outputs": list(example.outputs), "knowledge": list(example.knowledge),
                "scores": response_scores,
            },
            ensure_ascii=False,
        )
        for response, example, response_scores in zip(responses, examples, scores.of_each(), strict=True)
    ]  # fmt: skip
    write_file(run.out / SCORES / f"{file_name(name)}.jsonl", "".join(f"{line}\n" for line in lines))


JOB = Job(
    about="score responses that any systems wrote, with intervals and paired tests", Config=Config, run=run,
    check=check, goals=("responses",),
)  # fmt: skip
