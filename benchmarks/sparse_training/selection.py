"""Selections of the K entries that changed most: processor time and memory, each in a process of its own."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.sparse_training.memory import forget_peak, peak
from polyray.sparsity import Distances, largest

N_TENSORS = 4
Pair = tuple[dict[str, Tensor], dict[str, Tensor]]
Select = Callable[[Pair, int], int]


def changed(n: int) -> Pair:
    """Trained and original tensors of n entries together; a tenth did not change, and many changed alike."""
    generator = torch.Generator().manual_seed(0)
    trained, origin = {}, {}
    for number in range(N_TENSORS):
        origin[str(number)] = torch.randn(n // N_TENSORS, generator=generator)
        trained[str(number)] = origin[str(number)].clone()
        for block in trained[str(number)].split(1 << 20):
            steps = torch.randint(-500, 501, block.shape, generator=generator, dtype=torch.int16)
            block.add_(steps.clamp(-450, 450).float(), alpha=1e-5)
    return trained, origin


def by_radix(pair: Pair, k: int) -> int:
    """Polyray's selection."""
    return sum(map(len, largest(Distances(*pair), k).values()))


def by_topk(pair: Pair, k: int) -> int:
    """torch.topk of one flat copy."""
    flat = torch.cat([(tensor - pair[1][name]).abs() for name, tensor in pair[0].items()])
    return len(flat.topk(k, sorted=False).indices)


def by_partition(pair: Pair, k: int) -> int:
    """np.partition of one flat copy; the mask takes all entries that are tied with the last one."""
    trained, origin = pair
    flat = np.concatenate([(tensor - origin[name]).abs().numpy() for name, tensor in trained.items()])
    flat.partition(len(flat) - k)
    threshold = float(flat[len(flat) - k])
    return sum(int(((tensor - origin[name]).abs() >= threshold).sum()) for name, tensor in trained.items())


def by_list(pair: Pair, k: int) -> int:
    """The reference's way: np.partition of a list of Python's numbers (composable-sft, `sft/lt_sft.py`)."""
    trained, origin = pair
    differences: list[float] = []
    for name, tensor in trained.items():
        differences.extend((tensor - origin[name]).abs().tolist())
    threshold = float(np.partition(differences, len(differences) - k)[len(differences) - k])
    return sum(int(((tensor - origin[name]).abs() >= threshold).sum()) for name, tensor in trained.items())


WAYS: dict[str, Select] = {
    "polyray.sparsity": by_radix, "torch.topk": by_topk, "np.partition": by_partition,
    "list, as composable-sft": by_list,
}  # fmt: skip


def rows(n: int, k: int) -> list[dict[str, Any]]:
    """Seconds, bytes and selected entries of each way."""
    command = [sys.executable, "-m", "benchmarks.sparse_training.selection", str(n), str(k)]
    return [
        json.loads(subprocess.run([*command, way], check=True, capture_output=True, text=True).stdout) for way in WAYS
    ]


def main() -> None:
    """Print the row of the command line's way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int)
    parser.add_argument("k", type=int)
    parser.add_argument("way", choices=WAYS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pair = changed(arguments.n)
    forget_peak()
    before, started = peak(), time.process_time()
    n_selected = WAYS[arguments.way](pair, arguments.k)
    row = {
        "way": arguments.way, "entries": arguments.n, "k": arguments.k, "s": time.process_time() - started,
        "extra_mb": (peak() - before) / 1e6, "selected": n_selected,
    }  # fmt: skip
    print(json.dumps(row))


if __name__ == "__main__":
    main()
