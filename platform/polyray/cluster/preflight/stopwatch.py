"""The moments of a run: its looks whether to stop, its reports and its checkpoints."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from polyray.runs.run import Run

STEPS = 5.0  # seconds for steps after the first one, however long the set-up took


class Stopwatch:
    """Moments that a run passes, in seconds of one clock.

    Attributes:
        looks: moments at which it looked whether to stop, once after each step, or iteration of an agent.
        reports, checkpoints: beginning and end of each.
        changes: moments at which it turned to another phase, such as from the first to the second of a lottery ticket.
        step: number of steps at the newest report.
        deadline: moment from which it is asked to stop, but not within `STEPS` seconds after its first step.
    """

    def __init__(self, deadline: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.looks: list[float] = []
        self.reports: list[tuple[float, float]] = []
        self.checkpoints: list[tuple[float, float]] = []
        self.changes: list[float] = []
        self.step = 0
        self.deadline, self.clock = deadline, clock
        self.began = clock()


def timed_run(watch: Stopwatch) -> type[Run]:
    """A class of runs, whose moments `watch` keeps."""

    class TimedRun(Run):
        """A run under a stopwatch; its phases are under the same one."""

        def phase(self, name: str) -> Self:
            """A phase, and note when."""
            watch.changes.append(watch.clock())
            return super().phase(name)

        def report(self, step: int, metrics: Mapping[str, Any], **speed: Any) -> None:
            """Report, and note when."""
            begun = watch.clock()
            super().report(step, metrics, **speed)
            watch.reports.append((begun, watch.clock()))
            watch.step = step

        def checkpoint(self, step: int, write: Callable[[Path], object]) -> None:
            """Save, and note when."""
            begun = watch.clock()
            super().checkpoint(step, write)
            watch.checkpoints.append((begun, watch.clock()))

        @property
        def stop_requested(self) -> bool:
            """Whether the time is over, that after the first step, too; note the moment."""
            now = watch.clock()
            watch.looks.append(now)
            return super().stop_requested or now > max(watch.deadline, watch.looks[0] + STEPS)

    return TimedRun
