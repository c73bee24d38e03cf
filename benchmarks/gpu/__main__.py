"""Polyray on a GPU, without Ray: its tests, a training step at BART-large's size, planted tasks, PPO; prints JSON.

Needs torch, numpy, safetensors, pydantic, transformers, numba and gymnasium; pytest for the tests. PEFT is measured too
where it is installed. Every part is a process that has a share of the time, begins no further round once that is over,
and is killed a minute later. A part that fails leaves its error in the JSON, the others run, and the exit status is 1.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.table import versions

ROOT = Path(__file__).resolve().parents[2]
SHARES = {"tests": 0.3, "routing": 0.3, "planted": 0.15, "ppo": 0.25}  # of the time, by part
GRACE = 60.0  # seconds to end a round in
NOTHING_RAN = 5  # pytest's exit status


def figures(name: str, device: str, small: bool, seconds: float) -> Any:
    """Figures of a part, or its error."""
    tests = ("pytest", "-q", "-o", "addopts=", "-m", "gpu", "-p", "no:cacheprovider", "tests/gpu")
    module = tests if name == "tests" else ("benchmarks.gpu.part", name, device, str(small), str(seconds))
    began = time.monotonic()
    try:
        run = subprocess.run(
            [sys.executable, "-m", *module], cwd=ROOT, capture_output=True, text=True, timeout=seconds + GRACE
        )
    except subprocess.TimeoutExpired:
        return {"error": f"It took longer than {seconds + GRACE:.0f} s."}
    if run.returncode not in ((0, NOTHING_RAN) if name == "tests" else (0,)):
        return {"error": (run.stdout + run.stderr)[-8000:]}
    last = run.stdout.strip().splitlines()[-1]
    return {"summary": last, "seconds": round(time.monotonic() - began, 1)} if name == "tests" else json.loads(last)


def measure(parts: Sequence[str], device: str, small: bool, seconds: float) -> dict[str, Any]:
    """Figures of each part by its name; what a part does not use of its share goes to those after it."""
    end = time.monotonic() + seconds
    results = {}
    for position, name in enumerate(parts):
        share = SHARES[name] / sum(SHARES[other] for other in parts[position:])
        print(f"{name} ...", file=sys.stderr, flush=True)
        results[name] = figures(name, device, small, max(1.0, share * (end - time.monotonic())))
    return results


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--part", action="append", choices=SHARES, help="only this part; repeatable")
    parser.add_argument("--seconds", type=float, default=420.0, help="for all parts together")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see on a CPU that everything runs")
    return parser.parse_args()


def main() -> None:
    """Run the parts and print one JSON object."""
    options = arguments()
    on_gpu = torch.device(options.device).type == "cuda"
    if on_gpu and not torch.cuda.is_available():
        sys.exit("There is no GPU that torch can use. To see on a CPU that everything runs: --device cpu --small.")
    results = measure(options.part or list(SHARES), options.device, options.small, options.seconds)
    card = torch.cuda.get_device_name(options.device) if on_gpu else "cpu"
    print(json.dumps({"device": card, "versions": versions(), **results}, indent=2))
    if any("error" in result for result in results.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
