"""Merging of models: one pure function of tensors for each method."""

from polyray.merging.fisher_weighted import EwrShares, ewr_shares
from polyray.merging.methods import MERGES, MergeMethod, merge
from polyray.merging.operands import Operands, Part

__all__ = ["MERGES", "EwrShares", "MergeMethod", "Operands", "Part", "ewr_shares", "merge"]
