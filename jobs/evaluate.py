"""Scoring trained skills on the tasks that they know."""

from pathlib import Path

from polyray.cluster.session import ray_session
from polyray.cluster.tasks import run_tasks
from polyray.errors import InputError
from polyray.progress import bars
from polyray.reports.sections.language import write_scores
from polyray.runs.job import Context, Result
from polyray.skills.inventory import load_inventory
from polyray.tasks import load_suite, read_all
from polyray.training.data import mean_score
from polyray.training.scoring import ScoringRecipe, Share, score_share

Config = ScoringRecipe


def run(config: ScoringRecipe, context: Context) -> Result:
    """Score on Ray, several tasks at a time; every prediction is kept in predictions/TASK.jsonl."""
    names = _task_names(config)
    size = config.score.mixed
    shares = [
        Share(recipe=config, out=context.out, tasks=tuple(names[start : start + size]))
        for start in range(0, len(names), size)
    ]
    scores: dict[str, dict[str, float]] = {}
    with ray_session(context.address, context.out / "logs" / "ray"), bars(context.console) as display:
        line = display.add_task("scoring", total=len(names), note="")
        for index, outcome in run_tasks(score_share, shares, gpus=config.score.gpus):
            scores |= outcome["scores"]
            display.update(line, advance=len(shares[index].tasks))
    scores = {name: scores[name] for name in names}
    metrics = {"mean": mean_score(scores), "tasks": scores}
    write_scores(context.out, metrics, context.console)
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
