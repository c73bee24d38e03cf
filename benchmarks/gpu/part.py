"""One part of the benchmark, in a process of its own: python -m benchmarks.gpu.part NAME DEVICE SMALL SECONDS."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from benchmarks.gpu.agents import ppo_table
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.step import step_table
from benchmarks.gpu.training import planted_training

PARTS: Mapping[str, Callable[[Bench], Any]] = {
    "routing": step_table,
    "planted": planted_training,
    "ppo": ppo_table,
}


def rounded(value: Any) -> Any:
    """The figures with three decimals."""
    if isinstance(value, dict):
        return {name: rounded(member) for name, member in value.items()}
    if isinstance(value, list):
        return [rounded(member) for member in value]
    return round(value, 3) if isinstance(value, float) else value


def main() -> None:
    """Print the part's figures as JSON."""
    name, device, small, seconds = sys.argv[1:]
    bench = Bench(device=torch.device(device), small=small == "True", until=time.monotonic() + float(seconds))
    print(json.dumps(rounded(PARTS[name](bench))))


if __name__ == "__main__":
    main()
