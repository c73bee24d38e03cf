"""What a sweep may vary: spaces of config fields for Ray Tune.

A space is a mapping of fields (`section.name`) to distributions, as `ray.tune.Tuner(param_space=...)` takes it; a value
drawn from it is an override of a job's config.
"""

from collections.abc import Callable
from typing import Any

from polyray.tune_spaces.ppo import ppo

SPACES: dict[str, Callable[[], dict[str, Any]]] = {"ppo": ppo}

__all__ = ["SPACES", "ppo"]
