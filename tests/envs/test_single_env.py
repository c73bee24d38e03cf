"""polyray/BabyAI-*-v0 is minigrid's environment of the same name: spaces, levels, steps and pictures."""

import pickle
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from polyray.envs.engine.state import State
from polyray.envs.levels import LEVELS
from polyray.envs.minigrid.single import BabyAIEnv
from polyray.envs.missions import decode
from polyray.envs.starts.evaluation import evaluation_starts
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


def test_a_start_state_that_another_process_or_a_larger_batch_made_is_played() -> None:
    levels = [LEVELS["GoToObjS4"], LEVELS["GoToObjMazeS4"]]
    states, env = evaluation_starts(levels, 3, 0), BabyAIEnv("GoToObjS4")
    for row in range(3):
        env.reset(options={"start": pickle.loads(pickle.dumps(states.at([row])))})
        assert env.state.grid.shape == (1, 4, 4) and env.mission == decode(states.mission[row])
    with pytest.raises(InputError, match="is a state of 'GoToObjMazeS4', and this is an environment of 'GoToObjS4'"):
        env.reset(options={"start": states.at([3])})


FILLED = {number: np.pad(np.full((6, 6), number), 1, constant_values=1) for number in (63, 64)}
FAULTS: dict[str, dict[str, Any]] = {
    r"the agent is at \(200, 200\), outside the grid of 8x8 cells": {"x": 200, "y": 200},
    r"the agent is at \(0, 3\), outside": {"x": 0, "y": 3},
    "its grid is not enclosed by walls": {"grid": 0},
    "grid holds a number of an object that is not below 64": {"grid": FILLED[64]},
    "its grid holds the number of an object that is not there": {"grid": FILLED[63]},
    "where it cannot be": {"grid": 1},
    "direction is 4, and at most 3 is possible": {"direction": 4},
    "kind is 9, and at most 4": {"kind": 9},
    "mission is 200": {"mission": 200},
    "carried holds a number": {"carried": 64},
    "position holds a place outside": {"position": 8},
    "looks holds a type": {"looks": (3, 0, 0)},
    "it has taken 0 steps of 0": {"limit": 0},
}


def test_a_start_state_that_cannot_be_played_is_refused_and_changes_nothing() -> None:
    env = BabyAIEnv("GoToLocal")
    env.reset(seed=0)
    start = env.state.at([0])
    wrong = {
        "a state of one environment, not of 2": start.at([0, 0]),
        "a grid of 7x8 cells, and 'GoToLocal' one of 8x8": State(start.grid[:, :, :7], start.rows),
        "has a grid of 9x8 cells": State(np.pad(start.grid, ((0, 0), (0, 0), (0, 1))), start.rows),
        "The grid of the option": State(start.grid.astype(np.int64), start.rows),
    }
    for message, fields in FAULTS.items():
        wrong[message] = start.at([0])
        for name, value in fields.items():
            wrong[message].arrays()[name][0] = value
    for message, state in wrong.items():
        with pytest.raises(InputError, match=message):
            env.reset(seed=1, options={"start": state})
    assert equal(env.reset(seed=0, options={"start": start})[0], env.reset(seed=0)[0])


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
    actions: list[Any] = [7, -1, 1.0, np.array([1, 2]), "left", None]
    for action in actions:
        with pytest.raises(InputError, match=r"no action .*; actions are numbered from 0 to 6"):
            env.step(action)


def test_an_action_may_be_minigrids_or_numpys() -> None:
    env = BabyAIEnv("GoToObjS4")
    actions: list[Any] = [env.actions.left, np.int64(0), np.array(0), np.array([0])]
    for action in actions:
        env.reset(seed=0)
        before = env.agent_dir
        env.step(action)
        assert env.agent_dir == (before + 3) % 4
