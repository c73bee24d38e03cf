"""Limits on the size of a sweep: sizes and costs that are measured, and what they add up to on many nodes."""
