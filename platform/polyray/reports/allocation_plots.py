"""Pictures of an allocation: tasks by skills, and skills by sites."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike

from polyray.analysis.allocation import Analysis
from polyray.reports.figure import name_rows, row_panels
from polyray.reports.shortening import short_names

SITE_LABELS = 48


def allocation_map(probabilities: ArrayLike, tasks: Sequence[str]) -> Figure:
    """Heat-map of tasks by skills, averaged over sites; red = used, blue = not used (Ponti et al. 2022, Figure 6).

    probabilities [sites, tasks, skills] or [tasks, skills], one name per task; rows stand in the order of `tasks`:
    pass both in the order of `hierarchy.leaf_order` to see the groups. Skills are numbered from 0.

    Raises:
        ValueError: not of that shape, or not one name per task.
    """
    cells = np.asarray(probabilities, dtype=np.float64)
    cells = cells.mean(axis=0) if cells.ndim == 3 else cells  # [tasks, skills]
    if cells.ndim != 2 or len(cells) != len(tasks):
        raise ValueError(f"Found {len(tasks)} task names for an allocation of shape {list(np.shape(probabilities))}.")
    figure, panels = row_panels(len(tasks), row_height=0.24 if len(tasks) <= 20 else 0.165)
    for axes, rows in panels:
        image = _image(axes, cells[rows.start : rows.stop])
        axes.set_ylim(panels[0][1].stop - 0.5, -0.5)
        name_rows(axes, [tasks[row] for row in rows])
        axes.spines[:].set_visible(False)
        axes.set_xticks(*_skill_ticks(cells.shape[1]), fontsize=7)
        axes.set_xlabel("skill", fontsize=8)
        axes.tick_params(axis="x", length=2)
    bar = figure.colorbar(image, ax=[axes for axes, _ in panels], shrink=min(1.0, 2.2 / figure.get_figheight()))
    bar.set_label("probability of use", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def site_maps(analysis: Analysis, sites: Sequence[str]) -> Figure:
    """Heat-maps of skills by sites: density above, discreteness below (Ponti et al. 2022, Figure 8).

    One name per site; of more than 48 only some are written.

    Raises:
        ValueError: not one name per site.
    """
    n_sites, n_skills = analysis.density_by_skill.shape
    if n_sites != len(sites):
        raise ValueError(f"The analysis has {n_sites} sites, found {len(sites)} names.")
    width = min(12.0, max(6.0, 2.0 + 0.2 * n_sites))
    height = 2 * max(0.8, 0.16 * n_skills) + 1.0
    labels = short_names(sites)
    longest = max(map(len, labels))
    figure = Figure(figsize=(width, height + 0.055 * longest), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, table, title in (
        (above, analysis.density_by_skill, "density"),
        (below, analysis.discreteness_by_skill, "discreteness"),
    ):
        image = _image(axes, table.T)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_ylabel("skill", fontsize=8)
        axes.set_yticks(*_skill_ticks(n_skills), fontsize=7)
        axes.spines[:].set_visible(False)
        figure.colorbar(image, ax=axes, pad=0.01).ax.tick_params(labelsize=7)
    above.tick_params(axis="x", length=0)
    step = -(-n_sites // SITE_LABELS)
    below.set_xticks(range(0, n_sites, step), labels[::step], rotation=90, fontsize=6.5, parse_math=False)
    return figure


def _image(axes: Axes, table: ArrayLike) -> AxesImage:
    """Draw `table` [rows, columns] of probabilities, red for 1 and blue for 0."""
    return axes.imshow(table, cmap="RdBu_r", vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")


def _skill_ticks(n_skills: int) -> tuple[range, list[str]]:
    """Ticks and labels of an axis of skills, at most sixteen of each."""
    ticks = range(0, n_skills, -(-n_skills // 16))
    return ticks, [str(skill) for skill in ticks]
