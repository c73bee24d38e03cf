"""Full fine-tuning, BitFit and training of heads alone: methods that train whole parameters."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
from torch import nn

from polyray.config import NoOptions, Section
from polyray.errors import InputError
from polyray.skills.skill import Skill
from polyray.skills.sparse_delta import SparseDelta
from polyray.sparsity.largest import index_type
from polyray.training.tuning.parameters import ParameterOptions
from polyray.training.tuning.phases import EntriesPhase, ModulesPhase, WholePhase
from polyray.training.tuning.skills import skill_of_delta
from polyray.training.tuning.start import TuningStart
from polyray.training.tuning.tuning import FULL, ONLY, Phase, Stage


class Full:
    """Full fine-tuning; the skill holds every entry that changed."""

    about: ClassVar[str] = "full fine-tuning of all eligible parameters"
    Options: ClassVar[type[Section]] = ParameterOptions
    changes_weights: ClassVar[bool] = True

    def __init__(self, options: ParameterOptions, steps: int) -> None:
        self._options, self._steps = options, steps
        self._phase: WholePhase | None = None

    def check(self, network: nn.Module, family: str) -> None:
        """Refuse patterns that match nothing."""
        self._options.eligible(network)

    def plan(self) -> Sequence[Stage]:
        """The one phase, which is that of a lottery ticket."""
        return (Stage(name=FULL, steps=self._steps),)

    def phases(self, start: TuningStart) -> Iterator[Phase]:
        """Training of all eligible parameters; see `Tuning`."""
        self._phase = WholePhase(start, self._options.eligible(start.network), self._options)
        yield self._phase

    def skill(self, start: TuningStart) -> Skill:
        """The entries that differ from the start, and the heads."""
        assert self._phase is not None  # it has ended
        return skill_of_delta(self._phase.delta(), start.model)


class BitFitOptions(ParameterOptions):
    """The choices of BitFit."""

    embeddings: Literal[False] = False
    """Embeddings have no biases."""
    norms: bool = True
    """Offsets of normalisation layers."""


class BitFit:
    """Training of all biases (Ben Zaken et al. 2022, arXiv:2106.10199)."""

    about: ClassVar[str] = "all biases, those of normalisations too (BitFit)"

    Options: ClassVar[type[Section]] = BitFitOptions
    changes_weights: ClassVar[bool] = True

    def __init__(self, options: ParameterOptions, steps: int) -> None:
        self._options, self._steps = options, steps
        self._phase: EntriesPhase | None = None

    def check(self, network: nn.Module, family: str) -> None:
        """Refuse a network without eligible biases."""
        self._biases(network)

    def _biases(self, network: nn.Module) -> list[str]:
        names = [name for name in self._options.eligible(network) if name.rpartition(".")[2] == "bias"]
        if not names:
            raise InputError("method.kind=bitfit trains biases, and none is eligible in this network.")
        return names

    def plan(self) -> Sequence[Stage]:
        """The one phase."""
        return (Stage(name=ONLY, steps=self._steps),)

    def phases(self, start: TuningStart) -> Iterator[Phase]:
        """Training of the biases; see `Tuning`."""
        sizes = {name: start.network.get_parameter(name).numel() for name in self._biases(start.network)}
        entries = {name: torch.arange(size, dtype=index_type(size)) for name, size in sizes.items()}
        self._phase = EntriesPhase(start, entries, self._options)
        yield self._phase

    def skill(self, start: TuningStart) -> Skill:
        """The changes of the biases, and the heads."""
        assert self._phase is not None  # it has ended
        return skill_of_delta(self._phase.delta(), start.model)


class HeadOnly:
    """Training of the heads on the frozen backbone: a probe, or the head that a language model lacks."""

    about: ClassVar[str] = "the heads alone, on the frozen backbone"
    Options: ClassVar[type[Section]] = NoOptions
    changes_weights: ClassVar[bool] = False

    def __init__(self, options: Section, steps: int) -> None:
        self._steps = steps

    def check(self, network: nn.Module, family: str) -> None:
        """Accept every network."""

    def plan(self) -> Sequence[Stage]:
        """The one phase."""
        return (Stage(name=ONLY, steps=self._steps),)

    def phases(self, start: TuningStart) -> Iterator[Phase]:
        """Training of the heads; see `Tuning`.

        Raises:
            InputError: the tasks have none.
        """
        if not len(start.model.heads):
            raise InputError("method.kind=head trains heads, and the tasks have none: choose another method.")
        yield ModulesPhase(start, start.model, heads=True)

    def skill(self, start: TuningStart) -> Skill:
        """The heads, and no change of the backbone."""
        return skill_of_delta(SparseDelta(changes={}), start.model)
