"""Training of chosen entries (LT-SFT's second phase) beside masked training of everything, the reference's way.

Multilingual BERT's shape with random weights, one core, processor time, variants in turn. `steps`: milliseconds of a
training step, and of its parts. `memory`: peak memory of a process that trains, above that of one that computes the
gradients of the activations alone. `language`: steps of masked language modelling. `selection`: the K entries that
changed most. `skills`: two sparse skills put on and taken off.
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from benchmarks.sparse_training import composition, language, memory, selection
from benchmarks.sparse_training.problem import SIZES, Tagger, batches, chosen_entries
from benchmarks.sparse_training.variants import VARIANTS
from benchmarks.table import show
from benchmarks.timing import measure
from polyray.memory import KEEP_FREED

PEERS = {"chosen": "masked", "chosen, L1": "masked, L1"}  # variant -> the one that it is compared with
LANGUAGE_PEERS = {
    "passes, head on predicted": "passes, head on all", "chosen, L1, head on predicted": "masked, L1, head on all",
}  # fmt: skip
CYCLES = 100


def _compared(figures: dict[str, float], unit: str, peers: dict[str, str]) -> list[dict[str, Any]]:
    """A row for each variant, with its ratio to the one that it is compared with."""
    return [
        {"variant": name, unit: value, "over_reference": value / figures[peers[name]] if name in peers else ""}
        for name, value in figures.items()
    ]


def step_rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds of a step of each variant."""
    size, device = SIZES[arguments.size], torch.device(arguments.device)
    network = Tagger(size).to(device)
    entries, data = chosen_entries(network, arguments.density), batches(size, device)
    steps = {name: make(network, entries, data) for name, make in VARIANTS.items()}
    return _compared(measure(steps, arguments.rounds, device), "ms", PEERS)


def memory_rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Peak memory of each variant, and above that of `frozen`."""
    names = [name for name in VARIANTS if name != "forward only"]
    peaks = {name: memory.of_variant(name, arguments.size, arguments.density, arguments.device) for name in names}
    above = {name: (peak - peaks["frozen"]) / 1e6 for name, peak in peaks.items()}
    rows = _compared(above, "above_frozen_mb", PEERS)
    return [{**row, "peak_mb": peaks[row["variant"]] / 1e6} for row in rows]


def language_rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds of steps of masked language modelling."""
    shape = SIZES[arguments.size]
    size = replace(shape, batch=language.BATCH, length=2 * shape.length)
    entries = chosen_entries(language.LanguageModel(size, language.PREDICTED), arguments.density)
    steps = language.steps(size, entries, batches(size, torch.device("cpu")))
    return _compared(measure(steps, arguments.rounds), "ms", LANGUAGE_PEERS)


def selection_rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Selections of a share of `--entries`."""
    return selection.rows(arguments.entries, round(arguments.density * arguments.entries))


def skill_rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Cycles of putting on and taking off."""
    network = Tagger(SIZES[arguments.size]).requires_grad_(False)
    return composition.rows(network, chosen_entries(network, arguments.density), CYCLES, arguments.rounds)


PARTS: dict[str, Callable[[argparse.Namespace], list[dict[str, Any]]]] = {
    "steps": step_rows, "memory": memory_rows, "language": language_rows, "selection": selection_rows,
    "skills": skill_rows,
}  # fmt: skip


def main() -> None:
    """Print the table of a part, or of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, help="default: all, one table after the other")
    parser.add_argument("--size", choices=SIZES, default="mbert", help="shape of the network (default mbert)")
    parser.add_argument("--density", type=float, default=0.08, help="share of trained entries (default 0.08)")
    parser.add_argument("--entries", type=int, default=100_000_000, help="selection: of how many (default 1e8)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each, of which the median counts")
    parser.add_argument("--device", default="cpu", help="of steps and memory (default cpu)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not KEEP_FREED.items() <= os.environ.items():  # as Ray's workers run
        command = [sys.executable, "-m", "benchmarks.sparse_training", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | KEEP_FREED)
    torch.set_num_threads(1)
    for name in [arguments.part] if arguments.part else PARTS:
        show(f"Training of chosen entries: {name}", PARTS[name](arguments), arguments.json)


if __name__ == "__main__":
    main()
