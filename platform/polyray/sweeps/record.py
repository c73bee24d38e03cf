"""A sweep as its files tell it: its task and all its trials, ranked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from polyray.sweeps.rates import Rates, fit_rates
from polyray.sweeps.rows import TrialRow
from polyray.sweeps.space import Goal, Space

ORDER = ("done", "running", "stopped", "waiting", "failed")  # of the ranking: goals on the way are no final ones


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """One sweep at one moment.

    Attributes:
        path: its folder.
        job: name of the job.
        name: name of the space, or its file as the user wrote it.
        space: the fields that vary.
        goals: the first one ranks the trials.
        options: values of the section `sweep`, nested.
        rows: its trials, in order of their numbers.
        planned: number of trials that it is to have.
        running: whether a process is at work on it.
        url: of its folder, where `path` is a working copy of it; else empty.
    """

    path: Path
    job: str
    name: str
    space: Space
    goals: tuple[Goal, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[TrialRow, ...] = ()
    planned: int
    running: bool = False
    url: str = ""

    def shown(self, name: str) -> str:
        """The path of a file in the folder, as the user knows it."""
        return f"{self.url}/{name}" if self.url else str(self.path / name)

    @property
    def state(self) -> Literal["running", "done", "interrupted"]:
        """Whether a process is at work, all trials have ended, or some are left and nobody is at work."""
        if self.running:
            return "running"
        return "done" if self.n_ended >= self.planned else "interrupted"

    @property
    def n_ended(self) -> int:
        """Number of trials that will not go on."""
        return sum(row.has_ended for row in self.rows)

    @cached_property
    def ranked(self) -> tuple[TrialRow, ...]:
        """All trials: finished ones, best first, then running, stopped, waiting and failed ones."""
        return tuple(rank(self.rows, self.goals[0]))

    @property
    def best(self) -> TrialRow | None:
        """The finished trial with the best first goal; where none has finished, the best that was stopped."""
        return next((row for row in self.ranked if row.is_scored), None)

    @property
    def scored(self) -> tuple[TrialRow, ...]:
        """Trials that have ended with a goal, in order of their numbers."""
        return tuple(row for row in self.rows if row.is_scored)

    @cached_property
    def rates(self) -> Rates | None:
        """The goal over the learning rates of skills and routing; None where there is no surface: see `fit_rates`."""
        return fit_rates(self)

    @property
    def varied(self) -> tuple[str, ...]:
        """The fields of the space in which its trials differ, all of them where there is one trial only."""
        if len(self.rows) < 2:
            return tuple(self.space.fields)
        return tuple(name for name in self.space.fields if len({row.fields.get(name) for row in self.rows}) > 1)

    @cached_property
    def front(self) -> tuple[TrialRow, ...]:
        """Finished trials that no other one equals or beats in every goal and beats in one; best first goal first."""
        signs = [goal.sign for goal in self.goals]
        merits = {
            row.number: tuple(sign * value for sign, value in zip(signs, row.goals, strict=True))
            for row in self.rows
            if row.state == "done" and len(row.goals) == len(signs) and all(map(isfinite, row.goals))
        }
        undominated: list[TrialRow] = []
        finished = [row for row in self.rows if row.number in merits]
        for row in sorted(finished, key=lambda row: merits[row.number], reverse=True):  # whoever beats it comes before
            if not any(_dominates(merits[other.number], merits[row.number]) for other in undominated):
                undominated.append(row)
        return tuple(undominated)


def rank(rows: Sequence[TrialRow], goal: Goal) -> list[TrialRow]:
    """The rows by state, then by goal, best first; ties by number, and those without a goal last."""

    def key(row: TrialRow) -> tuple[int, float, int]:
        return ORDER.index(row.state), -goal.sign * row.goal if row.goal is not None else float("inf"), row.number

    return sorted(rows, key=key)


def _dominates(merits: Sequence[float], others: Sequence[float]) -> bool:
    pairs = list(zip(merits, others, strict=True))
    return all(mine >= theirs for mine, theirs in pairs) and any(mine > theirs for mine, theirs in pairs)
