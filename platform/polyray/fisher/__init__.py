"""Diagonal Fisher information: squared gradients of each example, in batches."""

from polyray.fisher.estimate import DiagonalFisher
from polyray.fisher.inner_products import InnerProducts
from polyray.fisher.plain import fisher_plainly
from polyray.fisher.released import BatchSquares
from polyray.fisher.skills import EntriesFisher, ModulesFisher

__all__ = ["BatchSquares", "DiagonalFisher", "EntriesFisher", "InnerProducts", "ModulesFisher", "fisher_plainly"]
