"""Multi-task training of an inventory of skills and its routing (Ponti et al. 2023)."""

from polyray.backbones.precision import QUANTISED
from polyray.cluster.train import TrainingRun, WorkerOptions, start_training
from polyray.errors import InputError
from polyray.objectives import one_objective
from polyray.progress import follow
from polyray.reports.console import print_note, print_scores
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.runs.selection import check_keep
from polyray.runs.workload import Workload
from polyray.tasks import Suite, load_suite, read_all
from polyray.tracking.options import TrackingOptions
from polyray.training.checking import check_fit
from polyray.training.data import partition_tasks, repeats, unlearned
from polyray.training.journal import SKILLS
from polyray.training.model import check_mixable
from polyray.training.multitask import spec_of, train
from polyray.training.recipe import TrainingRecipe
from polyray.training.schedule import check_schedule
from polyray.training.validation import validation_examples
from polyray.training.workload import amounts, shortened, unmeasured


class Config(TrainingRecipe):
    """Train skills and their routing on the training tasks of a suite."""

    workers: WorkerOptions = WorkerOptions()
    """Who trains."""
    tracking: TrackingOptions = TrackingOptions()
    """Experiment tracker that is told how it goes."""


def run(config: Config, run: Run) -> Result:
    """Train on Ray, then score; see `Config`."""
    suite = check(config)
    tasks = partition_tasks(suite, "train")
    print_note(run.console, repeats(suite, tasks))
    print_note(run.console, unlearned(suite, tasks, config.tasks.train_splits, tasks))
    run.cluster.start()
    training = start(config, run)
    follow({config.routing.kind: (run.out, config.training.steps)}, lambda: training.running, run.console)
    metrics = training.result()
    print_scores(run.console, metrics)
    return Result(metrics=metrics, skills=(SKILLS,))


def check(config: Config) -> Suite:
    """Read all data, so that a mistake shows before anything starts.

    Raises:
        InputError: something in the config or the data is wrong.
    """
    suite = load_suite(config.tasks)
    _check_training(config)
    check_mixable(spec_of(config, suite))
    tasks = partition_tasks(suite, "train")
    train_tasks = [suite.tasks[task] for task in tasks]
    one_objective(train_tasks)
    check_fit(config.backbone, config.backbone_dtype, spec_of(config, suite), train_tasks)
    check_schedule(config.training.schedule, config.training.backbone_lr)
    check_keep(config.training.keep, config.evaluation.every)
    read_all(suite, tasks)
    if config.evaluation.every:
        validation_examples(config, suite)
    return suite


def _check_training(config: Config) -> None:
    """Refuse ways to train that exclude each other.

    Raises:
        InputError: two such ways are chosen.
    """
    training, dtype = config.training, config.backbone_dtype
    config.workers.check_shares(training.batch)
    if training.strategy == "fsdp" and training.backbone_lr:
        raise InputError("training.strategy=fsdp shards a frozen backbone: set training.backbone_lr=0.")
    if training.strategy == "fsdp" and dtype in QUANTISED:
        raise InputError(f"training.strategy=fsdp shards no weights of backbone_dtype={dtype}: use ddp.")
    if config.ticket.steps and (training.strategy == "fsdp" or training.backbone_lr):
        raise InputError(
            "ticket.steps searches the entries of skills on a frozen backbone that each worker has whole: set "
            "training.strategy=ddp and training.backbone_lr=0, or ticket.steps=0."
        )
    if training.backbone_lr and dtype != "fp32":
        raise InputError(
            f"backbone_dtype={dtype} is for a frozen backbone: weights of few bits would round small updates away. Set "
            "training.backbone_lr=0, or backbone_dtype=fp32."
        )


def start(config: Config, run: Run) -> TrainingRun:
    """Begin, or go on with, the training of `run` in the background; Ray must be there."""
    recipe = config.model_dump(mode="json", include=set(TrainingRecipe.model_fields))
    return start_training(train, recipe, config.workers, run)


JOB = Job(
    about="train an inventory of skills and its routing on many tasks", Config=Config, run=run,
    goals=("mean", "tasks", "validation", "recovery", "parameters"), check=check,
    workload=Workload(
        amounts=amounts, shorten=shortened, left_out=lambda config: unmeasured(config.workers.n)
    ),
)  # fmt: skip
