"""Few-shot adaptation of a trained inventory to unseen tasks."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from polyray.cluster.tasks import run_pieces
from polyray.errors import InputError
from polyray.progress import bars
from polyray.reports.console import print_note, print_table
from polyray.reports.labels import few_shot_cell
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.runs.sealed import read_sealed
from polyray.skills.inventory import load_inventory
from polyray.tasks import load_suite, read_all
from polyray.tracking.options import TrackingOptions
from polyray.training.data import partition_tasks, repeats
from polyray.training.fewshot import adapt_group
from polyray.training.methods import check_methods
from polyray.training.model import check_skills_dtype
from polyray.training.pieces import AdaptationRecipe, Group, Piece, Plan, groups_of


class Config(AdaptationRecipe):
    """Adapt the skills of a run to tasks that it has not seen."""

    tracking: TrackingOptions = TrackingOptions()
    """Experiment tracker that is told how it goes."""


def run(config: Config, run: Run) -> Result:
    """Adapt to every task and split by every method, each group as a Ray task; see `Config`."""
    plan = check(config, run.out)
    suite = load_suite(config.tasks)
    print_note(run.console, repeats(suite, partition_tasks(suite, config.adapt.tasks)))
    run_groups(plan.groups, run)
    metrics = gather(plan.pieces)
    show(metrics, run.console, title=f"Few-shot adaptation, {Path(config.skills).parent.name}")
    return Result(metrics=metrics, skills=("skills",) if (run.out / "skills").is_dir() else ())


def check(config: Config, out: Path = Path()) -> Plan:
    """The plan of a run in the folder `out`, for which all data are read.

    Raises:
        InputError: the inventory or the data are missing or wrong.
    """
    return plan_of(AdaptationRecipe.model_validate(config.model_dump(include=set(AdaptationRecipe.model_fields))), out)


def plan_of(config: AdaptationRecipe, out: Path) -> Plan:
    """One piece of work for every task, split and method, in groups that are trained together.

    Raises:
        InputError: the inventory or the data are missing or wrong.
    """
    if not config.skills:
        raise InputError("adapt needs skills=FOLDER, the skills folder of a finished polytropon run.")
    folder = load_inventory(Path(config.skills))
    suite = load_suite(config.tasks)
    names = partition_tasks(suite, config.adapt.tasks)
    dtype = check_skills_dtype(folder, config.backbone_dtype)
    check_methods(config.adapt.methods, folder.spec.routing.kind, dtype)
    seen = set(folder.card.tasks) & set(names)
    if seen:
        raise InputError(f"{min(seen)!r} was a training task of {config.skills}: adapt to tasks it has not seen.")
    read_all(suite, names, seeds=config.adapt.seeds or None)
    pieces = [
        Piece(recipe=config, out=out, task=name, seed=seed, method=method)
        for name in names
        for seed in (config.adapt.seeds or suite.tasks[name].seeds)
        for method in config.adapt.methods
        if suite.tasks[name].examples("test", seed)
    ]
    return Plan(pieces=tuple(pieces), groups=tuple(groups_of(pieces, suite, folder.spec)))


def run_groups(groups: Sequence[Group], run: Run) -> None:
    """Do the groups of which an outcome is missing, in parallel, with a progress bar over their pieces.

    Raises:
        Interrupted: the user asked the run to stop; outcomes so far are written.
    """
    pieces = [piece for group in groups for piece in group.pieces]
    gpus = pieces[0].recipe.adapt.gpus if pieces else 0
    waiting = [group for group in groups if any(piece.outcome() is None for piece in group.pieces)]
    n_done = len(pieces) - sum(len(group.pieces) for group in waiting)
    if waiting:
        run.cluster.start()
    with bars(run.console) as display:
        line = display.add_task("adapting", total=len(pieces), completed=n_done, note="")
        for _, done in run_pieces(adapt_group, waiting, run, gpus=gpus):
            last = done["outcomes"][-1]
            display.update(line, advance=len(done["outcomes"]), note=f"{last['task']}: {last['score']:.3f}")


def gather(pieces: Sequence[Piece]) -> dict[str, Any]:
    """Mean and standard deviation over the few-shot splits, per method and task, and over tasks; development scores."""
    outcomes = [read_sealed(piece.result_file) for piece in pieces]
    methods = {}
    for method in dict.fromkeys(outcome["method"] for outcome in outcomes):
        of_method = [outcome for outcome in outcomes if outcome["method"] == method]
        tasks = {}
        for name in dict.fromkeys(outcome["task"] for outcome in of_method):
            scores = [outcome["score"] for outcome in of_method if outcome["task"] == name]
            metric = next(outcome["metric"] for outcome in of_method if outcome["task"] == name)
            tasks[name] = {metric: statistics.fmean(scores), "std": statistics.pstdev(scores), "scores": scores}
        means = [statistics.fmean(values["scores"]) for values in tasks.values()]
        devs = [[outcome["dev"] for outcome in of_method if outcome["task"] == name] for name in tasks]
        validation = {"score": statistics.fmean(map(statistics.fmean, devs))}
        methods[method] = {"mean": statistics.fmean(means), "validation": validation, "tasks": tasks}
    first = next(iter(methods.values()))
    too_long = sum(outcome.get("too_long", 0) for outcome in outcomes)
    return {**first, "methods": methods, "too_long": too_long}


def show(metrics: Mapping[str, Any], console: Console, title: str) -> None:
    """The table of tasks x methods on the console."""
    methods = metrics["methods"]
    rows = [[task, *[few_shot_cell(method["tasks"][task]) for method in methods.values()]] for task in metrics["tasks"]]
    last = ["mean", *[f"{100 * method['mean']:.1f}" for method in methods.values()]]
    print_table(console, title, ["task", *methods], rows, last)


JOB = Job(
    about="adapt trained skills to unseen tasks from few examples", Config=Config, run=run,
    goals=("mean", "tasks", "methods", "validation"), check=check,
)  # fmt: skip
