"""Discreteness, density and usage of an allocation of skills to tasks, and the tasks that share a subset of skills.

Sections and equations are those of Ponti et al. 2022 (arXiv:2202.13914v1). `probabilities` are sigmoid(logits) of the
tasks that were trained: leave out the rows that no gradient reached, which are noise around one half.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Analysis:
    """Discreteness, density and usage of an allocation; all numbers lie in [0, 1]."""

    discreteness_by_skill: Floats
    """[sites, skills]: 1 - mean over tasks of H(z) / log 2; 1 = binary, 0 = undecided (1 - Eq. 8)."""
    density_by_skill: Floats
    """[sites, skills]: share of tasks whose cell rounds to 1 (Eq. 9, called Sparsity there)."""
    usage_by_site: Floats
    """[sites]: entropy of the skills' shares of the whole allocation, over log S; 1 = all used alike."""

    def by_site(self) -> dict[str, Floats]:
        """Discreteness, entropy, density and usage of each site, [sites] each."""
        discrete, density = self.discreteness_by_skill.mean(axis=1), self.density_by_skill.mean(axis=1)
        return {"discreteness": discrete, "entropy": 1.0 - discrete, "density": density, "usage": self.usage_by_site}

    def metrics(self) -> dict[str, float]:
        """Discreteness, entropy, density and usage, averaged over sites, for a log."""
        return {name: float(np.mean(values)) for name, values in self.by_site().items()}

    @property
    def entropy(self) -> float:
        """Mean H(z) / log 2: Eq. 8 as it is printed, 0 = binary."""
        return self.metrics()["entropy"]

    @property
    def discreteness(self) -> float:
        """1 - entropy: the Discreteness of Figure 5, 1 = binary."""
        return self.metrics()["discreteness"]

    @property
    def density(self) -> float:
        """Share of cells that round to 1 (Eq. 9)."""
        return self.metrics()["density"]

    @property
    def usage(self) -> float:
        """Evenness of the use of skills, averaged over sites; 1 = all used alike."""
        return self.metrics()["usage"]


def analyse(probabilities: ArrayLike) -> Analysis:
    """Discreteness, density and usage of an allocation, by site and skill.

    probabilities [sites, tasks, skills] or [tasks, skills] (one site); section 5.1, equations 8 and 9. A cell of
    exactly one half rounds to 0. Usage is 1 where there is one skill only and 0 where no task uses any skill.

    Raises:
        ValueError: not of that shape, empty, or a cell is not in [0, 1].
    """
    cells = cells_by_site(probabilities)
    entropy = _entropy_terms(cells) + _entropy_terms(1.0 - cells)  # [sites, tasks, skills]
    return Analysis(
        discreteness_by_skill=1.0 - (entropy / np.log(2.0)).clip(0.0, 1.0).mean(axis=1),
        density_by_skill=(cells > 0.5).mean(axis=1),
        usage_by_site=np.array([_usage(site.sum(axis=0)) for site in cells]),
    )


def features(probabilities: ArrayLike) -> Floats:
    """One row per task, the cells of all sites side by side: [sites, tasks, skills] -> [tasks, sites * skills].

    A [tasks, skills] allocation is returned as it is.

    Raises:
        ValueError: as `analyse`.
    """
    return np.concatenate(list(cells_by_site(probabilities)), axis=1)


def subsets(allocation: ArrayLike, names: Sequence[str], threshold: float = 0.5) -> dict[tuple[int, ...], list[str]]:
    """Tasks grouped by the exact set of skills that they use (Table 5): skill indices from 0 -> task names.

    allocation [tasks, skills]; a skill is used where its cell is above `threshold`. Small subsets come first; those
    that no task has are absent.

    Raises:
        ValueError: not of that shape, or not one name per task.
    """
    rows = task_rows(allocation, "allocation")
    if len(rows) != len(names):
        raise ValueError(f"The allocation has {len(rows)} tasks, found {len(names)} names.")
    tasks: dict[tuple[int, ...], list[str]] = {}
    for name, row in zip(names, rows, strict=True):
        tasks.setdefault(tuple(int(skill) for skill in np.flatnonzero(row > threshold)), []).append(name)
    return dict(sorted(tasks.items(), key=lambda item: (len(item[0]), item[0])))


def cells_by_site(probabilities: ArrayLike) -> Floats:
    """`probabilities` as [sites, tasks, skills]; a table [tasks, skills] is one site.

    Raises:
        ValueError: not of that shape, empty, or a cell is not in [0, 1].
    """
    cells: Floats = np.asarray(probabilities, dtype=np.float64)
    if cells.ndim == 2:
        cells = cells[None]  # [1, tasks, skills]
    if cells.ndim != 3 or cells.size == 0:
        raise ValueError(f"An allocation is [sites, tasks, skills] or [tasks, skills], found {list(cells.shape)}.")
    if not ((cells >= 0.0) & (cells <= 1.0)).all():
        raise ValueError("An allocation holds probabilities between 0 and 1: pass sigmoid(logits), not the logits.")
    return cells


def task_rows(values: ArrayLike, what: str) -> Floats:
    """`values` as a table [tasks, columns]; `what` names it in the error.

    Raises:
        ValueError: not of that shape, or empty.
    """
    table: Floats = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"The {what} must be a table with one row per task, found shape {list(table.shape)}.")
    return table


def _usage(totals: Floats) -> float:
    """Entropy of the shares of `totals` [skills] over log S, in [0, 1]."""
    if len(totals) == 1:
        return 1.0
    whole = float(totals.sum())
    return min(float(_entropy_terms(totals / whole).sum() / np.log(len(totals))), 1.0) if whole > 0 else 0.0


def _entropy_terms(probabilities: Floats) -> Floats:
    """-p log p of each cell, 0 where p is 0."""
    logs = np.log(probabilities, where=probabilities > 0.0, out=np.zeros_like(probabilities))
    return np.asarray(-probabilities * logs)
