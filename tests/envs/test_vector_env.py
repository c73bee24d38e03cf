"""The batched environment is gymnasium's SyncVectorEnv over single ones, in every autoreset mode, but fast."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from numpy.typing import NDArray

from polyray.envs.engine.state import State, copy_rows
from polyray.envs.levels import LEVELS
from polyray.envs.minigrid.single import BabyAIEnv
from polyray.envs.minigrid.vector import BabyAIVectorEnv
from polyray.envs.missions import decode
from polyray.errors import InputError

pytestmark = pytest.mark.agents  # compiles for tens of seconds at first

ID = "polyray/BabyAI-GoToLocalS5N2-v0"
N = 5


def same_observations(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether a batch of ours is the batch of single environments, whose missions are text."""
    missions = tuple(decode(mission) for mission in ours["mission"])
    arrays = all(np.array_equal(ours[key], theirs[key]) for key in ("image", "direction"))
    return arrays and missions == tuple(theirs["mission"])


def same_infos(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether the infos have the same keys, masks and last observations."""
    if ours.keys() != theirs.keys():
        return False
    masks = all(np.array_equal(ours[key], theirs[key]) for key in theirs if key.startswith("_"))
    pairs = zip(ours.get("final_obs", ()), theirs.get("final_obs", ()), strict=True)
    return masks and all(same_last(mine, yours) for mine, yours in pairs)


def same_last(ours: dict[str, Any] | None, theirs: dict[str, Any] | None) -> bool:
    """Whether the last observation of one environment is the same, or there is none."""
    if ours is None or theirs is None:
        return ours is theirs
    arrays = all(np.array_equal(ours[key], theirs[key]) for key in ("image", "direction"))
    return arrays and decode(ours["mission"]) == theirs["mission"]


def play(env: BabyAIVectorEnv, seed: int, steps: int = 30) -> list[bytes]:
    """Bytes of all observations and rewards of random play."""
    actions, answers = np.random.default_rng(0), list[bytes]()
    observations, _ = env.reset(seed=seed)
    for _ in range(steps):
        answers.append(b"".join(observations[key].tobytes() for key in sorted(observations)))
        observations, rewards, *_ = env.step(actions.integers(0, 7, env.num_envs))
        answers.append(rewards.tobytes())
    return answers


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_every_step_is_that_of_single_environments_with_the_same_seeds(mode: AutoresetMode) -> None:
    names = ["GoToLocalS5N2", "GoToObjS4", "PutNextS4N1"]
    ours = BabyAIVectorEnv(2 * len(names), levels=names, autoreset_mode=mode)
    makers = [lambda name=name: BabyAIEnv(name, max_steps=9) for name in names for _ in range(2)]
    theirs = SyncVectorEnv(makers, autoreset_mode=mode)
    actions, ends = np.random.default_rng(1), 0
    observed: Any = ours.reset(seed=11)
    expected: Any = theirs.reset(seed=11)
    ours.state.limit[:] = 9
    for _ in range(40):
        assert same_observations(observed[0], expected[0])
        assert same_infos(observed[-1], expected[-1])
        if mode is AutoresetMode.DISABLED and ended(observed).any():
            mask = ended(observed)
            observed, expected = ours.reset(options={"reset_mask": mask}), theirs.reset(options={"reset_mask": mask})
        else:
            action = actions.choice(7, 6, p=(0.2, 0.2, 0.3, 0.1, 0.1, 0.1, 0.0))
            observed, expected = ours.step(action), theirs.step(action)
            assert np.allclose(observed[1], expected[1])
            assert all(np.array_equal(observed[index], expected[index]) for index in (2, 3))
            ends += int(ended(observed).sum())
        ours.state.limit[:] = 9
    assert ends > 6


def ended(answer: tuple[Any, ...]) -> NDArray[np.bool_]:
    """Mask of the environments that have ended in the answer of `step`; none after a reset."""
    return answer[2] | answer[3] if len(answer) == 5 else np.zeros(len(answer[0]["task"]), np.bool_)


def test_gymnasium_makes_it_and_makes_it_again_from_its_spec() -> None:
    env = gymnasium.make_vec(ID, num_envs=N, vectorization_mode="vector_entry_point")
    observations, infos = env.reset(seed=0)
    assert infos == {}
    assert isinstance(env, BabyAIVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert observations in env.observation_space
    assert env.step(env.action_space.sample())[0] in env.observation_space
    assert env.spec is not None
    again = gymnasium.make_vec(env.spec)
    assert (again.num_envs, again.observation_space) == (N, env.observation_space)


def test_a_seed_decides_everything_and_environments_differ() -> None:
    env = BabyAIVectorEnv(N, level="GoToLocalS5N2")
    assert play(env, 0) == play(env, 0) == play(BabyAIVectorEnv(N, level="GoToLocalS5N2"), 0) != play(env, 1)
    observations, _ = env.reset(seed=0)
    starts = {observations["image"][row].tobytes() for row in range(N)}
    assert len(starts) > 1
    assert not np.array_equal(env.reset()[0]["image"], observations["image"])


def test_levels_share_a_batch_in_order_and_evenly_whatever_their_size() -> None:
    names = ("GoToObjS4", "GoToObjMazeS4R2", "PutNextLocalS5N3")
    env = BabyAIVectorEnv(7, levels=names, render_mode="rgb_array")
    observations, _ = env.reset(seed=0)
    assert observations["task"].tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert observations in env.observation_space
    frames = env.render()
    assert frames is not None
    assert [frame.shape for frame in frames[::3]] == [
        (32 * LEVELS[name].height, 32 * LEVELS[name].width, 3) for name in names
    ]


def test_observations_are_the_callers_unless_asked_otherwise() -> None:
    for copy in (True, False):
        env = BabyAIVectorEnv(N, level="GoToLocalS5N2", copy=copy)
        observations, _ = env.reset(seed=0)
        before = {key: values.copy() for key, values in observations.items()}
        env.step(np.zeros(N, np.int64))
        assert np.array_equal(observations["image"], before["image"]) is copy
        assert np.array_equal(observations["direction"], before["direction"]) is copy
        assert observations in env.observation_space


# With SAME_STEP gymnasium 1.2's wrapper forgets the first step of every later episode, over SyncVectorEnv too.
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_gymnasiums_wrapper_counts_its_episodes(mode: AutoresetMode) -> None:
    env = RecordEpisodeStatistics(BabyAIVectorEnv(N, level="GoToObjS4", autoreset_mode=mode))
    env.reset(seed=0)
    lengths: list[int] = []
    for _ in range(40):
        *_, terminated, truncated, infos = env.step(np.full(N, 6))
        lengths += infos["episode"]["l"][infos["_episode"]].tolist() if "episode" in infos else []
        if mode is AutoresetMode.DISABLED and (terminated | truncated).any():
            env.reset(options={"reset_mask": terminated | truncated})
    assert lengths and set(lengths) <= {1, 16}  # an agent that stands still is there at once or never


def test_a_mask_in_the_first_reset_leaves_the_others_to_begin_later() -> None:
    whole, masked = (BabyAIVectorEnv(2, level="GoToObjS4") for _ in range(2))
    expected, _ = whole.reset(seed=3)
    masked.reset(seed=3, options={"reset_mask": np.array([True, False])})
    observed, *_ = masked.step(np.zeros(2, np.int64))
    assert np.array_equal(observed["image"][1], expected["image"][1])


class OneStart:
    """Source of one start state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        copy_rows(self._state, np.zeros(len(rows), np.int64), state, rows)


def test_start_states_of_ones_own_are_used_whatever_the_seed() -> None:
    single = BabyAIEnv("GoToObjS4")
    first, _ = single.reset(seed=5)
    env = BabyAIVectorEnv(3, level="GoToObjS4", starts=OneStart(single.state))
    for seed in (0, 1):
        observations, _ = env.reset(seed=seed)
        assert all(np.array_equal(image, first["image"]) for image in observations["image"])


def test_wrong_input_is_answered_with_what_would_be_right() -> None:
    with pytest.raises(InputError, match="Did you mean 'GoToLocal'"):
        BabyAIVectorEnv(2, level="GoToLocl")
    with pytest.raises(InputError, match="both are given"):
        BabyAIVectorEnv(2, level="GoToObj", levels=["GoToLocal"])
    with pytest.raises(InputError, match="2 levels need as many environments or more, not 1"):
        BabyAIVectorEnv(1, levels=["GoToObj", "GoToLocal"])
    with pytest.raises(InputError, match="No autoreset mode is called 'NextStp'. Did you mean 'NextStep'"):
        BabyAIVectorEnv(1, level="GoToObj", autoreset_mode="NextStp")


def test_steps_and_masks_that_make_no_sense_are_refused() -> None:
    env = BabyAIVectorEnv(2, level="GoToObjS4", autoreset_mode=AutoresetMode.DISABLED)
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(2, np.int64))
    env.reset(seed=0)
    wrong: list[NDArray[Any]] = [np.zeros(3, np.int64), np.zeros(2), np.array([0, 7]), np.array([-1, 0])]
    for actions in wrong:
        with pytest.raises(InputError, match="A step takes 2 integers from 0 to 6"):
            env.step(actions)
    for mask in ([True, False], np.ones(3, np.bool_), np.ones(2), np.zeros(2, np.bool_)):
        with pytest.raises(InputError, match="The reset_mask"):
            env.reset(options={"reset_mask": mask})
    with pytest.raises(InputError, match="\"reset_mask\"; there is no option 'seed'"):
        env.reset(options={"seed": 1})
    env.state.limit[:] = 1
    env.step(np.full(2, 6))
    with pytest.raises(InputError, match=r"Environments \[0, 1\] have ended"):
        env.step(np.full(2, 6))
