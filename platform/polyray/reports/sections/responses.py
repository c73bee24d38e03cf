"""Systems that answer: the scores of their responses with intervals, and the differences between systems."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyray.reports.page import Block, Cell, Section, Table
from polyray.runs.result import final_metrics


def section(run: Path) -> Section | None:
    """Table of systems and metrics, and of the differences of pairs; None for other runs."""
    metrics = final_metrics(run)
    systems = metrics.get("responses", {})
    if not systems:
        return None
    blocks: list[Block] = [_scores(systems)]
    if metrics["comparisons"]:
        blocks.append(_differences(metrics["comparisons"]))
    return Section(heading="Scores of responses", blocks=blocks)


def _scores(systems: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    names = list(dict.fromkeys(metric for totals in systems.values() for metric in totals))
    rows: list[list[Cell]] = [
        [metric, *(_bounded(totals[metric]) if metric in totals else None for totals in systems.values())]
        for metric in names
    ]
    caption = (
        "From 0 to 1, Density in words; in brackets the interval over examples drawn again (bootstrap). Critic: lower "
        "is better. Coverage, Density and LCS say how much is copied, which is neither good nor bad."
    )
    return Table(header=["metric", *systems], rows=rows, caption=caption)


def _differences(differences: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [row["second"], row["first"], row["metric"], _bounded(row), f"{row['p']:.4f}", f"{row['p_holm']:.4f}"]
        for row in differences
    ]
    caption = "Paired differences; p two-sided, Holm: adjusted over the pairs of systems for each metric."
    return Table(header=["system", "minus", "metric", "difference", "p", "p, Holm"], rows=rows, caption=caption)


def _bounded(figures: Mapping[str, float]) -> str:
    return f"{figures['value']:.3f} [{figures['low']:.3f}, {figures['high']:.3f}]"
