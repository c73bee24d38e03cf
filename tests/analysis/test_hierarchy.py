"""The hierarchy of tasks against small trees worked by hand."""

import numpy as np
import pytest

from polyray.analysis.hierarchy import LINKAGES, clusters, hierarchy, leaf_order
from polyray.errors import InputError

TRUTH = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 1], [1, 1, 0], [1, 1, 0]], dtype=float)


def test_the_nearest_tasks_are_merged_first() -> None:
    merges = hierarchy([[0.0], [1.0], [0.1]], linkage="single")
    assert merges[0].tolist() == pytest.approx([0, 2, 0.1, 2])
    assert merges[1].tolist() == pytest.approx([1, 3, 0.9, 3])
    assert leaf_order(merges).index(1) in (0, 2)


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_a_cut_gives_exactly_n_clusters_even_with_equal_distances(linkage: str, n: int) -> None:
    cluster = clusters(hierarchy(TRUTH, linkage=linkage), n)
    assert sorted(set(cluster.tolist())) == list(range(n))
    assert cluster[0] == 0


def test_the_cut_of_a_clear_allocation_is_its_groups() -> None:
    assert clusters(hierarchy(TRUTH), 3).tolist() == [0, 0, 1, 1, 2, 2]


def test_a_hierarchy_that_is_not_defined_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        hierarchy([[1.0, 0.0]])
    with pytest.raises(ValueError, match="euclidean"):
        hierarchy(TRUTH, linkage="ward", metric="cosine")
    with pytest.raises(ValueError, match="not defined"):
        hierarchy([[0.0, 0.0], [1.0, 0.0]], metric="cosine")
    with pytest.raises(InputError, match="Did you mean 'average'"):
        hierarchy(TRUTH, linkage="averag")
    with pytest.raises(ValueError, match="1 to 6"):
        clusters(hierarchy(TRUTH), 7)
