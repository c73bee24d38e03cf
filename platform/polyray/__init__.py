"""Polyray: train, route, evaluate and share skills, small modules on a pretrained backbone."""

__version__ = "0.1.0"
