"""Training of one skill of a whole network, by lottery-ticket sparse fine-tuning or another method."""

from pathlib import Path

from polyray.backbones.skeleton import load_skeleton
from polyray.cluster.train import TrainingRun, WorkerOptions, start_training
from polyray.objectives import one_objective
from polyray.progress import follow
from polyray.reports.console import print_note, print_scores
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.runs.selection import check_keep
from polyray.runs.workload import Workload
from polyray.skills.skill import load_card
from polyray.tasks import Suite, load_suite, read_all
from polyray.tracking.options import TrackingOptions
from polyray.training.data import partition_tasks, repeats
from polyray.training.tuning.origin import recipe_fingerprint, skill_name
from polyray.training.tuning.recipe import TuningRecipe
from polyray.training.tuning.sources import check_sources
from polyray.training.tuning.training import SKILLS, tune
from polyray.training.validation import validation_examples
from polyray.training.workload import shortened_tuning, tuning_amounts, unmeasured


class Config(TuningRecipe):
    """Train one skill of a whole network: of a language, on text, or of a task."""

    workers: WorkerOptions = WorkerOptions()
    """Who trains."""
    tracking: TrackingOptions = TrackingOptions()
    """Experiment tracker that is told how it goes."""


def run(config: Config, run: Run) -> Result:
    """Train on Ray, then score; see `Config`."""
    return train(config, run, check_all(config))


def train(config: Config, run: Run, suite: Suite) -> Result:
    """Train on Ray, then score, what `check_all` has found right."""
    print_note(run.console, repeats(suite, partition_tasks(suite, "train")))
    run.cluster.start()
    training = start(config, run)
    steps = sum(stage.steps for stage in config.method.tuning(config.training.steps).plan())
    follow({config.method.kind: (run.out, steps)}, lambda: training.running, run.console)
    metrics = training.result()
    print_scores(run.console, metrics)
    return Result(metrics=metrics, skills=(SKILLS,))


def check(config: TuningRecipe) -> Suite:
    """Read all data, so that a mistake shows before anything starts.

    Raises:
        InputError: something in the config or the data is wrong.
    """
    suite = load_suite(config.tasks)
    tasks = partition_tasks(suite, "train")
    one_objective([suite.tasks[task] for task in tasks])
    skeleton = load_skeleton(config.backbone)
    config.method.tuning(config.training.steps).check(skeleton.model, skeleton.family)
    check_keep(config.training.keep, config.evaluation.every)
    check_sources(config.sources, tasks)
    read_all(suite, tasks)
    if config.evaluation.every:
        validation_examples(config, suite)
    for folder in (*config.base, *((config.heads,) if config.heads else ())):
        load_card(Path(folder))
    recipe_fingerprint(config, suite)
    skill_name(config, suite)
    return suite


def check_all(config: Config) -> Suite:
    """Look at the config, the data and the workers, so that a mistake shows before anything starts.

    Raises:
        InputError: something in the config or the data is wrong.
    """
    config.workers.check_shares(config.training.batch)
    return check(config)


def start(config: Config, run: Run) -> TrainingRun:
    """Begin, or go on with, the training of `run` in the background; Ray must be there."""
    recipe = config.model_dump(mode="json", include=set(TuningRecipe.model_fields))
    return start_training(tune, recipe, config.workers, run)


JOB = Job(
    about="train one skill of a whole network: sparse (LT-SFT, masks), full, BitFit, LoRA", Config=Config, run=run,
    goals=("mean", "tasks", "validation", "parameters"), check=check_all,
    workload=Workload(
        amounts=tuning_amounts, shorten=shortened_tuning, left_out=lambda config: unmeasured(config.workers.n)
    ),
)  # fmt: skip
