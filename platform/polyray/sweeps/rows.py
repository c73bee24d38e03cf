"""One trial of a sweep as its files tell it, whatever process lives."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from polyray.sweeps.fields import Value

State = Literal["waiting", "running", "done", "stopped", "failed"]
ENDED = ("done", "stopped", "failed")  # states of trials that will not go on


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRow:
    """A configuration of a sweep and how far its runs have come.

    Attributes:
        number: place in the order in which configurations were drawn, from 0.
        fields: dotted field names and their values; conditional fields that are not read are missing.
        state: waiting: drawn and not begun; running: begun and not ended, be it interrupted; stopped: ended by the
            scheduler before its last step; failed: not tried again.
        goal: value of the sweep's first goal, the mean of `seed_goals`; None before there is one, and for NaN.
        goals: value of each goal of the sweep, in order, means over the repeats; empty before there is one.
        seed_goals: the first goal in each repeat (seed) that has one, in order.
        step: steps that the repeats have run, all together.
        seconds: time that the repeats have run, all together and over all starts.
        reason: why it failed or was stopped, one line; empty otherwise.
        folders: run folders of its repeats. seeds: seed of each.
        starts: how often a repeat was begun or begun again; more than the repeats where one was lost or tried again.
        donor: number of the trial whose state it went on from (population based training), None for none.
    """

    number: int
    fields: Mapping[str, Value]
    state: State
    goal: float | None = None
    goals: tuple[float, ...] = ()
    seed_goals: tuple[float, ...] = ()
    step: int = 0
    seconds: float = 0.0
    reason: str = ""
    folders: tuple[Path, ...] = ()
    seeds: tuple[int, ...] = ()
    starts: int = 0
    donor: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it will not go on."""
        return self.state in ENDED

    @property
    def is_scored(self) -> bool:
        """Whether it has ended with a goal that counts."""
        return self.state in ("done", "stopped") and self.goal is not None

    @property
    def was_begun_again(self) -> bool:
        """Whether a repeat was lost, or failed, and went on."""
        return self.starts > max(1, len(self.folders))
