"""Cross-lingual transfer from one config: skills of task and languages, composed, scored on every language."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from polyray.cluster.pieces import RunPiece, do_run
from polyray.cluster.tasks import run_pieces
from polyray.errors import InputError
from polyray.formats import file_name
from polyray.jobs import ltsft
from polyray.objectives import OBJECTIVES
from polyray.progress import bars
from polyray.reports.console import print_note, print_table
from polyray.reports.labels import few_shot_cell
from polyray.reuse import Shelf, reusing
from polyray.runs.folder import RunFolder
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.tasks import Suite, load_suite, read_all
from polyray.tracking.options import TrackingOptions
from polyray.training.transfer.cells import Cell, score_cell
from polyray.training.transfer.leaks import leaks
from polyray.training.transfer.library import Library
from polyray.training.transfer.plan import language_training, levels, rows_of, task_training, trainings_of
from polyray.training.transfer.recipe import TransferRecipe
from polyray.training.transfer.table import gather
from polyray.training.tuning.origin import recipe_fingerprint
from polyray.training.tuning.recipe import TuningRecipe
from polyray.training.tuning.training import SKILLS

TRAININGS = "trainings"  # the folder of the trainings


class Config(TransferRecipe):
    """Carry a task to other languages: skills of task and languages, zero-shot scores with and without composition."""

    tracking: TrackingOptions = TrackingOptions()
    """Experiment tracker that is told how it goes."""


def run(config: Config, run: Run) -> Result:
    """Train what is missing, compose, score; see `Config`."""
    if run.store is not None:
        raise InputError(f"transfer needs a folder that its processes share: {run.store.url} is none. Choose a path.")
    recipe = TransferRecipe.model_validate(config.model_dump(include=set(TransferRecipe.model_fields)))
    print_note(run.console, leaks(recipe, check(config)))
    run.cluster.start()
    folders = _train(recipe, run)
    outcomes = _score(_cells(recipe, run.out, folders), run)
    metrics = gather(recipe, rows_of(recipe), outcomes)
    show(metrics, run.console)
    return Result(metrics=metrics, skills=tuple(f"{TRAININGS}/{name}/{SKILLS}" for name in trainings_of(recipe)))


def check(config: TransferRecipe) -> Suite:
    """Read all data and look at every training, so that a mistake shows before anything starts.

    Raises:
        InputError: something in the config or the data is wrong.
    """
    names = (config.source, *config.targets)
    if not config.source or not config.targets:
        raise InputError("transfer needs source=TASK and targets={TASK: LANGUAGE, ...}, tasks of the suite.")
    suite = config.load_suite()
    read_all(suite, names, ("test",))
    objective = OBJECTIVES[suite.tasks[config.source].objective]
    key = objective.head_key(suite.tasks[config.source])
    for name in config.targets:
        if suite.tasks[name].objective != objective.name or objective.head_key(suite.tasks[name]) != key:
            raise InputError(
                f"The tasks {config.source!r} and {name!r} have different labels, so that they share no head: "
                f"{', '.join(suite.tasks[config.source].labels or ())}; {', '.join(suite.tasks[name].labels or ())}. "
                "Choose those that both have with tasks.types."
            )
    if any(row.language for row in rows_of(config)) and not (config.languages.path and config.languages.source):
        raise InputError(
            "Composition needs texts: set languages.path=FOLDER and languages.source=LANGUAGE, or composed={} for none."
        )
    with reusing(Shelf()):  # trainings share suites
        for training in trainings_of(config).values():
            ltsft.check(training.recipe({}))
    return suite


def _train(recipe: TransferRecipe, run: Run) -> dict[str, Path]:
    """Do the trainings that are missing, those of one level side by side: the folder of each one's skill."""
    library = Library(Path(recipe.library) if recipe.library else None)
    trainings, folders = trainings_of(recipe), dict[str, Path]()
    with bars(run.console) as display:
        line = display.add_task("training", total=len(trainings), note="")
        for level in levels(trainings):
            waiting = []
            for training in level:
                config = training.recipe(folders)
                skill = library.find(recipe_fingerprint(config, load_suite(config.tasks)))
                folder = (run.out / TRAININGS / training.name).absolute()
                folders[training.name] = skill or folder / SKILLS / file_name(config.name)
                waiting += [] if skill else [_piece(folder, config)]
            display.update(line, advance=len(level) - len(waiting))
            for index, metrics in run_pieces(do_run, waiting, run, gpus=recipe.gpus):
                note = f"{waiting[index].out.name}: {metrics['mean']:.3f}"
                display.update(line, advance=1, note=note)
    return folders


def _piece(path: Path, recipe: TuningRecipe) -> RunPiece:
    """A training as an ordinary run of the job ltsft."""
    config = ltsft.Config.model_validate(recipe.model_dump())
    return RunPiece(folder=RunFolder(path=path, job="ltsft", config=config, address=None), job=ltsft.JOB)


def _cells(recipe: TransferRecipe, out: Path, folders: Mapping[str, Path]) -> list[Cell]:
    """Cells to score: without languages all tasks at once, else each target, and the source, over each language."""
    cells = []
    for row in rows_of(recipe):
        for seed in recipe.seeds:
            cell = partial(
                Cell, recipe=recipe, out=out, row=row.name, seed=seed, skill=folders[task_training(row, seed)]
            )
            if not row.language:
                cells.append(cell(language="", base=(), tasks=(recipe.source, *recipe.targets)))
                continue
            for language in dict.fromkeys((recipe.languages.source, *recipe.targets.values())):
                tasks = [recipe.source, *(task for task, spoken in recipe.targets.items() if spoken == language)]
                base = (folders[language_training(row.language, language)],)
                cells.append(cell(language=language, base=base, tasks=tuple(tasks)))
    return cells


def _score(cells: Sequence[Cell], run: Run) -> list[dict[str, Any]]:
    outcomes = {index: outcome for index, cell in enumerate(cells) if (outcome := cell.outcome()) is not None}
    waiting = [index for index in range(len(cells)) if index not in outcomes]
    with bars(run.console) as display:
        line = display.add_task("scoring", total=len(cells), completed=len(outcomes), note="")
        for number, outcome in run_pieces(score_cell, [cells[index] for index in waiting], run):
            outcomes[waiting[number]] = outcome
            display.update(line, advance=1, note=cells[waiting[number]].row)
    return [outcomes[index] for index in range(len(cells))]


def show(metrics: Mapping[str, Any], console: Console) -> None:
    """The table of rows x languages on the console."""
    targets = list(metrics["tasks"])
    rows = [
        [
            name, f"{100 * row['source']:.1f}", *[few_shot_cell(row["tasks"][target]) for target in targets],
            f"{100 * row['mean']:.1f}",
        ]
        for name, row in metrics["rows"].items()
    ]  # fmt: skip
    title = "Zero-shot transfer, mean ± standard deviation over seeds, in percent"
    header = ["method", metrics["source"], *targets, "mean of targets"]
    print_table(console, title, header, rows[:-1], rows[-1], texts=("method",))


JOB = Job(
    about="carry a task to other languages by skills of task and languages", Config=Config, run=run,
    goals=("mean", "tasks", "rows"), check=check,
)  # fmt: skip
