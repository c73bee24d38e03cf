"""Crash points, simulated crashes, damaged folders and hostile files: how many were tried, and how many went wrong.

    python -m benchmarks.reliability                          all: hours
    python -m benchmarks.reliability --sample 20              20 cases of each, spread evenly: some minutes
    python -m benchmarks.reliability agents --jobs 4

Outcomes are kept: the same command goes on where it was killed, and a larger sample has those of a smaller one. Those
of other versions of the code do not count. docs/reliability.md says what the rows of the table mean.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.reliability import ROOT
from benchmarks.reliability.experiments import EXPERIMENTS
from benchmarks.reliability.trying import Outcomes, try_cases


def table(out: Path, names: Sequence[str]) -> list[str]:
    """Lines of the table of all outcomes in the folder `out`."""
    lines = ["| measured | cases | tried | wrong |", "|---|---|---|---|"]
    for name in names:
        outcomes = Outcomes(out / f"{name}.jsonl")
        wrong = outcomes.wrong
        n_wrong = sum(bool(problems) for problems in wrong.values())
        lines.append(f"| {EXPERIMENTS[name].about} | {outcomes.n_cases or ''} | {len(wrong)} | {n_wrong} |")
    return lines


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(EXPERIMENTS)}; default: all of them")
    parser.add_argument("--sample", type=int, metavar="N", help="try N cases of each, spread evenly")
    parser.add_argument("--jobs", type=int, default=1, help="cases at a time; each keeps a core busy")
    parser.add_argument("--table", action="store_true", help="only print the table of what was tried")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "reliability")
    return parser


def main(command: Sequence[str] | None = None) -> int:
    """Try the cases and print the table; 1 if anything went wrong."""
    arguments = parser().parse_args(command)
    unknown = [name for name in arguments.names if name not in EXPERIMENTS]
    if unknown or arguments.jobs < 1 or (arguments.sample is not None and arguments.sample < 1):
        parser().error(f"unknown: {', '.join(unknown)}" if unknown else "--jobs and --sample are at least 1")
    names = arguments.names or list(EXPERIMENTS)
    for name in names if not arguments.table else ():
        print(f"{EXPERIMENTS[name].about} ...", flush=True)
        try_cases(EXPERIMENTS[name], Outcomes(arguments.out / f"{name}.jsonl"), arguments.sample, arguments.jobs)
    lines = table(arguments.out, names)
    print("\n".join(lines))
    return int(any(not line.endswith("| 0 |") for line in lines[2:]))


if __name__ == "__main__":
    sys.exit(main())
