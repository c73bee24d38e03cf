"""Selection of the entries that a sparse change keeps: exactly K, of one tensor or of a whole network."""

from polyray.sparsity.budget import Budget, BudgetOptions, budgets, select
from polyray.sparsity.distances import Distances
from polyray.sparsity.eligible import Eligible, EligibleOptions, eligible
from polyray.sparsity.largest import Cutoff, Exchange, entries, find_cutoff, histogram, largest
from polyray.sparsity.mask import keep_largest
from polyray.sparsity.plain import largest_plainly

__all__ = [
    "Budget",
    "BudgetOptions",
    "Cutoff",
    "Distances",
    "Eligible",
    "EligibleOptions",
    "Exchange",
    "budgets",
    "eligible",
    "entries",
    "find_cutoff",
    "histogram",
    "keep_largest",
    "largest",
    "largest_plainly",
    "select",
]
