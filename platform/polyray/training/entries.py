"""Training of chosen entries of a network: gradients and optimiser state for these entries only.

A backward pass still computes the gradient of each weight that has chosen entries, but one at a time: it is gone as
soon as its chosen entries are gathered. `polyray.training.masked` does the same with whole gradients, in a few lines.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.changes import SparseChange
from polyray.modules.gradients import asking
from polyray.skills.fingerprint import fingerprint
from polyray.skills.sparse_delta import SparseDelta
from polyray.training.aside import set_aside
from polyray.training.gathering import add_dense, add_rows, row_starts, untouched_zeros
from polyray.training.sampled import Gather, add_sampled, pattern, sampling, sampling_linears

Watch = Callable[[int, Tensor], None]


@dataclass(frozen=True, eq=False, kw_only=True)
class Slot:
    """Chosen entries of one parameter: their flat indices [k], ascending, and their slice of the vector.

    starts: of an embedding whose gradients are sparse, number of the first chosen entry of each row [rows + 1].
    pattern: of a linear layer of whose weight few entries are chosen, see `polyray.training.sampled`.
    """

    name: str
    parameter: nn.Parameter
    indices: Tensor
    span: slice
    starts: Tensor | None
    pattern: Tensor | None


class ChosenEntries:
    """Chosen entries of a network's parameters, as one vector to train.

    Attributes:
        values: the entries [K], one parameter after the other, in fp32 (fp64 where a parameter is fp64). Optimisers
            change it and `write` copies it into the network. Its gradient is all that workers have to average.
        start: the entries as they were before the training [K].
        dense: parameters that are trained whole, by name.
    """

    def __init__(self, network: nn.Module, entries: Mapping[str, Tensor], dense: Sequence[str] = ()) -> None:
        """Look the entries up; nothing of the network changes before `installed`.

        Args:
            entries: ascending flat indices by parameter, such as `polyray.sparsity.select` returns.
            dense: names of parameters that are trained whole.

        Raises:
            InputError: no entry is chosen, or a parameter is quantised, not contiguous, or sparse and dense at once.
        """
        self.network = network
        chosen = {name: indices for name, indices in entries.items() if len(indices)}
        _check(network, chosen, dense)
        self.dense = {name: network.get_parameter(name) for name in dense}
        embeddings = {id(module.weight): module for module in _embeddings(network)}
        linears = sampling_linears(network)
        self._embeddings = [embeddings[id(p)] for p in map(network.get_parameter, chosen) if id(p) in embeddings]
        self.slots: list[Slot] = []
        end = 0
        for name, indices in chosen.items():
            parameter, span = network.get_parameter(name), slice(end, end + len(indices))
            indices = indices.to(parameter.device)
            self.slots.append(
                Slot(
                    name=name, parameter=parameter, indices=indices, span=span,
                    starts=row_starts(indices, parameter) if id(parameter) in embeddings else None,
                    pattern=pattern(indices, parameter) if id(parameter) in linears else None,
                )
            )  # fmt: skip
            end = span.stop
        self._sampled = {
            linears[id(slot.parameter)]: number for number, slot in enumerate(self.slots) if slot.pattern is not None
        }
        dtype = torch.float64 if any(slot.parameter.dtype == torch.float64 for slot in self.slots) else torch.float32
        current = [slot.parameter.detach().view(-1)[slot.indices].to(dtype) for slot in self.slots]
        self.values = nn.Parameter(torch.cat(current))
        self.start = set_aside(self.values.detach())

    @contextmanager
    def installed(self, watch: Watch | None = None) -> Iterator["ChosenEntries"]:
        """Let backward passes in the block compute what the entries need, and nothing else.

        Parameters without chosen entries get no gradient. Afterwards the network has the values that it was trained to,
        and asks for gradients as before.

        Args:
            watch: is shown the number of each slot and the gradient of its whole parameter, in each backward pass.
        """
        sparse = [module.sparse for module in self._embeddings]
        trained = (*self.dense.values(), *(slot.parameter for slot in self.slots))
        hooks = [
            slot.parameter.register_post_accumulate_grad_hook(self._gathering(number, watch))
            for number, slot in enumerate(self.slots)
        ]
        sampled = {} if watch else self._sampled
        gathers = {layer: self._sampling(number) for layer, number in sampled.items()}
        try:
            for module in self._embeddings:
                module.sparse = True
            with asking(self.network, trained), sampling(gathers):
                yield self
        finally:
            for hook in hooks:
                hook.remove()
            for module, before in zip(self._embeddings, sparse, strict=True):
                module.sparse = before

    def _gathering(self, number: int, watch: Watch | None) -> Callable[[Tensor], None]:
        """The hook that takes the chosen entries of a parameter's gradient and frees the rest."""

        def gather(parameter: Tensor) -> None:
            gradient, parameter.grad = parameter.grad, None
            if gradient is None:  # it was sampled
                return
            slot = self.slots[number]
            target = self._gradient(slot)
            if slot.starts is not None and gradient.is_sparse:
                add_rows(target, gradient, slot.indices, slot.starts)
            else:
                add_dense(target, gradient, slot.indices)
            if watch is not None:
                watch(number, gradient)

        return gather

    def _sampling(self, number: int) -> Gather:
        """The function that computes the chosen entries of a weight's gradient."""

        def gather(gradient: Tensor, inputs: Tensor) -> None:
            slot = self.slots[number]
            assert slot.pattern is not None
            add_sampled(self._gradient(slot), slot.pattern, gradient, inputs)

        return gather

    def _gradient(self, slot: Slot) -> Tensor:
        """The chosen entries of a parameter's gradient so far."""
        if self.values.grad is None:
            self.values.grad = untouched_zeros(self.values)
        return self.values.grad[slot.span]

    @torch.no_grad()
    def write(self) -> None:
        """Copy the vector into the network's parameters, rounded to their types."""
        for slot in self.slots:
            parameter = slot.parameter
            parameter.detach().view(-1).scatter_(0, slot.indices.long(), self.values[slot.span].to(parameter.dtype))

    @torch.no_grad()
    def exchange(self, number: int, indices: Tensor) -> None:
        """Choose other entries of a slot's parameter, as many as before; all of them have the values from the start.

        Args:
            indices: [k] into the flattened parameter, ascending.
        """
        slot = self.slots[number]
        flat = slot.parameter.detach().view(-1)
        flat[slot.indices] = self.start[slot.span].to(flat.dtype)
        starts = None if slot.starts is None else row_starts(indices, slot.parameter)
        self.slots[number] = replace(slot, indices=indices, starts=starts, pattern=None)
        self.start[slot.span] = flat[indices].to(self.start.dtype)
        self.values[slot.span] = self.start[slot.span]

    def delta(self) -> SparseDelta:
        """The trained entries' changes since the start, and the parameters that were trained whole."""
        change = (self.values - self.start).detach()
        changes = {
            slot.name: SparseChange(values=change[slot.span], support=slot.indices, shape=tuple(slot.parameter.shape))
            for slot in self.slots
        }
        return SparseDelta(changes=changes, heads={name: p.detach().clone() for name, p in self.dense.items()})

    def state(self) -> dict[str, Any]:
        """All that a resumed training needs beside the network as it was before and the optimiser's state."""
        dense = {name: parameter.detach() for name, parameter in self.dense.items()}
        return {"entries": self._fingerprint(), "start": self.start, "values": self.values.detach(), "dense": dense}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned, in the network too.

        Raises:
            InputError: the state is of other entries.
        """
        if state["entries"] != self._fingerprint() or state["dense"].keys() != self.dense.keys():
            raise InputError("The state is of a training of other entries: choose the same ones before resuming it.")
        with torch.no_grad():
            self.start = set_aside(state["start"].to(self.values.device))
            self.values.copy_(state["values"])
            for name, tensor in state["dense"].items():
                self.dense[name].copy_(tensor)
        self.write()

    def _fingerprint(self) -> str:
        return fingerprint({slot.name: slot.indices for slot in self.slots})


def _check(network: nn.Module, entries: Mapping[str, Tensor], dense: Sequence[str]) -> None:
    """Refuse entries that cannot be trained."""
    if not entries:
        raise InputError("No entry is chosen, so there is nothing to train.")
    twice = sorted(set(entries) & set(dense))
    if twice:
        raise InputError(f"{twice[0]} is to be trained whole and in some entries only: choose one of both.")
    for name in entries:
        parameter = network.get_parameter(name)
        if not parameter.is_floating_point() or not parameter.is_contiguous():
            raise InputError(f"{name} is quantised or not contiguous; its entries cannot be trained. Load it in fp32.")


def _embeddings(network: nn.Module) -> list[nn.Embedding]:
    """The embeddings whose gradients can be sparse."""
    return [m for m in network.modules() if isinstance(m, nn.Embedding) and not m.scale_grad_by_freq]
