"""The work that a run does, counted in the units whose time is measured before it begins."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """Counts of a run's work.

    Attributes:
        steps: updates of a language model, frames of an agent.
        reports: lines of metrics.
        validations: scorings of dev examples or episodes on the way.
        checkpoints: that are written; the newest two stay.
        scored: test examples or episodes that are scored at the end, of all tasks together.
    """

    steps: int
    reports: int
    validations: int
    checkpoints: int
    scored: int


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A job's work: how much there is in a run, and the same run with less of it.

    Attributes:
        amounts: called as amounts(config, stride), where stride is the number of steps between two looks whether to
            stop: 1 for updates, the frames of an iteration for agents.
        shorten: called as shorten(config, steps, events, scored): the same config with so many steps and about so many
            reports, each with a checkpoint and with a validation if it has any, the last one at the end, and at most so
            many examples or episodes of a task scored. Agents validate and save at their end alone.
        left_out: called as left_out(config): parts of such a run that a shortened one does without, one line each.
    """

    amounts: Callable[[Any, int], Amounts]
    shorten: Callable[[Any, int, int, int], Any]
    left_out: Callable[[Any], tuple[str, ...]] = lambda config: ()
