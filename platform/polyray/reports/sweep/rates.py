"""The goal over both rates, the optimum with its uncertainty, and the ratio of the rates."""

from collections.abc import Sequence
from math import isfinite, nan

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from polyray.reports.figure import COLOURS, plain_frame, to_svg
from polyray.reports.page import Block, Facts, Picture, Prose, Section
from polyray.reports.sweep.coordinates import MIDDLE
from polyray.sweeps.rates import MIN_TRIALS, Rates, rate_fields, rates_of
from polyray.sweeps.record import SweepRecord

Point = tuple[float, float, float]  # lr, routing lr, goal; the goal of a failed trial is NaN

MAP_CAPTION = "red is good. Dots are trials, crosses failed ones."
SURFACE_CAPTION = (
    " The surface is a Gaussian process, which knows no bounds: where trials come near the best score there is, it may "
    "lie above it. The star is its optimum with the 95 % intervals of a bootstrap over trials and seeds; on the dashed "
    "line the rates have the best ratio."
)
RATIO_CAPTION = " Line and band: the best ratio and its 95 % interval."


def section(record: SweepRecord) -> Section | None:
    """Map, optimum and ratio; None where the space does not vary both rates, or no trial has ended."""
    names = rate_fields(record.space)
    points = _points(record, names) if names is not None else []
    if names is None or not points:
        return None
    rates, goal = record.rates, record.goals[0].name
    if rates is None:
        ended = f"{len(record.scored)} have ended with a goal"
        text = f"An optimum needs {MIN_TRIALS} trials that have ended, with rates and goals that differ; {ended}."
        blocks: list[Block] = [Prose(text=text)]
    else:
        blocks = [Prose(text=rates.text()), Facts(facts=_facts(rates, record))]
    rate_plot = to_svg(rate_map(points, names, goal, rates, good=record.goals[0].sign))
    by_ratio = f"{goal} by the ratio {names[1]} / {names[0]}, the other fields as they came."
    return Section(
        heading="The two rates",
        blocks=[
            *blocks,
            Picture(svg=rate_plot, caption=f"{goal} over both rates; {MAP_CAPTION}{SURFACE_CAPTION if rates else ''}"),
            Picture(
                svg=to_svg(ratio_plot(points, names, goal, rates)), caption=by_ratio + (RATIO_CAPTION if rates else "")
            ),
        ],
    )


def rate_map(
    points: Sequence[Point], names: tuple[str, str], goal: str, rates: Rates | None, *, good: float = 1.0
) -> Figure:
    """Trials over the logarithms of both rates, and where there are `rates`, the surface and its optimum.

    Args:
        good: 1 where the goal is to be large, else -1.
    """
    figure = Figure(figsize=(7.5, 5.0), layout="constrained")
    axes = figure.subplots()
    finished = [point for point in points if isfinite(point[2])]
    failed = [point for point in points if not isfinite(point[2])]
    low, high = _range(finished, rates, good)
    shades = ScalarMappable(Normalize(low, high), MIDDLE if good > 0 else MIDDLE.reversed())
    if rates is not None:
        _draw_surface(axes, rates, good, shades)
    colours = shades.to_rgba(np.array([goal for _, _, goal in finished]))
    axes.scatter(
        [x for x, _, _ in finished], [y for _, y, _ in finished], color=colours, edgecolors="#000000", linewidths=0.6,
        s=34, zorder=3, clip_on=False,
    )  # fmt: skip
    axes.scatter([x for x, _, _ in failed], [y for _, y, _ in failed], marker="x", color="#000000", s=34, zorder=3)
    axes.set(xscale="log", yscale="log")
    bar = figure.colorbar(shades, ax=axes, pad=0.01)
    bar.set_label(goal, fontsize=8, parse_math=False)
    bar.ax.tick_params(labelsize=7)
    if rates is not None:
        _draw_optimum(axes, rates)
    _label(axes, *names)
    return figure


def ratio_plot(points: Sequence[Point], names: tuple[str, str], goal: str, rates: Rates | None) -> Figure:
    """The goal of each trial by the ratio of its rates, and the interval of the best ratio."""
    figure = Figure(figsize=(7.5, 3.2), layout="constrained")
    axes = figure.subplots()
    if rates is not None:
        ratio = rates.figures()["ratio"]
        axes.axvspan(ratio.low, ratio.high, color=COLOURS[3], alpha=0.18, linewidth=0)
        axes.axvline(ratio.estimate, color=COLOURS[3], linewidth=1.2)
    finished = [point for point in points if isfinite(point[2])]
    axes.scatter([y / x for x, y, _ in finished], [value for *_, value in finished], s=18, color=COLOURS[0])
    axes.set_xscale("log")
    plain_frame(axes, grid="y")
    _label(axes, f"{names[1]} / {names[0]}", goal)
    return figure


def _draw_surface(axes: Axes, rates: Rates, good: float, shades: ScalarMappable) -> None:
    surface = rates.surface
    drawn = axes.contourf(
        10**surface.first, 10**surface.second, good * surface.scores, levels=16, cmap=shades.cmap, norm=shades.norm,
        alpha=0.55,
    )  # fmt: skip
    drawn.set_edgecolor("face")


def _draw_optimum(axes: Axes, rates: Rates) -> None:
    """A star, the intervals as a cross, and the pairs with the same ratio as a dashed line."""
    figures = rates.figures()
    x, y, ratio = figures[rates.lr], figures[rates.routing_lr], figures["ratio"].estimate
    limits = axes.get_xlim(), axes.get_ylim()
    axes.plot(limits[0], [ratio * lr for lr in limits[0]], color="#000000", linewidth=0.8, linestyle=(0, (5, 3)))
    axes.plot([x.low, x.high], [y.estimate, y.estimate], color="#000000", linewidth=1.4, zorder=4)
    axes.plot([x.estimate, x.estimate], [y.low, y.high], color="#000000", linewidth=1.4, zorder=4)
    axes.plot([x.estimate], [y.estimate], marker="*", markersize=15, color="#000000", zorder=5)
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])


def _label(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label, fontsize=9, parse_math=False)
    axes.set_ylabel(y_label, fontsize=9, parse_math=False)
    axes.tick_params(labelsize=8)


def _range(finished: Sequence[Point], rates: Rates | None, good: float) -> tuple[float, float]:
    """Ends of the colours: those of the surface, which leaves out what diverged, or of the goals."""
    values = [point[2] for point in finished]
    if rates is not None:
        values = [good * value for value in (float(rates.surface.scores.min()), float(rates.surface.scores.max()))]
    return (min(values), max(values)) if values else (0.0, 1.0)


def _facts(rates: Rates, record: SweepRecord) -> dict[str, float]:
    return {
        f"height of the surface there ({record.goals[0].name})": record.goals[0].sign * rates.surface.best,
        "scatter of one training (standard deviation)": rates.surface.noise,
    }


def _points(record: SweepRecord, names: tuple[str, str]) -> list[Point]:
    """Both rates and the goal of each trial that has ended; NaN where it has none."""
    points = []
    for row in record.rows:
        rates = rates_of(row, names)
        if row.has_ended and rates is not None:
            points.append((*rates, row.goal if row.goal is not None and row.state != "failed" else nan))
    return points
