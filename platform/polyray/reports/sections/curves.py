"""Learning curves: the loss of a training and of those inside it, and the success of agents."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyray.reports.figure import to_svg
from polyray.reports.labels import in_order, router_label
from polyray.reports.page import Picture, Section
from polyray.reports.plots import learning_curves
from polyray.runs.folder import read_config
from polyray.runs.metrics import METRICS, read_metrics

POINTS = 400  # of a curve of success, at most
TARGET = 0.99


def loss(run: Path) -> Section | None:
    """The loss against steps, of this run and of the runs in its folders; None where no loss was reported."""
    inner = {file.parent.name: file.parent for file in run.glob(f"*/{METRICS}")}
    folders = {"loss": run} | {router_label(kind): inner[kind] for kind in in_order(sorted(inner))}
    curves = {}
    for name, folder in folders.items():
        lines = [line for line in read_metrics(folder) if "loss" in line]
        if lines:
            curves[name] = ([line["step"] for line in lines], [_number(line["loss"]) for line in lines])
    if not curves:
        return None
    picture = Picture(
        svg=to_svg(learning_curves(curves, y_label="training loss")), caption="Mean loss since the point before."
    )
    return Section(heading="Learning curves", blocks=[picture])


def success(run: Path) -> Section | None:
    """The success of agents against the episodes of all levels, as they were played; None for other runs."""
    lines = [line for line in read_metrics(run) if "success" in line and "tasks" in line]
    if not lines:
        return None
    shown = lines[:: -(-len(lines) // POINTS)]
    curves = learning_curves(_successes(shown), y_label="success", x_label="episodes, all levels", target=TARGET)
    window = read_config(run).get("training", {}).get("window")
    last = f"last {window:,} episodes" if window else "last episodes"
    caption = f"Share of successes among each level's {last}; the dashed line is {TARGET:.0%}."
    return Section(heading="Success while training", blocks=[Picture(svg=to_svg(curves), caption=caption)])


def _successes(lines: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[float], list[float]]]:
    episodes = [float(line["episodes"]) for line in lines]
    curves = {"mean": (episodes, [_number(line["success"]) for line in lines])}
    for level in lines[-1]["tasks"]:
        curves[level] = (episodes, [_number(line["tasks"].get(level, {}).get("success")) for line in lines])
    return curves


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
