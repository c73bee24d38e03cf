"""Ways to change the rates of a trial that takes over another's state, by the scheduler's name.

At random (pbt, Jaderberg et al. 2017, arXiv:1711.09846), or as a model of what rates have gained so far proposes (pb2,
Parker-Holder et al. 2020, arXiv:2002.02518; `analysis.bandit`).
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from polyray.analysis.bandit import Observation, propose
from polyray.sweeps.fields.field import Field
from polyray.sweeps.space import Goal, Space

FACTORS = (0.8, 1.25)


@dataclass(frozen=True, kw_only=True)
class Member:
    """A trial at the end of a generation: its score, and its rates by field."""

    number: int
    score: float
    rates: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Move:
    """One trial takes over the state of another, with these rates."""

    number: int
    donor: int
    rates: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A generation that has ended, and what changed then."""

    members: Sequence[Member]
    moves: Sequence[Move]


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """All that new rates may depend on.

    Attributes:
        rates: of the trial whose state is taken over.
        history: all generations; the last one is this, with the moves that were decided so far.
        resample: probability that a rate is drawn anew; read by pbt.
    """

    rates: Mapping[str, float]
    history: Sequence[Generation]
    space: Space
    goal: Goal
    resample: float


def at_random(exploration: Exploration, rng: random.Random) -> dict[str, float]:
    """The donor's rates, each times 0.8 or 1.25, or drawn anew from the space with probability `resample`."""
    rates = {}
    for name, rate in exploration.rates.items():
        if rng.random() < exploration.resample:
            drawn = exploration.space.fields[name].draw(rng)
            assert isinstance(drawn, int | float)
            rates[name] = float(drawn)
        else:
            rates[name] = rate * rng.choice(FACTORS)
    return rates


def by_gains(exploration: Exploration, rng: random.Random) -> dict[str, float]:
    """The rates of the space that promise the most, away from those that other trials of this generation get."""
    names, history = sorted(exploration.rates), exploration.history
    taken = [_point(move.rates, names, exploration.space) for move in history[-1].moves]
    seen = observations(history, names, exploration.space, exploration.goal)
    point = propose(seen, len(names), len(history) - 1, taken, rng.getrandbits(32))
    return {name: _rate(share, exploration.space.fields[name]) for name, share in zip(names, point, strict=True)}


EXPLORERS: Mapping[str, Callable[[Exploration, random.Random], dict[str, float]]] = {"pbt": at_random, "pb2": by_gains}


def observations(history: Sequence[Generation], names: Sequence[str], space: Space, goal: Goal) -> list[Observation]:
    """Gain of each trial in each generation with its rates, over the state that it began with."""
    made: list[Observation] = []
    before: dict[int, float] = {}
    for number, generation in enumerate(history):
        scores = {member.number: goal.sign * member.score for member in generation.members}
        for member in generation.members:
            gain = scores[member.number] - before.get(member.number, 0.0)
            made.append(Observation(generation=number, point=_point(member.rates, names, space), gain=gain))
        before = scores | {move.number: scores[move.donor] for move in generation.moves}
    return made


def _point(rates: Mapping[str, float], names: Sequence[str], space: Space) -> tuple[float, ...]:
    """Rates in the unit cube of the space, by their logarithms where the field has these."""
    return tuple(_share(rates[name], space.fields[name]) for name in names)


def _share(rate: float, field: Field) -> float:
    low, high = _scaled(field.axis.low, field), _scaled(field.axis.high, field)
    return (_scaled(rate, field) - low) / (high - low) if high > low else 0.0


def _rate(share: float, field: Field) -> float:
    low, high = _scaled(field.axis.low, field), _scaled(field.axis.high, field)
    value = low + share * (high - low)
    return min(max(math.exp(value) if field.axis.log else value, field.axis.low), field.axis.high)


def _scaled(value: float, field: Field) -> float:
    return math.log(value) if field.axis.log else value
