"""SpIEL: sparse fine-tuning that drops and grows entries, for networks without room for a first phase."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from polyray.config import Section
from polyray.skills.skill import Skill
from polyray.training.growing import GrowingEntries, GrowthOptions
from polyray.training.tuning.parameters import MaskOptions
from polyray.training.tuning.phases import EntriesPhase
from polyray.training.tuning.selection import at_random, check_agreement
from polyray.training.tuning.skills import skill_of_delta
from polyray.training.tuning.start import TuningStart
from polyray.training.tuning.tuning import SPARSE, Phase, Stage


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


class SpIEL:
    """Sparse fine-tuning with accumulated gradients, SpIEL-AG (Ansell et al. 2024, arXiv:2401.16405).

    `polyray.training.growing` says what is exchanged when. Its state is of K entries, but for the gradient of one
    parameter at a time. Entries are of all eligible parameters, in the paper of linear layers alone.
    """

    about: ClassVar[str] = "K entries that are dropped and grow while they are trained (SpIEL)"
    Options: ClassVar[type[Section]] = SpIELOptions

    def __init__(self, options: SpIELOptions, steps: int) -> None:
        self._options, self._steps = options, steps
        self._phase: EntriesPhase | None = None

    def check(self, network: nn.Module, family: str) -> None:
        """Refuse budgets that the network cannot fill."""
        self._options.budgets(network)

    def plan(self) -> Sequence[Stage]:
        """The one phase."""
        return (Stage(name=SPARSE, steps=self._steps),)

    def phases(self, start: TuningStart) -> Iterator[Phase]:
        """Training of entries that were drawn at random and are exchanged; see `Tuning`."""
        entries = start.once("entries", lambda: at_random(start, self._options.budgets(start.network)))
        check_agreement(entries, start.worker)
        self._phase = EntriesPhase(
            start, entries, self._options,
            lambda chosen, adam: GrowingEntries(chosen, adam, self._options, self._steps, start.worker.gather),
        )  # fmt: skip
        yield self._phase

    def skill(self, start: TuningStart) -> Skill:
        """The changes of the K entries, and the heads."""
        assert self._phase is not None  # it has ended
        return skill_of_delta(self._phase.delta(), start.model)
