"""Pictures of scores: learning curves, differences to a reference, and methods side by side."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from polyray.reports.figure import COLOURS, add_legend, colour, name_rows, plain_frame, row_panels, swatches

Scores = Mapping[str, float]
Curve = tuple[Sequence[float], Sequence[float]]

DASHES = ("-", "--", ":", "-.")


def learning_curves(
    curves: Mapping[str, Curve], *, y_label: str, x_label: str = "step", log: bool = False, target: float | None = None
) -> Figure:
    """One line per name; `target` draws a dashed level.

    curves: name -> (steps, values) of equal length; a value that is not a number leaves a gap, `log` makes the
    vertical axis logarithmic.

    Raises:
        ValueError: no curve, or steps and values of different length.
    """
    if not curves:
        raise ValueError("There is nothing to draw: there is no curve.")
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axes = figure.subplots()
    lines: dict[str, Artist] = {}
    for number, (name, (steps, values)) in enumerate(curves.items()):
        if len(steps) != len(values):
            raise ValueError(f"The curve {name!r} has {len(steps)} steps and {len(values)} values.")
        dash = DASHES[number // len(COLOURS) % len(DASHES)]
        mark = "o" if len(steps) <= 12 else ""
        shade = COLOURS[number % len(COLOURS)]
        (line,) = axes.plot(steps, values, color=shade, linestyle=dash, linewidth=1.6, marker=mark, markersize=3.5)
        lines[name] = line
    if target is not None:
        axes.axhline(target, color="#808080", linewidth=1.0, linestyle=(0, (5, 3)))
    if log:
        axes.set_yscale("log")
    plain_frame(axes, grid="y")
    axes.set_xlabel(x_label, fontsize=9, parse_math=False)
    axes.set_ylabel(y_label, fontsize=9, parse_math=False)
    axes.tick_params(labelsize=8)
    if len(curves) > 1:
        add_legend(figure, lines)
    return figure


def delta_bars(scores: Scores, reference: Scores, *, x_label: str = "difference") -> Figure:
    """Bars of score minus reference score for each task in both, largest first (Ponti et al. 2022, Figure 4).

    Raises:
        ValueError: no task has both scores.
    """
    deltas = {task: scores[task] - reference[task] for task in scores if task in reference}
    deltas = {task: delta for task, delta in deltas.items() if math.isfinite(delta)}
    names = sorted(deltas, key=lambda task: (-deltas[task], task))
    figure, panels = row_panels(len(names), row_height=0.24 if len(names) <= 20 else 0.165)
    for axes, rows in panels:
        values = [deltas[names[row]] for row in rows]
        shades = [COLOURS[0] if value >= 0 else COLOURS[3] for value in values]
        axes.barh(range(len(rows)), values, color=shades, height=0.72)
        axes.axvline(0.0, color="#000000", linewidth=0.8)
        name_rows(axes, [names[row] for row in rows])
        plain_frame(axes, grid="x")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="x", labelsize=7)
        axes.set_xlabel(x_label, fontsize=8, parse_math=False)
    return figure


def method_bars(methods: Mapping[str, Scores], *, x_label: str, errors: Mapping[str, Scores] | None = None) -> Figure:
    """For each task one bar per method, tasks in the order in which they first appear; a missing score has no bar.

    methods: method -> task -> score; errors: the same with the half-length of each bar's whisker.

    Raises:
        ValueError: no method has a score.
    """
    tasks = list(dict.fromkeys(task for scores in methods.values() for task in scores))
    height = 0.84 / max(1, len(methods))
    figure, panels = row_panels(len(tasks), row_height=max(0.2, 0.09 * len(methods) + 0.07))
    for axes, rows in panels:
        for number, (method, scores) in enumerate(methods.items()):
            whiskers = (errors or {}).get(method, {})
            values = [scores.get(tasks[row], math.nan) for row in rows]
            half = [whiskers.get(tasks[row], math.nan) for row in rows]
            centres = [row - 0.42 + height * (number + 0.5) for row in range(len(rows))]
            axes.barh(centres, values, height=height * 0.94, color=colour(number))
            if whiskers:
                axes.errorbar(values, centres, xerr=half, fmt="none", ecolor="#000000", elinewidth=0.8)
        name_rows(axes, [tasks[row] for row in rows])
        plain_frame(axes, grid="x")
        axes.tick_params(axis="x", labelsize=7)
        axes.set_xlabel(x_label, fontsize=8, parse_math=False)
    if len(methods) > 1:
        add_legend(figure, swatches({method: colour(number) for number, method in enumerate(methods)}))
    return figure
