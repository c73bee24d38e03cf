"""A job and its result."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from polyray.config import Section
from polyray.runs.run import Run
from polyray.runs.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of a run.

    Attributes:
        metrics: for jobs that score tasks `mean` and `tasks`, {NAME: {METRIC: value}}; and the job's own.
        skills: folders of the skills that it wrote, relative to the run folder.
    """

    metrics: dict[str, Any]
    skills: tuple[str, ...] = ()


def _accept(config: Section) -> None:
    """Find nothing wrong: the check of a job that has none."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Something that a user can run.

    Attributes:
        about: one line.
        Config: the options that it reads.
        goals: first parts of the dotted names of its metrics by which a sweep may judge its runs.
        workload: how much work a run is, for a forecast before it begins; None: nobody can tell.
        check: called as check(config) before a sweep begins; refuses data and names as `run` would.
        run: called as run(config, run) with a run folder that exists; it goes on from what an earlier start left there.
    """

    about: str
    Config: type[Section]
    run: Callable[[Any, Run], Result]
    goals: tuple[str, ...] = ("mean", "tasks")
    check: Callable[[Any], object] = _accept
    workload: Workload | None = None
