"""Success of an agent on start states that training has not seen."""

from pathlib import Path

from polyray.reports.page import Cell, Section, Table
from polyray.runs.result import final_metrics


def section(run: Path) -> Section | None:
    """The table of levels; None for runs of other tasks."""
    metrics = final_metrics(run)
    tasks = metrics.get("tasks", {})
    if not tasks or "success" not in next(iter(tasks.values())):
        return None
    rows: list[list[Cell]] = [
        [name, 100 * values["success"], values["return"], values["length"]] for name, values in tasks.items()
    ]
    table = Table(
        header=["level", "success, %", "return", "steps"], rows=[*rows, ["mean", 100 * metrics["mean"], None, None]],
        caption="Start states that training has not seen; the routing draws no noise. Success: share of episodes that "
        "reach the goal; return: reward of an episode; steps: its length. Means over episodes.",
    )  # fmt: skip
    return Section(heading="Success on unseen levels", blocks=[table])
