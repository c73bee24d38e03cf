"""Quark: training on responses that the network draws itself, sorted by their reward."""
