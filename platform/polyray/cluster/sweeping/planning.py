"""A sweep out of what the user typed, refused before anything is written where it cannot work."""

from collections.abc import Sequence
from pathlib import Path

from polyray.cluster.sweeping.resources import has_group
from polyray.config import Section, field_names, load_config
from polyray.errors import InputError
from polyray.formats import read_document
from polyray.lookup import suggestion
from polyray.runs.job import Job
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.goals import SECONDS
from polyray.sweeps.options import SweepOptions, goals_of, searcher_of
from polyray.sweeps.population import check_population
from polyray.sweeps.schedulers import SCHEDULERS
from polyray.sweeps.space import Goal, Space, config_value
from polyray.training.schedule import SCHEDULE_FIELD

SEEDS = ("training.seed", "adapt.seed")  # fields with the seed of a run, of the jobs that have one
EVERY = "evaluation.every"


def plan(
    path: Path, job: str, entry: Job, name: str, space: Space, options: SweepOptions, *, file: Path | None,
    overrides: Sequence[str], url: str = "",
) -> SweepFolder:  # fmt: skip
    """The sweep over `space` in the folder `path`.

    Args:
        job, entry: name of the job, and the job.
        name: of the space, as the user typed it.
        file, overrides: of the base config.
        url: of the folder, where `path` is a working copy; else empty.

    Raises:
        InputError: the base config is wrong, the job refuses the first trial's data or names, or it cannot be judged,
            repeated or searched so.
    """
    base = load_config(entry.Config, file, overrides)
    goals = goals_of(space, options)
    for goal in goals:
        _check_goal(job, entry, goal)
    _check_validation(job, base, goals[0], options)
    searcher = searcher_of(space, options)
    if SCHEDULERS[options.scheduler].population:
        _check_population(job, entry, space, options)
        if url:
            raise InputError(
                f"sweep.scheduler={options.scheduler} lets trials take over each other's files, and needs a folder "
                f"that all nodes share: {url} is none. Choose another scheduler, or a path as --out."
            )
    if url and SCHEDULERS[options.scheduler].judges and has_group(base):
        raise InputError(
            f"sweep.scheduler={options.scheduler} follows trials by files, which of trials with several workers come "
            f"from {url} at their end only. Choose sweep.scheduler=none, one worker without GPUs, or a path as --out."
        )
    seed_field = next((field for field in SEEDS if field in field_names(entry.Config)), "")
    if options.repeats > 1 and not seed_field:
        raise InputError(f"sweep.repeats={options.repeats}: the job {job} has no seed that differs between repeats.")
    seed = config_value(base, seed_field) if seed_field else 0
    assert isinstance(seed, int)
    entry.check(load_config(entry.Config, file, overrides, trial=searcher.ask(0, [])))
    return SweepFolder(
        path=path, job=job, name=name, space=space, options=options, overrides=tuple(overrides),
        base=read_document(file) if file is not None else "", seed_field=seed_field, seed=seed, url=url,
    )  # fmt: skip


def _check_population(job: str, entry: Job, space: Space, options: SweepOptions) -> None:
    """Refuse a population over fields, or of a job, that cannot change in training.

    Raises:
        InputError: that is so.
    """
    if SCHEDULE_FIELD not in field_names(entry.Config):
        raise InputError(f"sweep.scheduler={options.scheduler}: no field of the job {job} can change while it trains.")
    check_population(space, options)


def _check_goal(job: str, entry: Job, goal: Goal) -> None:
    """Refuse a goal that is no metric of the job.

    Raises:
        InputError: it is none; the message gives the nearest name.
    """
    names = (*entry.goals, SECONDS)
    first = goal.name.partition(".")[0]
    if first not in names:
        raise InputError(f"The job {job} has no metric {goal.name!r:.80} to judge by. {suggestion(first, names)}")


def _check_validation(job: str, base: Section, goal: Goal, options: SweepOptions) -> None:
    """Refuse a goal or a scheduler that needs a validation while the job trains, where there will be none.

    Raises:
        InputError: there will be none.
    """
    stops = options.scheduler != "none"
    every = config_value(base, EVERY)
    if every is None and stops:
        raise InputError(f"sweep.scheduler={options.scheduler}: the job {job} has no validation while it trains.")
    if every == 0 and (stops or goal.name.startswith("validation.")):
        what = f"sweep.scheduler={options.scheduler}" if stops else f"the goal {goal.name}"
        splits = " and tasks.train_splits=[train]" if config_value(base, "tasks.train_splits") is not None else ""
        raise InputError(f"{what} needs a validation while the job trains: set {EVERY}, such as {EVERY}=50{splits}.")
