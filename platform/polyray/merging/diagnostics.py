"""Agreement of the parts of a merge: cosines, overlaps and sign conflicts of their task vectors, layer by layer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor

from polyray.merging.fisher_weighted import EwrShares
from polyray.merging.operands import Operands

AGREEMENT = "agreement.json"  # file in the run folder
BLOCK, SAMPLE = 1 << 18, 1 << 14  # of each block of entries the first ones are looked at


@dataclass(frozen=True, eq=False, kw_only=True)
class Agreement:
    """Sums over entries of n task vectors times the signs of their weights; those of several tensors add up.

    products [n, n]: inner products. changed [n, n]: entries that both change, on the diagonal those that one changes.
    opposed [n, n]: entries that both change, in opposite directions.
    """

    products: Tensor
    changed: Tensor
    opposed: Tensor

    @classmethod
    def of(cls, operands: Operands) -> Self | None:
        """The agreement in one tensor, of one entry in sixteen of a large one; None: there is one part, or no base."""
        parts, base = operands.parts, operands.base
        if base is None or len(parts) < 2:
            return None
        start = sampled(base.tensor)
        changes = torch.stack([(sampled(part.tensor) - start) * _sign(part.weight) for part in parts]).double()
        signs = changes.sign()
        both, same = signs.abs() @ signs.abs().T, signs @ signs.T  # entries that agree minus those that do not
        return cls(products=changes @ changes.T, changed=both.long(), opposed=((both - same) / 2).long())

    def __add__(self, other: "Agreement") -> "Agreement":
        return Agreement(**{name: value + vars(other)[name] for name, value in vars(self).items()})

    def figures(self) -> dict[str, list[list[float]]]:
        """Tables [n, n]: cosine, overlap (changed by both out of by either), conflicts (opposed out of by both)."""
        lengths = self.products.diagonal().sqrt()
        counts = self.changed.diagonal()
        either = counts.unsqueeze(0) + counts.unsqueeze(1) - self.changed
        tables = {
            "cosine": self.products / (lengths.unsqueeze(0) * lengths.unsqueeze(1)).clamp_min(1e-300),
            "overlap": self.changed / either.clamp_min(1),
            "conflicts": self.opposed / self.changed.clamp_min(1),
        }
        return {name: table.tolist() for name, table in tables.items()}


def _sign(weight: float) -> int:
    return (weight > 0) - (weight < 0)


def sampled(tensor: Tensor) -> Tensor:
    """The first entries of each block of the flattened tensor, all of a small one."""
    return torch.cat([block[:SAMPLE] for block in tensor.reshape(-1).split(BLOCK)]).float()


@dataclass(frozen=True, kw_only=True)
class MergeFigures:
    """Figures of a merge beside its result: EWR's shares, and the parts' agreement by layer."""

    shares: EwrShares = EwrShares()
    layers: Mapping[str, Agreement] = field(default_factory=dict)

    def __add__(self, other: "MergeFigures") -> "MergeFigures":
        layers = dict(self.layers)
        for name, agreement in other.layers.items():
            layers[name] = layers[name] + agreement if name in layers else agreement
        return MergeFigures(shares=self.shares + other.shares, layers=layers)

    def record(self) -> dict[str, Any]:
        """The figures as JSON."""
        layers = {name: dict(_lists(agreement)) for name, agreement in self.layers.items()}
        return {"shares": vars(self.shares), "layers": layers}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """The figures that `record` gave."""
        layers = {
            name: Agreement(
                products=torch.tensor(sums["products"], dtype=torch.float64),
                changed=torch.tensor(sums["changed"]), opposed=torch.tensor(sums["opposed"]),
            )
            for name, sums in record["layers"].items()
        }  # fmt: skip
        return cls(shares=EwrShares(**record["shares"]), layers=layers)


def _lists(agreement: Agreement) -> Iterator[tuple[str, Any]]:
    for name, tensor in vars(agreement).items():
        yield name, tensor.tolist()
