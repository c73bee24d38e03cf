"""Runs and sweeps behind an fsspec URL: a working copy on this machine, published whole or not at all."""
