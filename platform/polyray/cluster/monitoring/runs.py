"""The figures of a run while it runs, read from the files that it writes."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from polyray.cluster.monitoring.figures import Sample, run_samples
from polyray.cluster.monitoring.gauges import Attempts, Gauges
from polyray.progress import PROGRESS, last_line
from polyray.runs.folder import CONFIG
from polyray.runs.metrics import METRICS
from polyray.tracking.lines import AddedLines

EVERY = 2.0  # seconds between two looks at the files


class RunFigures:
    """The newest figures of the run in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._metrics = folder, AddedLines(folder / METRICS)
        self._record: dict[str, Any] = {}

    def read(self) -> Iterator[Sample]:
        """The figures as its files have them now."""
        for line in self._metrics.read():
            self._record |= line
        progress = last_line(self._folder / PROGRESS) or {}  # its headlines are figures of the lines above
        speeds = {name: value for name, value in progress.items() if name.endswith("_per_second")}
        return run_samples({**progress, **self._record, **speeds})


class RunWatch:
    """The figures of a run and of the runs in its folders, as a comparison has them."""

    def __init__(self, out: Path, job: str, gauges: Gauges) -> None:
        self._out, self._job, self._gauges = out, job, gauges
        self._figures: dict[Path, RunFigures] = {}

    def tell(self) -> None:
        """Set the gauges, once Ray is there."""
        if not ray.is_initialized():
            return
        for name, folder in self._folders().items():
            figures = self._figures.setdefault(folder, RunFigures(folder))
            self._gauges.set(figures.read(), {"polyray_job": self._job, "run": name, "sweep": "", "trial": ""})

    def _folders(self) -> Mapping[str, Path]:
        """Run folders by what stands in the label `run`: the name of the folder."""
        inner = [folder for folder in sorted(self._out.iterdir()) if (folder / CONFIG).exists()]
        return {self._out.name: self._out} | {f"{self._out.name}/{folder.name}": folder for folder in inner}


@contextmanager
def monitored(out: Path, job: str, announce: Callable[[str], object]) -> Iterator[None]:
    """Within the block the figures of the run in `out` are at Ray's Prometheus endpoint, where Ray is there.

    Args:
        announce: shows a line to the user; called in a thread.
    """
    tell, over = Attempts(RunWatch(out.absolute(), job, Gauges()).tell, announce), threading.Event()

    def watch() -> None:
        while not over.wait(EVERY) and not tell.failed:
            tell()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        tell()
