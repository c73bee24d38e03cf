"""Rates of a population by a Gaussian process over what rates have gained so far, the older the less telling.

Population based bandits, Parker-Holder et al. 2020 (arXiv:2002.02518), in the generations of `sweeps.population`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LENGTHS, DECAYS, NOISES = (0.1, 0.2, 0.4, 0.8, 1.6), (0.0, 0.05, 0.2, 0.5), (0.01, 0.1, 0.5)
CANDIDATES = 512  # random points among which the best one is taken
NEWEST = 200  # observations that count


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One trial in one generation.

    Attributes:
        generation: from 0. point: its rates [d], in the unit cube.
        gain: of the score, over that of the state it began with; large is good.
    """

    generation: int
    point: tuple[float, ...]
    gain: float


@dataclass(frozen=True, kw_only=True)
class GainModel:
    """A Gaussian process over points x [n, d] and generations t [n].

    k((x, t), (x', t')) = exp(-|x - x'|^2 / (2 length^2)) (1 - decay)^(|t - t'| / 2), plus noise on the diagonal.
    """

    points: Array
    times: Array
    gains: Array
    length: float
    decay: float
    noise: float

    @property
    def evidence(self) -> float:
        """The logarithm of the marginal likelihood, without its constant."""
        gram = self._gram(self.points, self.times)
        return float(-0.5 * self.gains @ np.linalg.solve(gram, self.gains) - 0.5 * np.linalg.slogdet(gram)[1])

    def bound(self, candidates: Array, time: int, taken: Array, width: float) -> Array:
        """Mean plus `width` standard deviations at candidates [m, d] -> [m]; points [k, d] that are taken are certain.

        The mean is that of the observations alone: nobody knows yet what the taken points will gain.
        """
        now = np.full(len(candidates), float(time))
        mean = self._kernel(candidates, now, self.points, self.times) @ np.linalg.solve(
            self._gram(self.points, self.times), self.gains
        )
        points, times = np.vstack([self.points, taken]), np.append(self.times, np.full(len(taken), float(time)))
        cross = self._kernel(candidates, now, points, times)  # [m, n + k]
        explained = np.einsum("mn,nm->m", cross, np.linalg.solve(self._gram(points, times), cross.T))
        bound: Array = mean + width * np.sqrt(np.maximum(1.0 - explained, 0.0))
        return bound

    def _gram(self, points: Array, times: Array) -> Array:
        gram: Array = self._kernel(points, times, points, times) + self.noise * np.eye(len(points))
        return gram

    def _kernel(self, points: Array, times: Array, others: Array, other_times: Array) -> Array:
        squares = ((points[:, None] - others[None]) ** 2).sum(-1)
        apart = np.abs(times[:, None] - other_times[None])
        kernel: Array = np.exp(-squares / (2 * self.length**2)) * (1 - self.decay) ** (apart / 2)
        return kernel


def propose(
    observations: Sequence[Observation], n_fields: int, generation: int, taken: Sequence[Sequence[float]], seed: int
) -> tuple[float, ...]:
    """The point of the unit cube with the highest upper confidence bound of its gain in the next generation.

    Args:
        observations: at least one. n_fields: d.
        generation: the one that has ended.
        taken: points that other trials get for the next generation.
        seed: of the random points among which it is.
    """
    candidates = np.random.default_rng(seed).random((CANDIDATES, n_fields))
    width = float(np.sqrt(0.2 + max(0.0, np.log(0.4 * (generation + 1)))))  # as in the paper's code
    others = np.array(taken, dtype=np.float64).reshape(len(taken), n_fields)
    bounds = _fitted(observations).bound(candidates, generation + 1, others, width)
    best: list[float] = candidates[int(np.argmax(bounds))].tolist()
    return tuple(best)


def _fitted(observations: Sequence[Observation]) -> GainModel:
    """The model with the greatest evidence on a grid; gains are standardised within their generation."""
    newest = sorted(observations, key=lambda one: (one.generation, one.point))[-NEWEST:]
    data: dict[str, Any] = {
        "points": np.array([one.point for one in newest]),
        "times": np.array([float(one.generation) for one in newest]),
        "gains": _standardised(newest),
    }
    grid = product(LENGTHS, DECAYS, NOISES)
    models = [GainModel(**data, length=length, decay=decay, noise=noise) for length, decay, noise in grid]
    return max(models, key=lambda model: model.evidence)


def _standardised(observations: Sequence[Observation]) -> Array:
    """Gains [n] less the mean of their generation, over its standard deviation: later ones are smaller for all."""
    gains = np.array([one.gain for one in observations])
    generations = np.array([one.generation for one in observations])
    for generation in set(generations.tolist()):
        among = generations == generation
        spread = gains[among].std()
        gains[among] = (gains[among] - gains[among].mean()) / (spread if spread > 0 else 1.0)
    return gains
