"""Ways to answer with several skills, computed from the probabilities that each gives to every candidate."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Probabilities = Sequence[Floats]  # for each example [members, candidates]
Answers = list[int]  # for each example the number of a candidate


def probabilities(scores: Sequence[Floats], counts: Sequence[int]) -> list[Floats]:
    """Softmax over the candidates of each example, for each member.

    Args:
        scores: of each member, of all candidates of one example after the other.
        counts: candidates of each example.

    Raises:
        ValueError: a member has not one score a candidate.
    """
    if any(len(member) != sum(counts) for member in scores):
        raise ValueError(f"Members have {[len(member) for member in scores]} scores, not {sum(counts)}.")
    columns = np.split(np.stack(scores), np.cumsum(counts)[:-1], axis=1)
    exponents = [np.exp(values - values.max(1, keepdims=True)) for values in columns]
    return [values / values.sum(1, keepdims=True) for values in exponents]


def averaged(members: Probabilities, chosen: Sequence[Sequence[int]]) -> Answers:
    """The likeliest candidates by the mean probability over the members that are chosen for each example."""
    return [int(values[list(some)].mean(0).argmax()) for values, some in zip(members, chosen, strict=True)]


def greedy_subset(n_members: int, size: int, score: Callable[[Sequence[int]], float]) -> tuple[int, ...]:
    """Members one after the other, each the one with which the ensemble scores best (Caruana et al. 2004, section 2).

    Without repeats; of equal ones the first is taken. `score` is of an ensemble of these members.
    """
    subset: tuple[int, ...] = ()
    while len(subset) < min(size, n_members):
        left = [member for member in range(n_members) if member not in subset]
        subset = (*subset, max(left, key=lambda member: score((*subset, member))))
    return subset


def nearest(embeddings: Floats, centroids: Floats, n: int) -> Ints:
    """The n centroids of the largest cosine with each embedding, the nearest first.

    embeddings [examples, D] and centroids [C, D], both of length 1 -> [examples, n].
    """
    return np.argsort(-(embeddings @ centroids.T), axis=1, kind="stable")[:, :n]


def centroid(embeddings: Floats) -> Floats:
    """The mean of embeddings [n, D], scaled to length 1: [D]."""
    mean: Floats = embeddings.mean(0)
    return mean / np.linalg.norm(mean)
