"""Conditions and cost of a run or a sweep, looked at before it begins."""
