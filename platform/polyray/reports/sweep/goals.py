"""Two goals at once: the trials that no other one beats in both."""

from matplotlib.figure import Figure

from polyray.reports.figure import COLOURS, REST, plain_frame, to_svg
from polyray.reports.page import Cell, Picture, Section, Table
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.wording import fields_text


def section(record: SweepRecord) -> Section | None:
    """The front of several goals, with a picture of the first two; None for one goal, or before a trial is done."""
    if len(record.goals) < 2 or not record.front:
        return None
    names = [goal.name for goal in record.goals]
    caption = f"{names[1]} and {names[0]} of each trial; the line joins those that no other one beats in all goals."
    rows: list[list[Cell]] = [[row.number, *row.goals, fields_text(row.fields)] for row in record.front]
    table = Table(header=["trial", *names, "fields"], rows=rows)
    return Section(heading="Several goals", blocks=[Picture(svg=to_svg(front_plot(record)), caption=caption), table])


def front_plot(record: SweepRecord) -> Figure:
    """The second goal at the bottom, the first at the left; the front as a line."""
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axes = figure.subplots()
    others = [row.goals for row in record.scored if len(row.goals) == len(record.goals)]
    axes.scatter([goals[1] for goals in others], [goals[0] for goals in others], s=16, color=REST)
    front = sorted((row.goals[1], row.goals[0]) for row in record.front)
    axes.plot(*zip(*front, strict=True), color=COLOURS[0], marker="o", markersize=5, linewidth=1.4)
    plain_frame(axes, grid="y")
    axes.set_xlabel(record.goals[1].name, fontsize=9, parse_math=False)
    axes.set_ylabel(record.goals[0].name, fontsize=9, parse_math=False)
    axes.tick_params(labelsize=8)
    return figure
