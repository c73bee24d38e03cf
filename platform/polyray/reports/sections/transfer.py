"""Zero-shot transfer: methods x languages, gains over full fine-tuning, retention of the source, score by density."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyray.reports.figure import to_svg
from polyray.reports.heatmap import heatmap
from polyray.reports.page import Block, Cell, Picture, Section, Table
from polyray.reports.plots import Curve, learning_curves
from polyray.runs.result import final_metrics

Rows = Mapping[str, Mapping[str, Any]]


def section(run: Path) -> Section | None:
    """Heat-map and table of scores, gains and retention; None for other runs."""
    metrics = final_metrics(run)
    rows: Rows = metrics.get("rows", {})
    if not rows:
        return None
    source, targets = metrics["source"], list(metrics["tasks"])
    shades = {name: [row["source"], *(_score(row, target) for target in targets)] for name, row in rows.items()}
    picture = Picture(
        svg=to_svg(heatmap(shades, [source, *targets])),
        caption="Scores on test examples, in percent; the darkest cell of a column is its best.",
    )
    blocks: list[Block] = [picture, _table(rows, source, targets), *_retention(rows, source)]
    return Section(heading="Zero-shot transfer", blocks=blocks)


def density(run: Path) -> Section | None:
    """Scores against the share of trained entries; None where densities were not varied."""
    metrics = final_metrics(run)
    rows = [row for row in metrics.get("rows", {}).values() if "density" in row]
    if not rows:
        return None
    curves: dict[str, Curve] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        chosen = [row for row in rows if row["method"] == method]
        shares = [100 * row["density"] for row in chosen]
        curves[f"{method}, mean"] = (shares, [row["mean"] for row in chosen])
        for target in metrics["tasks"]:
            curves[f"{method}, {target}"] = (shares, [_score(row, target) for row in chosen])
    picture = Picture(
        svg=to_svg(learning_curves(curves, y_label="score", x_label="trained entries, % of the eligible ones")),
        caption="Zero-shot scores; all lottery tickets take their entries from one full fine-tuning.",
    )
    return Section(heading="Score by density", blocks=[picture])


def _score(row: Mapping[str, Any], target: str) -> float:
    score: float = next(iter(row["tasks"][target].values()))
    return score


def _table(rows: Rows, source: str, targets: list[str]) -> Table:
    cells: list[list[Cell]] = [
        [
            name, 100 * row["source"], *(_with_interval(row["tasks"][target]) for target in targets),
            _interval(100 * row["mean"], row), _gain(row),
        ]
        for name, row in rows.items()
    ]  # fmt: skip
    caption = (
        "In percent, in brackets the 95 % interval over test sentences drawn again (bootstrap), seeds averaged. "
        "Gain: difference of the means from full fine-tuning without skills of languages, or from the first row."
    )
    return Table(header=["method", source, *targets, "mean of targets", "gain"], rows=cells, caption=caption)


def _with_interval(task: Mapping[str, Any]) -> str:
    return _interval(100 * next(iter(task.values())), task)


def _interval(value: float, figures: Mapping[str, Any]) -> str:
    if "low" not in figures:
        return f"{value:.1f}"
    return f"{value:.1f} [{100 * figures['low']:.1f}, {100 * figures['high']:.1f}]"


def _gain(row: Mapping[str, Any]) -> str:
    return _interval(100 * row["gain"]["mean"], row["gain"]) if "gain" in row else ""


def _retention(rows: Rows, source: str) -> list[Table]:
    """The source's score with each language's skill beneath, where languages have skills."""
    composed = {name: row for name, row in rows.items() if row["retention"]}
    if not composed:
        return []
    languages = list(next(iter(composed.values()))["retention"])
    cells: list[list[Cell]] = [
        [name, 100 * row["source"], *(100 * row["retention"][language] for language in languages)]
        for name, row in composed.items()
    ]
    caption = f"Retention: the score of {source}, in percent, with each language's skill in place of its own."
    return [Table(header=["method", "own language", *languages], rows=cells, caption=caption)]
