"""Cross-lingual transfer from one config: skills of task and languages, composed, scored on every language."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

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
from polyray.runs.job import Job, Outline, Portion, Result
from polyray.runs.run import Run
from polyray.tasks import Suite, load_suite
from polyray.tracking.options import TrackingOptions
from polyray.training.transfer.cells import ScoredCell, earlier_outcome, rebased
from polyray.training.transfer.leaks import leaks
from polyray.training.transfer.library import Library
from polyray.training.transfer.outline import groups, level_of, measured_recipe, scoring
from polyray.training.transfer.plan import PlannedTraining, levels
from polyray.training.transfer.recipe import TransferRecipe
from polyray.training.transfer.studies import STUDIES, check_lengths
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
    if run.store is not None and config.library:
        raise InputError(
            f"library={config.library} is a folder of this machine, and --out {run.store.url} is a URL: "
            "nodes need not share it. Leave library out, or choose a path as --out."
        )
    recipe, study = _recipe(config), STUDIES[config.study]
    suite = check(config)
    check_lengths(recipe, suite)
    print_note(run.console, leaks(recipe, suite))
    run.cluster.start()
    trainings = study.trainings(recipe, suite)
    folders = _train(recipe, trainings, run)
    outcomes = _score(study.cells(recipe, suite, run.out.absolute(), folders), study.score, run)
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
            training.check_ranking()  # last, so that its message is of what the ranking leaves unread alone
    return suite


def outline(config: Config) -> Outline:
    """The trainings and the scoring that a transfer is made of."""
    recipe = _recipe(config)
    suite = recipe.load_suite()
    trainings = STUDIES[recipe.study].trainings(recipe, suite)
    level = level_of(trainings)
    portions = tuple(
        Portion(
            about=about, configs=tuple(_tuning(measured_recipe(training)) for training in members),
            levels=tuple(level[training.name] for training in members), scores=about.startswith("task"),
        )
        for about, members in groups(trainings)
    )  # fmt: skip
    cells, scored = scoring(recipe, suite, trainings)
    draws = ("the bootstrap draws of resamples",) if recipe.resamples else ()
    saved = ("time saved by skills that the library has",) if recipe.library else ()
    return Outline(
        name="ltsft", job=ltsft.JOB, portions=portions, cells=cells, scored=scored, gpus=recipe.gpus,
        left_out=(*draws, *saved),
    )  # fmt: skip


def _train(recipe: TransferRecipe, trainings: Mapping[str, PlannedTraining], run: Run) -> dict[str, Path]:
    """Do the trainings that are missing, those of one level side by side: the folder of each one's skill."""
    library = Library(Path(recipe.library) if recipe.library else None)
    done = Library(run.out / TRAININGS if run.store is not None and (run.out / TRAININGS).is_dir() else None)
    folders: dict[str, Path] = {}
    with bars(run.console) as display:
        line = display.add_task("training", total=len(trainings), note="")
        for level in levels(trainings):
            waiting = []
            for training in level:
                config = training.recipe(folders)
                fingerprint = recipe_fingerprint(config, load_suite(config.tasks))
                skill = library.find(fingerprint) or done.find(fingerprint)
                piece = TrainingPiece(out=run.out.absolute(), name=training.name, config=_tuning(config))
                folders[training.name] = skill or piece.folder / SKILLS / file_name(config.name)
                waiting += [] if skill else [piece]
            display.update(line, advance=len(level) - len(waiting))
            for index, metrics in run_pieces(do_training, waiting, run, gpus=recipe.gpus, reads=read_skills):
                note = f"{waiting[index].name}: {metrics['mean']:.3f}"
                display.update(line, advance=1, note=note)
    return folders


@dataclass(frozen=True, kw_only=True)
class TrainingPiece:
    """A training of the transfer in the folder `out`, and the skills there that it reads."""

    out: Path
    name: str
    config: ltsft.Config

    @property
    def folder(self) -> Path:
        """The run folder of the training."""
        return self.out / TRAININGS / self.name

    @property
    def skills(self) -> list[Path]:
        """The folders of the skills that it reads."""
        options = self.config.method.options
        rankings = [vars(options)[name] for name in options.files]
        return [Path(path) for path in (*self.config.base, self.config.heads, *rankings) if path]

    def moved(self, out: Path) -> Self:
        """The training in another folder, to which the skills in the old one have been moved."""

        def place(path: str) -> str:
            return str(rebased(Path(path), self.out, out)) if path else path

        values = self.config.model_dump()
        values |= {"base": [place(path) for path in values["base"]], "heads": place(values["heads"])}
        values["method"] |= {name: place(values["method"][name]) for name in self.config.method.options.files}
        return replace(self, out=out, config=ltsft.Config.model_validate(values))


def read_skills(piece: TrainingPiece | ScoredCell) -> Sequence[Path]:
    """The folders of the skills that a piece of work reads."""
    return piece.skills


def do_training(piece: TrainingPiece) -> dict[str, Any]:
    """Do a training as an ordinary run of the job ltsft, or go on with it: its metrics."""
    folder = RunFolder(path=piece.folder, job="ltsft", config=piece.config, address=None)
    return do_run(RunPiece(folder=folder, job=ltsft.JOB))


def _tuning(recipe: TuningRecipe) -> ltsft.Config:
    """A recipe as the config of a run."""
    return ltsft.Config.model_validate(recipe.model_dump())


def _score(cells: Sequence[Any], score: Callable[[Any], dict[str, Any]], run: Run) -> list[dict[str, Any]]:
    """Score the cells that no earlier start has scored: the outcomes of all, in their order."""
    outcomes = {index: outcome for index, cell in enumerate(cells) if (outcome := earlier_outcome(cell)) is not None}
    waiting = [index for index in range(len(cells)) if index not in outcomes]
    with bars(run.console) as display:
        line = display.add_task("scoring", total=len(cells), completed=len(outcomes), note="")
        for number, outcome in run_pieces(score, [cells[index] for index in waiting], run, reads=read_skills):
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
    goals=("mean", "tasks", "rows", "merged"), check=check, outline=outline,
)  # fmt: skip
