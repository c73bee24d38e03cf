"""Held-out likelihood of given answers: what a network would have said of its own accord, and what it would not."""

from statistics import fmean
from typing import Any

from polyray.cluster.tasks import run_pieces
from polyray.errors import InputError
from polyray.lookup import lookup
from polyray.objectives import OBJECTIVES
from polyray.progress import bars
from polyray.reports.console import print_table
from polyray.responding.likelihood import LikelihoodRecipe, Likelihoods, score_likelihoods
from polyray.responding.scores import RESPONSES
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.tasks import Suite, load_suite, read_all
from polyray.tracking.options import TrackingOptions

WRITTEN = ("answers", RESPONSES)  # kinds of predictions that a network writes token by token


class Config(LikelihoodRecipe):
    """Score given answers by their likelihood, under trained skills or a whole network."""

    tracking: TrackingOptions = TrackingOptions()
    """Experiment tracker that is told how it goes."""


def run(config: Config, run: Run) -> Result:
    """Score each task as a Ray task; see `Config`."""
    names = list(check(config).tasks)
    recipe = LikelihoodRecipe.model_validate(config.model_dump(include=set(LikelihoodRecipe.model_fields)))
    pieces = [Likelihoods(recipe=recipe, out=run.out, task=name) for name in names]
    run.cluster.start()
    outcomes: dict[int, dict[str, Any]] = {}
    with bars(run.console) as display:
        line = display.add_task("scoring", total=len(pieces), note="")
        for index, outcome in run_pieces(score_likelihoods, pieces, run, gpus=config.score.gpus):
            outcomes[index] = outcome
            display.update(line, advance=1, note=names[index])
    scores = {name: outcomes[index]["scores"] for index, name in enumerate(names)}
    rows = [
        [name, f"{x['loss']:.4f}", f"{x['perplexity']:.2f}", f"{x['examples']:,}", f"{x['tokens']:,}"]
        for name, x in scores.items()
    ]
    mean = fmean(x["loss"] for x in scores.values())
    header = ["task", "loss", "perplexity", "examples", "tokens"]
    print_table(run.console, "Negative log-likelihood of the answers, per token", header, rows, ["mean", f"{mean:.4f}"])
    too_long = sum(outcome["too_long"] for outcome in outcomes.values())
    return Result(metrics={"mean": mean, "tasks": scores, "too_long": too_long})


def check(config: LikelihoodRecipe) -> Suite:
    """The suite with the tasks that are scored; all data are read, and the network's folder is looked at.

    Raises:
        InputError: something in the config or the data is wrong.
    """
    config.check_network("likelihood needs skills=FOLDER")
    suite = load_suite(config.tasks)
    names = [lookup(suite.tasks, name, "task").name for name in config.score.tasks or suite.tasks]
    for name in names:
        objective = OBJECTIVES[suite.tasks[name].objective]
        if objective.predicts not in WRITTEN:
            raise InputError(
                f"likelihood scores written answers; the task {name!r} has the objective {objective.name!r}, which "
                f"predicts {objective.predicts}."
            )
    read_all(suite, names, (config.score.split,))
    config.source.check(names)
    return Suite(name=suite.name, tasks={name: suite.tasks[name] for name in names}, partition={})


JOB = Job(
    about="score given answers by their likelihood under skills or a whole network", Config=Config, run=run,
    check=check,
)  # fmt: skip
