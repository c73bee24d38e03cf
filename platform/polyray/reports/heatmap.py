"""A table of scores as a picture: rows x columns, each cell with its number on a shade of it."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from polyray.reports.shortening import short_names


def heatmap(rows: Mapping[str, Sequence[float]], columns: Sequence[str]) -> Figure:
    """Scores in percent; the darkest cell of each column is its best.

    Args:
        rows: name -> a score for each column, from 0 to 1.

    Raises:
        ValueError: there is no row, or one has another number of scores than there are columns.
    """
    if not rows or any(len(scores) != len(columns) for scores in rows.values()):
        raise ValueError(f"A heat-map of {len(columns)} columns needs rows of as many scores.")
    names = short_names(columns)
    width = max(0.7, 0.075 * max(map(len, names)))  # inches of a column, as wide as its name
    figure = Figure(figsize=(2.6 + width * len(columns), 0.9 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    values = list(rows.values())
    ranges = [(min(column), max(column)) for column in zip(*values, strict=True)]
    shades = [
        [(x - low) / (high - low) if high > low else 0.5 for x, (low, high) in zip(scores, ranges, strict=True)]
        for scores in values
    ]
    axes.imshow(shades, cmap="Blues", vmin=-0.15, vmax=1.6, aspect="auto")  # numbers stay readable on every shade
    for row, scores in enumerate(values):
        for column, score in enumerate(scores):
            axes.text(column, row, f"{100 * score:.1f}", ha="center", va="center", fontsize=8, color="#000000")
    axes.set_xticks(range(len(columns)), names, parse_math=False, fontsize=8)
    axes.set_yticks(range(len(rows)), short_names(list(rows)), parse_math=False, fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure
