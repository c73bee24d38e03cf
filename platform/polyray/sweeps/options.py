"""Options of a sweep: how many trials, chosen, stopped and judged how, on which share of the cluster."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from polyray.config import Section, load_config
from polyray.errors import InputError
from polyray.lookup import lookup
from polyray.sweeps.schedulers import SCHEDULERS
from polyray.sweeps.searchers import SEARCHERS, Search, Searcher
from polyray.sweeps.space import Goal, Space


def check_entry(table: Mapping[str, object], name: str, noun: str) -> str:
    """`name`, refused as pydantic wants it where the table has no such entry.

    Raises:
        ValueError: it has none.
    """
    try:
        lookup(table, name, noun)
    except InputError as error:
        raise ValueError(str(error)) from None
    return name


class SweepOptions(Section):
    """Trials, the searcher that chooses their configurations, and the scheduler that may stop them."""

    elastic: ClassVar[frozenset[str]] = frozenset({"trials", "concurrent", "retries", "seconds", "cpus", "gpus"})

    trials: int = Field(20, ge=1)
    """Configurations to try; the searcher grid tries all that the space has."""
    searcher: str = "tpe"
    """Searcher, which chooses configurations: see `polyray list searchers`. Unless set, the space's."""
    scheduler: str = "none"
    """Scheduler, which ends trials early or changes them: see `polyray list schedulers`. Unless set, the space's."""
    seed: int = Field(0, ge=0)
    """Seed of the configurations that are drawn, not of the trainings."""
    startup: int = Field(8, ge=1)
    """Trials that tpe draws at random before it models the scores."""
    goal: str = ""
    """Number to judge by: its dotted name in the job's metrics. Empty: the space's."""
    mode: Literal["", "max", "min"] = ""
    """Whether `goal` is to be large or small."""
    second_goal: Literal["", "parameters", "seconds"] = ""
    """A second goal that is to be small: the parameters that are trained, or the time that a trial takes."""
    repeats: int = Field(1, ge=1)
    """Runs of every configuration, each with a seed of its own; configurations are compared by the mean."""
    retries: int = Field(2, ge=0)
    """Times that a trial that failed is tried again, where that can help."""
    concurrent: int = Field(0, ge=0)
    """Trials at once; 0: as many as the cluster has room for."""
    seconds: float = Field(0.0, ge=0)
    """Time after which no trial begins and those that run are stopped; 0: no limit."""
    cpus: float = Field(1.0, gt=0)
    """CPU cores of one trial."""
    gpus: float = Field(0.0, ge=0)
    """GPUs of one trial; a fraction shares one."""
    grace: int = Field(1, ge=1)
    """Validations before a trial may be stopped."""
    factor: int = Field(3, ge=2)
    """One trial in so many goes on from each rung of asha; rungs lie this factor of validations apart."""
    interval: int = Field(1, ge=1)
    """Validations between two changes of a population."""
    quantile: float = Field(0.25, gt=0, le=0.5)
    """Share of a population that gives way, and share that is copied."""
    resample: float = Field(0.25, ge=0, le=1)
    """Probability that pbt draws a field anew instead of changing it by a factor of 0.8 or 1.25."""

    @field_validator("searcher")
    @classmethod
    def _known_searcher(cls, name: str) -> str:
        return check_entry(SEARCHERS, name, "searcher")

    @field_validator("scheduler")
    @classmethod
    def _known_scheduler(cls, name: str) -> str:
        return check_entry(SCHEDULERS, name, "scheduler")

    @field_validator("gpus")
    @classmethod
    def _whole_above_one(cls, gpus: float) -> float:
        if gpus > 1 and gpus != int(gpus):
            raise ValueError("expected a whole number, or a fraction of one GPU")
        return gpus

    @model_validator(mode="after")
    def _goal_has_a_mode(self) -> Self:
        if self.goal and not self.mode:
            raise ValueError(
                f"the goal {self.goal} needs a mode: set sweep.mode=max where it is to be large, sweep.mode=min where "
                "it is to be small"
            )
        return self

    def unread(self) -> Mapping[str, str]:
        """Fields of other searchers and schedulers than the chosen ones."""
        entries = (SEARCHERS[self.searcher], SCHEDULERS[self.scheduler])
        reads = {name for entry in entries for name in entry.reads}
        optional = {name for table in (SEARCHERS, SCHEDULERS) for entry in table.values() for name in entry.reads}
        reason = f"searcher {self.searcher} and scheduler {self.scheduler} do without it"
        unread = dict.fromkeys(sorted(optional - reads), reason)
        return unread if self.goal else {**unread, "mode": "sweep.goal is empty, and the space's goal has its mode"}


class SweepConfig(Section):
    """The section `sweep`, which is set beside the sections of the job."""

    sweep: SweepOptions = SweepOptions()
    """Trials, searcher and scheduler of the sweep."""


def read_options(space: Space, overrides: Sequence[str]) -> tuple[SweepOptions, list[str]]:
    """The options of a sweep over `space`, and the overrides of the job's config.

    Args:
        overrides: section.key=value; those of the section `sweep` lie over the space's searcher and scheduler.

    Raises:
        InputError: an option is unknown, is wrong, or is set and not read.
    """
    for_sweep = [text for text in overrides if text.startswith("sweep.")]
    usual = [f"sweep.searcher={space.searcher}", f"sweep.scheduler={space.scheduler}"]
    options = load_config(SweepConfig, overrides=[*usual, *for_sweep]).sweep
    return options, [text for text in overrides if text not in for_sweep]


def goals_of(space: Space, options: SweepOptions) -> tuple[Goal, ...]:
    """The goals of a sweep, the first one first."""
    first = Goal(options.goal, options.mode) if options.goal and options.mode else space.goal
    return (first, Goal(options.second_goal, "min")) if options.second_goal else (first,)


def searcher_of(space: Space, options: SweepOptions) -> Searcher:
    """The searcher of a sweep.

    Raises:
        InputError: it cannot search that space.
    """
    modes = tuple(goal.mode for goal in goals_of(space, options))
    return SEARCHERS[options.searcher](Search(space=space, seed=options.seed, modes=modes, startup=options.startup))
