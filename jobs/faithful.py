"""A table of systems for faithful dialogue from one config: trained, merged, answered, scored."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from polyray.cluster.pieces import RunPiece, do_run
from polyray.cluster.tasks import run_pieces
from polyray.errors import InputError
from polyray.formats import is_folder, user_path
from polyray.jobs import dialogue, fisher, likelihood, merge, respond
from polyray.progress import bars
from polyray.reports.console import print_table
from polyray.responding.faithful.plan import Planner, Step, TableRow
from polyray.responding.faithful.recipe import FaithfulRecipe
from polyray.reuse import Shelf, reusing
from polyray.runs.folder import RunFolder
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.tasks import load_suite, read_all
from polyray.tracking.options import TrackingOptions

STEPS = "steps"  # the folder of the runs
STEP_JOBS: Mapping[str, Job] = {
    "dialogue": dialogue.JOB, "fisher": fisher.JOB, "likelihood": likelihood.JOB, "merge": merge.JOB,
    "respond": respond.JOB,
}  # fmt: skip


class Config(FaithfulRecipe):
    """Train a system, its expert and anti-expert, and all that is made of them; answer and score."""

    tracking: TrackingOptions = TrackingOptions()
    """Experiment tracker that is told how it goes."""


def run(config: Config, run: Run) -> Result:
    """Do the steps that are missing, level by level, and gather their scores; see `Config`."""
    if run.store is not None:
        raise InputError("faithful needs an --out that all nodes share: a path, not a URL.")
    planner = plan(config, run.out)
    run.cluster.start()
    metrics: dict[str, Mapping[str, Any]] = {}
    with bars(run.console) as display:
        line = display.add_task("steps", total=len(planner.steps), note="")
        for level in planner.levels():
            pieces = [_piece(step, run.out) for step in level]
            for index, outcome in run_pieces(do_run, pieces, run, gpus=config.gpus):
                metrics[level[index].name] = outcome
                display.update(line, advance=1, note=level[index].name)
    rows = {row.name: _scores(row, metrics) for row in planner.rows}
    show(rows, run.console)
    mean = sum(metrics[row.answers]["mean"] for row in planner.rows) / len(rows)
    return Result(metrics={"mean": mean, "rows": rows})


def check(config: FaithfulRecipe) -> Planner:
    """Read all data and look at every step, so that a mistake shows before anything starts.

    Raises:
        InputError: something in the config or the data is wrong.
    """
    return plan(config, Path("faithful"))


def plan(config: FaithfulRecipe, out: Path) -> Planner:
    """The steps, each with a config that is right, and the rows.

    Raises:
        InputError: something in the config or the data is wrong.
    """
    if not config.backbone:
        raise InputError("faithful needs backbone=FOLDER, the network under everything.")
    recipe = FaithfulRecipe.model_validate(config.model_dump(include=set(FaithfulRecipe.model_fields)))
    planner = Planner(recipe, (out / STEPS).absolute())
    if any(step.job == "merge" for step in planner.steps.values()) and not is_folder(user_path(config.backbone)):
        raise InputError(f"backbone={config.backbone!r:.200} is not a folder: merges read a network in a folder.")
    with reusing(Shelf()):  # steps share suites
        for step in planner.steps.values():
            _piece(step, out)
            if step.job == "dialogue" and not step.needs:
                dialogue.check(dialogue.Config.model_validate(step.fields))
        for options in (recipe.expert, recipe.anti_expert, recipe.held_out):
            if options.given:
                suite = load_suite(options.tasks)
                read_all(suite, splits=recipe.tasks.train_splits if options is not recipe.held_out else ("test",))
    return planner


def _piece(step: Step, out: Path) -> RunPiece:
    job = STEP_JOBS[step.job]
    config = job.Config.model_validate(step.fields)
    path = (out / STEPS / step.name).absolute()
    return RunPiece(folder=RunFolder(path=path, job=step.job, config=config, address=None), job=job)


def _scores(row: TableRow, metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of a row: those of its answers, their intervals, and the loss of held-out responses."""
    answers = metrics[row.answers]
    scores = {"tasks": answers["tasks"], "intervals": answers["intervals"]}
    if row.likelihood:
        held_out = metrics[row.likelihood]["tasks"]
        scores["likelihood"] = {task: of_task["loss"] for task, of_task in held_out.items()}
    return scores


def show(rows: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """The table of rows on the console, a column for each metric and for each set of held-out responses."""
    names: dict[str, None] = {}
    cells = []
    for row in rows.values():
        cell = {
            f"{task} {name}" if len(row["tasks"]) > 1 else name: value
            for task, scores in row["tasks"].items() for name, value in scores.items()
        }  # fmt: skip
        cell |= {f"loss of {task}": value for task, value in row.get("likelihood", {}).items()}
        names |= dict.fromkeys(cell)
        cells.append(cell)
    lines: Sequence[list[str]] = [
        [name, *(f"{cell[column]:.3f}" if column in cell else "" for column in names)]
        for name, cell in zip(rows, cells, strict=True)
    ]
    print_table(console, "Systems", ["system", *names], lines[:-1], lines[-1], texts=("system",))


JOB = Job(
    about="a table of systems for faithful dialogue: plain, CTRL, DExperts, noisy channel, merges", Config=Config,
    run=run, goals=("mean", "rows"), check=check,
)  # fmt: skip
