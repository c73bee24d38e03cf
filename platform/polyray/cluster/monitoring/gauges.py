"""Ray's gauges, and the promise that nothing about them ends a run."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ray.util.metrics import Gauge

from polyray.cluster.monitoring.figures import FIGURES, Sample


class Gauges:
    """The gauges of this process, made when they are first set.

    Ray forgets a series that is not set again for two of its report intervals (10 s each): those of a run or trial that
    has ended go by themselves.
    """

    def __init__(self) -> None:
        self._gauges: dict[str, Gauge] = {}

    def set(self, samples: Iterable[Sample], labels: Mapping[str, str]) -> None:
        """Set the gauges of `samples`.

        Args:
            labels: those that all samples share.
        """
        for name, more, value in samples:
            if name not in self._gauges:
                tags, about = FIGURES[name]
                self._gauges[name] = Gauge(name, description=about, tag_keys=tags)
            self._gauges[name].set(value, tags={**labels, **more})


class Attempts:
    """An action whose first failure is announced and is its last: whoever calls it goes on without it."""

    def __init__(self, action: Callable[[], Any], announce: Callable[[str], object]) -> None:
        self._action, self._announce = action, announce
        self.failed = False

    def __call__(self) -> None:
        """Try it, unless it has failed before."""
        if self.failed:
            return
        try:
            self._action()
        except Exception as error:  # noqa: BLE001  # Ray's metrics may fail in any way; the run must not
            self.failed = True
            self._announce(f"Figures for Prometheus end here: {type(error).__name__}: {error}. The run goes on.")
