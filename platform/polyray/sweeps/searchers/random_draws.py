"""Configurations at random."""

import random
from collections.abc import Sequence
from typing import ClassVar

from polyray.sweeps.fields import Value
from polyray.sweeps.searchers.searcher import Search, Trial, seed_of


class RandomSearcher:
    """Independent draws; each depends on the sweep's seed and its number alone."""

    about: ClassVar[str] = "draws every configuration independently"
    learns: ClassVar[bool] = False
    reads: ClassVar[tuple[str, ...]] = ("trials", "seed")

    def __init__(self, search: Search) -> None:
        self._search = search

    def ask(self, number: int, trials: Sequence[Trial]) -> dict[str, Value]:
        """Draw number `number`."""
        return self._search.space.draw(random.Random(seed_of(self._search.seed, number)))
