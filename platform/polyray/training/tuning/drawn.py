"""Masks that need no first phase: entries drawn at random, and the largest weights."""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from torch import Tensor, nn

from polyray.config import Section
from polyray.skills.skill import Skill
from polyray.sparsity import Budget
from polyray.training.tuning.parameters import MaskOptions
from polyray.training.tuning.phases import EntriesPhase
from polyray.training.tuning.selection import at_random, check_agreement, largest_weights
from polyray.training.tuning.skills import skill_of_delta
from polyray.training.tuning.start import TuningStart
from polyray.training.tuning.tuning import SPARSE, Phase, Stage

Select = Callable[[TuningStart, Sequence[Budget]], dict[str, Tensor]]


class Masked:
    """Training of entries that are selected before anything is trained."""

    about: ClassVar[str]
    Options: ClassVar[type[Section]] = MaskOptions
    select: ClassVar[Select]

    def __init__(self, options: MaskOptions, steps: int) -> None:
        self._options, self._steps = options, steps
        self._phase: EntriesPhase | None = None

    def check(self, network: nn.Module, family: str) -> None:
        """Refuse budgets that the network cannot fill."""
        self._options.budgets(network)

    def plan(self) -> Sequence[Stage]:
        """The one phase."""
        return (Stage(name=SPARSE, steps=self._steps),)

    def phases(self, start: TuningStart) -> Iterator[Phase]:
        """Training of the selected entries; see `Tuning`."""
        shared = self._options.budgets(start.network)
        entries = start.once("entries", lambda: type(self).select(start, shared))
        check_agreement(entries, start.worker)
        self._phase = EntriesPhase(start, entries, self._options)
        yield self._phase

    def skill(self, start: TuningStart) -> Skill:
        """The changes of the K entries, and the heads."""
        assert self._phase is not None  # it has ended
        return skill_of_delta(self._phase.delta(), start.model)


class RandomMask(Masked):
    """Training of entries drawn at random."""

    about: ClassVar[str] = "K entries drawn at random"
    select: ClassVar[Select] = staticmethod(at_random)


class Magnitude(Masked):
    """Training of the largest weights."""

    about: ClassVar[str] = "the K entries that are furthest from zero"
    select: ClassVar[Select] = staticmethod(largest_weights)
