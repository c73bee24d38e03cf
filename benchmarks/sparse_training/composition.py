"""Two sparse skills put on a network and taken off again: time, and entries that do not come back."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.sparse_training.problem import Tagger
from benchmarks.timing import measure
from polyray.modules.changes import SparseChange
from polyray.skills.composition import SparseSkills
from polyray.skills.sparse_delta import SparseDelta

STD = 1e-3  # of the changes


def skill(network: Tagger, entries: Mapping[str, Tensor], share: float, seed: int) -> SparseDelta:
    """Random changes at a share of the entries."""
    generator = torch.Generator().manual_seed(seed)
    changes = {}
    for name, indices in entries.items():
        support = indices[torch.rand(len(indices), generator=generator) < share]
        values = STD * torch.randn(len(support), generator=generator)
        changes[name] = SparseChange(values=values, support=support, shape=tuple(network.get_parameter(name).shape))
    return SparseDelta(changes=changes)


class Added:
    """The reference's way: sparse tensors are added and subtracted again (composable-sft, `sft/sft.py`)."""

    def __init__(self, network: Tagger, deltas: Mapping[str, SparseDelta]) -> None:
        self._terms = [
            (network.get_parameter(name).detach(), self._sparse(change))
            for delta in deltas.values() for name, change in delta.changes.items()
        ]  # fmt: skip

    @staticmethod
    def _sparse(change: SparseChange) -> Tensor:
        coordinates = torch.unravel_index(change.support.long(), change.shape)
        indices = torch.stack(coordinates)
        return torch.sparse_coo_tensor(indices, change.values, change.shape, is_coalesced=True, check_invariants=False)

    def cycle(self) -> None:
        """Put the skills on and take them off."""
        for alpha in (1, -1):
            for parameter, change in self._terms:
                parameter.add_(change.to(parameter.dtype), alpha=alpha)


def rows(network: Tagger, entries: Mapping[str, Tensor], cycles: int, rounds: int) -> list[dict[str, Any]]:
    """Milliseconds of a cycle of each way, and entries that differ after some cycles, in fp32 and bf16."""
    deltas = {"task": skill(network, entries, 1.0, 1), "language": skill(network, entries, 0.54, 2)}
    table = []
    for dtype in (torch.float32, torch.bfloat16):
        network.to(dtype)
        skills, added = SparseSkills(network, deltas), Added(network, deltas)

        def exact(skills: SparseSkills = skills) -> None:
            with skills.using(dict.fromkeys(deltas, 1.0)):
                pass

        times = measure({"polyray": exact, "added": added.cycle}, rounds)
        for way, cycle in {"polyray": exact, "added": added.cycle}.items():
            before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            for _ in range(cycles):
                cycle()
            n_changed = sum(int((before[name] != tensor).sum()) for name, tensor in network.state_dict().items())
            row = {"way": way, "type": str(dtype).removeprefix("torch."), "ms": times[way], "cycles": cycles}
            table.append({**row, "entries that differ": n_changed})
    return table
