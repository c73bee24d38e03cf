"""SpIEL: sparse fine-tuning that drops and grows entries, for networks without room for a first phase."""

from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from polyray.config import Section
from polyray.training.entries import ChosenEntries
from polyray.training.growing import GrowingEntries, GrowthOptions
from polyray.training.tuning.drawn import RandomMask
from polyray.training.tuning.parameters import MaskOptions
from polyray.training.tuning.phases import EntriesPhase
from polyray.training.tuning.start import TuningStart


class SpIELOptions(MaskOptions, GrowthOptions):
    """The choices of SpIEL."""

    per: Literal["tensor"] = Field("tensor")
    """Each tensor keeps its number of entries, in proportion to its size."""

    @model_validator(mode="after")
    def _one_after_the_other(self) -> Self:
        if self.accumulate > self.every:
            raise ValueError(
                f"gradients accumulate over accumulate={self.accumulate} updates, and entries are exchanged "
                f"every={self.every}: make `accumulate` no more than `every`"
            )
        return self


class SpIEL(RandomMask):
    """Sparse fine-tuning with accumulated gradients, SpIEL-AG (Ansell et al. 2024, arXiv:2401.16405).

    `polyray.training.growing` says what is exchanged when. Its state is of K entries, but for the gradient of one
    parameter at a time. Entries are of all eligible parameters, in the paper of linear layers alone.
    """

    about: ClassVar[str] = "K entries that are dropped and grow while they are trained (SpIEL)"
    Options: ClassVar[type[Section]] = SpIELOptions

    def phase(self, start: TuningStart, entries: dict[str, Tensor]) -> EntriesPhase:
        """Training of entries that were drawn at random and are exchanged."""

        def grow(chosen: ChosenEntries, adam: torch.optim.Optimizer) -> GrowingEntries:
            return GrowingEntries(chosen, adam, self._options, self._steps, start.worker.gather)

        return EntriesPhase(start, entries, self._options, grow)
