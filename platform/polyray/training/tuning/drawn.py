"""Masks that need no first phase: entries are selected once, at random or the largest weights, and trained."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from polyray.config import Section
from polyray.skills.skill import Skill
from polyray.training.tuning.parameters import MaskOptions
from polyray.training.tuning.phases import EntriesPhase
from polyray.training.tuning.selection import at_random, check_agreement, largest_weights
from polyray.training.tuning.skills import skill_of_delta
from polyray.training.tuning.start import TuningStart
from polyray.training.tuning.tuning import SPARSE, Phase, Stage


class Masked(ABC):
    """Training of entries that are selected before anything is trained; subclasses say which ones."""

    about: ClassVar[str]
    Options: ClassVar[type[Section]] = MaskOptions
    changes_weights: ClassVar[bool] = True

    def __init__(self, options: Any, steps: int) -> None:
        self._options, self._steps = options, steps
        self._phase: EntriesPhase | None = None

    def check(self, network: nn.Module, family: str) -> None:
        """Refuse budgets that the network cannot fill."""
        self._options.budgets(network)

    def plan(self) -> Sequence[Stage]:
        """The one phase."""
        return (Stage(name=SPARSE, steps=self._steps),)

    @abstractmethod
    def entries(self, start: TuningStart) -> dict[str, Tensor]:
        """The selected entries: ascending flat indices by parameter."""

    def phase(self, start: TuningStart, entries: dict[str, Tensor]) -> EntriesPhase:
        """Training of these entries."""
        return EntriesPhase(start, entries, self._options)

    def phases(self, start: TuningStart) -> Iterator[Phase]:
        """Training of the selected entries; see `Tuning`."""
        entries = start.once("entries", lambda: self.entries(start))
        check_agreement(entries, start.worker)
        self._phase = self.phase(start, entries)
        yield self._phase

    def skill(self, start: TuningStart) -> Skill:
        """The changes of the K entries, and the heads."""
        assert self._phase is not None  # it has ended
        return skill_of_delta(self._phase.delta(), start.model)


class RandomMask(Masked):
    """Training of entries drawn at random."""

    about: ClassVar[str] = "K entries drawn at random"

    def entries(self, start: TuningStart) -> dict[str, Tensor]:
        """Entries of which every set has the same probability."""
        return at_random(start, self._options.budgets(start.network))


class Magnitude(Masked):
    """Training of the largest weights."""

    about: ClassVar[str] = "the K entries that are furthest from zero"

    def entries(self, start: TuningStart) -> dict[str, Tensor]:
        """The largest weights."""
        return largest_weights(start, self._options.budgets(start.network))
