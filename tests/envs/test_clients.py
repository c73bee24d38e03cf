"""Checkers and agents of other libraries work on the environments."""

from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import FlattenObservation

from polyray.envs.minigrid.wrappers import NumberedMission
from polyray.envs.missions import encode

pytestmark = pytest.mark.agents  # compiles for some ten seconds at first

ID = "polyray/BabyAI-GoToLocal-v0"


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version:UserWarning")  # the wrapper is checked
def test_a_numbered_mission_is_an_array_and_passes_gymnasiums_checker() -> None:
    env = NumberedMission(gymnasium.make(ID))
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert observation["mission"].tolist() == encode(gymnasium.make(ID).reset(seed=0)[0]["mission"]).tolist()
    check_env(env, skip_render_check=True)


def test_stable_baselines3_checks_the_environments_and_learns_on_them() -> None:
    sb3: Any = pytest.importorskip("stable_baselines3", reason="needs Stable-Baselines3: pip install polyray[sb3]")
    checker: Any = pytest.importorskip("stable_baselines3.common.env_checker")
    env: Any = FlattenObservation(NumberedMission(gymnasium.make(ID, max_steps=20)))
    checker.check_env(env)
    agent = sb3.PPO("MlpPolicy", env, n_steps=64, batch_size=32, n_epochs=1, seed=0)
    agent.learn(128)
    action, _ = agent.predict(env.reset(seed=0)[0])
    assert env.action_space.contains(int(action))
