"""Cross-lingual transfer from one config: skills of task and languages, composed, scored on every language."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from polyray.cluster.pieces import RunPiece, do_run
from polyray.cluster.tasks import run_pieces
from polyray.errors import InputError
from polyray.formats import file_name
from polyray.jobs import ltsft
from polyray.progress import bars
from polyray.reports.console import print_note, print_table
from polyray.reports.labels import few_shot_cell
from polyray.reuse import Shelf, reusing
from polyray.runs.folder import RunFolder
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.tasks import Suite, load_suite
from polyray.tracking.options import TrackingOptions
from polyray.training.transfer.cells import earlier_outcome
from polyray.training.transfer.leaks import leaks
from polyray.training.transfer.library import Library
from polyray.training.transfer.plan import PlannedTraining, levels
from polyray.training.transfer.recipe import TransferRecipe
from polyray.training.transfer.studies import STUDIES
from polyray.training.tuning.origin import recipe_fingerprint
from polyray.training.tuning.recipe import TuningRecipe
from polyray.training.tuning.training import SKILLS

TRAININGS = "trainings"  # the folder of the trainings


class Config(TransferRecipe):
    """Carry a task to other languages: skills of task and languages, zero-shot scores with and without composition."""

    tracking: TrackingOptions = TrackingOptions()
    """Experiment tracker that is told how it goes."""


def run(config: Config, run: Run) -> Result:
    """Train what is missing, compose or merge, score; see `Config`."""
    if run.store is not None:
        raise InputError(f"transfer needs a folder that its processes share: {run.store.url} is none. Choose a path.")
    recipe, study = _recipe(config), STUDIES[config.study]
    suite = check(config)
    print_note(run.console, leaks(recipe, suite))
    run.cluster.start()
    trainings = study.trainings(recipe, suite)
    folders = _train(recipe, trainings, run)
    outcomes = _score(study.cells(recipe, suite, run.out, folders), study.score, run)
    metrics = study.gather(recipe, suite, outcomes)
    SHOWN[config.study](metrics, run.console)
    return Result(metrics=metrics, skills=tuple(f"{TRAININGS}/{name}/{SKILLS}" for name in trainings))


def _recipe(config: TransferRecipe) -> TransferRecipe:
    """The part of the config that decides what is trained and scored."""
    return TransferRecipe.model_validate(config.model_dump(include=set(TransferRecipe.model_fields)))


def check(config: TransferRecipe) -> Suite:
    """Read all data and look at every training, so that a mistake shows before anything starts.

    Raises:
        InputError: something in the config or the data is wrong.
    """
    study = STUDIES[config.study]
    suite = config.load_suite()
    study.check(config, suite)
    with reusing(Shelf()):  # trainings share suites
        for training in study.trainings(config, suite).values():
            ltsft.check(training.recipe({}))
    return suite


def _train(recipe: TransferRecipe, trainings: Mapping[str, PlannedTraining], run: Run) -> dict[str, Path]:
    """Do the trainings that are missing, those of one level side by side: the folder of each one's skill."""
    library = Library(Path(recipe.library) if recipe.library else None)
    folders: dict[str, Path] = {}
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


def _score(cells: Sequence[Any], score: Callable[[Any], dict[str, Any]], run: Run) -> list[dict[str, Any]]:
    """Score the cells that no earlier start has scored: the outcomes of all, in their order."""
    outcomes = {index: outcome for index, cell in enumerate(cells) if (outcome := earlier_outcome(cell)) is not None}
    waiting = [index for index in range(len(cells)) if index not in outcomes]
    with bars(run.console) as display:
        line = display.add_task("scoring", total=len(cells), completed=len(outcomes), note="")
        for number, outcome in run_pieces(score, [cells[index] for index in waiting], run):
            outcomes[waiting[number]] = outcome
            display.update(line, advance=1, note=cells[waiting[number]].file.stem)
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


def show_merged(metrics: Mapping[str, Any], console: Console) -> None:
    """The table of methods and ways to merge x numbers of merged skills on the console."""
    merged = metrics["merged"]
    counts = [point["n"] for point in next(iter(merged.values()))["points"]]
    rows = [
        [
            name, f"{100 * metrics['alone'][row['method']]['mean']:.1f}",
            *(f"{100 * point['mean']:.1f}" for point in row["points"]), f"{row['points'][-1]['share']:.2f}",
        ]
        for name, row in merged.items()
    ]  # fmt: skip
    title = "Scores of merged skills on the tasks that they are of, in percent"
    header = ["method, way", "alone", *(f"{n} merged" for n in counts), "all / alone"]
    print_table(console, title, header, rows[:-1], rows[-1], texts=("method, way",))


SHOWN = {"matrix": show, "density": show, "merge": show_merged}

JOB = Job(
    about="carry a task to other languages by skills of task and languages", Config=Config, run=run,
    goals=("mean", "tasks", "rows", "merged"), check=check,
)  # fmt: skip
