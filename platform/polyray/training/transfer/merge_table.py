"""The table of the study of merging: score against the number of merged skills, by method and way."""

from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev
from typing import Any

from polyray.analysis.bootstrap import interval, resampled_scores
from polyray.training.transfer.merge_options import ALONE
from polyray.training.transfer.plan import FULL
from polyray.training.transfer.recipe import TransferRecipe

Outcomes = Sequence[Mapping[str, Any]]
Values = Mapping[str, list[float]]


def gather_merged(recipe: TransferRecipe, tasks: Sequence[str], outcomes: Outcomes) -> dict[str, Any]:
    """Metrics of the run: `merged`, `alone`, `untrained`, and `mean` and `tasks` of the last way with all tasks.

    merged: for each method and way a point for each number of skills, with the mean over merges, its deviation, the
    share of the score that the same tasks' skills have alone, an interval over tasks, and the gain over full
    fine-tuning (or the first method) merged in the same way, over the same tasks.
    """
    alone = {method: _by_task(_chosen(outcomes, method, ALONE)) for method in recipe.methods}
    reference = FULL if FULL in recipe.methods else recipe.methods[0]
    merged: dict[str, Any] = {}
    for method in recipe.methods:
        for way in recipe.merge.ways:
            cells, rivals = _chosen(outcomes, method, way), _chosen(outcomes, reference, way)
            counts = sorted({len(cell["tasks"]) for cell in cells})
            points = [_point(recipe, _of_size(cells, n), _of_size(rivals, n), alone[method]) for n in counts]
            merged[f"{method}, {way}"] = {"method": method, "way": way, "points": points}
    untrained = _chosen(outcomes, "", ALONE)
    return {
        **_summary(_of_size(cells, len(tasks))), "merged": merged, "reference": reference,
        "alone": {method: _summary(_chosen(outcomes, method, ALONE)) for method in recipe.methods},
        **({"untrained": _summary(untrained)} if untrained else {}),
        "too_long": sum(task["too_long"] for outcome in outcomes for task in outcome["tasks"].values()),
    }  # fmt: skip


def _chosen(outcomes: Outcomes, method: str, way: str) -> list[Mapping[str, Any]]:
    return [outcome for outcome in outcomes if (outcome["method"], outcome["way"]) == (method, way)]


def _of_size(cells: Outcomes, n: int) -> list[Mapping[str, Any]]:
    return [cell for cell in cells if len(cell["tasks"]) == n]


def _by_task(cells: Outcomes) -> dict[str, list[float]]:
    """The scores of each task in these merges, by its own metric."""
    values: dict[str, list[float]] = {}
    for cell in cells:
        for task, figures in cell["tasks"].items():
            values.setdefault(task, []).append(next(iter(figures["scores"].values())))
    return values


def _summary(cells: Outcomes) -> dict[str, Any]:
    """Mean over tasks, and each task's mean, deviation and scores."""
    metrics = {task: next(iter(x["scores"])) for cell in cells for task, x in cell["tasks"].items()}
    tasks = {
        task: {metrics[task]: fmean(scores), "std": pstdev(scores), "scores": scores}
        for task, scores in _by_task(cells).items()
    }
    return {"mean": fmean(fmean(scores) for scores in _by_task(cells).values()), "tasks": tasks}


def _point(recipe: TransferRecipe, merges: Outcomes, rivals: Outcomes, alone: Values) -> dict[str, Any]:
    """Figures of all merges of one number of skills; every task counts the same."""
    values, others = _by_task(merges), _by_task(rivals)
    scores = [fmean(of_task) for of_task in values.values()]
    single = fmean(fmean(alone[task]) for task in values)
    gains = [fmean(of_task) - fmean(others[task]) for task, of_task in values.items()]
    return {
        "n": len(merges[0]["tasks"]), "mean": fmean(scores),
        "std": pstdev([fmean(next(iter(x["scores"].values())) for x in merge["tasks"].values()) for merge in merges]),
        "share": fmean(scores) / single if single else 0.0, **_bounds(scores, recipe.resamples),
        "gain": {"mean": fmean(gains), **_bounds(gains, recipe.resamples)},
    }  # fmt: skip


def _bounds(values: Sequence[float], n_draws: int) -> dict[str, float]:
    """Interval of the mean over tasks that are drawn again."""
    if not n_draws:
        return {}
    draws = resampled_scores(lambda indices: fmean(values[i] for i in indices), len(values), n_draws, seed=0)
    low, high = interval(draws)
    return {"low": low, "high": high}
