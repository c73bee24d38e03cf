"""Scores of the tasks that skills were trained on."""

from pathlib import Path

from polyray.reports.labels import own_metric
from polyray.reports.page import Cell, Section, Table
from polyray.runs.result import final_metrics


def section(run: Path) -> Section | None:
    """The table of tasks and scores; None for agents, and where the tasks are those of an adaptation."""
    metrics = final_metrics(run)
    tasks = metrics.get("tasks", {})
    if (
        not tasks
        or metrics.keys() & {"methods", "kinds", "rows", "merged", "systems"}
        or "success" in next(iter(tasks.values()))
    ):
        return None
    rows: list[list[Cell]] = [[name, *own_metric(values)] for name, values in tasks.items()]
    table = Table(
        header=["task", "metric", "score, %", "details"], rows=[*rows, ["mean", "", 100 * metrics["mean"], ""]]
    )
    return Section(heading="Scores", blocks=[table])
