"""Combined skills: the score of ensembles, merges and routing against what they cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from polyray.reports.figure import COLOURS, add_legend, plain_frame, to_svg
from polyray.reports.page import Cell, Picture, Section, Table
from polyray.runs.result import final_metrics

Systems = Mapping[str, Mapping[str, Any]]
FAMILIES = {"own": "own skill", "ensemble": "ensemble", "merged": "merged", "routed": "routed"}  # by first words


def section(run: Path) -> Section | None:
    """Picture and tables; None for other runs."""
    metrics = final_metrics(run)
    systems: Systems = metrics.get("systems", {})
    if not systems:
        return None
    picture = Picture(
        svg=to_svg(_picture(systems)),
        caption="Mean score against passes of the network for an example. Bars: 95 % intervals (bootstrap).",
    )
    return Section(heading="Combined skills", blocks=[picture, _table(systems), _tasks(systems), *_clusters(metrics)])


def _picture(systems: Systems) -> Figure:
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axes = figure.subplots()
    families: dict[str, Artist] = {}
    for name, row in systems.items():
        family = FAMILIES[name.partition(" ")[0].rstrip(",")]
        score = 100 * row["mean"]
        bars = [[score - 100 * row["low"]], [100 * row["high"] - score]] if "low" in row else None
        shade = COLOURS[list(FAMILIES.values()).index(family)]
        line, *_ = axes.errorbar(
            [row["passes"]], [score], yerr=bars, fmt="o", color=shade, markersize=4, linewidth=1, capsize=2
        )
        families[family] = line
        axes.annotate(name, (row["passes"], score), xytext=(4, 3), textcoords="offset points", fontsize=6)
    axes.set_xscale("log", base=2)
    passes = sorted({row["passes"] for row in systems.values()})
    axes.set_xticks(passes, [str(n) for n in passes])
    axes.minorticks_off()
    plain_frame(axes, grid="y")
    axes.set_xlabel("passes an example", fontsize=9)
    axes.set_ylabel("mean score", fontsize=9)
    axes.tick_params(labelsize=8)
    add_legend(figure, families)
    return figure


def _table(systems: Systems) -> Table:
    rows: list[list[Cell]] = [
        [name, 100 * row["mean"], _bounds(row), row["passes"], row["in_memory"]] for name, row in systems.items()
    ]
    caption = (
        "In percent. Passes: of the network for an example, that of the router included. In memory: skills, or merged "
        "networks."
    )
    return Table(header=["system", "mean score", "95 % interval", "passes", "in memory"], rows=rows, caption=caption)


def _bounds(row: Mapping[str, Any]) -> str:
    return f"{100 * row['low']:.1f} to {100 * row['high']:.1f}" if "low" in row else ""


def _tasks(systems: Systems) -> Table:
    tasks = next(iter(systems.values()))["tasks"]
    rows: list[list[Cell]] = [
        [name, *(100 * next(iter(row["tasks"][task].values())) for task in tasks)] for name, row in systems.items()
    ]
    return Table(header=["system", *tasks], rows=rows, caption="Score of each task, in percent.")


def _clusters(metrics: Mapping[str, Any]) -> list[Table]:
    rows: list[list[Cell]] = [[n, "; ".join(map(", ".join, groups))] for n, groups in metrics["clusters"].items()]
    caption = "Skills in clusters, by the mean embeddings of their training inputs (average linkage, cosine)."
    return [Table(header=["clusters", "skills"], rows=rows, caption=caption)] if rows else []
