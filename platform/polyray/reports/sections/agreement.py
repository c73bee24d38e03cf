"""The parts of a merge: where their changes agree, overlap and oppose each other, layer by layer."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from polyray.formats import is_file, read_json_object
from polyray.merging.diagnostics import AGREEMENT
from polyray.reports.figure import add_legend, colour, plain_frame, to_svg
from polyray.reports.page import Block, Cell, Details, Picture, Section, Table

FIGURES = {
    "cosine": "cosine",
    "overlap": "overlap, of the entries that either changes",
    "conflicts": "opposed signs, of the entries that both change",
}
MOST_LINES = 10  # pairs of parts that are drawn one by one
MEAN = "mean of all pairs"

Pairs = Mapping[str, tuple[int, int]]


def section(run: Path) -> Section | None:
    """Curves over layers and tables by layer and by pair; None where the run merged no two parts."""
    if not is_file(run / AGREEMENT):
        return None
    agreement = read_json_object(run / AGREEMENT)
    names = agreement["parts"]
    pairs = {f"{names[i]}, {names[j]}": (i, j) for i, j in combinations(range(len(names)), 2)}
    picture = Picture(
        svg=to_svg(_curves(agreement["layers"], pairs)),
        caption="Task vectors of the parts, times the signs of their weights, layer by layer: cosine, share of entries "
        "that both change, and share of these in which they oppose each other. Of large tensors one entry in sixteen.",
    )
    header = ["pair", *FIGURES]
    total: list[list[Cell]] = [
        [name, *(agreement["total"][figure][i][j] for figure in FIGURES)] for name, (i, j) in pairs.items()
    ]
    blocks: list[Block] = [picture, Table(header=header, rows=total, caption="All layers together.")]
    by_layer: list[list[Cell]] = [
        [layer, *(_mean(tables[figure], pairs) for figure in FIGURES)] for layer, tables in agreement["layers"].items()
    ]
    table = Table(header=["layer", *FIGURES], rows=by_layer, caption="Mean over all pairs.")
    return Section(heading="Agreement of the parts", blocks=[*blocks, Details(summary="By layer", blocks=[table])])


def _curves(layers: Mapping[str, Mapping[str, Any]], pairs: Pairs) -> Figure:
    """A panel for each figure, with a line for each pair of parts over the layers."""
    figure = Figure(figsize=(7.5, 6.2), layout="constrained")
    panels = figure.subplots(len(FIGURES), 1, sharex=True)
    lines = {}
    for axes, (key, label) in zip(panels, FIGURES.items(), strict=True):
        curves = {name: [tables[key][i][j] for tables in layers.values()] for name, (i, j) in pairs.items()}
        if len(curves) > MOST_LINES:
            curves = {MEAN: [_mean(tables[key], pairs) for tables in layers.values()]}
        for number, (name, values) in enumerate(curves.items()):
            (lines[name],) = axes.plot(range(len(values)), values, color=colour(number), linewidth=1.4, marker=".")
        if key == "cosine":
            axes.axhline(0.0, color="#808080", linewidth=0.8)
        plain_frame(axes, grid="y")
        axes.set_ylabel(label.partition(",")[0], fontsize=9, parse_math=False)
        axes.tick_params(labelsize=8)
    panels[-1].set_xlabel("layer, in the order of the files", fontsize=9, parse_math=False)
    add_legend(figure, lines)
    return figure


def _mean(table: Sequence[Sequence[float]], pairs: Pairs) -> float:
    """Mean of a figure over all pairs."""
    return sum(table[i][j] for i, j in pairs.values()) / len(pairs)
