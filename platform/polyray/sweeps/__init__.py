"""Sweeps without Ray: the fields that trials vary, their order and folders, and the results of all of them."""
