"""polyray/BabyAI-*-v0 is minigrid's environment of the same name: spaces, levels, steps and pictures."""

import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from polyray.envs.levels import LEVELS
from polyray.envs.minigrid.drawing import Drawing
from polyray.envs.minigrid.single import BabyAIEnv
from polyray.errors import InputError

pytestmark = pytest.mark.agents  # compiles for some ten seconds at first


def equal(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether two observations are the same."""
    same = [ours[key] == theirs[key] for key in ("direction", "mission")]
    return all(same) and np.array_equal(ours["image"], theirs["image"])


def _picture(env: gymnasium.Env[Any, Any]) -> np.ndarray[Any, Any]:
    picture: Any = env.render()
    assert isinstance(picture, np.ndarray)
    return picture


def test_importing_registers_every_level_and_compiles_nothing() -> None:
    code = (
        "import sys, gymnasium, polyray.envs; print(sum(name.startswith('polyray/') for name in gymnasium.registry),"
        " 'numba' in sys.modules, 'minigrid' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(LEVELS)), "False", "False"]


def test_every_level_has_an_environment_and_a_batched_one() -> None:
    for level in LEVELS.values():
        spec = gymnasium.spec(f"polyray/{level.env_id}")
        assert spec.entry_point is not None and spec.vector_entry_point is not None


def test_gymnasiums_checker_has_nothing_to_say() -> None:
    check_env(gymnasium.make("polyray/BabyAI-GoToObjS4-v0").unwrapped)


@pytest.mark.parametrize("name", ["GoToLocalS5N2", "PutNextS5N2Carrying", "MiniBossLevel"])
def test_a_seed_gives_what_minigrid_gives_at_every_step_of_every_episode(name: str) -> None:
    ours: Any = gymnasium.make(f"polyray/BabyAI-{name}-v0", render_mode="rgb_array")
    theirs: Any = gymnasium.make(f"BabyAI-{name}-v0", render_mode="rgb_array")
    assert (ours.observation_space, ours.action_space) == (theirs.observation_space, theirs.action_space)
    actions = np.random.default_rng(0)
    for seed in (7, None, None):
        observed, expected = ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0]
        ended = False
        for step in range(40):
            assert equal(observed, expected)
            assert step % 10 or np.array_equal(_picture(ours), _picture(theirs))
            if ended:
                break
            action = int(actions.choice(7, p=(0.15, 0.15, 0.3, 0.15, 0.1, 0.1, 0.05)))
            observed, *outcome, _ = ours.step(action)
            expected, *their_outcome, _ = theirs.step(action)
            assert outcome == their_outcome
            ended = bool(outcome[1] or outcome[2])


@pytest.mark.parametrize("drawing", [Drawing(agent_pov=True), Drawing(highlight=False, tile_size=8)])
def test_pictures_are_minigrids_with_every_way_to_draw(drawing: Drawing) -> None:
    ours: Any = BabyAIEnv("GoToLocalS5N2", render_mode="rgb_array", drawing=drawing)
    theirs: Any = gymnasium.make(
        "BabyAI-GoToLocalS5N2-v0", render_mode="rgb_array",
        tile_size=drawing.tile_size, highlight=drawing.highlight, agent_pov=drawing.agent_pov,
    )  # fmt: skip
    ours.reset(seed=1), theirs.reset(seed=1)
    ours.step(2), theirs.step(2)
    assert np.array_equal(_picture(ours), _picture(theirs))


def test_an_environment_without_a_render_mode_draws_nothing() -> None:
    env = BabyAIEnv("GoToObjS4")
    env.reset(seed=0)
    assert env.render() is None


def test_an_episode_begins_in_the_start_state_of_the_options() -> None:
    env = BabyAIEnv("GoToObjS4")
    first, _ = env.reset(seed=3)
    start = env.state.at([0])
    env.reset(seed=4)
    assert equal(env.reset(options={"start": start})[0], first)
    assert env.mission == first["mission"]


def test_a_step_limit_of_ones_own_ends_the_episode() -> None:
    env = BabyAIEnv("GoToLocalS5N2", max_steps=3)
    env.reset(seed=0)
    assert [env.step(6)[3] for _ in range(3)] == [False, False, True]


def test_an_observation_does_not_change_with_later_steps() -> None:
    env = BabyAIEnv("GoToLocalS5N2")
    first, _ = env.reset(seed=0)
    image = first["image"].copy()
    env.step(0)
    assert np.array_equal(first["image"], image)


def test_wrong_input_is_answered_with_what_would_be_right() -> None:
    with pytest.raises(InputError, match="No level is called 'GoToLocl'. Did you mean 'GoToLocal'"):
        BabyAIEnv("GoToLocl")
    with pytest.raises(InputError, match="No render mode is called 'rgb'. Did you mean 'rgb_array'"):
        BabyAIEnv("GoToLocal", render_mode="rgb")
    env = BabyAIEnv("GoToObjS4")
    with pytest.raises(InputError, match=r"The only option of reset is \"start\"; there is no option 'begin'"):
        env.reset(options={"begin": 1})
    with pytest.raises(InputError, match=r"is a polyray.envs.engine.state.State, not a int"):
        env.reset(options={"start": 1})
    env.reset(seed=0)
    with pytest.raises(InputError, match="no action 7; actions are numbered from 0 to 6"):
        env.step(7)
