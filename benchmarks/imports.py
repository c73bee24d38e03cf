"""CPU seconds and memory of a job's worker until its first step: its imports alone, and with a backbone.

Each row is a process of its own. `imports` loads the modules that a worker loads; `and a backbone` also builds a tiny
backbone and its optimiser, which load transformers' classes and torch's compiler. With --before the same is measured
for an older tree of the library, in turn, so that the ratios hold whatever else the machine does. --parts lists the
libraries that the imports load, each with its share of their wall time.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.table import show

WORKER = ("polyray.training.multitask", "polyray.training.fewshot", "polyray.cluster.train")
HEAVIEST = 12  # libraries with a row of their own
STAGES = {
    "imports": "",
    "and a backbone": """
import torch
from polyray.backbones import load_backbone
torch.optim.Adam(load_backbone("tiny-seq2seq").model.parameters())
""",
}
USAGE = """
import json, resource
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss / 1024}))
"""
LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")  # microseconds without those of nested imports, module


def process(script: str, tree: Path | None, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `script` in a fresh interpreter that imports polyray from the folder `tree` (None: as this process does).

    Raises:
        SystemExit: the script failed; the message is its traceback.
    """
    path = os.environ.get("PYTHONPATH", "") if tree is None else str(tree)
    command = [sys.executable, "-P", *options, "-c", script]
    completed = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    if completed.returncode:
        sys.exit(f"A process that imports what a worker imports failed ({completed.returncode}):\n{completed.stderr}")
    return completed


def measure(scripts: Sequence[tuple[str, Path | None]], runs: int) -> list[tuple[float, float]]:
    """Median CPU seconds and peak MiB of each (script, tree), run in turn, after a round that is not counted."""
    usages: list[list[tuple[float, float]]] = [[] for _ in scripts]
    for number in range(runs + 1):
        for (script, tree), measured in zip(scripts, usages, strict=True):
            usage = json.loads(process(script + USAGE, tree).stdout.splitlines()[-1])
            if number:  # the first run may compile what it imports
                measured.append((usage["cpu"], usage["memory"]))
    return [(median(cpu for cpu, _ in measured), median(memory for _, memory in measured)) for measured in usages]


def library_times(script: str, tree: Path | None = None) -> Counter[str]:
    """Microseconds that each top-level package takes to load in `script`, without those of the packages it imports."""
    microseconds: Counter[str] = Counter()
    for duration, module in LINE.findall(process(script, tree, "-X", "importtime").stderr):
        microseconds[module.partition(".")[0]] += int(duration)
    return microseconds


def usage_rows(
    modules: Sequence[str], before: Path | None, before_modules: Sequence[str], runs: int
) -> Iterator[dict[str, Any]]:
    """A row for each stage, over that of the older tree where there is one."""
    scripts = [(f"import {', '.join(modules)}\n{stage}", None) for stage in STAGES.values()]
    peers = [(f"import {', '.join(before_modules)}\n{stage}", before) for stage in STAGES.values() if before]
    usages = measure([*scripts, *peers], runs)
    for number, stage in enumerate(STAGES):
        cpu, memory = usages[number]
        row = {"stage": stage, "cpu_s": cpu, "memory_mib": memory}
        if before:
            before_cpu, before_memory = usages[len(STAGES) + number]
            row |= {"over_before": cpu / before_cpu, "memory_over_before": memory / before_memory}
        yield row


def library_rows(modules: Sequence[str]) -> list[dict[str, Any]]:
    """The heaviest libraries of the imports, and the rest together."""
    microseconds = library_times(f"import {', '.join(modules)}")
    heaviest, whole = microseconds.most_common(HEAVIEST), microseconds.total()
    rest = whole - sum(value for _, value in heaviest)
    return [
        {"library": name, "seconds": value / 1e6, "share_%": 100 * value / whole}
        for name, value in [*heaviest, ("others", rest)]
    ]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=WORKER, help="what a worker imports")
    parser.add_argument("--parts", action="store_true", help="list the libraries that the imports load")
    parser.add_argument("--before", type=Path, help="folder that holds an older `polyray` to compare with")
    parser.add_argument(
        "--before-modules", nargs="+", help="what a worker of the older tree imports (default: the same)"
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    modules = arguments.modules
    if arguments.parts:
        show("Libraries of a worker's imports, wall time", library_rows(modules), arguments.json)
        return
    rows = usage_rows(modules, arguments.before, arguments.before_modules or modules, arguments.runs)
    show("Start of a job's worker", list(rows), arguments.json)


if __name__ == "__main__":
    main()
