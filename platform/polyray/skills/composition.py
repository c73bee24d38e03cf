"""Composition of sparse deltas: any number of them on one network, in force for a block and gone without a trace."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.lookup import lookup
from polyray.modules.changes import SparseChange
from polyray.skills.card import check_backbone
from polyray.skills.skill import Skill
from polyray.skills.sparse_delta import SparseDelta, on_network, sparse_delta

Replaced = tuple[Tensor, Tensor | slice, Tensor]
"""A flattened parameter, the indices that were written to, and the entries that stood there."""


class SparseSkills:
    """Sparse deltas that share one network, which is as it was but inside `using`.

    Attributes:
        network: holds the parameters that the deltas change.
        deltas: by name, on the device of the network.
    """

    def __init__(self, network: nn.Module, deltas: Mapping[str, SparseDelta]) -> None:
        """Check the deltas once.

        Raises:
            InputError: a delta does not fit the network.
        """
        self.network = network
        self._parameters = dict(network.named_parameters(remove_duplicate=False))
        self.deltas: dict[str, SparseDelta] = {}
        for name, delta in deltas.items():
            fitting = on_network(delta, network, f"The skill {name!r}")
            changes = {p: _on_device(change, self._parameters[p].device) for p, change in fitting.changes.items()}
            self.deltas[name] = replace(fitting, changes=changes)

    @contextmanager
    def using(self, weights: Mapping[str, float], heads: str = "") -> Iterator[None]:
        """Add the deltas, times their weights, to the network's parameters for the length of the block.

        Afterwards all entries that were added to have the bits from before, whatever the block did to them: optimisers
        step outside. Blocks may stand inside each other. Parameters of fewer than 32 bits are rounded once, after the
        sum.

        Args:
            weights: of deltas, by name; the others are not in force.
            heads: name of the delta whose heads replace those of the network; empty: of none.

        Raises:
            InputError: there is no delta of such a name, a weight is not finite, or the network lacks a head.
        """
        terms: dict[str, list[tuple[SparseChange, float]]] = {}
        for name, weight in weights.items():
            if not math.isfinite(weight):
                raise InputError(f"The weight of the skill {name!r} is {weight}; expected a finite number.")
            for parameter, change in lookup(self.deltas, name, "sparse skill").changes.items():
                terms.setdefault(parameter, []).append((change, weight))
        new_heads = lookup(self.deltas, heads, "sparse skill").heads if heads else {}
        self._check_heads(heads, new_heads)
        replaced: list[Replaced] = []
        try:
            with torch.no_grad():
                for parameter, changes in terms.items():
                    replaced += _added(self._flat(parameter), changes)
                for parameter, head in new_heads.items():
                    flat = self._flat(parameter)
                    replaced.append((flat, slice(None), flat.clone()))
                    flat.copy_(head.flatten())
            yield
        finally:
            with torch.no_grad():
                for flat, indices, before in reversed(replaced):
                    flat[indices] = before

    def _flat(self, parameter: str) -> Tensor:
        return self._parameters[parameter].detach().view(-1)

    def _check_heads(self, name: str, heads: Mapping[str, Tensor]) -> None:
        for parameter, head in heads.items():
            shape = self._parameters[parameter].shape if parameter in self._parameters else None
            if head.shape != shape:
                raise InputError(
                    f"The head {parameter} {list(head.shape)} of the skill {name!r} does not fit: "
                    + ("the network has no such parameter." if shape is None else f"the network's is {list(shape)}.")
                )


def sparse_skills(network: nn.Module, skills: Mapping[str, Skill], fingerprint: str) -> SparseSkills:
    """Skills that are sparse deltas, on the network with this fingerprint.

    Raises:
        InputError: a skill is of another kind or damaged, or was trained on another backbone.
    """
    for skill in skills.values():
        check_backbone(skill.card, fingerprint)
    return SparseSkills(network, {name: sparse_delta(skill) for name, skill in skills.items()})


def compose(terms: Sequence[tuple[SparseDelta, float]]) -> SparseDelta:
    """The weighted sum of sparse deltas as one, on the union of their supports; heads are taken over.

    Raises:
        InputError: the deltas are of different networks, or two have a head of one name.
    """
    changes: dict[str, list[tuple[SparseChange, float]]] = {}
    heads: dict[str, Tensor] = {}
    for delta, weight in terms:
        for name, change in delta.changes.items():
            changes.setdefault(name, []).append((change, weight))
        twice = sorted(heads.keys() & delta.heads.keys())
        if twice:
            raise InputError(f"Two of the sparse deltas have the head {twice[0]!r}: compose one of them without heads.")
        heads |= delta.heads
    for name, of_parameter in changes.items():
        shapes = sorted({change.shape for change, _ in of_parameter})
        if len(shapes) > 1:
            raise InputError(f"The sparse deltas are of different networks: {name} is {shapes[0]} and {shapes[1]}.")
    return SparseDelta(changes={name: summed(of_parameter) for name, of_parameter in changes.items()}, heads=heads)


def summed(terms: Sequence[tuple[SparseChange, float]]) -> SparseChange:
    """The weighted sum of changes of one parameter, in fp32 or more, on the union of their supports."""
    support = torch.cat([change.support for change, _ in terms])
    values = torch.cat([_weighted(change, weight) for change, weight in terms])
    union, inverse = support.unique(return_inverse=True)
    total = values.new_zeros(len(union)).index_add(0, inverse, values)
    return SparseChange(values=total, support=union, shape=terms[0][0].shape)


def _weighted(change: SparseChange, weight: float) -> Tensor:
    return weight * change.values.to(torch.promote_types(change.values.dtype, torch.float32))


def _added(flat: Tensor, changes: Sequence[tuple[SparseChange, float]]) -> Iterator[Replaced]:
    """Add changes to a flattened parameter, one after the other; those of one are yielded before they are made."""
    if flat.element_size() < 4 and len(changes) > 1:
        changes = [(summed(changes), 1.0)]
    for change, weight in changes:
        before = flat[change.support]
        yield flat, change.support, before
        flat[change.support] = (before + _weighted(change, weight)).to(flat.dtype)


def _on_device(change: SparseChange, device: torch.device) -> SparseChange:
    return replace(change, values=change.values.to(device), support=change.support.to(device))
