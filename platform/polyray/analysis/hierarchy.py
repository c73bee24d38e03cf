"""Agglomerative clustering of tasks by the skills that they use (Ponti et al. 2022, arXiv:2202.13914v1, Figure 7)."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyray.analysis.allocation import Floats, task_rows
from polyray.lookup import lookup

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


def hierarchy(allocation: ArrayLike, *, linkage: str = "average", metric: str = "euclidean") -> Floats:
    """Merges of an agglomerative clustering of tasks, as scipy's linkage matrix.

    allocation [tasks, features] -> [tasks - 1, 4]: the two nodes merged, their distance, tasks in the new node.
    For the sites of one allocation together pass `features(probabilities)`. Figure 7 shows such a tree; the paper
    names neither linkage nor metric, so state them with every picture (`LINKAGES`, `METRICS`).

    Raises:
        ValueError: fewer than two tasks, a wrong shape, ward without euclidean, or the cosine of a zero row.
        InputError: unknown linkage or metric.
    """
    from scipy.cluster import hierarchy as scipy_hierarchy  # a quarter second at every worker's start; few need a tree
    from scipy.spatial.distance import pdist

    rows = task_rows(allocation, "allocation")
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
    from scipy.cluster import hierarchy as scipy_hierarchy  # as in `hierarchy`

    return [int(leaf) for leaf in scipy_hierarchy.leaves_list(np.asarray(linkage, dtype=np.float64))]


def clusters(linkage: ArrayLike, n: int) -> NDArray[np.int64]:
    """Cluster of each task, [tasks], when the tree is cut into exactly `n` clusters.

    Exactly the first tasks - n merges are done, so equal distances cannot give fewer clusters. Clusters are numbered
    from 0 in the order of their first task.

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
    cluster = np.empty(n_tasks, dtype=np.int64)
    for number, tasks in enumerate(sorted(members.values(), key=min)):
        cluster[tasks] = number
    return cluster
