"""A searcher: proposes the configuration of the next trial from the trials there are."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from polyray.sweeps.fields import Value
from polyray.sweeps.space import Mode, Space


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One configuration and its outcome, as a searcher is told it.

    Attributes:
        goals: the value of every goal; None where there is none.
        state: stopped: ended early by the scheduler, with the goals that it had reached.
        step: of training that it reached.
    """

    number: int
    fields: dict[str, Value]
    goals: tuple[float, ...] | None = None
    state: Literal["running", "done", "stopped", "failed"]
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class Search:
    """The task of a searcher.

    Attributes:
        modes: of each goal, whether it is to be large or small.
        startup: trials that are drawn at random before those there are count.
    """

    space: Space
    seed: int = 0
    modes: tuple[Mode, ...] = ("max",)
    startup: int = 8


class Searcher(Protocol):
    """Proposes configurations: deterministic in its `Search`, the number and the trials, and without a state.

    Class attributes: `about`, one line; `reads`, the fields of `SweepOptions` that this one reads and others may not;
    `learns`, whether what it proposes depends on the outcomes of earlier trials.
    """

    about: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]
    learns: ClassVar[bool]

    def __init__(self, search: Search) -> None:
        """A searcher; InputError where it cannot search that space."""

    def ask(self, number: int, trials: Sequence[Trial]) -> dict[str, Value] | None:
        """The configuration of trial `number`, from 0; None: there are no more.

        Args:
            trials: all that were begun before, in any order.
        """


def seed_of(seed: int, number: int, attempt: int = 0) -> int:
    """The seed of a draw for trial `number`, 32 bits: two sweeps share no draw, as they would with seed + number."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}/{attempt}".encode()).digest()[:4])
