"""Single environments have minigrid's attributes, keywords and rewards, and minigrid's wrappers work on them."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from minigrid import wrappers
from minigrid.core.constants import OBJECT_TO_IDX

from polyray.envs.minigrid.attributes import READABLE
from polyray.envs.minigrid.single import BabyAIEnv
from polyray.envs.minigrid.vector import BabyAIVectorEnv
from polyray.errors import InputError

pytestmark = pytest.mark.agents  # compiles for some ten seconds at first

NAMES = ("GoToLocalS5N2", "PutNextS5N2Carrying", "MiniBossLevel", "UnlockPickup")
LIKELY = (0.15, 0.15, 0.3, 0.15, 0.1, 0.1, 0.05)

WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "none": lambda env: env,
    "FullyObs": wrappers.FullyObsWrapper,
    "RGBImgObs": wrappers.RGBImgObsWrapper,
    "RGBImgPartialObs": lambda env: wrappers.RGBImgPartialObsWrapper(env, tile_size=4),
    "ViewSize": lambda env: wrappers.ViewSizeWrapper(env, agent_view_size=5),
    "SymbolicObs": wrappers.SymbolicObsWrapper,
    "OneHotPartialObs": wrappers.OneHotPartialObsWrapper,
    "ImgObs": wrappers.ImgObsWrapper,
    "FlatObs": lambda env: wrappers.FlatObsWrapper(env, maxStrLen=300),
    "ActionBonus": wrappers.ActionBonus,
    "PositionBonus": wrappers.PositionBonus,
    "Reseed": lambda env: wrappers.ReseedWrapper(env, seeds=(3, 4)),
    "StochasticAction": lambda env: wrappers.StochasticActionWrapper(env, prob=0.7),
    "NoDeath": lambda env: wrappers.NoDeath(env, no_death_types=("ball",)),
    "ImgObs of FullyObs": lambda env: wrappers.ImgObsWrapper(wrappers.FullyObsWrapper(env)),
}


def same(ours: Any, theirs: Any) -> bool:
    """Whether two observations are equal, be they dictionaries or arrays."""
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in theirs)
    return np.array_equal(ours, theirs) and np.asarray(ours).dtype == np.asarray(theirs).dtype


def differences(ours: Any, theirs: Any, steps: int = 25, inspect: Callable[[Any], Any] = lambda env: None) -> list[str]:
    """Differences between two environments that are seeded alike and played alike for two episodes."""
    actions, wrong = np.random.default_rng(0), list[str]()
    for seed in (7, None):
        observed, expected = ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0]
        for step in range(steps):
            if not same(observed, expected) or inspect(ours.unwrapped) != inspect(theirs.unwrapped):
                return [*wrong, f"observation {step} of the episode of seed {seed}"]
            action = int(actions.choice(7, p=LIKELY))
            (observed, *outcome, _), (expected, *their_outcome, _) = ours.step(action), theirs.step(action)
            wrong += [f"step {step}: {outcome}, {their_outcome}"] if outcome != their_outcome else []
            if outcome[1] or outcome[2]:
                break
    return wrong


@pytest.mark.filterwarnings("ignore:.*A seed has been passed to `ReseedWrapper:UserWarning")
def test_minigrids_wrappers_show_what_they_show_on_minigrids_environments() -> None:
    wrong = {}
    for name in NAMES:
        for title, wrap in WRAPPERS.items():
            ours, theirs = (wrap(gymnasium.make(f"{prefix}BabyAI-{name}-v0")) for prefix in ("polyray/", ""))
            if ours.observation_space != theirs.observation_space:
                wrong[name, title] = ["another observation space"]
            elif faults := differences(ours, theirs):
                wrong[name, title] = faults
    assert wrong == {}


def answers(env: Any) -> dict[str, Any]:
    """Attributes of an environment, each in a form that can be compared."""
    x, y = env.agent_pos
    ahead = env.grid.get(*env.front_pos)
    return {
        "agent": (int(x), int(y), int(env.agent_dir), env.step_count, env.max_steps, env.steps_remaining),
        "size": (env.width, env.height, env.agent_view_size, env.see_through_walls, env.tile_size, env.highlight),
        "rooms": (env.room_size, env.num_rows, env.num_cols),
        "vectors": [tuple(map(int, vector)) for vector in (env.dir_vec, env.right_vec, env.front_pos)],
        "mission": env.mission,
        "carrying": env.carrying and env.carrying.encode(),
        "grid": env.grid.encode().tolist(),
        "objects": [item and (item.type, item.color, item.encode()) for item in env.grid.grid],
        "hash": env.hash(),
        "text": env.pprint_grid(),
        "view": [*map(int, env.get_view_exts()), *map(int, env.get_view_coords(1, 1)), env.in_view(1, 1)],
        "sees": ahead is not None and env.agent_sees(*env.front_pos),
        "observation": [str(value) for value in env.gen_obs().values()],
        "masks": [mask.tolist() for mask in (env.gen_obs_grid()[1], env.gen_obs_grid(5)[1])],
        "picture": env.get_frame(tile_size=2).sum(),
        "actions": [action.name for action in env.actions],
    }


def test_attributes_read_as_in_minigrid_at_every_step() -> None:
    wrong = {
        name: faults
        for name in NAMES
        if (
            faults := differences(
                gymnasium.make(f"polyray/BabyAI-{name}-v0"), gymnasium.make(f"BabyAI-{name}-v0"), inspect=answers
            )
        )
    }
    assert wrong == {}


def test_before_the_first_reset_attributes_are_those_of_minigrid() -> None:
    env: Any = BabyAIEnv("GoToLocal")
    assert (env.agent_pos, env.agent_dir, env.carrying, env.width, env.max_steps) == (None, None, None, 8, 64)
    assert not hasattr(env, "front_pos") and not hasattr(env, "nonsense")
    for play in (lambda: env.step(0), env.world):
        with pytest.raises(ResetNeeded):
            play()
    env.reset(seed=0)
    assert all(hasattr(env, name) for name in READABLE)
    with pytest.raises(
        AttributeError, match=r"minigrid's 'place_agent' not, because a compiled engine steps it.*`env.st"
    ):
        env.place_agent()


def test_the_agent_can_be_moved_and_turned_and_the_step_limit_set() -> None:
    for name in ("GoToLocalS5N2", "GoTo"):
        ours: Any = gymnasium.make(f"polyray/BabyAI-{name}-v0").unwrapped
        theirs: Any = gymnasium.make(f"BabyAI-{name}-v0").unwrapped
        ours.reset(seed=1), theirs.reset(seed=1)
        free = next((x, y) for x in range(1, 4) for y in range(1, 4) if theirs.grid.get(x, y) is None)
        for env in (ours, theirs):
            env.agent_pos, env.agent_dir, env.step_count, env.max_steps = free, 3, 5, 9
        for action in (0, 0, 6, 0):
            observed, expected = ours.step(action), theirs.step(action)
            assert same(observed[0], expected[0]) and observed[1:4] == expected[1:4]
        assert observed[3]


def test_what_cannot_be_written_is_refused() -> None:
    env: Any = BabyAIEnv("GoToLocal")
    env.reset(seed=0)
    before = env.hash()
    wall = {"agent_pos": (0, 1)}
    for name, value in {"carrying": None, "grid": 1, "agent_dir": 4, "max_steps": 0, "step_count": -1, **wall}.items():
        with pytest.raises(InputError, match=name):
            setattr(env, name, value)
    for position in ((8, 1), (1.5, 2)):
        with pytest.raises(InputError, match="agent_pos"):
            env.agent_pos = position
    with pytest.raises(InputError, match=r'would be ignored.*reset\(options={"start": state}\)'):
        env.grid.set(1, 1, None)
    assert env.hash() == before


KEYWORDS: list[dict[str, Any]] = [
    {"agent_view_size": 9}, {"agent_view_size": 3, "render_mode": "rgb_array"}, {"max_steps": 3},
    {"tile_size": 8, "highlight": False, "render_mode": "rgb_array"}, {"agent_pov": True, "render_mode": "rgb_array"},
]  # fmt: skip


def test_keywords_do_what_they_do_in_minigrid() -> None:
    wrong = []
    for name in NAMES:
        for keywords in KEYWORDS:
            ours, theirs = (gymnasium.make(f"{prefix}BabyAI-{name}-v0", **keywords) for prefix in ("polyray/", ""))
            faults = differences(ours, theirs, 15, lambda env: env.render_mode and env.render().tobytes())
            wrong += [(name, keywords, faults)] if faults or ours.observation_space != theirs.observation_space else []
    assert wrong == []


def test_an_agent_that_sees_through_walls_sees_all_of_its_view() -> None:
    ours: Any = gymnasium.make("polyray/BabyAI-GoTo-v0", see_through_walls=True)
    theirs: Any = gymnasium.make("BabyAI-GoTo-v0")
    theirs.unwrapped.see_through_walls = True  # minigrid's keyword does not get through to it
    assert differences(ours, theirs) == []
    assert (ours.reset(seed=0)[0]["image"][..., 0] != OBJECT_TO_IDX["unseen"]).all()


def test_a_batch_takes_a_step_limit_and_draws_as_single_environments_do() -> None:
    keywords: dict[str, Any] = {"max_steps": 4, "render_mode": "rgb_array", "tile_size": 4, "agent_pov": True}
    env = gymnasium.make_vec("polyray/BabyAI-GoToLocal-v0", num_envs=3, **keywords)
    assert isinstance(env, BabyAIVectorEnv)
    env.reset(seed=2)
    single = BabyAIEnv("GoToLocal", **keywords)
    single.reset(seed=3)
    pictures, picture = env.render(), single.render()
    assert pictures is not None and picture is not None and np.array_equal(pictures[1], picture)
    for _ in range(3):  # twelve steps, with an automatic reset after every fourth
        ends = [bool(env.step(np.full(3, 6))[3].all()) for _ in range(5)]
        assert ends == [False, False, False, True, False]


def test_keywords_that_make_no_sense_are_refused() -> None:
    wrong: list[tuple[Any, dict[str, Any], str]] = [
        *((kind, {"max_steps": value}, "max_steps is a whole number of 1 or more, not")
          for kind in (BabyAIEnv, BabyAIVectorEnv) for value in (0, -1, 2.5, True, "9", 2**40)),
        *((kind, {"tile_size": 0}, "tile_size is a whole") for kind in (BabyAIEnv, BabyAIVectorEnv)),
        *((kind, {"highlight": 3}, "highlight is True or False, not 3") for kind in (BabyAIEnv, BabyAIVectorEnv)),
        (BabyAIEnv, {"agent_view_size": 4}, "agent_view_size is odd"),
        (BabyAIEnv, {"agent_view_size": 1}, "agent_view_size is a whole number of 3 or more, not 1"),
        (BabyAIVectorEnv, {"agent_view_size": 9}, 'agent_view_size is not for a batch.*vectorization_mode="sync"'),
        (BabyAIVectorEnv, {"see_through_walls": True}, "see_through_walls is not for a batch"),
        (BabyAIVectorEnv, {"num_envs": 0}, "num_envs is a whole number of 1 or more, not 0"),
        (BabyAIEnv, {"room_size": 5}, "room_size belongs to the level.*register_level"),
        (BabyAIEnv, {"maxsteps": 5}, "no keyword 'maxsteps'. Did you mean 'max_steps'"),
        (BabyAIVectorEnv, {"titlesize": 5}, "no keyword 'titlesize'. Did you mean 'tile_size'"),
    ]  # fmt: skip
    for kind, keywords, message in wrong:
        with pytest.raises(InputError, match=message):
            kind(level="GoToLocal", **keywords)


def test_success_after_the_limit_is_rewarded_as_in_minigrid() -> None:
    ours: Any = gymnasium.make("polyray/BabyAI-GoToRedBallNoDists-v0", max_steps=2).unwrapped
    theirs: Any = gymnasium.make("BabyAI-GoToRedBallNoDists-v0", max_steps=2).unwrapped
    rewards = []
    for seed in range(12):
        ours.reset(seed=seed), theirs.reset(seed=seed)
        actions = np.random.default_rng(seed)
        for _ in range(300):
            action = int(actions.choice(3, p=(0.2, 0.2, 0.6)))
            observed, expected = ours.step(action), theirs.step(action)
            assert observed[1:4] == expected[1:4]
            if observed[2]:
                rewards.append(observed[1])
                break
    assert min(rewards) < -1 and len(rewards) > 8
