"""A training step at BART-large's size: Polytropon, the frozen backbone alone, plain LoRA, and PEFT if it is there."""

import importlib.util
import time
from typing import Any

import torch

from benchmarks.gpu.bench import Bench
from benchmarks.routing import Case, Shape, bart_large, t5
from benchmarks.timing import Step, measure

SHAPES = tuple(
    Shape(batch=batch, read=read, written=written, rank=16, skills=8, tasks=16)
    for batch, read, written in ((32, 128, 16), (32, 512, 64), (8, 128, 16))
)
SMALL = (Shape(batch=2, read=8, written=4, rank=2, skills=2, tasks=2),)


def step_table(bench: Bench) -> list[dict[str, Any]]:
    """Milliseconds of a step, and on a GPU the GiB that it needs beside model and optimiser, for each shape."""
    cases = [(shape, half) for half in (True, False) for shape in (SMALL if bench.small else SHAPES)]
    rows = []
    for number, (shape, half) in enumerate(cases):
        case = Case(t5 if bench.small else bart_large, shape, bench.device, half)
        until = time.monotonic() + bench.seconds / (len(cases) - number)
        rows.append({"shape": str(shape), "precision": "bf16" if half else "fp32", **_row(case, bench, until)})
    return rows


def _row(case: Case, bench: Bench, until: float) -> dict[str, float]:
    steps: dict[str, Step] = {"floor": case.floor(), "plain_lora": case.plain_lora(), "polyray": case.polyray()}
    if importlib.util.find_spec("peft") is not None:
        steps |= {"peft_lora": case.lora(), "peft_poly": case.peft(fused=True)}
    times = measure(steps, 2 if bench.small else 20, bench.device, until)
    ratios = {f"polyray_over_{name}": times["polyray"] / other for name, other in times.items() if name != "polyray"}
    memory = {f"{name}_gib": _peak(step) for name, step in steps.items()} if bench.device.type == "cuda" else {}
    return {**{f"{name}_ms": milliseconds for name, milliseconds in times.items()}, **ratios, **memory}


def _peak(step: Step) -> float:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return (torch.cuda.max_memory_allocated() - before) / 2**30
