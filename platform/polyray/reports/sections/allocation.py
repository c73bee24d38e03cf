"""The allocation that a router learned: its tables, the hierarchy of tasks, subsets of skills, site by site."""

from pathlib import Path

import numpy as np

from polyray.analysis.allocation import Floats, analyse, features, subsets
from polyray.analysis.hierarchy import hierarchy, leaf_order
from polyray.envs.levels import EXPERT
from polyray.reports.allocation_plots import allocation_map, site_maps
from polyray.reports.dendrograms import circular_dendrogram, dendrogram
from polyray.reports.figure import to_svg
from polyray.reports.page import Block, Details, Facts, Picture, Prose, Section, Table
from polyray.runs.allocation import SavedAllocation, load_allocation
from polyray.runs.result import final_metrics

INNER = "polytropon"  # of a comparison of routers: the run whose allocation is shown


def section(run: Path) -> Section | None:
    """Measures of the allocation and its heat-map, for BabyAI's levels beside the experts' one; None without one."""
    allocation = _allocation(run)
    if allocation is None:
        return None
    recovery = final_metrics(_folder(run)).get("recovery", {})
    facts = {**analyse(allocation.probabilities).metrics(), **recovery}
    blocks: list[Block] = [Facts(facts={name.replace("_", " "): value for name, value in facts.items()})]
    if _has_tree(allocation):
        order = leaf_order(hierarchy(features(allocation.probabilities)))
        names = [allocation.tasks[row] for row in order]
        caption = "Probability that a task uses a skill, mean over sites; tasks in the order of the hierarchy."
        blocks.append(Picture(svg=to_svg(allocation_map(allocation.probabilities[:, order], names)), caption=caption))
        if all(name in EXPERT for name in names):
            caption = "The experts' allocation (Ponti et al. 2023, Table 2); its skills are in no order."
            blocks.append(Picture(svg=to_svg(allocation_map(_experts(names), names)), caption=caption))
    return Section(heading="Allocation of skills to tasks", blocks=blocks)


def tree(run: Path) -> Section | None:
    """The hierarchy of tasks by their skills, as a circular and as a plain tree; None for fewer than two."""
    allocation = _allocation(run)
    if allocation is None or not _has_tree(allocation):
        return None
    linkage = hierarchy(features(allocation.probabilities))
    groups = subsets(allocation.probabilities.mean(0), allocation.tasks)
    circle = to_svg(circular_dendrogram(linkage, allocation.tasks, groups))
    plain = to_svg(dendrogram(linkage, allocation.tasks, groups))
    caption = "Average linkage of Euclidean distances over the rows of all sites."
    blocks: list[Block] = [
        Picture(svg=circle, caption=caption),
        Details(summary="The same as a plain tree", blocks=[Picture(svg=plain, caption=caption)]),
    ]
    return Section(heading="Task hierarchy", blocks=blocks)


def skill_subsets(run: Path) -> Section | None:
    """Tasks that use the same subset of skills; None for fewer than two tasks or skills."""
    allocation = _allocation(run)
    if allocation is None or not _has_tree(allocation):
        return None
    groups = subsets(allocation.probabilities.mean(0), allocation.tasks)
    rows = [[", ".join(map(str, subset)) or "none", ", ".join(names)] for subset, names in groups.items()]
    table = Table(
        header=["skills", "tasks"], rows=rows, caption="Skills that a task uses with a probability above one half."
    )
    return Section(
        heading="Tasks by subset of skills", blocks=[Details(summary=f"{len(groups)} subsets", blocks=[table])]
    )


def site_by_site(run: Path) -> Section | None:
    """Density and discreteness by skill and site; None where all sites share one table."""
    allocation = _allocation(run)
    if allocation is None or len(allocation.tables) < 2 or allocation.n_skills < 2:
        return None
    maps = to_svg(site_maps(analyse(allocation.probabilities), allocation.tables))
    blocks: list[Block] = [
        Picture(svg=maps, caption="Density and discreteness by skill and site."),
        Prose(text="Sites are the layers that carry skills, in the order of the backbone."),
    ]
    return Section(heading="Site by site", blocks=blocks)


def _folder(run: Path) -> Path:
    return run if load_allocation(run) is not None else run / INNER


def _allocation(run: Path) -> SavedAllocation | None:
    return load_allocation(_folder(run))


def _has_tree(allocation: SavedAllocation) -> bool:
    """Whether there are tasks and skills to tell apart."""
    return len(allocation.tasks) > 1 and allocation.n_skills > 1


def _experts(levels: list[str]) -> Floats:
    """[levels, skills] of zeros and ones."""
    table = np.zeros((len(levels), 1 + max(max(EXPERT[level]) for level in levels)))
    for row, level in enumerate(levels):
        table[row, list(EXPERT[level])] = 1
    return table
