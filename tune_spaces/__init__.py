"""Spaces: the fields of a job that a sweep may vary."""

from polyray.tune_spaces.ppo import PPO
from polyray.tune_spaces.space import Space

SPACES: dict[str, Space] = {"ppo": PPO}

__all__ = ["SPACES", "Space"]
