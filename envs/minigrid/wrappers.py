"""Observations for clients that take arrays only."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from polyray.envs.missions import LENGTH, VOCABULARY, encode


class NumberedMission(gymnasium.ObservationWrapper[dict[str, Any], int, dict[str, Any]], RecordConstructorArgs):
    """Single environment whose mission is the numbers of its words, uint8 [LENGTH], as in a batch."""

    def __init__(self, env: gymnasium.Env[dict[str, Any], int]) -> None:
        RecordConstructorArgs.__init__(self)  # so that its spec makes it again
        gymnasium.ObservationWrapper.__init__(self, env)
        parts = dict(env.observation_space)  # type: ignore[call-overload]  # it is a Dict
        parts["mission"] = spaces.Box(0, len(VOCABULARY) - 1, (LENGTH,), np.uint8)
        self.observation_space = spaces.Dict(parts)

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The observation with the mission as numbers."""
        return {**observation, "mission": encode(observation["mission"])}
