"""Hooks of a trial that may let it stop: because the scheduler says so, or because its generation is over."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from polyray.runs.metrics import read_metrics
from polyray.runs.run import STOP
from polyray.sweeps.goals import value_along
from polyray.sweeps.population import n_validations
from polyray.sweeps.space import Goal

GOAL = "goal"  # the metric that schedulers read

Report = Callable[[Mapping[str, Any]], object]


class Overseer(Protocol):
    """A hook of a run that may let it stop.

    Attributes:
        stopped: whether the scheduler wants the trial to end for good.
    """

    stopped: bool

    def follow(self, folder: Path) -> None:
        """Learn what the run in `folder` has reported in earlier starts."""

    def __call__(self, line: Mapping[str, Any]) -> None:
        """See one line of metrics."""


class Judge:
    """The hook of a run that tells the scheduler every validation once, and passes its wish to stop on to the run.

    Attributes:
        stopped: whether the scheduler wants the trial to end.
    """

    def __init__(self, goal: Goal, report: Report) -> None:
        self.stopped = False
        self._goal, self._report = goal, report
        self._stop_file: Path | None = None
        self._last = -1

    def follow(self, folder: Path) -> None:
        """Tell what the run in `folder` has reported in earlier starts."""
        self._stop_file = folder / STOP
        for line in read_metrics(folder):
            self(line)

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Tell one line of metrics, unless it was told."""
        value, step = value_along(line, self._goal), line["step"]
        if value is None or step <= self._last or self.stopped:
            return
        self._last = step
        try:
            self._report({GOAL: value, "step": step})
        except SystemExit:
            self.stopped = True
            if self._stop_file is not None and self._stop_file.parent.is_dir():
                self._stop_file.touch()


class Pause:
    """The hook of a run that asks it to save a checkpoint and end after so many validations, for now."""

    def __init__(self, goal: Goal, until: int) -> None:
        self.stopped = False
        self._goal, self._until = goal, until
        self._count = 0
        self._stop_file: Path | None = None

    def follow(self, folder: Path) -> None:
        """Count the validations up to the newest checkpoint, from which the run goes on."""
        self._stop_file, self._count = folder / STOP, n_validations(folder)

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Count one line of metrics."""
        self._count += value_along(line, self._goal) is not None
        if self._count >= self._until and self._stop_file is not None:
            self._stop_file.touch()
