"""The allocation that a router learned: its tables, the hierarchy of tasks, subsets of skills, site by site."""

from pathlib import Path

import numpy as np

from polyray.analysis.agreement import agreeing
from polyray.analysis.allocation import Floats, analyse, features, subsets
from polyray.analysis.hierarchy import hierarchy, leaf_order
from polyray.envs.levels import EXPERT
from polyray.reports.allocation_plots import allocation_map, site_maps
from polyray.reports.dendrograms import circular_dendrogram, dendrogram
from polyray.reports.figure import to_svg
from polyray.reports.meanings import meanings_of
from polyray.reports.page import Block, Cell, Details, Facts, Picture, Prose, Section, Table
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
    named = {name.replace("_", " "): value for name, value in facts.items()}
    blocks: list[Block] = [Facts(facts=named, meanings=meanings_of(named))]
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
    groups = _groups(allocation)
    circle = to_svg(circular_dendrogram(linkage, allocation.tasks, groups))
    plain = to_svg(dendrogram(linkage, allocation.tasks, groups))
    caption = (
        "Average linkage of Euclidean distances over the rows of all sites. Colours: the groups of the next section."
    )
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
    heading, table = "Tasks by subset of skills", _subsets_of_tables(allocation)
    if len(allocation.tables) == 1:
        n_subsets = len(subsets(allocation.probabilities[0], allocation.tasks))
        return Section(heading=heading, blocks=[Details(summary=f"{n_subsets} subsets", blocks=[table])])
    groups = _groups(allocation)
    rows: list[list[Cell]] = [[name, ", ".join(members), len(members)] for name, members in groups.items()]
    caption = (
        "Each site has an allocation of its own. Any two tasks of a group use the same subset of skills at more than "
        f"half of the {len(allocation.tables)} sites."
    )
    blocks: list[Block] = [
        Table(header=["group", "tasks", "number"], rows=rows, caption=caption),
        Details(summary="Subsets at each site", blocks=[table]),
    ]
    return Section(heading=heading, blocks=blocks)


def site_by_site(run: Path) -> Section | None:
    """Density and discreteness by skill and site; None where all sites share one table."""
    allocation = _allocation(run)
    if allocation is None or len(allocation.tables) < 2 or allocation.n_skills < 2:
        return None
    maps = to_svg(site_maps(analyse(allocation.probabilities), allocation.tables))
    blocks: list[Block] = [
        Picture(svg=maps, caption="Density and discreteness by skill and site."),
        Prose(
            text="Sites are the layers that carry skills, in the order of the backbone. Density: the share of tasks "
            "that use the skill there. Discreteness: 1 where tasks use or leave the skill for certain, 0 where all is "
            "undecided."
        ),
    ]
    return Section(heading="Site by site", blocks=blocks)


def _groups(allocation: SavedAllocation) -> dict[str, list[str]]:
    """Tasks by group: those of one subset of skills, or where sites differ, those that agree at most sites."""
    if len(allocation.tables) > 1:
        groups = agreeing(allocation.probabilities, allocation.tasks)
        return {f"group {number}": tasks for number, tasks in enumerate(groups, start=1)}
    groups_by_subset = subsets(allocation.probabilities[0], allocation.tasks)
    return {f"{{{', '.join(map(str, subset))}}}": tasks for subset, tasks in groups_by_subset.items()}


def _subsets_of_tables(allocation: SavedAllocation) -> Table:
    """Subsets of skills and their tasks, site by site where sites differ; neighbours with equal subsets share rows."""
    caption = "Skills that a task uses with a probability above one half."
    runs: list[tuple[list[str], dict[tuple[int, ...], list[str]]]] = []
    for name, cells in zip(allocation.tables, allocation.probabilities, strict=True):
        groups = subsets(cells, allocation.tasks)
        if runs and runs[-1][1] == groups:
            runs[-1][0].append(name)
        else:
            runs.append(([name], groups))
    rows: list[list[Cell]] = [
        [
            *([_span(names)] if len(allocation.tables) > 1 else []),
            ", ".join(map(str, subset)) or "none",
            ", ".join(tasks),
        ]
        for names, groups in runs
        for subset, tasks in groups.items()
    ]
    return Table(
        header=[*(["site"] if len(allocation.tables) > 1 else []), "skills", "tasks"], rows=rows, caption=caption
    )


def _span(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]} ({len(names)} sites)"


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
