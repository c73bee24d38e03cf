"""The hierarchy of tasks as a tree, plain and circular."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from numpy.typing import ArrayLike, NDArray

from polyray.reports.figure import COLOURS, PALE, REST, add_legend, colour, legend_columns, swatches
from polyray.reports.shortening import short_names

Groups = Mapping[str, Sequence[str]]
"""Tasks by the name of their group."""

LEAF_STEP = 10.0  # scipy puts leaf i at 5 + 10 i
LEAF_MARK = 14.0  # square points


Link = tuple[NDArray[np.float64], NDArray[np.float64], str]
"""Two branches and the line that joins them: four positions along the leaves, four heights, and a colour."""


@dataclass(frozen=True, kw_only=True)
class _Tree:
    """A tree ready to draw: names and colours of the leaves in their order, links, height of the root, legend."""

    names: list[str]
    shades: list[str]
    links: list[Link]
    height: float
    legend: dict[str, str]


def dendrogram(linkage: ArrayLike, tasks: Sequence[str], groups: Groups | None = None) -> Figure:
    """The tree of tasks with its root at the left and one line per task.

    linkage [tasks - 1, 4] of `hierarchy.hierarchy`; `groups`, such as tasks with one subset of skills, colour
    the leaves, and the branches whose leaves all are of one group.

    Raises:
        ValueError: not one name per task, or a task that is in no group.
    """
    tree = _tree(linkage, tasks, groups or {})
    n_tasks, size = len(tree.names), 9.0 if len(tree.names) <= 20 else 7.0
    figure = Figure(figsize=(8.5, 1.2 + n_tasks * (0.22 if n_tasks <= 20 else 0.145)), layout="constrained")
    axes = figure.subplots()
    for positions, heights, shade in tree.links:
        axes.plot(heights, positions, color=shade, linewidth=1.3, solid_capstyle="butt")
    axes.set_xlim(tree.height * 1.03, 0.0)
    axes.set_ylim(n_tasks - 0.5, -0.5)
    axes.yaxis.tick_right()
    axes.set_yticks(range(n_tasks), short_names(tree.names), parse_math=False, fontsize=size)
    axes.tick_params(axis="y", length=0, pad=6)
    axes.scatter(np.zeros(n_tasks), range(n_tasks), c=tree.shades, s=LEAF_MARK, clip_on=False, zorder=3)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlabel("distance", fontsize=8)
    axes.spines[["top", "left", "right"]].set_visible(False)
    if tree.legend:
        add_legend(figure, swatches(tree.legend))
    return figure


def circular_dendrogram(linkage: ArrayLike, tasks: Sequence[str], groups: Groups | None = None) -> Figure:
    """The tree of tasks with its root in the middle and the tasks around it (Ponti et al. 2022, Figure 7).

    Arguments as in `dendrogram`.

    Raises:
        ValueError: as `dendrogram`.
    """
    tree = _tree(linkage, tasks, groups or {})
    n_tasks, size = len(tree.names), 9.0 if len(tree.names) <= 40 else 7.0
    radius = max(2.2, n_tasks * size * 1.25 / 72 / (2 * np.pi))  # inches: each name has its own height on the circle
    margin = 0.28 + max(map(len, short_names(tree.names))) * size * 0.62 / 72
    side = 2 * (radius + margin)
    below = 0.25 + 0.2 * -(-len(tree.legend) // legend_columns(list(tree.legend), side)) if tree.legend else 0.0
    figure = Figure(figsize=(side, side + below))
    frame = (margin / side, (below + margin) / (side + below), 2 * radius / side, 2 * radius / (side + below))
    axes = figure.add_axes(frame, projection="polar")
    assert isinstance(axes, PolarAxes)
    axes.set_axis_off()
    axes.set_ylim(0.0, 1.0)
    for link in tree.links:
        _draw_arc(axes, link, n_tasks, tree.height)
    angles = 2 * np.pi * np.arange(n_tasks) / n_tasks
    axes.scatter(angles, np.ones(n_tasks), c=tree.shades, s=LEAF_MARK, clip_on=False, zorder=3)
    _name_around(axes, tree.names, 1.0 + 0.08 / radius, size)
    if tree.legend:
        add_legend(figure, swatches(tree.legend), position="lower center")
    return figure


def _draw_arc(axes: PolarAxes, link: Link, n_tasks: int, height: float) -> None:
    """Draw a link of a tree of `n_tasks` leaves, whose root of `height` is in the middle."""
    positions, heights, shade = link
    angles = 2 * np.pi * positions / n_tasks
    arc = np.linspace(angles[1], angles[2], 2 + int(abs(angles[2] - angles[1]) * 60))
    radii = 1.0 - 0.95 * heights / height
    rho = np.concatenate([radii[:1], np.full(len(arc), radii[1]), radii[3:]])
    axes.plot(np.concatenate([angles[:1], arc, angles[3:]]), rho, color=shade, linewidth=1.3, clip_on=False)


def _name_around(axes: PolarAxes, names: Sequence[str], radius: float, size: float) -> None:
    """Write the names around a circle, each along its radius and never upside down."""
    for number, label in enumerate(short_names(names)):
        turn = 360.0 * number / len(names)
        left = 90.0 < turn < 270.0
        axes.text(
            np.deg2rad(turn), radius, label, fontsize=size, parse_math=False,
            rotation=turn + 180.0 if left else turn, rotation_mode="anchor", va="center",
            ha="right" if left else "left",
        )  # fmt: skip


def _tree(linkage: ArrayLike, tasks: Sequence[str], groups: Groups) -> _Tree:
    """Order of leaves, colours and links of a linkage matrix; the colour of a branch is that of all its leaves."""
    from scipy.cluster import hierarchy as scipy_hierarchy  # slow to load, and few pages show a tree

    merges = np.asarray(linkage, dtype=np.float64)
    if len(merges) + 1 != len(tasks):
        raise ValueError(f"The tree has {len(merges) + 1} tasks, found {len(tasks)} names.")
    by_task, legend = _group_colours(groups)
    missing = [task for task in tasks if groups and task not in by_task]
    if missing:
        raise ValueError(f"No group holds the task {missing[0]!r}.")
    plain = "#000000"
    shades = [by_task.get(task, plain) for task in tasks]
    for left, right in merges[:, :2].astype(int):
        shades.append(shades[left] if shades[left] == shades[right] else (REST if groups else plain))
    drawn = scipy_hierarchy.dendrogram(merges, no_plot=True, link_color_func=lambda node: shades[node])
    links = [
        (np.asarray(positions) / LEAF_STEP - 0.5, np.asarray(heights), shade)
        for positions, heights, shade in zip(drawn["icoord"], drawn["dcoord"], drawn["color_list"], strict=True)
    ]
    leaves = [int(leaf) for leaf in drawn["leaves"]]
    height = float(merges[:, 2].max()) or 1.0
    names = [tasks[leaf] for leaf in leaves]
    return _Tree(names=names, shades=[shades[leaf] for leaf in leaves], links=links, height=height, legend=legend)


def _group_colours(groups: Groups) -> tuple[dict[str, str], dict[str, str]]:
    """Colour of each task and colour of each line of the legend; all but the largest groups share one grey."""
    largest = set(sorted(groups, key=lambda group: -len(groups[group]))[: len(COLOURS) + len(PALE)])
    by_task = {task: REST for members in groups.values() for task in members}
    legend: dict[str, str] = {}
    for number, group in enumerate(group for group in groups if group in largest):
        by_task.update(dict.fromkeys(groups[group], colour(number)))
        legend[f"{group}  ({len(groups[group])})"] = colour(number)
    others = sum(len(members) for group, members in groups.items() if group not in largest)
    if others:
        legend[f"others  ({others})"] = REST
    return by_task, legend
