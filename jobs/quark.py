"""Training of one skill by Quark: on responses that the network draws itself, sorted by their reward."""

from polyray.cluster.train import WorkerOptions, start_training
from polyray.errors import InputError
from polyray.jobs import ltsft
from polyray.judges.responses import check_metrics
from polyray.objectives import OBJECTIVES
from polyray.objectives.dialogue import CHATS
from polyray.progress import follow
from polyray.reports.console import print_scores
from polyray.responding.rewards import RewardedRecipe, train
from polyray.responding.scores import RESPONSES
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.tasks import Suite
from polyray.tracking.options import TrackingOptions
from polyray.training.data import partition_tasks
from polyray.training.quark.training import stage_of
from polyray.training.tuning.training import SKILLS


class Config(RewardedRecipe):
    """Train one skill by Quark on responses that it draws itself, sorted by their reward."""

    workers: WorkerOptions = WorkerOptions()
    """Who trains."""
    tracking: TrackingOptions = TrackingOptions()
    """Experiment tracker that is told how it goes."""


def run(config: Config, run: Run) -> Result:
    """Train on Ray, then score; see `Config`."""
    check(config)
    run.cluster.start()
    recipe = config.model_dump(mode="json", include=set(RewardedRecipe.model_fields))
    training = start_training(train, recipe, config.workers, run)
    follow({"quark": (run.out, config.training.steps)}, lambda: training.running, run.console)
    metrics = training.result()
    print_scores(run.console, metrics)
    return Result(metrics=metrics, skills=(SKILLS,))


def check(config: Config) -> Suite:
    """Read all data, so that a mistake shows before anything starts.

    Raises:
        InputError: something in the config or the data is wrong.
    """
    config.workers.check_shares(config.training.batch)
    stage_of(config)
    suite = ltsft.check(config)
    name = partition_tasks(suite, "train")[0]
    objective = suite.tasks[name].objective
    if OBJECTIVES[objective].predicts != RESPONSES:
        raise InputError(f"Quark draws responses in dialogues; the task {name!r} has the objective {objective!r}.")
    if objective == CHATS.name:
        raise InputError("Quark learns one response of a dialogue at a time: set tasks.targets=each or last.")
    check_metrics(config.scoring())
    if config.text.packing:
        raise InputError("Quark compares responses with a reference token by token: set text.packing=false.")
    return suite


JOB = Job(
    about="train one skill by Quark: on responses that it draws, sorted by their reward", Config=Config, run=run,
    goals=("mean", "tasks", "validation", "parameters"), check=check,
)  # fmt: skip
