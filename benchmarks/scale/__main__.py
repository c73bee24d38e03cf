"""Limits on the size of a sweep.

`sizes`: bytes that two trials of a training write and send. `files`: what the driver's work on the files of many trials
costs, in processor time. `reports`: what a report of a trial costs the driver in Ray Tune. `simulation`: a sweep on
many nodes, whose costs the other parts and `benchmarks.sweeps` measure; nothing of it runs.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.scale import files, reports, sizes
from benchmarks.scale.simulation import Sweep, simulate
from benchmarks.table import show
from polyray.sweeps.searchers import SEARCHERS

PARTS = ("sizes", "files", "reports", "simulation")


def size_rows() -> list[dict[str, Any]]:
    """The rows of the part `sizes`."""
    with tempfile.TemporaryDirectory(prefix="polyray-benchmark-") as folder:
        return list(sizes.rows(sizes.two_trials(Path(folder) / "sweep")))


def file_rows(numbers: list[int], searcher: str) -> Iterator[dict[str, Any]]:
    """The rows of the part `files`."""
    for n_trials in numbers:
        with tempfile.TemporaryDirectory(prefix="polyray-benchmark-") as folder:
            yield from files.rows(files.ended_sweep(Path(folder) / "sweep", n_trials, searcher), n_trials)


def simulation_rows(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The rows of the part `simulation`, one for each length of a trial."""
    for seconds in arguments.seconds:
        sweep = Sweep(
            trials=arguments.trials, slots=arguments.slots, seconds=seconds, driver=arguments.driver / 1000,
            reports=arguments.reports, report=arguments.report / 1000, deaths=arguments.deaths,
            checkpoint=arguments.checkpoint,
        )  # fmt: skip
        outcome = dataclasses.asdict(simulate(sweep))
        yield {"trial, s": seconds, **{name: round(value, 3) for name, value in outcome.items()}}


def main() -> None:
    """Print the table of a part, or of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, help="default: all, one table after the other")
    parser.add_argument("--n", type=int, nargs="+", default=[1000, 10_000], help="files: trials (default 1000 10000)")
    parser.add_argument("--searcher", choices=SEARCHERS, default="random", help="files: default random")
    parser.add_argument("--trials", type=int, default=10_000, help="simulation: trials (default 10000)")
    parser.add_argument("--slots", type=int, default=1000, help="simulation: trials at a time (default 1000)")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10, 60, 600, 3600], help="simulation: of a trial")
    parser.add_argument("--driver", type=float, default=13.0, help="simulation: ms of the driver a trial (default 13)")
    parser.add_argument("--reports", type=int, default=0, help="simulation: reports of a trial (default 0)")
    parser.add_argument("--report", type=float, default=0.0, help="simulation: ms of the driver for one (default 0)")
    parser.add_argument("--deaths", type=float, default=0.0, help="simulation: of a node per hour (default 0)")
    parser.add_argument("--checkpoint", type=float, default=60.0, help="simulation: seconds between two (default 60)")
    parser.add_argument("--json", action="store_true", help="one JSON document for each part")
    arguments = parser.parse_args()
    parts = {
        "sizes": ("What a sweep writes and sends", size_rows),
        "files": ("The driver's files", lambda: list(file_rows(arguments.n, arguments.searcher))),
        "reports": ("Reports of trials, in Ray Tune", lambda: [reports.measure(20, 100)]),
        "simulation": ("A sweep on many nodes, simulated", lambda: list(simulation_rows(arguments))),
    }
    for name, (title, rows) in parts.items():
        if arguments.part in (None, name):
            show(title, rows(), arguments.json)


if __name__ == "__main__":
    main()
