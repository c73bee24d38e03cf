"""Start states that are resumable, that depend on seed and name alone, and that training and evaluation never share."""

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from minigrid.envs.babyai.goto import GoToObj

from polyray.envs.engine.state import State, empty
from polyray.envs.levels import LEVELS, SUITES, Level
from polyray.envs.minigrid.vector import BabyAIVectorEnv
from polyray.envs.starts.evaluation import evaluation_starts
from polyray.envs.starts.fingerprints import SHARE, fingerprints
from polyray.envs.starts.native import NativeStarts
from polyray.envs.starts.reference import ReferenceStarts
from polyray.envs.starts.resumable import MixedStarts, ResumableStarts, starts_for
from polyray.errors import InputError

pytestmark = pytest.mark.agents  # compiles for tens of seconds at first

OBJ, S4 = LEVELS["GoToObj"], LEVELS["GoToObjS4"]


class GoToOneOfFew(GoToObj):
    """A level that minigrid does not register, smaller than all of its own."""

    def __init__(self, **options: object) -> None:
        super().__init__(room_size=5, **options)


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Level:
    """A level of one's own: a class registered with gymnasium, and a line in the table of levels."""
    level = replace(OBJ, name="Few", env_id="PolyrayTest-Few-v0", width=5, height=5, max_steps=25)
    if level.env_id not in gymnasium.registry:
        gymnasium.register(level.env_id, GoToOneOfFew)
    monkeypatch.setitem(LEVELS, level.name, level)
    return level


def drawn(starts: ResumableStarts, tasks: list[int]) -> State:
    """The next start states of these level numbers."""
    state = empty(len(tasks), 8, 8)
    starts.fill(state, np.arange(len(tasks)), np.array(tasks))
    return state


def assert_equal(state: State, other: State) -> None:
    assert np.array_equal(state.grid, other.grid) and np.array_equal(state.rows, other.rows)


def test_compiled_starts_are_those_that_minigrid_makes_from_the_same_streams() -> None:
    levels, tasks = [OBJ, S4], [0, 1, 1, 0, 1, *[1] * 40]
    sources = [kind(levels, seed=5, skip_held_out=True) for kind in (NativeStarts, ReferenceStarts)]
    assert_equal(drawn(sources[0], tasks), drawn(sources[1], tasks))
    assert sources[0].rejected[1] > 0
    assert [position.tolist() for position in sources[0].state().values()] == [
        position.tolist() for position in sources[1].state().values()
    ]
    sources[1].restore({"GoToObj": sources[0].state()["GoToObj"]})
    assert_equal(drawn(sources[0], [0]), drawn(sources[1], [0]))


def test_a_level_of_ones_own_is_trained_on_and_evaluated_beside_others(foreign: Level) -> None:
    levels = [foreign, OBJ]
    state = evaluation_starts(levels, 8, 3)
    assert state.task.tolist() == [0] * 8 + [1] * 8 and (fingerprints(state) % SHARE == 0).all()
    starts = starts_for(levels, seed=7, skip_held_out=True)
    assert isinstance(starts, MixedStarts)
    first, positions = drawn(starts, [0, 1, 1, 0]), starts.state()
    assert first.limit.tolist() == [25, 64, 64, 25]
    assert (fingerprints(first) % SHARE != 0).all()
    alone = starts_for([OBJ], seed=7, skip_held_out=True)
    assert (fingerprints(first)[1:3] == fingerprints(drawn(alone, [0, 0]))).all()
    following = drawn(starts, [0, 1, 1, 0])
    reordered = starts_for(levels[::-1], seed=99, skip_held_out=True)
    reordered.restore(positions)
    assert (fingerprints(drawn(reordered, [1, 0, 0, 1])) == fingerprints(following)).all()
    assert reordered.rejected.tolist() == starts.rejected.tolist()[::-1]


def test_a_level_of_ones_own_is_batched_with_starts_from_minigrid(foreign: Level) -> None:
    with pytest.raises(InputError, match=r"'Few' has no recipe .* come from minigrid"):
        NativeStarts([foreign], seed=0)
    for starts in (None, starts_for([foreign], seed=0)):
        env = BabyAIVectorEnv(2, level=foreign.name, starts=starts)
        observations, _ = env.reset(seed=0)
        assert observations in env.observation_space
        assert env.step(np.full(2, 2))[0] in env.observation_space


def test_a_level_of_which_every_start_state_is_held_out_is_refused(
    foreign: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyray.envs.starts.reference.REJECTIONS", 20)
    monkeypatch.setattr("polyray.envs.starts.reference.is_held_out", lambda digest: True)
    with pytest.raises(InputError, match="'Few' has no start state that is not held out"):
        drawn(starts_for([foreign], seed=0, skip_held_out=True), [0])
    with monkeypatch.context() as patch:
        patch.setattr("polyray.envs.starts.evaluation.SHARE", 2**63)
        patch.setattr("polyray.envs.starts.evaluation.DRAWS", 100)
        with pytest.raises(InputError, match="'GoToObjS4' has too few different start states"):
            evaluation_starts([S4], 4, 0)


def test_a_fingerprint_ignores_numbering_and_padding_and_sees_all_else() -> None:
    state, wide, row = empty(1, 4, 4), empty(1, 9, 7), np.zeros(1, np.int64)
    NativeStarts([S4], seed=0).fill(state, row, row)
    NativeStarts([S4], seed=0).fill(wide, row, row)
    fingerprint = fingerprints(state)[0]
    assert fingerprint == fingerprints(wide)[0]
    assert [number for number, other in enumerate(changed(wide)) if fingerprints(other)[0] == fingerprint] == []


def changed(state: State) -> list[State]:
    """Start states that differ from this one in one respect each."""
    others = [state.at([0]) for _ in range(6)]
    others[0].x[0] += 1
    others[1].direction[0] = (others[1].direction[0] + 1) % 4
    others[2].looks[0, 2, 1] += 1
    others[3].contents[0, 2] = 2
    others[4].mission[0, 3] += 1
    others[5].grid[0, 6, 6] = 0
    return others


def test_evaluation_states_are_the_levels_own_and_repeatable() -> None:
    levels = [OBJ, S4]
    state, again = evaluation_starts(levels, 40, 3), evaluation_starts([S4], 40, 3)
    assert state.task.tolist() == [0] * 40 + [1] * 40
    assert (fingerprints(state) % SHARE == 0).all()
    assert (fingerprints(state)[40:] == fingerprints(again)).all()
    assert (state.limit == np.repeat([64, 16], 40)).all()


def test_training_never_sees_a_state_that_any_run_is_scored_on() -> None:
    """Whatever their seeds and numbers of episodes are; there are few different states, so without a rule they meet."""
    n = 20_000
    scored = np.concatenate([fingerprints(evaluation_starts([OBJ], 512, seed)) for seed in (1, 2)])
    everything, training = starts_for([OBJ], seed=1), starts_for([OBJ], seed=1, skip_held_out=True)
    assert np.isin(fingerprints(drawn(everything, [0] * n)), scored).sum() > 100
    trained = fingerprints(drawn(training, [0] * n))
    assert not np.isin(trained, scored).any() and (trained % SHARE != 0).all()
    assert training.rejected[0] > n // 5


def test_every_level_has_start_states_to_hold_out_and_to_train_on() -> None:
    levels = [LEVELS[name] for name in SUITES["all"]]
    state = evaluation_starts(levels, 64, 0)
    assert (np.bincount(state.task) == 64).all()
    training, tasks = empty(len(levels), 22, 22), np.arange(len(levels))
    starts_for(levels, seed=0, skip_held_out=True).fill(training, tasks, tasks)
    assert (fingerprints(training) % SHARE != 0).all()


@pytest.mark.parametrize(
    ("name", "maker", "message"),
    [
        ("wide", lambda: GoToObj(agent_view_size=9), "'wide' cannot be batched with others: its images show 9x9"),
        ("small", lambda: GoToObj(room_size=6), "'small' is 8x8 tiles in the table of levels, but 6x6"),
        (
            "empty",
            lambda: gymnasium.make("MiniGrid-Empty-5x5-v0"),
            "'empty' cannot be batched: .* is of the class EmptyEnv",
        ),
    ],
)
def test_a_level_of_another_shape_is_refused(name: str, maker: Any, message: str) -> None:
    level = replace(OBJ, name=name, env_id=f"PolyrayTest-{name}-v0")
    gymnasium.register(level.env_id, maker)
    with pytest.raises(InputError, match=message):
        evaluation_starts([OBJ, level], 4, 0)
