"""minigrid's bot plays our environments as it plays minigrid's own, and its play can be kept as demonstrations."""

from contextlib import redirect_stdout
from io import StringIO
from itertools import count
from typing import Any

import gymnasium
import numpy as np
import pytest
from minigrid.utils.baby_ai_bot import BabyAIBot

from polyray.envs.levels import LEVELS
from polyray.envs.minigrid.bot import Bot, StuckError, demonstrate, success_rate
from polyray.envs.minigrid.single import BabyAIEnv
from polyray.envs.missions import decode
from polyray.envs.starts.fingerprints import SHARE, fingerprints
from polyray.errors import InputError

pytestmark = pytest.mark.agents  # compiles for some ten seconds at first

# Levels that minigrid's bot cannot play in minigrid either: its documentation says so, or it ignores the order that the
# level is strict about; on UnlockToUnlock its plan grows without end in a third of the episodes.
BEYOND_THE_BOT = {
    "KeyInBox", "OpenDoorsOrderN2Debug", "OpenDoorsOrderN4Debug", "PutNextS5N2Carrying", "PutNextS6N3Carrying",
    "PutNextS7N4Carrying", "UnlockToUnlock",
}  # fmt: skip


def our_play(env: BabyAIEnv, seed: int) -> tuple[list[int], float]:
    """Actions of the bot in an episode of our environment, -1 where it gives up, and the reward."""
    env.reset(seed=seed)
    bot, actions = Bot(env.world()), list[int]()
    while True:
        try:
            actions.append(bot.act())
        except StuckError:
            return [*actions, -1], 0.0
        _, reward, terminated, truncated, _ = env.step(actions[-1])
        if terminated or truncated:
            return actions, float(reward)


def minigrids_play(level: str, seed: int) -> tuple[list[int], float]:
    """Actions of minigrid's bot in an episode of minigrid's environment, and the reward."""
    env: Any = gymnasium.make(LEVELS[level].env_id).unwrapped
    actions = list[int]()
    with redirect_stdout(StringIO()):
        env.reset(seed=seed)
    bot = BabyAIBot(env)
    while True:
        actions.append(int(bot.replan()))
        _, reward, terminated, truncated, _ = env.step(actions[-1])
        if terminated or truncated:
            return actions, float(reward)


def test_the_bot_acts_as_it_does_in_minigrid_and_solves_every_level_that_is_not_beyond_it() -> None:
    often = ("GoToLocal", "PutNextLocal", "OpenRedDoor", "BlockedUnlockPickup", "MiniBossLevel")
    unsolved, different = [], []
    for level in LEVELS:
        env = BabyAIEnv(level)
        for seed in (0, 1, 100, 101) if level in often else (100, 101):
            actions, reward = our_play(env, seed)
            if reward == 0 and level not in BEYOND_THE_BOT:
                unsolved.append((level, seed))
            if actions[-1] != -1 and (actions, reward) != minigrids_play(level, seed):
                different.append((level, seed))
    assert (unsolved, different) == ([], [])


def test_a_bot_whose_plan_never_ends_says_so() -> None:
    actions, _ = our_play(BabyAIEnv("UnlockToUnlock"), 4)
    assert actions[-1] == -1


def test_demonstrations_replayed_solve_their_episodes() -> None:
    demonstrations = demonstrate("GoToLocal", range(20, 24))
    starts = [*np.flatnonzero(demonstrations.fresh), len(demonstrations.action)]
    assert (demonstrations.episodes, demonstrations.failures) == (4, 0)
    env = BabyAIEnv("GoToLocal")
    for seed, first, end in zip(range(20, 24), starts, starts[1:], strict=False):
        observation, reward = env.reset(seed=seed)[0], 0.0
        for step in range(first, end):
            assert np.array_equal(observation["image"], demonstrations.image[step])
            assert observation["direction"] == demonstrations.direction[step]
            assert observation["mission"] == decode(demonstrations.mission[step])
            observation, reward, *_ = env.step(int(demonstrations.action[step]))
        assert reward > 0


def test_unsolved_episodes_are_left_out_and_counted() -> None:
    demonstrations = demonstrate("OpenDoorsOrderN2Debug", range(10))
    assert demonstrations.episodes == demonstrations.fresh.sum() > 0
    assert demonstrations.failures == 10 - demonstrations.episodes > 0


def test_held_out_start_states_are_not_demonstrated() -> None:
    env, for_training = BabyAIEnv("GoToLocal"), []
    for seed in range(20, 32):
        env.reset(seed=seed)
        if fingerprints(env.state)[0] % SHARE:
            for_training.append(seed)
    demonstrations = demonstrate("GoToLocal", count(20), skip_held_out=True, episodes=len(for_training))
    others = demonstrate("GoToLocal", for_training)
    assert 0 < demonstrations.held_out <= 12 - len(for_training)
    assert demonstrations.episodes == len(for_training)
    assert np.array_equal(demonstrations.image, others.image)


def test_a_level_that_the_bot_cannot_play_is_an_error() -> None:
    with pytest.raises(InputError, match="the bot solves none of 2 episodes of KeyInBox"):
        demonstrate("KeyInBox", (0, 1))


def test_the_success_rate_is_the_share_of_solved_episodes() -> None:
    assert success_rate("GoToObjS4", 5) == 1
    assert success_rate("PutNextS5N2Carrying", 2) == 0
    with pytest.raises(InputError, match="at least one episode, not 0"):
        success_rate("GoToObjS4", 0)
