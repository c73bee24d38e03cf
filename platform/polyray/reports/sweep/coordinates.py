"""Parallel coordinates: each trial a line through the values of its fields, coloured by its goal."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from polyray.reports.figure import COLOURS, REST, to_svg
from polyray.reports.page import Picture, Prose, Section
from polyray.reports.shortening import short_names
from polyray.reports.sweep.scales import ticks
from polyray.sweeps.positions import position
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.rows import TrialRow
from polyray.sweeps.wording import short_fields

MOST_LINES = 300
UNREAD = -0.14  # height of fields that a trial does not read
MIDDLE = LinearSegmentedColormap.from_list("bad to good", [COLOURS[0], REST, COLOURS[3]])
"""From blue (bad) to red (good), visible on white and on near-black."""


def section(record: SweepRecord) -> Section | None:
    """The picture of all trials that have ended with a goal; None where there are none."""
    rows = _shown(record)
    if not rows or not record.varied:
        return None
    heading = "Fields and goal"
    caption = (
        f"One line a trial, through the values of its fields to its {record.goals[0].name}; red is good, the thick "
        "line is the best trial. A field that a trial does not read has its point below the axis."
    )
    blocks: list[Picture | Prose] = [Picture(svg=to_svg(parallel_coordinates(record, rows)), caption=caption)]
    if len(rows) < len(record.scored):
        blocks.append(Prose(text=f"The best {len(rows)} of {len(record.scored)} trials are drawn."))
    return Section(heading=heading, blocks=blocks)


def parallel_coordinates(record: SweepRecord, rows: Sequence[TrialRow]) -> Figure:
    """One vertical axis for each field that varies and one for the goal, at the right; `rows` best first."""
    names = record.varied
    figure = Figure(figsize=(min(15.0, max(7.5, 1.5 * (len(names) + 1))), 4.2), layout="constrained")
    axes = figure.subplots()
    goals = [row.goal for row in rows if row.goal is not None]
    good, bad = (max(goals), min(goals)) if record.goals[0].mode == "max" else (min(goals), max(goals))
    shades = Normalize(0.0, 1.0)
    for rank, row in reversed(list(enumerate(rows))):  # the best on top
        assert row.goal is not None
        merit = 0.5 if good == bad else (row.goal - bad) / (good - bad)
        heights = [_height(record, row, name) for name in names]
        axes.plot(
            range(len(names) + 1), [*heights, merit], color=MIDDLE(shades(merit)), linewidth=2.6 if rank == 0 else 1.0,
            alpha=1.0 if rank == 0 else 0.7, marker="o", markersize=2.5,
        )  # fmt: skip
    goal_ticks = [(0.5, f"{good:.4g}")] if good == bad else [(0.0, f"{bad:.4g}"), (1.0, f"{good:.4g}")]
    all_read = all(name in row.fields for row in rows for name in names)
    _draw_axes(axes, record, goal_ticks, bottom=0.0 if all_read else UNREAD)
    bar = figure.colorbar(ScalarMappable(shades, MIDDLE), ax=axes, pad=0.01, shrink=0.7)
    bar.set_ticks([0.0, 1.0], labels=["worst", "best"], fontsize=7)
    return figure


def _draw_axes(axes: Axes, record: SweepRecord, goal_ticks: Sequence[tuple[float, str]], *, bottom: float) -> None:
    """One line and its labels for each field, and for the goal; `bottom`: height at which the lines end."""
    names = record.varied
    labels = short_fields(names)
    columns = [ticks(record.space.fields[name]) for name in names] + [list(goal_ticks)]
    for column, marks in enumerate(columns):
        axes.axvline(column, ymin=0.0, ymax=1.0, color="#808080", linewidth=0.8, zorder=0)
        for height, text in marks:
            axes.text(column + 0.03, height, text, fontsize=7, va="center", parse_math=False, zorder=5)
    titles = short_names([*(labels[name] for name in names), record.goals[0].name], 18)
    axes.set_xticks(range(len(columns)), titles, fontsize=8, parse_math=False)
    axes.set_xlim(-0.1, len(columns) - 0.75)
    axes.set_ylim(bottom - 0.06, 1.06)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="x", length=0)


def _height(record: SweepRecord, row: TrialRow, name: str) -> float:
    return position(record.space.fields[name], row.fields[name]) if name in row.fields else UNREAD


def _shown(record: SweepRecord) -> list[TrialRow]:
    return [row for row in record.ranked if row.is_scored][:MOST_LINES]
