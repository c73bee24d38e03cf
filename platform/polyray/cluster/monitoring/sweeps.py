"""The figures of a sweep and of its trials that run now, told by the process that drives it."""

from collections.abc import Callable
from pathlib import Path

from polyray.cluster.monitoring.figures import TRIALS, Sample, sweep_samples
from polyray.cluster.monitoring.gauges import Attempts, Gauges
from polyray.cluster.monitoring.runs import RunFigures
from polyray.reports.sweep.display import Rhythm
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.rows import TrialRow

EVERY = 5.0  # seconds between two looks, at least


class SweepWatch:
    """The figures of a sweep at Ray's Prometheus endpoint."""

    def __init__(
        self, read: Callable[[], SweepRecord], announce: Callable[[str], object], gauges: Gauges | None = None
    ) -> None:
        """Figures of a sweep.

        Args:
            read: how the sweep stands; called only when something is due.
            announce: shows a line to the user.
        """
        self._read, self._gauges = read, gauges if gauges is not None else Gauges()
        self._rhythm, self._tell = Rhythm(EVERY), Attempts(self._set, announce)
        self._figures: dict[Path, RunFigures] = {}

    def tick(self) -> None:
        """Set the gauges if that is due; the driver calls this as often as it likes."""
        if self._rhythm.due():
            self._rhythm.run(self._tell)

    def _set(self) -> None:
        record = self._read()
        name = record.path.absolute().name
        self._gauges.set(sweep_samples(record), {"polyray_job": record.job, "sweep": name})
        running = [row for row in record.rows if row.state == "running"][:TRIALS]
        folders = {folder: row for row in running for folder in row.folders if folder.is_dir()}
        self._figures = {folder: self._figures.get(folder) or RunFigures(folder) for folder in folders}
        for folder, row in folders.items():
            labels = {"polyray_job": record.job, "run": f"{name}/{folder.name}", "sweep": name, "trial": folder.name}
            self._gauges.set([*self._figures[folder].read(), *_goal(record, row)], labels)


def _goal(record: SweepRecord, row: TrialRow) -> list[Sample]:
    return [] if row.goal is None else [Sample("polyray_trial_goal", {"goal": record.goals[0].name}, row.goal)]
