"""Processor time and memory of this process while it works through trials."""

import resource
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Self

import psutil

EVERY = 0.1  # seconds between two samples
MEBI = 1 << 20


class Sample(NamedTuple):
    """One moment: trials that were begun, seconds, processor seconds of the process, its memory in MiB."""

    trials: int
    seconds: float
    processor: float
    memory: float


class Meter(threading.Thread):
    """Samples of this process, taken while the `with` block runs.

    Args:
        n_begun: the number of trials that were begun; None while they are not counted.
    """

    def __init__(self, n_begun: Callable[[], int | None]) -> None:
        super().__init__(daemon=True)
        self.samples: list[Sample] = []
        self._n_begun, self._ended, self._process = n_begun, threading.Event(), psutil.Process()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Take samples until the block is left."""
        while not self._ended.wait(EVERY):
            trials = self._n_begun()
            if trials is not None:
                memory = self._process.memory_info().rss / MEBI
                self.samples.append(Sample(trials, time.monotonic(), time.process_time(), memory))

    def since_first_trial(self) -> list[Sample]:
        """The samples from the last one before a trial was begun, with its times as zero."""
        first = max((index for index, sample in enumerate(self.samples) if not sample.trials), default=0)
        zero = self.samples[first]
        return [
            sample._replace(seconds=sample.seconds - zero.seconds, processor=sample.processor - zero.processor)
            for sample in self.samples[first:]
        ]


def peak_memory() -> float:
    """The largest memory that this process has had, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
