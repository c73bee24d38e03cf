"""The table of a transfer: scores of rows on languages, means, intervals, gains, retention."""

from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev
from typing import Any

from polyray.analysis.bootstrap import interval
from polyray.training.transfer.plan import FULL, Row
from polyray.training.transfer.recipe import TransferRecipe

Outcomes = Sequence[Mapping[str, Any]]


def gather(recipe: TransferRecipe, rows: Sequence[Row], outcomes: Outcomes) -> dict[str, Any]:
    """Metrics of the run: `rows`, and `mean` and `tasks` of the last one.

    Each row has a mean over targets and seeds with its interval, a score for each target, that of the source, the gain
    over full fine-tuning (or the first row) with its interval, and the source's score with each language beneath.
    """
    table = {row.name: _row(recipe, row, [x for x in outcomes if x["row"] == row.name]) for row in rows}
    reference = FULL if FULL in table else rows[0].name
    for name, figures in table.items():
        if name != reference:
            differences = [a - b for a, b in zip(figures["draws"], table[reference]["draws"], strict=True)]
            figures["gain"] = {"mean": figures["mean"] - table[reference]["mean"], **_bounds(differences)}
    for figures in table.values():
        del figures["draws"]
    last = table[rows[-1].name]
    too_long = sum(task["too_long"] for outcome in outcomes for task in outcome["tasks"].values())
    return {
        "mean": last["mean"], "tasks": last["tasks"], "rows": table, "reference": reference, "source": recipe.source,
        "too_long": too_long,
    }  # fmt: skip


def _row(recipe: TransferRecipe, row: Row, outcomes: Outcomes) -> dict[str, Any]:
    tasks: dict[str, Any] = {}
    draws = []
    for target, language in recipe.targets.items():
        beneath = language if row.language else ""
        cells = [x["tasks"][target] for x in outcomes if x["language"] == beneath and target in x["tasks"]]
        tasks[target] = _cell(cells)
        draws += [cell["resampled"] for cell in cells]
    means = [fmean(values) for values in zip(*draws, strict=True)]
    retention = {
        language: fmean(_score(x["tasks"][recipe.source]) for x in outcomes if x["language"] == language)
        for language in dict.fromkeys(x["language"] for x in outcomes if recipe.source in x["tasks"])
    }
    home = recipe.languages.source if row.language else ""
    return {
        "mean": fmean(fmean(task["scores"]) for task in tasks.values()), **_bounds(means), "tasks": tasks,
        "source": retention.pop(home), "retention": retention, "draws": means,
        **({"density": row.density, "method": row.method} if row.density else {}),
    }  # fmt: skip


def _cell(cells: Outcomes) -> dict[str, Any]:
    """Figures of one task over seeds: its metric's mean, deviation, score of each seed, interval."""
    scores = [_score(cell) for cell in cells]
    metric = next(iter(cells[0]["scores"]))
    means = [fmean(values) for values in zip(*[cell["resampled"] for cell in cells], strict=True)]
    return {metric: fmean(scores), "std": pstdev(scores), "scores": scores, **_bounds(means)}


def _bounds(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    low, high = interval(values)
    return {"low": low, "high": high}


def _score(cell: Mapping[str, Any]) -> float:
    score: float = next(iter(cell["scores"].values()))
    return score
