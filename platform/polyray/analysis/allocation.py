"""What an allocation of skills to tasks looks like, and how near it comes to a planted one.

Sections and equations are those of Ponti et al. 2022 (arXiv:2202.13914v1). `probabilities` are sigmoid(logits) of the
tasks that were trained: leave out the rows that no gradient reached, which are noise around one half.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster import hierarchy as scipy_hierarchy
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import pdist
from scipy.special import entr
from sklearn.metrics import adjusted_mutual_info_score

from polyray.lookup import lookup

Floats = NDArray[np.float64]

LINKAGES: Mapping[str, str] = {
    "average": "mean distance of all pairs (UPGMA)",
    "complete": "largest distance of any pair",
    "single": "smallest distance of any pair",
    "ward": "growth of the squared error; euclidean only",
}
METRICS: Mapping[str, str] = {
    "cityblock": "sum of absolute differences; on binary rows the number of cells that differ",
    "cosine": "1 - cosine; no row may be zero",
    "euclidean": "root of the sum of squared differences",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Analysis:
    """How binary, how full and how balanced an allocation is; all numbers lie in [0, 1]."""

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
        """1 - entropy: what Figure 5 plots as Discreteness, 1 = binary."""
        return self.metrics()["discreteness"]

    @property
    def density(self) -> float:
        """Share of cells that round to 1 (Eq. 9)."""
        return self.metrics()["density"]

    @property
    def usage(self) -> float:
        """How evenly the skills are used, averaged over sites."""
        return self.metrics()["usage"]


def analyse(probabilities: ArrayLike) -> Analysis:
    """Discreteness, density and usage of an allocation, by site and skill.

    probabilities [sites, tasks, skills] or [tasks, skills] (one site); section 5.1, equations 8 and 9. A cell of
    exactly one half rounds to 0. Usage is 1 where there is one skill only and 0 where no task uses any skill.

    Raises:
        ValueError: not of that shape, empty, or a cell is not in [0, 1].
    """
    cells = _by_site(probabilities)
    entropy = entr(cells) + entr(1.0 - cells)  # [sites, tasks, skills]
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
    return np.concatenate(list(_by_site(probabilities)), axis=1)


def hierarchy(allocation: ArrayLike, *, linkage: str = "average", metric: str = "euclidean") -> Floats:
    """The merges of an agglomerative clustering of tasks, as scipy's linkage matrix.

    allocation [tasks, features] -> [tasks - 1, 4]: the two nodes merged, their distance, tasks in the new node.
    For the sites of one allocation together pass `features(probabilities)`. Figure 7 shows such a tree; the paper
    names neither linkage nor metric, so state them with every picture (`LINKAGES`, `METRICS`).

    Raises:
        ValueError: fewer than two tasks, a wrong shape, ward without euclidean, or the cosine of a zero row.
        InputError: unknown linkage or metric.
    """
    rows = _table(allocation, "allocation")
    lookup(LINKAGES, linkage, "linkage")
    lookup(METRICS, metric, "distance between tasks")
    if len(rows) < 2:
        raise ValueError(f"A hierarchy needs at least two tasks, found {len(rows)}.")
    if linkage == "ward" and metric != "euclidean":
        raise ValueError(f"Ward's linkage is defined for euclidean distances only, found {metric!r}.")
    distances = pdist(rows, metric=metric)
    if not np.isfinite(distances).all():
        raise ValueError(f"The {metric} distance is not defined for some rows (zero); use 'euclidean'.")
    return np.asarray(scipy_hierarchy.linkage(distances, method=linkage), dtype=np.float64)


def leaf_order(linkage: ArrayLike) -> list[int]:
    """Task indices in the order of the tree's leaves, so that similar tasks are neighbours."""
    return [int(leaf) for leaf in scipy_hierarchy.leaves_list(np.asarray(linkage, dtype=np.float64))]


def clusters(linkage: ArrayLike, n: int) -> NDArray[np.int64]:
    """Cluster of each task, [tasks], when the tree is cut into exactly `n` clusters.

    The first tasks - n merges are kept, so equal distances cannot give fewer clusters. Clusters are numbered from 0
    in the order of their first task.

    Raises:
        ValueError: n is not between 1 and the number of tasks.
    """
    merges = np.asarray(linkage, dtype=np.float64)
    n_tasks = len(merges) + 1
    if not 1 <= n <= n_tasks:
        raise ValueError(f"{n_tasks} tasks can be cut into 1 to {n_tasks} clusters, not {n}.")
    members: dict[int, list[int]] = {task: [task] for task in range(n_tasks)}
    for step in range(n_tasks - n):
        left, right = int(merges[step, 0]), int(merges[step, 1])
        members[n_tasks + step] = members.pop(left) + members.pop(right)
    found = np.empty(n_tasks, dtype=np.int64)
    for number, tasks in enumerate(sorted(members.values(), key=min)):
        found[tasks] = number
    return found


def subsets(allocation: ArrayLike, names: Sequence[str], threshold: float = 0.5) -> dict[tuple[int, ...], list[str]]:
    """Which tasks use exactly which skills (Table 5): subset of skill indices, from 0, -> task names.

    allocation [tasks, skills]; a skill is used where its cell is above `threshold`. Small subsets come first; those
    that no task has are absent.

    Raises:
        ValueError: not of that shape, or not one name per task.
    """
    rows = _table(allocation, "allocation")
    if len(rows) != len(names):
        raise ValueError(f"The allocation has {len(rows)} tasks, found {len(names)} names.")
    found: dict[tuple[int, ...], list[str]] = {}
    for name, row in zip(names, rows, strict=True):
        found.setdefault(tuple(int(skill) for skill in np.flatnonzero(row > threshold)), []).append(name)
    return dict(sorted(found.items(), key=lambda item: (len(item[0]), item[0])))


def recovery_ami(learned: ArrayLike, truth: ArrayLike, *, linkage: str = "average", metric: str = "euclidean") -> float:
    """How well the learned hierarchy finds the groups of tasks with the same true skills.

    learned [tasks, features] (`features(probabilities)` where there are sites), truth [tasks, N] of zeros and ones.
    Tasks with equal true rows form a class. The learned tree is cut into as many clusters as there are classes; the
    result is their adjusted mutual information (arithmetic mean): 1 = the same groups, about 0 = chance, whatever
    the order of skills. If all true rows are equal, or all differ, only one cut is possible and the result is 1.

    Raises:
        ValueError: another number of tasks, or as `hierarchy`.
    """
    rows, true_rows = _pair(learned, truth)
    _, classes = np.unique(true_rows, axis=0, return_inverse=True)
    classes = classes.reshape(-1)
    n_classes = int(classes.max()) + 1
    if n_classes in (1, len(rows)):
        return 1.0
    found = clusters(hierarchy(rows, linkage=linkage, metric=metric), n_classes)
    return float(adjusted_mutual_info_score(classes, found))


def assignment_accuracy(learned: ArrayLike, truth: ArrayLike) -> float:
    """Share of cells that agree with the planted allocation when skills are matched in the best way.

    learned [tasks, S] probabilities, truth [tasks, N] of zeros and ones; a cell is on above one half. The one-to-one
    matching of columns maximises the number of equal cells. If S != N, the smaller table is first filled up with
    skills that no task uses, so a skill without a partner is wrong for each of its tasks; the share is of
    tasks * max(S, N) cells. An allocation that is off everywhere has 1 - density of the truth, not 0.
    A [sites, tasks, S] allocation is matched at each site alone, and the result is the mean over sites.

    Raises:
        ValueError: another number of tasks, or a wrong shape.
    """
    return float(np.mean([_matched_share(*_pair(site, truth)) for site in _by_site(learned)]))


def _matched_share(learned: Floats, truth: Floats) -> float:
    n_skills = max(learned.shape[1], truth.shape[1])
    ours, theirs = (np.zeros((len(learned), n_skills), dtype=bool) for _ in range(2))
    ours[:, : learned.shape[1]] = learned > 0.5
    theirs[:, : truth.shape[1]] = truth > 0.5
    agreement = (ours[:, :, None] == theirs[:, None, :]).mean(axis=0)  # [n_skills, n_skills]
    rows, columns = linear_sum_assignment(agreement, maximize=True)
    return float(agreement[rows, columns].mean())


def _usage(totals: Floats) -> float:
    if len(totals) == 1:
        return 1.0
    whole = float(totals.sum())
    return min(float(entr(totals / whole).sum() / np.log(len(totals))), 1.0) if whole > 0 else 0.0


def _by_site(probabilities: ArrayLike) -> Floats:
    cells: Floats = np.asarray(probabilities, dtype=np.float64)
    if cells.ndim == 2:
        cells = cells[None]  # [1, tasks, skills]
    if cells.ndim != 3 or cells.size == 0:
        raise ValueError(f"An allocation is [sites, tasks, skills] or [tasks, skills], found {list(cells.shape)}.")
    if not ((cells >= 0.0) & (cells <= 1.0)).all():
        raise ValueError("An allocation holds probabilities between 0 and 1: pass sigmoid(logits), not the logits.")
    return cells


def _table(values: ArrayLike, what: str) -> Floats:
    table: Floats = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"The {what} must be a table with one row per task, found shape {list(table.shape)}.")
    return table


def _pair(learned: ArrayLike, truth: ArrayLike) -> tuple[Floats, Floats]:
    ours, theirs = _table(learned, "learned allocation"), _table(truth, "true allocation")
    if len(ours) != len(theirs):
        raise ValueError(f"The learned allocation has {len(ours)} tasks, the true one {len(theirs)}.")
    return ours, theirs
