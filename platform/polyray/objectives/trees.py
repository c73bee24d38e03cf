"""Best dependency trees under scores of arcs."""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Numbers = NDArray[np.int64]


def best_tree(scores: Scores) -> list[int]:
    """The heads of the tree with the highest sum of scores in which exactly one word is the root's child.

    The root's arcs are lowered by more than all arcs together can differ, so that no second one is ever worth it.
    Chu & Liu 1965; Edmonds 1967; McDonald et al. 2005 (aclanthology.org/H05-1066), section 2.1.

    Args:
        scores: [n, n + 1], of each word's heads, of which number 0 is the root; a word's own column is not read.

    Returns:
        The head of each word, 0 for the root.
    """
    n = len(scores)
    arcs = np.full((n + 1, n + 1), -np.inf)  # [head, dependent]
    arcs[:, 1:] = scores.T
    np.fill_diagonal(arcs, -np.inf)
    finite = arcs[np.isfinite(arcs)]
    arcs[0, 1:] -= 1 + n * (finite.max() - finite.min())
    return [int(head) for head in _arborescence(arcs)[1:]]


def _arborescence(arcs: Scores) -> Numbers:
    """The head of each node in the best arborescence from node 0, whose own entry is 0: arcs [N, N] -> [N]."""
    heads: Numbers = arcs.argmax(0)
    heads[0] = 0
    cycle = _cycle(heads)
    if not len(cycle):
        return heads
    outside = np.setdiff1d(np.arange(len(arcs)), cycle)
    n = len(outside)
    gains = arcs[:, cycle] - arcs[heads[cycle], cycle]  # of an arc that enters the cycle in place of its own
    contracted = np.full((n + 1, n + 1), -np.inf)  # the cycle is the last node
    contracted[:n, :n] = arcs[np.ix_(outside, outside)]
    contracted[:n, n] = gains[outside].max(1)
    contracted[n, :n] = arcs[np.ix_(cycle, outside)].max(0)
    tree = _arborescence(contracted)
    leaving = arcs[np.ix_(cycle, outside)].argmax(0)
    for node in range(1, n):
        heads[outside[node]] = outside[tree[node]] if tree[node] < n else cycle[leaving[node]]
    entering = outside[tree[n]]
    heads[cycle[gains[entering].argmax()]] = entering
    return heads


def _cycle(heads: Numbers) -> Numbers:
    """The nodes of one cycle; none where every node leads to node 0."""
    state = np.zeros(len(heads), dtype=np.int64)  # number of the walk that came by; 0: none did
    state[0] = -1
    for start in range(1, len(heads)):
        node = start
        while state[node] == 0:
            state[node] = start
            node = heads[node]
        if state[node] == start:
            cycle = [node]
            while heads[cycle[-1]] != node:
                cycle.append(heads[cycle[-1]])
            return np.array(cycle)
    return np.array([], dtype=np.int64)
