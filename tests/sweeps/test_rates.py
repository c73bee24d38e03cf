"""The optimum of both rates, where the truth is planted."""

import numpy as np
import pytest
from sweep_cases import BEST_LR, BEST_ROUTING_LR, RATES, ROUTING, rated_rows, record, row

from polyray.analysis import surface
from polyray.analysis.surface import fit_surface
from polyray.sweeps.rates import fit_rates, rate_fields
from polyray.sweeps.space import Goal


@pytest.fixture
def few_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bootstrap that is quick and rough, for tests that look at estimates."""
    monkeypatch.setattr(surface, "REPLICATES", 3)


def test_intervals_cover_the_optimum_of_a_noisy_parabola_and_shrink_with_trials() -> None:
    widths = {}
    for n in (12, 40):
        rates = fit_rates(record(rated_rows(n)))
        assert rates is not None
        figures = rates.figures()
        for name, truth in (("training.lr", BEST_LR), ("training.routing_lr", BEST_ROUTING_LR), ("ratio", 20.0)):
            assert figures[name].low <= figures[name].estimate <= figures[name].high
            assert figures[name].low < truth < figures[name].high, (n, name, figures[name])
        widths[n] = figures["ratio"].high / figures["ratio"].low
        assert "ratio training.routing_lr / training.lr = " in rates.text() and f"From {n} trials." in rates.text()
    assert widths[40] < 10 and widths[40] < widths[12]


@pytest.mark.usefixtures("few_replicates")
def test_a_goal_to_be_small_has_the_same_optimum_as_its_negative() -> None:
    most, least = (
        fit_rates(record(rated_rows(16))),
        fit_rates(record(rated_rows(16, sign=-1.0), goals=(Goal("loss", "min"),))),
    )
    assert most is not None and least is not None
    assert most.figures() == least.figures()


@pytest.mark.usefixtures("few_replicates")
def test_the_noise_and_the_height_of_the_optimum_are_those_that_were_planted() -> None:
    rates = fit_rates(record(rated_rows(30, noise=0.05, repeats=3)))
    assert rates is not None
    assert abs(rates.surface.noise - 0.05) < 0.01 and abs(rates.surface.best - 0.8) < 0.05
    low, high = rates.flat
    assert low < 20 < high


@pytest.mark.usefixtures("few_replicates")
def test_an_optimum_on_the_edge_is_said_to_be_there() -> None:
    points = np.random.default_rng(0).uniform(0, 1, [20, 2])
    slope = fit_surface(points, [[x - (y - 0.5) ** 2] for x, y in points])
    assert slope.at_edge == (True, False)
    assert slope.optimum[0].estimate == points[:, 0].max()


@pytest.mark.usefixtures("few_replicates")
def test_a_diverged_training_does_not_move_the_optimum() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, [40, 2])
    scores = [1 - x * x - y * y for x, y in points]
    worst = int(np.argmin(scores))
    scores[worst] = -1e6
    fitted = fit_surface(points, [[score] for score in scores])
    assert max(abs(interval.estimate) for interval in fitted.optimum) < 0.15 and abs(fitted.best - 1) < 0.1


@pytest.mark.usefixtures("few_replicates")
def test_repeated_observations_weigh_as_points_of_their_own() -> None:
    points = np.random.default_rng(0).uniform(-1, 1, [12, 2])
    scores = [[1 - x * x - y * y, 1.1 - x * x - y * y] for x, y in points]
    together = fit_surface(points, scores)
    apart = fit_surface(np.repeat(points, 2, axis=0), [[score] for pair in scores for score in pair])
    assert np.allclose(together.scores, apart.scores, atol=1e-6)


def test_a_point_that_the_bootstrap_draws_twice_weighs_as_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface, "REPLICATES", 1)
    rng = np.random.default_rng(0)
    points, scores = rng.uniform(0, 1, [8, 2]), rng.standard_normal(8)
    within = np.exp(-((points[:, None] - points[None]) ** 2).sum(-1))
    (weights,) = surface._bootstrap(within, 0.1, [np.array([score]) for score in scores], np.random.default_rng(1)).T
    drawn = np.random.default_rng(1).integers(8, size=8)  # the first draw is that of the points
    assert len(set(drawn.tolist())) < 8
    alone = np.linalg.solve(within[np.ix_(drawn, drawn)] + 0.1 * np.eye(8), scores[drawn])
    assert np.allclose(within @ weights, within[:, drawn] @ alone)


@pytest.mark.usefixtures("few_replicates")
def test_of_too_many_points_the_best_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface, "MOST_POINTS", 4)
    points = [[0, 0], [9, 9], [1, 0], [8, 8], [0, 1], [1, 1]]
    fitted = fit_surface(points, [[0.5], [0.1], [0.4], [0.0], [0.6], [0.7]])
    assert fitted.n_points == 4 and (fitted.first.max(), fitted.second.max()) == (1, 1)


def test_a_surface_needs_points_that_span_it() -> None:
    for points, scores in (([[0, 0], [1, 1]], [[0.0], [1.0]]), ([[0, 0], [0, 1], [0, 2]], [[0.0], [1.0], [2.0]])):
        with pytest.raises(ValueError, match="needs at least 3 points"):
            fit_surface(points, scores)
    with pytest.raises(ValueError, match="scores that differ"):
        fit_surface([[0, 0], [1, 1], [2, 0]], [[1.0], [1.0], [1.0]])


def test_no_optimum_is_stated_without_enough_trials_or_both_rates() -> None:
    few = rated_rows(7)
    assert fit_rates(record(few)) is None
    assert fit_rates(record([*few, row(7, None, "failed", fields=few[0].fields)])) is None
    assert (
        fit_rates(record([row(number, 0.5, fields=each.fields) for number, each in enumerate(rated_rows(9))])) is None
    )
    assert rate_fields(ROUTING) is None and fit_rates(record([], space=ROUTING)) is None
    assert rate_fields(RATES) == ("training.lr", "training.routing_lr")
