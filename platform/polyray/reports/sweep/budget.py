"""Score against budget: the best goal so far, by trials and by steps."""

from collections.abc import Sequence
from itertools import accumulate

from matplotlib.figure import Figure

from polyray.reports.figure import COLOURS, REST, plain_frame, to_svg
from polyray.reports.page import Picture, Section
from polyray.sweeps.record import SweepRecord

Point = tuple[int, int, float]


def section(record: SweepRecord) -> Section | None:
    """The best goal so far against the number of trials and against their steps; None before a trial has ended."""
    if not record.scored:
        return None
    caption = (
        "The best goal so far (line) and that of each trial (dots), in the order in which the trials were drawn; the "
        "steps are those of all trials together, failed ones too."
    )
    figure = budget_plot(*points(record), record.goals[0].name)
    return Section(heading="Score against budget", blocks=[Picture(svg=to_svg(figure), caption=caption)])


def points(record: SweepRecord) -> tuple[list[Point], list[float]]:
    """Trials, steps of all of them so far, and goal of each trial that has ended with one; the best goal so far."""
    steps = dict(zip((row.number for row in record.rows), accumulate(row.step for row in record.rows), strict=True))
    ended = [(row.number + 1, steps[row.number], row.goal) for row in record.scored if row.goal is not None]
    best = max if record.goals[0].mode == "max" else min
    return ended, list(accumulate((goal for *_, goal in ended), best))


def budget_plot(points: Sequence[Point], so_far: Sequence[float], goal: str) -> Figure:
    """Goals and the best one so far, against the number of trials at the left and against steps at the right.

    Args:
        points: trials, steps and goal of each point.
    """
    trials, steps, goals = zip(*points, strict=True)
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, budget, label in ((left, trials, "trials"), (right, steps, "steps, all trials")):
        axes.scatter(budget, goals, s=12, color=REST)
        axes.plot(budget, so_far, drawstyle="steps-post", color=COLOURS[0], linewidth=1.8)
        plain_frame(axes, grid="y")
        axes.set_xlabel(label, fontsize=9)
        axes.tick_params(labelsize=8)
    left.set_ylabel(goal, fontsize=9, parse_math=False)
    return figure
