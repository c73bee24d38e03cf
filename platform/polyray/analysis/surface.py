"""Smoothed score over two coordinates, such as the logarithms of two learning rates, and where it is highest.

A Gaussian process (Rasmussen and Williams 2006, chapter 2) with a squared exponential kernel, a length for each
coordinate, and noise. The uncertainty of the optimum is that of a bootstrap over points, and over the observations of
each point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyray.analysis.allocation import Floats

GRID = 61  # values of each coordinate at which the surface is computed
MOST_POINTS = 200  # the cost of a fit grows with the third power
REPLICATES = 200
LENGTHS = (0.2, 0.3, 0.45, 0.7, 1.0, 1.5, 2.5)  # of the kernel, over the range of the points
NOISE = (1e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # variance, over that of the surface
CLIP = 3.0  # a score is at least the median less so many times the distance from the median to the best


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate and the ends of its 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """Expected score at each pair of coordinates, and its optimum.

    Attributes:
        first, second: [G] coordinates.
        scores: [second, first] expected scores, high is good.
        noise: standard deviation of one observation around it.
        best: expected score at the optimum.
        optimum: first and second coordinate of it. difference: of the second and the first coordinate, at the optimum.
        at_edge: whether the optimum lies on the edge of the points, by coordinate.
        flat: least and greatest difference (second - first) at which the surface comes within `noise` of the best.
        n_points: number of points it was fitted to.
    """

    first: Floats
    second: Floats
    scores: Floats
    noise: float
    best: float
    optimum: tuple[Interval, Interval]
    difference: Interval
    at_edge: tuple[bool, bool]
    flat: tuple[float, float]
    n_points: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Kernel:
    """Prior of the surface on the unit square: height^2 exp(-|(a - b) / lengths|^2 / 2), and the noise's variance."""

    height: float
    lengths: Floats
    noise: float

    def __call__(self, left: Floats, right: Floats) -> Floats:
        """left [n, 2], right [m, 2] -> [n, m]."""
        steps = (left[:, None] - right[None]) / self.lengths  # [n, m, 2]
        values: Floats = self.height * np.exp(-0.5 * (steps**2).sum(-1))
        return values


def fit_surface(points: ArrayLike, observations: Sequence[Sequence[float]], *, seed: int = 0) -> Surface:
    """Fit the surface to observations at points, and find its optimum.

    points [n, 2]; of each point, its observations (repeats with other seeds), high is good. Of more than 200 points the
    best are used. Scores far below the median (of trainings that diverged) are raised to a bound, which does not move
    the optimum.

    Raises:
        ValueError: fewer than 3 points, a coordinate that is the same at all points, or scores that are all equal.
    """
    coordinates, samples = _best_points(np.asarray(points, np.float64), observations)
    low, width = coordinates.min(axis=0), np.ptp(coordinates, axis=0)
    samples, centre, scale = _normalised(samples)
    unit = (coordinates - low) / width
    kernel = _fit_kernel(unit, samples)
    axis = np.linspace(0.0, 1.0, GRID)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # [second * first, 2]
    across, within = kernel(grid, unit), kernel(unit, unit)
    scores = across @ _weights(within, kernel.noise, samples)
    replicates = (across @ _bootstrap(within, kernel.noise, samples, np.random.default_rng(seed))).argmax(axis=0)
    (first, second), best = (low + width * grid).T, int(scores.argmax())
    near = (second - first)[scores >= scores.max() - np.sqrt(kernel.noise)]
    return Surface(
        first=low[0] + width[0] * axis, second=low[1] + width[1] * axis,
        scores=centre + scale * scores.reshape(GRID, GRID), noise=scale * float(np.sqrt(kernel.noise)),
        best=centre + scale * float(scores.max()), difference=_interval(second - first, best, replicates),
        optimum=(_interval(first, best, replicates), _interval(second, best, replicates)),
        at_edge=(bool(grid[best, 0] in (0.0, 1.0)), bool(grid[best, 1] in (0.0, 1.0))),
        flat=(float(near.min()), float(near.max())), n_points=len(coordinates),
    )  # fmt: skip


def _best_points(points: Floats, observations: Sequence[Sequence[float]]) -> tuple[Floats, list[Floats]]:
    """The points with the highest means, in their order, and their observations.

    Raises:
        ValueError: see `fit_surface`.
    """
    samples = [np.asarray(values, np.float64) for values in observations]
    chosen = np.sort(np.argsort([-sample.mean() for sample in samples], kind="stable")[:MOST_POINTS])
    points, samples = points[chosen], [samples[index] for index in chosen]
    if len(points) < 3 or not np.ptp(points, axis=0).all() or np.ptp(np.concatenate(samples)) == 0:
        raise ValueError("A surface needs at least 3 points, in both coordinates, and scores that differ.")
    return points, samples


def _normalised(samples: list[Floats]) -> tuple[list[Floats], float, float]:
    """The samples with mean 0 and deviation 1, low ones raised to the bound, and the mean and deviation before."""
    values = np.concatenate(samples)
    middle = float(np.median(values))
    bound = middle - CLIP * (values.max() - middle)
    if bound < middle:
        samples = [np.maximum(sample, bound) for sample in samples]
    values = np.concatenate(samples)
    centre, scale = float(values.mean()), float(values.std())
    return [(sample - centre) / scale for sample in samples], centre, scale


def _fit_kernel(unit: Floats, samples: list[Floats]) -> _Kernel:
    """The kernel among those of the grid LENGTHS x LENGTHS x NOISE under which the samples at `unit` are likeliest.

    Its height is the likeliest one in closed form. The likelihood is that of the samples' means and of the residuals
    around them.
    """
    means, counts = np.array([sample.mean() for sample in samples]), np.array([sample.size for sample in samples])
    within, n_values = sum(float(((sample - sample.mean()) ** 2).sum()) for sample in samples), int(counts.sum())
    best, kernel = -np.inf, _Kernel(height=1.0, lengths=np.ones(2), noise=1.0)
    for first, second, ratio in product(LENGTHS, LENGTHS, NOISE):
        lengths = np.array([first, second])
        factor = np.linalg.cholesky(
            _Kernel(height=1.0, lengths=lengths, noise=0.0)(unit, unit) + np.diag(ratio / counts)
        )
        height = float((np.linalg.solve(factor, means) ** 2).sum() + within / ratio) / n_values
        determinant = 2 * np.log(factor.diagonal()).sum() + (n_values - len(means)) * np.log(ratio)
        likelihood = -0.5 * (n_values * np.log(height) + determinant)
        if likelihood > best:
            best, kernel = likelihood, _Kernel(height=height, lengths=lengths, noise=height * ratio)
    return kernel


def _bootstrap(within: Floats, noise: float, samples: list[Floats], rng: np.random.Generator) -> Floats:
    """Weights [n, R] of the points in each replicate: points drawn again, and the observations of each point."""
    weights = np.zeros((len(samples), REPLICATES))
    for replicate in range(REPLICATES):
        chosen, times = np.unique(rng.integers(len(samples), size=len(samples)), return_counts=True)
        redrawn = [
            rng.choice(samples[index], size=samples[index].size * n) for index, n in zip(chosen, times, strict=True)
        ]
        weights[chosen, replicate] = _weights(within[np.ix_(chosen, chosen)], noise, redrawn)
    return weights


def _weights(within: Floats, noise: float, samples: list[Floats]) -> Floats:
    """Weights [n] of the points, by which their covariances with any other one give its expected score.

    Args:
        within: covariances among the points [n, n].
        noise: variance of one observation.
    """
    means, counts = np.array([sample.mean() for sample in samples]), np.array([sample.size for sample in samples])
    weights: Floats = np.linalg.solve(within + np.diag(noise / counts), means)
    return weights


def _interval(values: Floats, best: int, replicates: NDArray[np.intp]) -> Interval:
    """The value at the optimum, and the interval of those at the optima of the replicates, all indices of the grid."""
    low, high = np.quantile(values[replicates], [0.025, 0.975])
    return Interval(estimate=float(values[best]), low=float(low), high=float(high))
