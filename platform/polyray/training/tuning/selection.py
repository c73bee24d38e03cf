"""Selections of entries: by their change, as a first phase or a skill on disk has it, by their size, or at random."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from polyray.errors import InputError, RunError
from polyray.skills.card import check_backbone
from polyray.skills.fingerprint import fingerprint
from polyray.skills.skill import load_skill
from polyray.skills.sparse_delta import on_network, sparse_delta
from polyray.sparsity import Budget, Distances, keep_largest, select
from polyray.sparsity.largest import index_type
from polyray.training.tuning.start import TuningStart
from polyray.training.worker import Worker


def changed_most(start: TuningStart, shared: Sequence[Budget], taken: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries that are furthest from the start under each budget, and not `taken` already.

    The taken ones are given their values from the start.

    Raises:
        InputError: fewer entries changed than are to be selected.
    """
    names = [name for budget in shared for name in budget.names]
    origin = start.origin(names)
    tensors = {name: start.network.get_parameter(name).detach() for name in names}
    for name, indices in taken.items():
        tensors[name].view(-1)[indices] = origin[name].view(-1)[indices]
    return select(Distances(tensors, origin), shared)


def changed_most_by(ranking: Path, start: TuningStart, shared: Sequence[Budget]) -> dict[str, Tensor]:
    """The entries that the skill in the folder `ranking` changes most under each budget.

    Raises:
        InputError: the skill is of another backbone or no sparse delta, or changes fewer entries than are to be
            selected.
    """
    skill = load_skill(ranking)
    check_backbone(skill.card, start.model.backbone.fingerprint)
    delta = on_network(sparse_delta(skill), start.network, f"The skill {skill.card.name!r}")
    entries: dict[str, Tensor] = {}
    for budget in shared:
        changes = {name: delta.changes[name] for name in budget.names if name in delta.changes}
        n_changed = sum(int((change.values != 0).sum()) for change in changes.values())
        if n_changed < budget.k:
            raise InputError(
                f"{budget.k} entries are to be selected, and the skill {skill.card.name!r} changes only {n_changed} "
                f"of those that are eligible: select {n_changed} at most."
            )
        values = Distances({name: change.values for name, change in changes.items()})
        chosen = select(values, [Budget(names=tuple(changes), k=budget.k)])
        entries |= {name: changes[name].support[indices.long()] for name, indices in chosen.items()}
    return entries


def largest_weights(start: TuningStart, shared: Sequence[Budget]) -> dict[str, Tensor]:
    """The entries that are furthest from zero under each budget."""
    names = [name for budget in shared for name in budget.names]
    return select(Distances({name: start.network.get_parameter(name) for name in names}), shared)


def at_random(start: TuningStart, shared: Sequence[Budget]) -> dict[str, Tensor]:
    """Entries drawn at random under each budget, every set of k of them with the same probability.

    Their number in each tensor is drawn first, so that no more than one tensor's worth of random numbers is there.
    """
    entries = {}
    for budget in shared:
        sizes = [start.network.get_parameter(name).numel() for name in budget.names]
        seed = int(torch.randint(1 << 62, (), generator=start.generator))
        counts = np.random.default_rng(seed).multivariate_hypergeometric(sizes, budget.k, method="marginals")
        for name, size, k in zip(budget.names, sizes, counts, strict=True):
            drawn = torch.rand(size, generator=start.generator)
            entries[name] = keep_largest(drawn, int(k)).nonzero().flatten().to(index_type(size))
    return entries


def check_agreement(entries: Mapping[str, Tensor], worker: Worker) -> None:
    """Refuse to go on where the members of a group selected different entries.

    Raises:
        RunError: they did.
    """
    selections = worker.gather(fingerprint(entries))
    if len(set(selections)) > 1:
        raise RunError("The workers of this run selected different entries: their networks are no longer the same.")
