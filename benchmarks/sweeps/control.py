"""The driver's cost, by the number of trials that take no time."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polyray.files import write_file
from polyray.reports.figure import colour, to_svg

WAYS = {"sweep": "polyray sweep", "tune": "Ray Tune alone"}
MILLISECONDS, POWER, MEMORY = 1.0, 1.1, 500.0  # a driver's processor time at n trials is to stay below 1 ms x n^1.1
Result = dict[str, Any]


def bound(n_trials: float) -> float:
    """Processor seconds that the driver of `n_trials` may take."""
    return float(MILLISECONDS * n_trials**POWER / 1000)


def measure(numbers: Sequence[int], searcher: str) -> list[Result]:
    """The figures of a driver for each way and each number of trials, each in a process of its own.

    Raises:
        SystemExit: one failed; the message is its output.
    """
    results = []
    for n_trials in numbers:
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.sweeps.driver", way, str(n_trials), searcher]
            completed = subprocess.run(command, capture_output=True, text=True)
            if completed.returncode:
                sys.exit(f"The driver of {n_trials} trials failed:\n{completed.stdout}{completed.stderr}")
            figures = json.loads(completed.stdout.splitlines()[-1])
            results.append({"way": way, "trials": n_trials, **figures})
    return results


def rows(results: Sequence[Result]) -> list[Result]:
    """A row of the table for each driver."""
    return [
        {
            "driver": WAYS[result["way"]],
            "trials": result["trials"],
            "wall s": result["wall"],
            "processor s": result["processor"],
            "bound, s": bound(result["trials"]),
            "ms a trial": 1000 * result["processor"] / result["trials"],
            "memory before, MiB": result["memory_before"],
            "peak memory, MiB": result["memory"],
        }
        for result in results
    ]


def plot(results: Sequence[Result], file: Path) -> None:
    """Write both curves of the largest number of trials as an SVG: processor time and memory, with their bounds."""
    most = max(result["trials"] for result in results)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    for index, result in enumerate(result for result in results if result["trials"] == most):
        trials, _, processor, memory = zip(*result["curve"], strict=True)
        label = WAYS[result["way"]]
        time_axes.plot(trials, processor, color=colour(index), label=label)
        memory_axes.plot(trials, memory, color=colour(index), label=label)
    steps = [most * step / 100 for step in range(101)]
    time_axes.plot(steps, [bound(n) for n in steps], color="gray", linestyle="--", label="1 ms x trials^1.1")
    memory_axes.axhline(MEMORY, color="gray", linestyle="--", label=f"{MEMORY:g} MiB")
    _finish(time_axes, "processor time of the driver, s")
    _finish(memory_axes, "memory of the driver, MiB")
    write_file(file, to_svg(figure))


def _finish(axes: Axes, label: str) -> None:
    axes.set_xlabel("trials begun")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
