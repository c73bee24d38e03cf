"""The study of merging: the score of merged skills against their number, by method and way to merge."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyray.reports.figure import to_svg
from polyray.reports.page import Cell, Picture, Section, Table
from polyray.reports.plots import Curve, learning_curves
from polyray.runs.result import final_metrics


def section(run: Path) -> Section | None:
    """Curves and tables of scores and gains; None for other runs."""
    metrics = final_metrics(run)
    merged: Mapping[str, Mapping[str, Any]] = metrics.get("merged", {})
    if not merged:
        return None
    curves: dict[str, Curve] = {}
    for name, row in merged.items():
        points = row["points"]
        alone = metrics["alone"][row["method"]]["mean"]
        curves[name] = ([1, *(point["n"] for point in points)], [alone, *(point["mean"] for point in points)])
    untrained = metrics.get("untrained")
    figure = learning_curves(
        curves, y_label="score", x_label="merged skills", target=untrained["mean"] if untrained else None
    )
    caption = "Mean score on the tasks whose skills are merged; at 1 each task's skill alone."
    picture = Picture(
        svg=to_svg(figure), caption=caption + (" Dashed: the backbone without skills." if untrained else "")
    )
    return Section(heading="Merged skills", blocks=[picture, _scores(metrics), _gains(metrics), _tasks(metrics)])


def _counts(metrics: Mapping[str, Any]) -> list[int]:
    return [point["n"] for point in next(iter(metrics["merged"].values()))["points"]]


def _scores(metrics: Mapping[str, Any]) -> Table:
    cells: list[list[Cell]] = [
        [
            name, 100 * metrics["alone"][row["method"]]["mean"],
            *(_with_interval(point["mean"], point) for point in row["points"]),
            f"{row['points'][-1]['share']:.2f}",
        ]
        for name, row in metrics["merged"].items()
    ]  # fmt: skip
    caption = (
        "In percent, in brackets the 95 % interval over tasks drawn again (bootstrap), seeds and orders averaged. "
        "Last: the score of all skills merged over that of each alone."
    )
    header = ["method, way", "alone", *(f"{n} merged" for n in _counts(metrics)), "all / alone"]
    return Table(header=header, rows=cells, caption=caption)


def _gains(metrics: Mapping[str, Any]) -> Table:
    """Differences from the reference method, merged in the same way."""
    cells: list[list[Cell]] = [
        [name, *(_with_interval(point["gain"]["mean"], point["gain"]) for point in row["points"])]
        for name, row in metrics["merged"].items()
        if row["method"] != metrics["reference"]
    ]
    caption = (
        f"Difference from {metrics['reference']}, merged in the same way, on the same tasks, in percentage points."
    )
    return Table(header=["method, way", *(f"{n} merged" for n in _counts(metrics))], rows=cells, caption=caption)


def _tasks(metrics: Mapping[str, Any]) -> Table:
    """Each task's score with its skill alone."""
    methods, untrained = metrics["alone"], metrics.get("untrained")
    columns = {**({"no skill": untrained} if untrained else {}), **methods}
    cells: list[list[Cell]] = [
        [task, *(100 * next(iter(column["tasks"][task].values())) for column in columns.values())]
        for task in metrics["tasks"]
    ]
    return Table(header=["task", *columns], rows=cells, caption="Score of each task's skill alone, in percent.")


def _with_interval(value: float, figures: Mapping[str, Any]) -> str:
    if "low" not in figures:
        return f"{100 * value:.1f}"
    return f"{100 * value:.1f} [{100 * figures['low']:.1f}, {100 * figures['high']:.1f}]"
