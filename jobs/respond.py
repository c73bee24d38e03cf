"""Answering the examples of a suite with a system of one or several networks, and scoring the answers."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from polyray.cluster.tasks import run_pieces
from polyray.errors import InputError
from polyray.judges.options import ScoreResponsesOptions
from polyray.judges.responses import check_metrics
from polyray.lookup import lookup
from polyray.objectives import OBJECTIVES
from polyray.progress import bars
from polyray.reports.console import print_scores
from polyray.responding.pieces import RespondPiece, answer_piece, examples_of, fingerprint_of, joined
from polyray.responding.recipe import RespondRecipe
from polyray.responding.scores import RESPONSES, ScoredTask, score_task
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.tasks import Suite, Task, load_suite, read_all
from polyray.tracking.options import TrackingOptions
from polyray.training.data import mean_score


class Config(RespondRecipe):
    """Answer the examples of a suite with a system of one or several networks, and score the answers."""

    tracking: TrackingOptions = TrackingOptions()
    """Experiment tracker that is told how it goes."""


def run(config: Config, run: Run) -> Result:
    """Answer piece by piece as Ray tasks, then score task by task; see `Config`."""
    suite = check(config)
    recipe = RespondRecipe.model_validate(config.model_dump(include=set(RespondRecipe.model_fields)))
    pieces = [piece for name in names_of(config, suite) for piece in _pieces(recipe, run, suite, name)]
    run.cluster.start()
    outcomes = _answer(pieces, run)
    tasks = [
        ScoredTask(recipe=recipe, out=run.out, task=name, responses=responses)
        for name, responses in joined(pieces, outcomes).items()
    ]
    scored = dict(run_pieces(score_task, tasks, run, gpus=config.score.gpus))
    scores = {task.task: scored[index]["scores"] for index, task in enumerate(tasks)}
    metrics: dict[str, Any] = {
        "mean": mean_score(scores), "tasks": scores, "means": _means(scores),
        "intervals": {task.task: scored[index]["intervals"] for index, task in enumerate(tasks)},
        "judges": {name: record for index in range(len(tasks)) for name, record in scored[index]["judges"].items()},
        "too_long": sum(outcome["too_long"] for outcome in outcomes.values()),
    }  # fmt: skip
    print_scores(run.console, metrics)
    return Result(metrics=metrics)


def _pieces(recipe: RespondRecipe, run: Run, suite: Suite, name: str) -> list[RespondPiece]:
    """The examples of a task in pieces."""
    examples = examples_of(recipe, suite, name)
    fingerprint = fingerprint_of(recipe, examples)
    return [
        RespondPiece(recipe=recipe, out=run.out, task=name, start=start, fingerprint=fingerprint)
        for start in range(0, len(examples), recipe.score.piece)
    ]


def _means(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean over tasks of each metric that all of them have."""
    first, *others = scores.values()
    return {name: fmean(of[name] for of in scores.values()) for name in first if all(name in of for of in others)}


def _answer(pieces: Sequence[RespondPiece], run: Run) -> Mapping[int, Mapping[str, Any]]:
    """The outcomes of all pieces by their index; those of an earlier start are kept."""
    outcomes = {index: outcome for index, piece in enumerate(pieces) if (outcome := piece.outcome()) is not None}
    waiting = [index for index in range(len(pieces)) if index not in outcomes]
    with bars(run.console) as display:
        line = display.add_task("answering", total=len(pieces), completed=len(outcomes), note="")
        gpus = pieces[0].recipe.score.gpus
        for number, outcome in run_pieces(answer_piece, [pieces[index] for index in waiting], run, gpus=gpus):
            outcomes[waiting[number]] = outcome
            display.update(line, advance=1, note=pieces[waiting[number]].task)
    return outcomes


def check(config: RespondRecipe) -> Suite:
    """Read all data and look at every network, so that a mistake shows before anything starts.

    Raises:
        InputError: something in the config or the data is wrong.
    """
    config.check_network("respond needs skills=FOLDER, skills that answer")
    suite, system = load_suite(config.tasks), config.system.system()
    names = names_of(config, suite)
    tasks = [suite.tasks[name] for name in names]
    for task in tasks:
        _check_task(config, task)
    system.check(config.evaluation, tasks)
    _check_scores(config, tasks)
    read_all(suite, names, (config.score.split,))
    for source in config.sources().values():
        source.check(names)
    return suite


def names_of(config: RespondRecipe, suite: Suite) -> list[str]:
    """The tasks that are answered.

    Raises:
        InputError: the suite lacks one.
    """
    return [lookup(suite.tasks, name, "task").name for name in config.score.tasks or suite.tasks]


def _check_task(config: RespondRecipe, task: Task) -> None:
    """Refuse a task that the system cannot answer."""
    predicts = OBJECTIVES[task.objective].predicts
    if config.system.system().dialogue and predicts != RESPONSES:
        raise InputError(
            f"system.kind={config.system.kind} answers dialogues; the task {task.name!r} has the objective "
            f"{task.objective!r}."
        )


def _check_scores(config: RespondRecipe, tasks: Sequence[Task]) -> None:
    """Refuse metrics that no task's answers have, and judges without their networks."""
    if any(OBJECTIVES[task.objective].predicts == RESPONSES for task in tasks):
        check_metrics(config.responses)
        return
    common = {"draws", "share", "seed"}  # read for the intervals of any metric
    chosen = config.responses.model_dump(exclude=common)
    if chosen != ScoreResponsesOptions().model_dump(exclude=common):
        raise InputError(
            f"responses.* are metrics of responses in dialogues; the task {tasks[0].name!r} is scored by "
            f"{tasks[0].metric}."
        )


JOB = Job(
    about="answer a suite's examples with a system (plain, CTRL, DExperts, noisy channel), and score the answers",
    Config=Config, run=run, goals=("mean", "tasks", "means"), check=check,
)  # fmt: skip
