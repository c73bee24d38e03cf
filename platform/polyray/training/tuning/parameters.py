"""Parameters that a tuning may train, and the masks of those that train some entries."""

from typing import Literal

from pydantic import Field

from polyray.sparsity import BudgetOptions, Eligible, EligibleOptions, eligible
from polyray.training.tuning.start import TuningStart


class ParameterOptions(EligibleOptions):
    """Parameters that are trained."""

    heads: Literal["dense", "frozen"] = "dense"
    """Heads: all of their entries are trained and saved, or they stay as they are."""
    pull: float = Field(0.0, ge=0)
    """Strength of the L1 regularisation towards the start, times sum |change| over the number of the network's
    parameters."""

    def eligible(self, start: TuningStart) -> Eligible:
        """The names of the backbone's parameters that may be trained.

        Raises:
            InputError: none may, or a pattern of `exclude` matches nothing.
        """
        return eligible(start.network, self)


class MaskOptions(BudgetOptions, ParameterOptions):
    """Number of trained entries, and the parameters that they are of."""


def strength(pull: float, start: TuningStart) -> float:
    """Strength of the L1 regularisation for each entry."""
    return pull / sum(parameter.numel() for parameter in start.network.parameters())
