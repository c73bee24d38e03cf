"""Goals of a training: what does not learn does not reach them."""

import numpy as np
import pytest
import torch

from polyray.envs.engine.engine import Engine
from polyray.envs.levels import levels_of
from polyray.envs.starts.resumable import starts_for
from polyray.rl.frames import Frames, Outputs
from polyray.rl.player import Player
from polyray.rl.settings import AgentTrainingOptions
from polyray.rl.tally import Tally

N, ROLLOUT = 128, 40
OPTIONS = AgentTrainingOptions(goal=0.98, window=20)


def at_random(frames: Frames) -> Outputs:
    """Every action as likely as the others."""
    n = len(frames.task)
    return Outputs(logits=torch.zeros(n, 1, 7), values=torch.zeros(n, 1), memory=frames.memory)


@pytest.mark.agents  # compiles the environments
def test_random_actions_reach_no_goal_in_a_level_where_only_successes_end_early() -> None:
    levels = levels_of(None, ("OpenDoor",))
    starts = starts_for(levels, seed=1)
    engine = Engine(levels, np.zeros(N, np.int64), starts)
    player = Player(engine, starts, np.zeros(1, np.int64), 0, torch.Generator().manual_seed(0), torch.device("cpu"))
    tally, ends, rates = Tally(["OpenDoor"], OPTIONS.window), list[bool](), list[float]()
    for _ in range(20):
        rollout = player.play(at_random, ROLLOUT, ROLLOUT)
        figures = tally.figures(tally.add(rollout.episodes, rollout.running, ROLLOUT))
        ends += (rollout.episodes.reward > 0).tolist()
        assert not OPTIONS.reached(figures["tasks"])
        if tally.counted[0] >= OPTIONS.window:
            rates.append(figures["success"])
    assert np.mean(ends[: OPTIONS.window]) >= OPTIONS.goal, "the first to end look like a policy that is done"
    assert rates and np.mean(rates) < 0.8 and max(rates) < 0.95
