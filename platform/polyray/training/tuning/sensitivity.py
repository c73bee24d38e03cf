"""Masks from one pass of gradients: the entries whose removal, or whose change, would change the loss most."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from polyray.config import Section
from polyray.errors import InputError
from polyray.modules.gradients import asking
from polyray.modules.site import mixing
from polyray.sparsity import Budget, Distances, select
from polyray.training.tuning.drawn import Masked
from polyray.training.tuning.parameters import MaskOptions
from polyray.training.tuning.start import TuningStart


class SensitivityOptions(MaskOptions):
    """The choices of connection sensitivity."""

    batches: int = Field(32, ge=1)
    """Batches whose mean gradient is looked at."""
    score: Literal["sensitivity", "gradient"] = "sensitivity"
    """Score of an entry: |weight * gradient|, by which its removal changes the loss to first order, or |gradient|."""


class ConnectionSensitivity(Masked):
    """Training of the entries to which the loss is most sensitive before anything is trained.

    With g the gradient of the mean loss of the first batches, at the start, without dropout and with fresh heads, the
    score of an entry is |weight * g| (SNIP: Lee et al. 2019, arXiv:1810.02340, Eq. 6, whose normalisation changes no
    order) or |g|. The K largest are trained: Arnob et al. 2025 (arXiv:2507.07140) make sparse adapters so. It takes one
    gradient of everything, and no optimiser state of it.
    """

    about: ClassVar[str] = "the K entries to which the loss is most sensitive, from one pass of gradients (SNIP)"
    Options: ClassVar[type[Section]] = SensitivityOptions

    def entries(self, start: TuningStart) -> dict[str, Tensor]:
        """The entries with the largest scores."""
        return most_sensitive(start, self._options.budgets(start.network), self._options)


def most_sensitive(start: TuningStart, shared: Sequence[Budget], options: SensitivityOptions) -> dict[str, Tensor]:
    """The entries with the largest scores under each budget.

    Raises:
        InputError: fewer entries have a score above 0 than are to be selected.
    """
    names = [name for budget in shared for name in budget.names]
    scores = mean_gradients(start, names, options.batches)
    if options.score == "sensitivity":
        for name, gradient in scores.items():
            gradient *= start.network.get_parameter(name).detach()
    for budget in shared:
        n_scored = sum(int((scores[name] != 0).sum()) for name in budget.names)
        if n_scored < budget.k:
            raise InputError(
                f"{budget.k} entries are to be selected, and the loss of {options.batches} batches depends on "
                f"{n_scored} of those that are eligible: select {n_scored} at most, or set method.batches higher."
            )
    return select(Distances(scores), shared)


def mean_gradients(start: TuningStart, names: Sequence[str], n_batches: int) -> dict[str, Tensor]:
    """Gradients of the mean loss of the first batches with respect to the backbone's parameters, over all workers."""
    model = start.model
    parameters = {name: start.network.get_parameter(name) for name in names}
    was_training = model.training
    model.eval()
    start.batches.restart()
    with asking(model, list(parameters.values())), mixing(model.inventory):
        for _ in range(n_batches):
            (model(start.batches.draw()) / n_batches).backward()
    model.train(was_training)
    start.worker.average_gradients(list(parameters.values()))
    gradients = {}
    for name, parameter in parameters.items():
        gradient, parameter.grad = parameter.grad, None
        gradients[name] = torch.zeros_like(parameter) if gradient is None else gradient
    return gradients
