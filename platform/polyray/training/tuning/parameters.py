"""Parameters that a tuning may train, and the masks of those that train some entries."""

from typing import Literal

from pydantic import Field
from torch import nn

from polyray.errors import InputError
from polyray.modules.site import Site
from polyray.sparsity import Budget, BudgetOptions, EligibleOptions, budgets, eligible
from polyray.training.tuning.start import TuningStart


class ParameterOptions(EligibleOptions):
    """Parameters that are trained."""

    heads: Literal["dense", "frozen"] = "dense"
    """Heads: all of their entries are trained and saved, or they stay as they are."""
    pull: float = Field(0.0, ge=0)
    """Strength of the L1 regularisation towards the start, times sum |change| over the number of the network's
    parameters."""

    def eligible(self, network: nn.Module) -> tuple[str, ...]:
        """The names of the parameters of a backbone's network that may be trained.

        Raises:
            InputError: none may, a pattern of `exclude` matches nothing, or modules sit on the network.
        """
        sites = [module.name for module in network.modules() if isinstance(module, Site)]
        if sites:
            raise InputError(
                f"Modules of a skill beneath sit on {sites[0]!r}, and this method changes the backbone's parameters; "
                "above modules a skill is trained by lora, bottleneck or mad_x."
            )
        return eligible(network, self).sparse


class MaskOptions(BudgetOptions, ParameterOptions):
    """Number of trained entries, and the parameters that they are of."""

    def budgets(self, network: nn.Module) -> list[Budget]:
        """The budgets for the eligible parameters of a backbone's network; together they have exactly K entries.

        Raises:
            InputError: there are fewer entries, or shares and patterns do not fit the network.
        """
        sizes = {name: network.get_parameter(name).numel() for name in self.eligible(network)}
        return budgets(sizes, self)


def strength(pull: float, start: TuningStart) -> float:
    """Strength of the L1 regularisation for each entry."""
    return pull / sum(parameter.numel() for parameter in start.network.parameters())
