"""Searchers: the same question has the same answer, and the grid is complete."""

import math
from collections.abc import Sequence

import pytest

from polyray.errors import InputError
from polyray.sweeps.fields import Field, IntRange, LogUniform, OneOf, Uniform, Value
from polyray.sweeps.searchers import SEARCHERS, GridSearcher, RandomSearcher, Search, Trial
from polyray.sweeps.space import Goal, Space


def space_of(**fields: Field) -> Space:
    return Space(about="", job="walk", goal=Goal("mean"), fields=fields)


CONDITIONAL = space_of(
    kind=OneOf(("soft", "hard")), top=IntRange(1, 3, only_with={"kind": ("hard",)}), rate=Uniform(0, 1, 0.5)
)


def asked(searcher: GridSearcher | RandomSearcher, n: int) -> Sequence[dict[str, Value] | None]:
    return [searcher.ask(number, []) for number in range(n)]


def test_the_grid_holds_every_configuration_once_and_in_order() -> None:
    searcher = GridSearcher(Search(space=CONDITIONAL))
    expected = [{"kind": "soft", "rate": rate} for rate in (0.0, 0.5, 1.0)]
    expected += [{"kind": "hard", "top": top, "rate": rate} for top in (1, 2, 3) for rate in (0.0, 0.5, 1.0)]
    assert len(searcher) == 12
    assert asked(searcher, 13) == [*expected, None]


def test_a_grid_that_cannot_be_listed_is_refused() -> None:
    with pytest.raises(InputError, match="grid cannot list the values of lr: it is continuous .log-uniform from 0.001"):
        GridSearcher(Search(space=space_of(n=IntRange(1, 2), lr=LogUniform(1e-3, 1))))
    with pytest.raises(InputError, match="more than 100000 configurations"):
        GridSearcher(Search(space=space_of(a=IntRange(1, 10**6), b=IntRange(1, 10**6))))


def test_random_configurations_depend_on_seed_and_number_alone() -> None:
    searcher = RandomSearcher(Search(space=CONDITIONAL, seed=3))
    draws = asked(searcher, 40)
    assert [RandomSearcher(Search(space=CONDITIONAL, seed=3)).ask(number, []) for number in (39, 7)] == [
        draws[39],
        draws[7],
    ]
    lr = space_of(lr=LogUniform(1e-3, 1))
    of_two_seeds = [RandomSearcher(Search(space=lr, seed=seed)).ask(n, []) for seed in (0, 1) for n in range(30)]
    assert len({str(draw) for draw in of_two_seeds}) == 60  # seed + number would share 29 of them
    mean = sum(math.log10(float(str(draw["lr"]))) for draw in of_two_seeds if draw) / 60
    assert abs(mean + 1.5) < 0.3


def test_every_searcher_says_what_it_reads() -> None:
    assert all(searcher.about and isinstance(searcher.reads, tuple) for searcher in SEARCHERS.values())


def test_a_searcher_learns_if_its_proposals_follow_from_earlier_outcomes() -> None:
    space = space_of(rate=IntRange(1, 1000))
    wrong = []
    for name, kind in SEARCHERS.items():
        asks = set()
        for sign in (1, -1):
            trials = [
                Trial(number=n, fields={"rate": 33 * n + 1}, goals=(float(sign * n),), state="done") for n in range(30)
            ]
            asks.add(str(kind(Search(space=space)).ask(30, trials)))
        if (len(asks) > 1) != kind.learns:
            wrong.append(name)
    assert not wrong, wrong
