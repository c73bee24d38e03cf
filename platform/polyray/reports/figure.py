"""Elements of every picture: colours, panels of rows, legends, and an SVG that is the same bytes every time."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from polyray.reports.shortening import short_names

COLOURS = ("#3b78c4", "#e07b39", "#3f9d62", "#c8504f", "#8a63b8", "#9a6a4f", "#d476ad", "#66752c", "#b3a12e", "#35a5b5")
"""Ten colours that can be distinguished on white and on near-black."""

PALE = ("#93b9e6", "#f2b48a", "#93cfa8", "#e69c9b", "#bfa6dc", "#c7a58f", "#ecb5d5", "#b6c47f", "#d8cd7c", "#8dd0da")
"""A lighter twin of each colour, for the eleventh to the twentieth group."""

REST = "#9aa0a8"
"""Colour of branches and tasks that belong to no single group."""

ROWS_PER_PANEL = 54

FONTS = "DejaVu Sans, Verdana, Arial, sans-serif"

Position = Literal["outside upper center", "lower center"]


def colour(number: int) -> str:
    """The colour of group `number`; after twenty groups the colours repeat."""
    return (COLOURS + PALE)[number % (len(COLOURS) + len(PALE))]


def row_panels(n_rows: int, *, row_height: float) -> tuple[Figure, list[tuple[Axes, range]]]:
    """A figure with panels side by side that share `n_rows` rows evenly; with each panel, the rows it holds.

    All rows have one height (inches). Up to 54 rows stand in one panel, more in two or three, so that a picture of
    160 tasks still fits a screen's width.

    Raises:
        ValueError: there is no row.
    """
    if n_rows < 1:
        raise ValueError("There is nothing to draw: there is no task.")
    n_panels = min(3, -(-n_rows // ROWS_PER_PANEL))
    most = -(-n_rows // n_panels)
    figure = Figure(figsize=(7.5 if n_panels == 1 else 4.2 * n_panels, most * row_height + 0.9), layout="constrained")
    panels = []
    for number, axes in enumerate(figure.subplots(1, n_panels, sharex=True, squeeze=False)[0]):
        axes.set_ylim(most - 0.5, -0.5)
        panels.append((axes, range(number * most, min((number + 1) * most, n_rows))))
    return figure, panels


def name_rows(axes: Axes, names: Sequence[str], *, size: float | None = None) -> None:
    """Write one name at each of the rows 0, 1, ... of `axes`, smaller where there are many."""
    default_size = 9.0 if len(names) <= 20 else 7.0
    limits = axes.get_ylim()
    axes.set_yticks(range(len(names)), short_names(names), parse_math=False, fontsize=size or default_size)
    axes.set_ylim(limits)
    axes.tick_params(axis="y", length=0)


def plain_frame(axes: Axes, *, grid: Literal["x", "y"]) -> None:
    """Remove all but the left and lower spine, and draw a faint grid at the ticks of one axis."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color="#808080", alpha=0.25, linewidth=0.7)


def swatches(colours: Mapping[str, str]) -> dict[str, Artist]:
    """A coloured patch for each name, for `add_legend`."""
    return {name: Patch(facecolor=shade) for name, shade in colours.items()}


def legend_columns(names: Sequence[str], width: float) -> int:
    """Number of columns of a legend of `names` that is `width` inches wide, one to six."""
    longest = max(map(len, short_names(names)))
    return max(1, min(6, len(names), int(width / (0.45 + 0.075 * longest))))


def add_legend(figure: Figure, handles: Mapping[str, Artist], *, position: Position = "outside upper center") -> None:
    """Add a legend over the width of `figure`, at most six names a line; names are taken literally ("_a", "$x$")."""
    columns = legend_columns(list(handles), figure.get_figwidth())
    literal = ["-"] * len(handles)  # matplotlib leaves out names that begin with "_"
    legend = figure.legend(list(handles.values()), literal, loc=position, ncols=columns, frameon=False, fontsize=8)
    for text, label in zip(legend.get_texts(), short_names(list(handles)), strict=True):
        text.set_parse_math(False)
        text.set_text(label)


def to_svg(figure: Figure) -> str:
    """`figure` as one <svg> element; the same figure gives the same bytes, with no date, no address, no version.

    Black becomes the text colour of the page around it and the background is clear, so that it suits light and dark
    pages; names stay text that can be searched and selected.
    """
    buffer = io.StringIO()
    engine = figure.get_layout_engine()
    with rc_context(
        {
            "svg.hashsalt": "polyray", "svg.fonttype": "none",
            "figure.autolayout": False, "figure.constrained_layout.use": False,  # whatever the user's settings are
        }
    ):  # fmt: skip
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine(None)  # a second layout would start from the first and shift it a little
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\b(stroke|fill): #000000", r"\1: currentColor", svg)
    svg = re.sub(r"font-family: [^;\"]*", "", svg)  # stands once, on the root
    return svg.replace("<svg ", f'<svg fill="currentColor" font-family="{FONTS}" ', 1)
