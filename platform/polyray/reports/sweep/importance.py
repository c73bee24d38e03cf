"""Importance of the fields for the goal."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from polyray.reports.figure import COLOURS, name_rows, plain_frame, row_panels, to_svg
from polyray.reports.page import Picture, Prose, Section
from polyray.sweeps.record import SweepRecord

CAPTION = (
    "Share of the variance of the goal over the space that a field explains alone (functional analysis of variance "
    "with a random forest); what the bars leave to 1 is due to fields together, and to chance. A field that some "
    "trials do not read is judged among the others."
)


def section(record: SweepRecord) -> Section | None:
    """Bars of the fields, or a sentence on why there are none; None where less than two fields vary.

    The forest is fitted once, at the end: loading its libraries would add 80 MB to the driver of a running sweep.
    """
    if len(record.varied) < 2 or not record.rows:
        return None
    heading = "Importance of the fields"
    if record.running:
        return Section(heading=heading, blocks=[Prose(text="It is computed when the sweep has ended.")])
    from polyray.sweeps.importance import MIN_TRIALS, importances  # noqa: PLC0415  (loads scikit-learn and Optuna)

    shares = importances(record)
    if not shares:
        ended = f"{len(record.scored)} have ended with a goal"
        text = f"This needs {MIN_TRIALS} trials that have ended, with goals that differ; {ended}."
        return Section(heading=heading, blocks=[Prose(text=text)])
    blocks: list[Picture | Prose] = [Picture(svg=to_svg(importance_bars(shares)), caption=CAPTION)]
    others = [name for name in record.varied if name not in shares]
    if others:
        blocks.append(Prose(text=f"Too few trials that have ended read {', '.join(others)}."))
    return Section(heading=heading, blocks=blocks)


def importance_bars(shares: Mapping[str, float]) -> Figure:
    """One bar a field, in the order of `shares`."""
    figure, panels = row_panels(len(shares), row_height=0.26)
    names = list(shares)
    for axes, rows in panels:
        axes.barh(range(len(rows)), [shares[names[row]] for row in rows], color=COLOURS[0], height=0.7)
        name_rows(axes, [names[row] for row in rows])
        plain_frame(axes, grid="x")
        axes.set_xlim(0.0, 1.0)
        axes.tick_params(axis="x", labelsize=7)
        axes.set_xlabel("share of the variance", fontsize=8)
    return figure
