"""Few-shot adaptation of a trained inventory to unseen tasks."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from polyray.cluster.session import ray_session
from polyray.cluster.tasks import run_tasks
from polyray.errors import InputError
from polyray.jobs.configs import AdaptConfig
from polyray.progress import bars
from polyray.reports.sections.language import write_adaptation
from polyray.runs.job import Context, Result
from polyray.skills.inventory import load_inventory
from polyray.training.data import part, suite_of
from polyray.training.fewshot import adapt_one, result_file


def run(config: AdaptConfig, context: Context) -> Result:
    """Adapt every task, split and method as a Ray task of its own; see `AdaptConfig`."""
    pieces = pieces_of(config, context.out)
    with ray_session(context.address, context.out / "logs" / "ray"):
        work_off(pieces, context)
    metrics = gather(pieces)
    write_adaptation(context.out, metrics)
    show(metrics, context, title=f"Few-shot adaptation, {Path(config.skills).parent.name}")
    return Result(metrics=metrics, skills=("skills",) if (context.out / "skills").is_dir() else ())


def pieces_of(config: AdaptConfig, out: Path) -> list[dict[str, Any]]:
    """One piece of work for every task, split and method, as plain data.

    Raises:
        InputError: the inventory or the data are missing or wrong.
    """
    if not config.skills:
        raise InputError("adapt needs skills=FOLDER, the skills folder of a finished polytropon run.")
    folder = load_inventory(Path(config.skills))
    suite = suite_of(config)
    seen = set(folder.tasks) & set(part(suite, config.adapt.part))
    if seen:
        raise InputError(f"{min(seen)!r} was a training task of {config.skills}: adapt to tasks it has not seen.")
    names = part(suite, config.adapt.part)
    return [
        {"config": config.model_dump(mode="json"), "out": str(out), "task": name, "seed": seed, "method": method}
        for name in names
        for seed in (config.adapt.seeds or suite.tasks[name].seeds)
        for method in config.adapt.methods
        if suite.tasks[name].examples("test", seed)
    ]


def work_off(pieces: list[dict[str, Any]], context: Context) -> None:
    """Do the pieces that have no outcome yet, in parallel, with a progress bar."""
    gpus = pieces[0]["config"]["adapt"]["gpus"] if pieces else 0
    waiting = [piece for piece in pieces if not result_file(piece).exists()]
    with bars(context.console) as display:
        line = display.add_task("adapting", total=len(pieces), completed=len(pieces) - len(waiting), told="")
        for _, outcome in run_tasks(adapt_one, waiting, gpus=gpus):
            display.update(line, advance=1, told=f"{outcome['task']}: {outcome['score']:.3f}")


def gather(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over the few-shot splits, per method and task, and over tasks."""
    outcomes = [json.loads(result_file(piece).read_text(encoding="utf-8")) for piece in pieces]
    methods = {}
    for method in dict.fromkeys(outcome["method"] for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome["method"] == method]
        tasks = {}
        for name in dict.fromkeys(outcome["task"] for outcome in own):
            scores = [outcome["score"] for outcome in own if outcome["task"] == name]
            metric = next(outcome["metric"] for outcome in own if outcome["task"] == name)
            tasks[name] = {metric: statistics.fmean(scores), "std": statistics.pstdev(scores), "scores": scores}
        means = [statistics.fmean(values["scores"]) for values in tasks.values()]
        methods[method] = {"mean": statistics.fmean(means), "tasks": tasks}
    first = next(iter(methods.values()))
    return {"mean": first["mean"], "tasks": first["tasks"], "methods": methods}


def show(metrics: Mapping[str, Any], context: Context, title: str) -> None:
    """The table of tasks x methods on the console."""
    table = Table(title=title)
    table.add_column("task")
    for method in metrics["methods"]:
        table.add_column(method, justify="right")
    for task in metrics["tasks"]:
        cells = []
        for method in metrics["methods"].values():
            own = method["tasks"][task]
            cells.append(f"{100 * statistics.fmean(own['scores']):.1f} ± {100 * own['std']:.1f}")
        table.add_row(task, *cells)
    table.add_section()
    table.add_row("mean", *[f"{100 * method['mean']:.1f}" for method in metrics["methods"].values()])
    context.console.print(table)
