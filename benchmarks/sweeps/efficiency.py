"""A sweep of trainings against the same trainings one after another in one warm process without Ray."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

import psutil

from polyray.cluster.session import WORKERS
from polyray.reports.report import REPORT
from polyray.runs.folder import CONFIG
from polyray.runs.result import final_metrics

JOB, SPACE = "polytropon", "dual_speed"
SETTINGS = ("sweep.searcher=random", "evaluation.max_examples=1")
EVERY = 0.25  # seconds between two looks at the processor time of a sweep's processes


@dataclass(frozen=True, kw_only=True)
class SweepTimes:
    """The times of a sweep, seconds since its command was given.

    Attributes:
        begins, ends: of each trial, as its files tell: its config is the first that is written, its report the last.
        end: of the command.
        processor: (time, processor seconds of all its processes until then), in order.
    """

    begins: tuple[float, ...]
    ends: tuple[float, ...]
    end: float
    processor: tuple[tuple[float, float], ...]

    def gaps(self, slots: int) -> list[float]:
        """Seconds between the end of a trial and the beginning of the one that follows it, `slots` at a time."""
        n_followed = max(0, len(self.ends) - slots)
        return [
            begin - end
            for end, begin in zip(sorted(self.ends)[:n_followed], sorted(self.begins)[slots:], strict=True)
        ]  # fmt: skip

    @property
    def durations(self) -> list[float]:
        """Seconds of each trial."""
        return [end - begin for begin, end in zip(self.begins, self.ends, strict=True)]

    @property
    def span(self) -> float:
        """Seconds from the beginning of the first trial to the end of the last."""
        return max(self.ends) - min(self.begins)

    def processor_between(self, begin: float, end: float) -> float:
        """Processor seconds of all processes in that time."""
        return self._processor_at(end) - self._processor_at(begin)

    def _processor_at(self, moment: float) -> float:
        points = ((0.0, 0.0), *self.processor)
        for (before, low), (after, high) in pairwise(points):
            if before <= moment <= after:
                return low + (high - low) * (moment - before) / (after - before)
        return points[-1][1]


def sweep(out: Path, n_trials: int, overrides: Sequence[str]) -> SweepTimes:
    """Run a sweep as a user does.

    Raises:
        SystemExit: it failed; the message is its output.
    """
    command = [sys.executable, "-m", "polyray", "sweep", JOB, SPACE, *SETTINGS, *overrides]
    began, log = time.time(), out.with_name("sweep.log")
    with log.open("w") as output, subprocess.Popen(
        [*command, "--trials", str(n_trials), "--out", str(out)], stdout=output, stderr=output
    ) as process:  # fmt: skip
        seconds: dict[tuple[int, float], float] = {}
        points = []
        while process.poll() is None:
            seconds |= _processor(process.pid)
            points.append((time.time() - began, sum(seconds.values())))
            time.sleep(EVERY)
    if process.returncode:
        sys.exit(f"The sweep failed:\n{log.read_text()}")
    end = time.time() - began
    folders = sorted(path for path in (out / "trials").iterdir() if path.is_dir())
    return SweepTimes(
        begins=tuple((folder / CONFIG).stat().st_mtime - began for folder in folders),
        ends=tuple((folder / REPORT).stat().st_mtime - began for folder in folders),
        end=end, processor=tuple(points),
    )  # fmt: skip


def _processor(pid: int) -> dict[tuple[int, float], float]:
    """Processor seconds of the process and of each one below it, by number and time of start."""
    seconds = {}
    try:
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            times = process.cpu_times()
            seconds[process.pid, process.create_time()] = times.user + times.system
    except psutil.NoSuchProcess:  # it has ended meanwhile; the next look has the others
        pass
    return seconds


def one_after_another(path: Path, out: Path) -> list[tuple[float, float]]:
    """Wall and processor seconds of each of a sweep's trainings in one process, which ends with the same results.

    Raises:
        SystemExit: the trainings failed, or another result came out.
    """
    command = [sys.executable, "-m", "benchmarks.sweeps.trainings", str(path), str(out)]
    completed = subprocess.run(command, env={**os.environ, **WORKERS}, capture_output=True, text=True)
    if completed.returncode:
        sys.exit(f"The trainings failed:\n{completed.stdout}{completed.stderr}")
    times = [(wall, processor) for wall, processor in json.loads(completed.stdout.splitlines()[-1])]
    for number in range(len(times)):
        name = f"{number:04d}"
        if final_metrics(path / "trials" / name) != final_metrics(out / name):
            sys.exit(f"The training {name} of the sweep ended with another result than the same training without Ray.")
    return times


def rows(times: SweepTimes, alone: Sequence[tuple[float, float]], slots: int) -> list[dict[str, Any]]:
    """One row with all figures."""
    wall, processor = (sum(column) for column in zip(*alone, strict=True))
    n_trials, gaps = len(alone), times.gaps(slots)
    first, last = min(times.begins), max(times.ends)
    while_trials_run = times.processor_between(first, last)
    return [
        {
            "trials": n_trials,
            "cores": slots,
            "one after another, s": wall,
            "processor s of one": processor / n_trials,
            "start-up, s": first,
            "trials, s": times.span,
            "end, s": times.end - last,
            "times as fast": wall / times.span,
            "over cores": wall / times.span / slots,
            "over cores, start-up included": wall / times.end / slots,
            "processor time, over the sweep's": processor / while_trials_run,
            "one alone, median s": median(alone_wall for alone_wall, _ in alone),
            "one in the sweep, median s": median(times.durations),
            "gap, mean s": fmean(gaps) if gaps else 0.0,
            "gap, longest s": max(gaps, default=0.0),
            "processor s of the start-up": times.processor_between(0.0, first),
        }
    ]
