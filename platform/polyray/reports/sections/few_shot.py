"""Few-shot adaptation to unseen tasks: methods side by side, or routers side by side as in the paper's Table 1."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyray.reports.figure import to_svg
from polyray.reports.labels import few_shot_cell, in_order, router_label
from polyray.reports.page import Cell, Picture, Section, Table
from polyray.reports.plots import delta_bars, method_bars
from polyray.runs.result import final_metrics

REFERENCE = "SHARED"  # the router that others are compared with, task by task


def section(run: Path) -> Section | None:
    """Scores of every method or router on every task; None where nothing was adapted."""
    columns = _columns(run)
    if not columns:
        return None
    errors = {name: _deviations(column) for name, column in columns.items()}
    bars = to_svg(
        method_bars({name: _means(column) for name, column in columns.items()}, x_label="score", errors=errors)
    )
    picture = Picture(svg=bars, caption="Mean and standard deviation over few-shot splits.")
    return Section(heading="Few-shot adaptation to unseen tasks", blocks=[picture, _table(columns)])


def differences(run: Path) -> Section | None:
    """Differences of each router from the shared one, task by task; None where they were not compared."""
    columns = _columns(run)
    if REFERENCE not in columns or len(columns) < 2:
        return None
    reference = _means(columns[REFERENCE])
    pictures = [
        Picture(
            svg=to_svg(delta_bars(_means(column), reference, x_label="difference in score")),
            caption=f"{name} minus {REFERENCE}.",
        )
        for name, column in columns.items()
        if name != REFERENCE
    ]
    return Section(heading=f"Difference from {REFERENCE}, task by task", blocks=pictures)


def _columns(run: Path) -> dict[str, Mapping[str, Any]]:
    """Compared methods or routers, in order.

    name -> {"mean": number, "tasks": {task: {metric: mean, "std", "scores"}}}.
    """
    metrics = final_metrics(run)
    if "kinds" in metrics:
        return {router_label(kind): metrics["kinds"][kind] for kind in in_order(metrics["kinds"])}
    return dict(metrics.get("methods", {}))


def _table(columns: Mapping[str, Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = []
    for task, values in next(iter(columns.values()))["tasks"].items():
        cells = [few_shot_cell(column["tasks"][task]) for column in columns.values()]
        rows.append([task, next(iter(values)), *cells])
    rows.append(["mean", "", *[f"{100 * column['mean']:.1f}" for column in columns.values()]])
    caption = "Mean ± standard deviation over splits, in percent."
    return Table(header=["task", "metric", *columns], rows=rows, caption=caption)


def _means(column: Mapping[str, Any]) -> dict[str, float]:
    return {task: sum(values["scores"]) / len(values["scores"]) for task, values in column["tasks"].items()}


def _deviations(column: Mapping[str, Any]) -> dict[str, float]:
    return {task: values["std"] for task, values in column["tasks"].items()}
