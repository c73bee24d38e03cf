"""The command `polyray`."""

from polyray.cli.app import main

__all__ = ["main"]
