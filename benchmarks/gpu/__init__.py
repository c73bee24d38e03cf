"""Figures of Polyray on a GPU, without Ray."""
