"""Merging of models: one pure function of tensors for each method."""

from polyray.merging.fisher_weighted import EwrShares
from polyray.merging.methods import MERGES, MergeMethod, merge, merge_with_shares
from polyray.merging.operands import Operands, Part

__all__ = ["MERGES", "EwrShares", "MergeMethod", "Operands", "Part", "merge", "merge_with_shares"]
