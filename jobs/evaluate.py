"""Scoring trained skills on the tasks that they know."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from polyray.cluster.tasks import run_tasks
from polyray.errors import InputError
from polyray.progress import bars
from polyray.reports.labels import own_metric
from polyray.runs.job import Result
from polyray.runs.run import Run
from polyray.skills.inventory import load_inventory
from polyray.tasks import load_suite, read_all
from polyray.training.data import mean_score
from polyray.training.scoring import ScoringRecipe, Share, score_share

Config = ScoringRecipe


def run(config: ScoringRecipe, run: Run) -> Result:
    """Score on Ray, several tasks at a time; every prediction is kept in predictions/TASK.jsonl."""
    names = _task_names(config)
    size = config.score.mixed
    shares = [
        Share(recipe=config, out=run.out, tasks=tuple(names[start : start + size]))
        for start in range(0, len(names), size)
    ]
    scores: dict[str, dict[str, float]] = {}
    run.cluster.start()
    with bars(run.console) as display:
        line = display.add_task("scoring", total=len(names), note="")
        for index, outcome in run_tasks(score_share, shares, gpus=config.score.gpus):
            scores |= outcome["scores"]
            display.update(line, advance=len(shares[index].tasks))
    scores = {name: scores[name] for name in names}
    metrics = {"mean": mean_score(scores), "tasks": scores}
    _show(metrics, run.console)
    return Result(metrics=metrics)


def _task_names(config: ScoringRecipe) -> list[str]:
    """The tasks to score, their data read and checked.

    Raises:
        InputError: there are no skills, or a task is not one that they were trained on.
    """
    if not config.skills:
        raise InputError("evaluate needs skills=FOLDER, the skills folder of a finished polytropon run.")
    folder, suite = load_inventory(Path(config.skills)), load_suite(config.tasks)
    trained = [name for name in folder.card.tasks if name in suite.tasks]
    unknown = [name for name in config.score.tasks if name not in trained]
    if unknown or not trained:
        wrong = f"{unknown[0]!r} is not" if unknown else f"None of the suite {suite.name} is"
        raise InputError(f"{wrong} a task that {config.skills} was trained on: {', '.join(folder.card.tasks)}.")
    names = list(config.score.tasks or trained)
    read_all(suite, names, (config.score.split,))
    return names


def _show(metrics: Mapping[str, Any], console: Console) -> None:
    """The table of tasks and scores on the console."""
    table = Table("task", "metric", "score", "details", title="Scores")
    for name, values in metrics["tasks"].items():
        metric, score, details = own_metric(values)
        table.add_row(name, metric, f"{score:.1f}", details)
    table.add_section()
    table.add_row("mean", "", f"{100 * metrics['mean']:.1f}", "")
    console.print(table)
