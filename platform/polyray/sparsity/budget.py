"""Budgets: how many entries are selected, and among which tensors they compete."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field, field_validator
from torch import Tensor

from polyray.config import Section
from polyray.errors import InputError
from polyray.lookup import suggestion
from polyray.sparsity.distances import Distances
from polyray.sparsity.largest import ALONE, Exchange, entries, find_cutoff


class BudgetOptions(Section):
    """Number of selected entries."""

    k: int = Field(0, ge=0)
    """Entries to select; 0: `density` says how many."""
    density: float = Field(0.08, gt=0, le=1)
    """Share of the eligible entries to select."""
    per: Literal["network", "tensor"] = "network"
    """Among which entries those that changed most are selected: all together, or each tensor's own, by its size."""
    shares: dict[str, float] = Field(default_factory=dict)
    """Shares of the selection for the tensors whose names match a pattern, such as {"*embeddings*": 0.2}; a tensor
    belongs to the first pattern that matches. What they leave of the selection is for the other tensors."""

    @field_validator("shares")
    @classmethod
    def _at_most_all(cls, shares: dict[str, float]) -> dict[str, float]:
        if any(share < 0 for share in shares.values()) or sum(shares.values()) > 1 + 1e-9:
            raise ValueError(f"shares lie between 0 and 1 and sum to 1 at most, found {shares}")
        return shares

    def unread(self) -> Mapping[str, str]:
        """A number of entries leaves nothing for the density to say."""
        return {"density": "k says how many entries are selected"} if self.k else {}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """k entries, which the tensors `names` compete for."""

    names: tuple[str, ...]
    k: int


def budgets(sizes: Mapping[str, int], options: BudgetOptions) -> list[Budget]:
    """The budgets for tensors with these numbers of entries; together they have exactly the K entries of the options.

    Raises:
        InputError: there are fewer entries than are to be selected, or the shares do not fit the tensors.
    """
    total = sum(sizes.values())
    k = options.k or max(1, round(options.density * total))
    if k > total:
        raise InputError(f"{k} entries are to be selected, and only {total} are eligible: set k to {total} at most.")
    groups = _grouped(sizes, tuple(options.shares))
    rest = 1 - sum(options.shares.values())
    numbers = _allot(k, [*options.shares.values(), max(rest, 0.0)])
    if numbers[-1] and not groups[-1]:
        raise InputError(f"shares cover every tensor and sum to {1 - rest:g}: make them sum to 1.")
    of_groups = [Budget(names=names, k=number) for names, number in zip(groups, numbers, strict=True) if names]
    for budget, label in zip(of_groups, [*options.shares, "all other tensors"], strict=False):
        room = sum(sizes[name] for name in budget.names)
        if budget.k > room:
            raise InputError(f"shares: {label} would get {budget.k} entries, and there are {room}: change the share.")
    if options.per == "network":
        return of_groups
    return [single for budget in of_groups for single in _by_tensor(budget, sizes)]


def _grouped(sizes: Mapping[str, int], patterns: Sequence[str]) -> list[tuple[str, ...]]:
    """The tensors of each pattern, then those of none."""
    groups: list[list[str]] = [[] for _ in range(len(patterns) + 1)]
    for name in sizes:
        matching = [index for index, pattern in enumerate(patterns) if fnmatchcase(name, pattern)]
        groups[(matching or [len(patterns)])[0]].append(name)
    for pattern, names in zip(patterns, groups, strict=False):
        if not names:
            raise InputError(f"shares: no eligible tensor is left for {pattern!r}. {suggestion(pattern, sizes)}")
    return [tuple(names) for names in groups]


def _by_tensor(budget: Budget, sizes: Mapping[str, int]) -> list[Budget]:
    numbers = _allot(budget.k, [sizes[name] for name in budget.names])
    return [Budget(names=(name,), k=k) for name, k in zip(budget.names, numbers, strict=True)]


def _allot(k: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers in proportion to the weights that sum to k; what rounding leaves goes to the largest remainders."""
    total = sum(weights)
    exact = [k * weight / total for weight in weights]
    numbers = [int(x) for x in exact]
    order = sorted(range(len(weights)), key=lambda index: numbers[index] - exact[index])
    for index in order[: k - sum(numbers)]:
        numbers[index] += 1
    return numbers


def select(distances: Distances, shared: Sequence[Budget], exchange: Exchange = ALONE) -> dict[str, Tensor]:
    """Ascending flat indices of the entries that changed most under each budget, by tensor.

    Args:
        shared: the budgets of all workers together.
        exchange: communication with the others, each of which has some of the tensors, or some rows of all.

    Raises:
        InputError: fewer entries changed than are to be selected.
        ValueError: an entry is NaN.
    """
    selected: dict[str, Tensor] = {}
    for budget in shared:
        candidates = distances.of(name for name in budget.names if name in distances.tensors)
        cutoff = find_cutoff(candidates, budget.k, exchange)
        if budget.k and cutoff.key == 0:
            names = budget.names[0] + (f" and {len(budget.names) - 1} other tensors" if len(budget.names) > 1 else "")
            raise InputError(
                f"{budget.k} entries are to be selected, and only {cutoff.n_larger} entries of {names} changed: "
                f"select {cutoff.n_larger} at most, or train longer."
            )
        selected |= entries(candidates, cutoff)
    return selected
