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
class Portion:
    """Smaller runs that a larger one is made of, whose updates cost the same.

    Attributes:
        about: what they are.
        configs: of each run; the first one is measured.
        levels: of each run: those of a level begin when those of lower levels have ended.
        scores: whether its test examples are like those that are scored at the end of the larger run.
    """

    about: str
    configs: tuple[Section, ...]
    levels: tuple[int, ...]
    scores: bool = False


@dataclass(frozen=True, kw_only=True)
class Outline:
    """The work of a run that is made of smaller ones, as Ray tasks.

    Attributes:
        name, job: the job of the smaller runs, which has a workload.
        portions: the smaller runs.
        cells, scored: pieces of scoring after them, and the test examples that they score together.
        gpus: of one smaller run.
        left_out: parts of the whole that no smaller run has, one line each.
    """

    name: str
    job: "Job"
    portions: tuple[Portion, ...]
    cells: int = 0
    scored: int = 0
    gpus: float = 0.0
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Job:
    """Something that a user can run.

    Attributes:
        about: one line.
        Config: the options that it reads.
        goals: first parts of the dotted names of its metrics by which a sweep may judge its runs.
        workload: how much work a run is, for a forecast before it begins; None: nobody can tell.
        outline: called as outline(config), in place of a workload: the smaller runs that it is made of.
        check: called as check(config) before a sweep begins; refuses data and names as `run` would.
        run: called as run(config, run) with a run folder that exists; it goes on from what an earlier start left there.
    """

    about: str
    Config: type[Section]
    run: Callable[[Any, Run], Result]
    goals: tuple[str, ...] = ("mean", "tasks")
    check: Callable[[Any], object] = _accept
    workload: Workload | None = None
    outline: Callable[[Any], Outline] | None = None
