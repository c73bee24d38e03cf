"""Trainings of a benchmark, each in a process and a run folder of its own, which go on where they were stopped."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from polyray.progress import PROGRESS, bars, last_line
from polyray.runs.metrics import METRICS
from polyray.runs.result import read_result

TRIES = 5  # starts of a training that fails, as where Ray is late to start on a busy machine
POLL = 2.0  # seconds


class Training:
    """One run of a job, ended by its own limits or once it has taken `hours`.

    Args:
        job: name of the job.
        options: its overrides.
        out: its run folder; the output goes to a file beside it.
        steps: at which it ends by itself.
        hours: of training, over all starts, after which it is stopped; None: no limit.
    """

    def __init__(self, job: str, options: Sequence[str], out: Path, steps: int, hours: float | None = None) -> None:
        self.out, self.steps = out, steps
        self._command = [sys.executable, "-m", "polyray", "run", job, "--out", str(out), *options]
        self._hours, self._hours_before, self._started, self._tries = hours, 0.0, 0.0, 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def result(self) -> dict[str, Any] | None:
        """Metrics of its result, None while it is not done."""
        result = read_result(self.out) or {}
        return result["metrics"] if result.get("status") == "done" else None

    @property
    def is_over(self) -> bool:
        """Whether it is done, or has taken its hours."""
        return self.result is not None or self._hours_are_over

    @property
    def _hours_are_over(self) -> bool:
        now = 0.0 if self._process is None else (time.monotonic() - self._started) / 3600
        return self._hours is not None and self._hours_before + now >= self._hours

    @property
    def log(self) -> Path:
        """File with what the process printed."""
        return self.out.with_name(f"{self.out.name}.txt")

    def start(self) -> None:
        """Begin, or go on with an earlier process's run."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self._hours_before, self._started = hours_of(self.out), time.monotonic()
        self._tries += 1
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)

    def goes_on(self) -> bool:
        """Whether the process runs; one that failed is started again, and one whose hours are over is stopped.

        Raises:
            SystemExit: it failed too often.
        """
        assert self._process is not None
        if self._process.poll() is None:
            if self._hours_are_over:
                self.stop()
                return False
            return True
        if self._process.returncode and self._tries == TRIES:
            sys.exit(f"{self.out.name} failed {TRIES} times: see {self.log}")
        if self._process.returncode:
            self.start()
        return bool(self._process.returncode)

    def stop(self) -> None:
        """Interrupt the process if it runs; it saves a checkpoint."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()


def hours_of(out: Path) -> float:
    """Hours that the iterations of a run have taken so far, over all its starts."""
    if not (out / PROGRESS).exists():
        return 0.0
    lines = (json.loads(line) for line in (out / PROGRESS).read_text(encoding="utf-8").splitlines())
    seconds: float = sum(line["seconds"]["iteration"] for line in lines if "seconds" in line)
    return seconds / 3600


def train(trainings: Sequence[Training], jobs: int) -> None:
    """Complete all trainings, `jobs` at a time, with one progress bar each."""
    waiting, running = [training for training in trainings if not training.is_over], list[Training]()
    try:
        with bars(Console()) as display:
            shown = {id(each): display.add_task(each.out.name, total=each.steps, note="") for each in waiting}
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(waiting.pop(0))
                    running[-1].start()
                time.sleep(POLL)
                for training in running:
                    line = last_line(training.out / METRICS)
                    if line is not None:
                        note = f"{line['episodes']:,} episodes, success {line['success'] or 0:.3f}"
                        display.update(shown[id(training)], completed=line["step"], note=note)
                running = [training for training in running if training.goes_on()]
    finally:
        for training in running:
            training.stop()
