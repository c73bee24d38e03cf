"""Cost of a sweep beside its trials.

`efficiency`: a sweep of trainings (polytropon on planted tasks, tiny-seq2seq) started by the command `polyray sweep`,
against the same trainings one after another in one process without Ray that has loaded everything already. Times are
those of the trials' own files. `processor time, over the sweep's` is the trainings' processor time without Ray over
that of all processes of the sweep while trials run: it counts what the sweep adds, whatever else the machine does.

`control`: processor time and memory of the driver at trials that take no time, beside Ray Tune by itself with a
function that does nothing, without its imports, the start of Ray and the last writing of the report.
"""

import argparse
import os
import tempfile
from pathlib import Path

from benchmarks.sweeps import control, efficiency
from benchmarks.table import show
from polyray.sweeps.searchers import SEARCHERS

PARTS = ("efficiency", "control")


def show_efficiency(arguments: argparse.Namespace) -> None:
    """Measure and print the part `efficiency`."""
    with tempfile.TemporaryDirectory(prefix="polyray-benchmark-") as name:
        folder = Path(name)
        overrides = [f"training.steps={arguments.steps}", *arguments.set]
        times = efficiency.sweep(folder / "sweep", arguments.trials, overrides)
        alone = efficiency.one_after_another(folder / "sweep", folder / "alone")
    rows = efficiency.rows(times, alone, min(os.cpu_count() or 1, arguments.trials))
    if not arguments.json:
        rows = [{"figure": figure, "value": value} for figure, value in rows[0].items()]
    show("A sweep, and the same trainings one after another", rows, arguments.json)


def show_control(arguments: argparse.Namespace) -> None:
    """Measure, print and draw the part `control`."""
    results = control.measure(arguments.n, arguments.searcher)
    show("Driver of trials that take no time", control.rows(results), arguments.json)
    if arguments.plot is not None:
        control.plot(results, arguments.plot)


def main() -> None:
    """Print the tables of the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, help="default: both, one table after the other")
    parser.add_argument("--trials", type=int, default=8, help="efficiency: trials, a multiple of the cores (default 8)")
    parser.add_argument("--steps", type=int, default=900, help="efficiency: updates of a training (default 900)")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="efficiency: fields of the job")
    parser.add_argument("--n", type=int, nargs="+", default=[100, 1000], help="control: trials (default 100 1000)")
    parser.add_argument("--searcher", choices=SEARCHERS, default="random", help="control: default random")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="control: SVG of the curves of the largest N")
    parser.add_argument("--json", action="store_true", help="one JSON document for each part")
    arguments = parser.parse_args()
    for name, run in {"efficiency": show_efficiency, "control": show_control}.items():
        if arguments.part in (None, name):
            run(arguments)


if __name__ == "__main__":
    main()
