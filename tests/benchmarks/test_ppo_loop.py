"""The plain loop that Polyray's PPO is measured beside plays what it says, on either kind of environments."""

import numpy as np
import pytest
import torch

from benchmarks.ppo_loop import BatchedEnvironments, Environments, SingleEnvironments, plain_loop, play
from polyray.envs.missions import VOCABULARY
from polyray.rl.fast.network import RowwiseNetwork
from polyray.rl.network import PolicyNetwork
from polyray.rl.options import SMALL

pytestmark = pytest.mark.agents  # compiles the environments


def environments() -> list[Environments]:
    return [BatchedEnvironments(3), SingleEnvironments(3)]


def test_an_iteration_counts_the_frames_of_all_environments() -> None:
    for envs in environments():
        frames, seconds = plain_loop(envs, rollout=4, batch=8)()
        assert frames == 12
        assert set(seconds) == {"environment", "inference", "learning"} and min(seconds.values()) >= 0.0
    assert plain_loop(BatchedEnvironments(3), rollout=4, batch=8, is_fast=False)()[0] == 12, "the readable network"


def test_frames_of_a_rollout_follow_each_other_within_an_environment() -> None:
    compute = RowwiseNetwork(PolicyNetwork(SMALL, len(VOCABULARY)))
    for envs in environments():
        first = envs.observe()[0].copy()
        frames, _ = play(compute, envs, 4, torch.Generator().manual_seed(0))
        assert frames["image"].shape == (12, 7, 7, 3)
        assert np.array_equal(frames["image"][::4], first)
        assert torch.allclose(frames["returns"], frames["advantages"] + frames["values"])
