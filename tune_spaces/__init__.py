"""Spaces: the fields of a job that a sweep may vary."""

from polyray.sweeps.space import Space
from polyray.tune_spaces.agent_speed import AGENT_SPEED
from polyray.tune_spaces.dexperts import DEXPERTS
from polyray.tune_spaces.dual_speed import DUAL_SPEED
from polyray.tune_spaces.ewr import EWR
from polyray.tune_spaces.few_shot import FEW_SHOT
from polyray.tune_spaces.lt_sft import LT_SFT
from polyray.tune_spaces.merge import MERGE
from polyray.tune_spaces.noisy_channel import NOISY_CHANNEL
from polyray.tune_spaces.ppo import PPO
from polyray.tune_spaces.routing import ROUTING

SPACES: dict[str, Space] = {
    "dual_speed": DUAL_SPEED,
    "agent_speed": AGENT_SPEED,
    "routing": ROUTING,
    "few_shot": FEW_SHOT,
    "ppo": PPO,
    "lt_sft": LT_SFT,
    "merge": MERGE,
    "ewr": EWR,
    "dexperts": DEXPERTS,
    "noisy_channel": NOISY_CHANNEL,
}

__all__ = ["SPACES", "Space"]
