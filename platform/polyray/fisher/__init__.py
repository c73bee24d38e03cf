"""Diagonal Fisher information: squared gradients of each example, in batches."""

from polyray.fisher.estimate import DiagonalFisher
from polyray.fisher.plain import fisher_plainly

__all__ = ["DiagonalFisher", "fisher_plainly"]
