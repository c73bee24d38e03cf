"""Agreement of a learned allocation with a planted one: the groups of tasks, and the cells."""

import numpy as np
from numpy.typing import ArrayLike

from polyray.analysis.allocation import Floats, cells_by_site, task_rows
from polyray.analysis.hierarchy import clusters, hierarchy


def recovery_ami(learned: ArrayLike, truth: ArrayLike, *, linkage: str = "average", metric: str = "euclidean") -> float:
    """Adjusted mutual information of the learned hierarchy's clusters and the groups of tasks with equal true skills.

    learned [tasks, features] (`features(probabilities)` where there are sites), truth [tasks, N] of zeros and ones.
    Tasks with equal true rows form a class. The learned tree is cut into as many clusters as there are classes; the
    result is their adjusted mutual information (arithmetic mean): 1 = the same groups, about 0 = chance, whatever
    the order of skills. If all true rows are equal, or all differ, only one cut is possible and the result is 1.

    Raises:
        ValueError: another number of tasks, or as `hierarchy`.
    """
    from sklearn.metrics import adjusted_mutual_info_score  # a seventh of a worker's start; only planted tasks need it

    rows, true_rows = _pair(learned, truth)
    _, classes = np.unique(true_rows, axis=0, return_inverse=True)
    classes = classes.reshape(-1)
    n_classes = int(classes.max()) + 1
    if n_classes == 1:  # a single task has no hierarchy
        return 1.0
    cluster = clusters(hierarchy(rows, linkage=linkage, metric=metric), n_classes)
    return float(adjusted_mutual_info_score(classes, cluster))


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
    return float(np.mean([_matched_share(*_pair(site, truth)) for site in cells_by_site(learned)]))


def _matched_share(learned: Floats, truth: Floats) -> float:
    """Share of cells that agree under the best one-to-one matching of columns: learned [tasks, S], truth [tasks, N]."""
    from scipy.optimize import linear_sum_assignment  # as sklearn above

    n_skills = max(learned.shape[1], truth.shape[1])
    learned_cells, true_cells = (np.zeros((len(learned), n_skills), dtype=bool) for _ in range(2))
    learned_cells[:, : learned.shape[1]] = learned > 0.5
    true_cells[:, : truth.shape[1]] = truth > 0.5
    agreement = (learned_cells[:, :, None] == true_cells[:, None, :]).mean(axis=0)  # [n_skills, n_skills]
    rows, columns = linear_sum_assignment(agreement, maximize=True)
    return float(agreement[rows, columns].mean())


def _pair(learned: ArrayLike, truth: ArrayLike) -> tuple[Floats, Floats]:
    """Both as tables with the same number of tasks."""
    learned_rows, true_rows = task_rows(learned, "learned allocation"), task_rows(truth, "true allocation")
    if len(learned_rows) != len(true_rows):
        raise ValueError(f"The learned allocation has {len(learned_rows)} tasks, the true one {len(true_rows)}.")
    return learned_rows, true_rows
