"""Agreement of tasks on their subsets of skills, where each site has an allocation of its own."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyray.analysis.allocation import Floats, cells_by_site
from polyray.analysis.hierarchy import clusters


def agreement(probabilities: ArrayLike, threshold: float = 0.5) -> Floats:
    """Share of the sites at which two tasks use the same subset of skills: [sites, tasks, skills] -> [tasks, tasks].

    A skill is used where its cell is above `threshold`. Skills of different sites are not compared with each other.

    Raises:
        ValueError: as `analyse`.
    """
    used = cells_by_site(probabilities) > threshold
    return np.stack([(used == used[:, [task]]).all(-1).mean(0) for task in range(used.shape[1])])


def agreeing(probabilities: ArrayLike, names: Sequence[str]) -> list[list[str]]:
    """Groups of tasks of which any two use the same subset of skills at more than half of the sites, largest first.

    Complete linkage of the shares of sites at which two tasks differ, cut below one half.

    Raises:
        ValueError: as `analyse`, or not one name per task.
    """
    shares = agreement(probabilities)
    if len(shares) != len(names):
        raise ValueError(f"The allocation has {len(shares)} tasks, found {len(names)} names.")
    if len(names) < 2:
        return [list(names)]
    members: list[list[str]] = [[] for _ in names]
    for name, cluster in zip(names, _cut(1.0 - shares), strict=True):
        members[cluster].append(name)
    return sorted(filter(None, members), key=lambda group: -len(group))


def _cut(distances: Floats) -> NDArray[np.int64]:
    """Cluster of each task, [tasks]; within one all distances [tasks, tasks] are below one half."""
    from scipy.cluster import hierarchy as scipy_hierarchy  # as in `hierarchy`
    from scipy.spatial.distance import squareform

    tree = scipy_hierarchy.linkage(squareform(distances, checks=False), method="complete")
    return clusters(tree, len(distances) - int((tree[:, 2] < 0.5).sum()))
