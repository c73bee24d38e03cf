"""A merge in figures: what elastic weight removal did, what compression lost, and the loss on held-out examples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyray.reports.page import Cell, Section, Table
from polyray.runs.result import final_metrics

FIGURES = {
    "loss": "loss on held-out examples",
    "on_floor": "share of the parts' Fisher entries below the floor",
    "shrink": "share of the change that shrinks the base, by squared length",
    "shrink_length": "length of the shrinking",
    "task_length": "length of the task vectors' term",
    "compression_error": "relative length of what compression dropped",
}


def section(run: Path) -> Section | None:
    """A column for the model of each factor; None where the run has none of the figures."""
    metrics = final_metrics(run)
    models: Mapping[str, Mapping[str, Any]] = metrics.get("factors", {"": metrics})
    if "n_parts" not in metrics and "n_tensors" not in metrics:
        return None
    rows: list[list[Cell]] = [
        [line, *(model.get(name) for model in models.values())]
        for name, line in FIGURES.items()
        if any(name in model for model in models.values())
    ]
    header = ["", *(f"factor {name}" if name else "value" for name in models)]
    return Section(heading="Merge", blocks=[Table(header=header, rows=rows)]) if rows else None
