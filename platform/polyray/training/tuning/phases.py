"""Phases that train whole parameters, chosen entries, or modules, each with the heads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from polyray.modules.changes import SparseChange
from polyray.modules.gradients import asking
from polyray.skills.sparse_delta import SparseDelta
from polyray.sparsity.largest import index_type
from polyray.training.entries import ChosenEntries
from polyray.training.growing import GrowingEntries
from polyray.training.model import Modular
from polyray.training.optimizers import adamw, sparse_optimizer
from polyray.training.pull import pull
from polyray.training.tuning.parameters import ParameterOptions, strength
from polyray.training.tuning.start import TuningStart

Grow = Callable[[ChosenEntries, torch.optim.Optimizer], GrowingEntries]
NETWORK, HEADS = "network.", "heads."  # how names of a model's parameters begin


class WholePhase:
    """Training of whole parameters, from where they are."""

    def __init__(self, start: TuningStart, names: Sequence[str], options: ParameterOptions) -> None:
        """Training of the backbone's parameters `names` and, unless they are frozen, the heads."""
        self._start, self._names = start, tuple(names)
        self.model: Modular = start.model
        self._origin = start.origin(names)
        self._heads = list(self.model.heads.parameters()) if options.heads == "dense" else []
        self._strength = strength(options.pull, start)
        self.adam = adamw({"backbone": self._parameters(), "heads": self._heads}, start.options)

    def _parameters(self) -> list[nn.Parameter]:
        return [self._start.network.get_parameter(name) for name in self._names]

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Ask for gradients of these parameters alone."""
        with asking(self.model, [*self._parameters(), *self._heads]):
            yield

    def before_step(self) -> None:
        """Add the pull towards the start."""
        if self._strength:
            pull(self._parameters(), self._origin.values(), self._strength)
            pull(self._heads, self._start.heads_at_start()[: len(self._heads)], self._strength)  # none where frozen

    def write(self) -> None:
        """Nothing: the optimiser's parameters are the network's."""

    def state(self) -> dict[str, Any]:
        """Nothing more."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Nothing more."""

    def delta(self) -> SparseDelta:
        """The entries that differ from the start; the network, without heads, is then reset."""
        changes = {}
        for name, before in self._origin.items():
            change = (self._start.network.get_parameter(name).detach() - before).flatten()
            support = change.nonzero().flatten()
            if len(support):
                changes[name] = SparseChange(
                    values=change[support], support=support.to(index_type(change.numel())), shape=tuple(before.shape)
                )
        self._start.reset(heads=False)
        return SparseDelta(changes=changes)


class EntriesPhase:
    """Training of chosen entries: gradients, optimiser state and exchange between workers are of these alone."""

    def __init__(
        self, start: TuningStart, entries: Mapping[str, Tensor], options: ParameterOptions,
        grow: Grow | None = None,
    ) -> None:  # fmt: skip
        """Training of the backbone's `entries`, ascending flat indices by parameter, from the network's values.

        Args:
            grow: makes of entries and optimiser what exchanges entries while they are trained.

        Raises:
            InputError: no entry is chosen, or a parameter cannot be sparse.
        """
        self._start = start
        self.model: Modular = start.model
        heads = [f"{HEADS}{name}" for name, _ in self.model.heads.named_parameters()]
        self._chosen = ChosenEntries(
            self.model, {NETWORK + name: indices for name, indices in entries.items()},
            heads if options.heads == "dense" else (),
        )  # fmt: skip
        self._strength = strength(options.pull, start)
        self.adam = sparse_optimizer(self._chosen, start.options)
        self._growing = None if grow is None else grow(self._chosen, self.adam)

    def trained(self) -> dict[str, Any]:
        """The entries' values as they are now, and the heads, for `go_on`."""
        slots = self._chosen.slots
        return {
            "entries": {slot.name: slot.indices for slot in slots},
            "values": {slot.name: self._chosen.values.detach()[slot.span].clone() for slot in slots},
            "heads": {name: tensor.clone() for name, tensor in self.model.heads_state().items()},
        }

    def go_on(self, trained: Mapping[str, Any]) -> None:
        """Begin with what a phase of some of these entries was trained to, in the network too."""
        with torch.no_grad():
            for name, indices in trained["entries"].items():
                flat = self.model.get_parameter(name).view(-1)
                flat[indices] = trained["values"][name].to(flat)
            for slot in self._chosen.slots:
                self._chosen.values[slot.span] = slot.parameter.view(-1)[slot.indices].to(self._chosen.values)
        self.model.load_heads_state(trained["heads"])

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Ask for gradients of these entries and the heads alone."""
        with self._chosen.installed(None if self._growing is None else self._growing.watch):
            yield

    def before_step(self) -> None:
        """Add the pull towards the start."""
        if self._growing is not None:
            self._growing.before_step()
        if self._strength:
            heads = list(self._chosen.dense.values())
            pull([self._chosen.values], [self._chosen.start], self._strength)
            pull(heads, self._start.heads_at_start()[: len(heads)], self._strength)

    def write(self) -> None:
        """Copy the entries into the network."""
        (self._growing or self._chosen).write()

    def state(self) -> dict[str, Any]:
        """State of the exchange of entries; empty without one."""
        return {} if self._growing is None else self._growing.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        if self._growing is not None:
            self._growing.load_state(state)

    def delta(self) -> SparseDelta:
        """The entries' changes since the start; the network, without heads, is then reset."""
        trained = self._chosen.delta()
        changes = {name.removeprefix(NETWORK): change for name, change in trained.changes.items()}
        with torch.no_grad():
            self._chosen.values.copy_(self._chosen.start)
        self._chosen.write()
        return SparseDelta(changes=changes)


class ModulesPhase:
    """Training of the modules on the backbone, which stays as it is."""

    def __init__(self, start: TuningStart, model: Modular, *, heads: bool) -> None:
        """Training of all modules of `model` and, where `heads`, of its heads."""
        self.model = model
        self._groups = {
            "skills": list(model.inventory.parameters()), "heads": list(model.heads.parameters()) if heads else [],
        }  # fmt: skip
        self.adam = adamw(self._groups, start.options)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Ask for gradients of the modules and the heads alone."""
        with asking(self.model, [parameter for group in self._groups.values() for parameter in group]):
            yield

    def before_step(self) -> None:
        """Nothing."""

    def write(self) -> None:
        """Nothing: the optimiser's parameters are the modules'."""

    def state(self) -> dict[str, Any]:
        """Nothing more."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Nothing more."""
