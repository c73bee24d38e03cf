"""A copy of a running environment goes on exactly as the original does, whatever copies it."""

import copy
import gc
import pickle
from collections.abc import Callable
from itertools import combinations
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from ray import cloudpickle

from polyray.envs.minigrid.bot import Bot
from polyray.envs.minigrid.single import BabyAIEnv
from polyray.envs.minigrid.vector import BabyAIVectorEnv

pytestmark = pytest.mark.agents  # compiles for some ten seconds at first

COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda env: pickle.loads(pickle.dumps(env)),
    "cloudpickle": lambda env: cloudpickle.loads(cloudpickle.dumps(env)),
    "a copy of a copy": lambda env: copy.deepcopy(pickle.loads(pickle.dumps(env))),
}
NAMES = ("GoToLocalS5N2", "PutNextS5N2Carrying", "MiniBossLevel")


def single(env: Any, steps: int, seed: int = 0) -> list[Any]:
    """Everything that can be seen of an environment in random play that goes on over the ends of episodes."""
    actions, seen = np.random.default_rng(seed), list[Any]()
    for _ in range(steps):
        observation, *outcome, _ = env.step(int(actions.choice(7, p=(0.15, 0.15, 0.3, 0.15, 0.1, 0.1, 0.05))))
        seen.append((observation["image"].tobytes(), observation["direction"], observation["mission"], outcome))
        seen.append((env.unwrapped.hash(), env.unwrapped.mission, env.unwrapped.agent_pos, env.unwrapped.step_count))
        if outcome[1] or outcome[2]:
            observation, _ = env.reset()
            seen.append((observation["image"].tobytes(), observation["direction"], observation["mission"]))
    seen.append(env.render().tobytes())
    return seen


def batch(env: BabyAIVectorEnv, steps: int) -> list[bytes]:
    """The same of a batch."""
    actions, seen = np.random.default_rng(1), list[bytes]()
    for _ in range(steps):
        observations, *outcome, _ = env.step(actions.integers(0, 7, env.num_envs))
        seen += [array.tobytes() for array in (*observations.values(), *outcome)]
    return seen


def test_a_copy_of_a_single_environment_goes_on_as_the_original() -> None:
    wrong = []
    for name in NAMES:
        for way, duplicate in COPIES.items():
            env = gymnasium.make(f"polyray/BabyAI-{name}-v0", render_mode="rgb_array", max_steps=25)
            env.reset(seed=5)
            single(env, 12)
            twin, also = duplicate(env), duplicate(env)
            single(twin, 9, seed=9)  # does not disturb the original
            wrong += [f"{name}: {way}"] if single(env, 60) != single(also, 60) else []
    assert not wrong


def test_a_copy_of_a_batch_goes_on_as_the_original() -> None:
    wrong = []
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        for way, duplicate in COPIES.items():
            env = BabyAIVectorEnv(6, levels=NAMES, autoreset_mode=mode, max_steps=11)
            env.reset(seed=5)
            batch(env, 8)
            twin, also = duplicate(env), duplicate(env)
            batch(twin, 5)
            wrong += [f"{mode}: {way}"] if batch(env, 40) != batch(also, 40) else []
    assert not wrong


def test_the_bot_goes_on_in_a_copy() -> None:
    env = BabyAIEnv("GoToLocal")
    env.reset(seed=3)
    bot = Bot(env.world())
    env.step(bot.act())
    other, other_bot = copy.deepcopy((env, bot))
    for _ in range(3):
        action = bot.act()
        assert other_bot.act() == action
        env.step(action), other.step(action)
        assert env.hash() == other.hash()


def arrays_in(root: Any) -> list[np.ndarray[Any, Any]]:
    """Every array that an object holds, directly or through others."""
    pending, arrays, met = [root], list[np.ndarray[Any, Any]](), set[int]()
    while pending:
        item = pending.pop()
        if id(item) in met or isinstance(item, type) or callable(item):
            continue
        met.add(id(item))
        arrays += [item] if isinstance(item, np.ndarray) else []
        pending += gc.get_referents(item)
    return arrays


@pytest.mark.parametrize("kind", [BabyAIEnv, BabyAIVectorEnv])
def test_environments_hold_no_array_that_is_a_view_of_another(kind: Any) -> None:
    env = kind(level="GoToLocalS5N2")
    env.reset(seed=0)
    arrays = arrays_in(env.__dict__)
    assert any(array is env.state.grid for array in arrays)
    views = [(a.dtype, b.dtype) for a, b in combinations(arrays, 2) if np.shares_memory(a, b)]
    assert not views, "copies would part them"
