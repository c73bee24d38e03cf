"""Peak memory of some steps of a variant, in a process of its own: prints bytes."""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.sparse_training.problem import SIZES, Tagger, batches, chosen_entries
from benchmarks.sparse_training.variants import VARIANTS

STEPS = 3
PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


def forget_peak() -> None:
    """Let the peak of this process begin anew (man 5 proc, clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Largest resident memory of this process since `forget_peak`, in bytes.

    Not getrusage's: that takes in the process that started this one.
    """
    match = PEAK.search(Path("/proc/self/status").read_text())
    assert match is not None
    return 1024 * int(match[1])


def of_variant(name: str, size: str, density: float, device: str) -> int:
    """Peak bytes of a variant, measured by a new process."""
    command = [sys.executable, "-m", "benchmarks.sparse_training.memory", name, size, str(density), device]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def main() -> None:
    """Print the bytes of the command line's variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("density", type=float)
    parser.add_argument("device")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size, device = SIZES[arguments.size], torch.device(arguments.device)
    network = Tagger(size).to(device)
    step = VARIANTS[arguments.variant](network, chosen_entries(network, arguments.density), batches(size, device))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        forget_peak()
    for _ in range(STEPS):
        step()
    print(torch.cuda.max_memory_allocated() if device.type == "cuda" else peak())


if __name__ == "__main__":
    main()
