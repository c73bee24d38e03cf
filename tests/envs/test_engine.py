"""The compiled engine takes every step that minigrid's environments take, observation for observation."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from minigrid.envs.babyai.core.verifier import AndInstr, BeforeInstr, GoToInstr, Instr, ObjDesc, OpenInstr
from minigrid.utils.baby_ai_bot import BabyAIBot, DisappearedBoxError
from numpy.typing import NDArray

from polyray.envs.engine.engine import Engine
from polyray.envs.engine.state import State, copy_rows, empty
from polyray.envs.levels import LEVELS, Level
from polyray.envs.missions import decode
from polyray.envs.starts.capture import capture

pytestmark = pytest.mark.agents  # compiles for some ten seconds at first

LIKELY = (0.12, 0.12, 0.3, 0.14, 0.12, 0.15, 0.05)  # of each action in random play: mostly forward
GROUPS = [list(LEVELS)[first::16] for first in range(16)]


class StuckError(Exception):
    """The bot's plan has grown too long."""


class Plan(list[Any]):
    """The bot's stack of subgoals, which now and then would grow without end."""

    def append(self, subgoal: Any) -> None:
        if len(self) > 100:
            raise StuckError
        super().append(subgoal)


class Twin:
    """minigrid's environment of one level, played at random or by its bot, which is interrupted by random actions."""

    def __init__(self, level: Level, rng: np.random.Generator, guided: bool) -> None:
        self.name = level.name
        self.env: Any = gymnasium.make(level.env_id).unwrapped
        self.rng, self.guided = rng, guided

    def reset(self) -> None:
        self.observation = self.env.reset(seed=int(self.rng.integers(2**31)))[0]
        self.action: int | None = None
        self.over = False
        self.bot: Any = BabyAIBot(self.env) if self.guided else None
        self.noise = self.rng.choice((0, 0.1, 0.4))
        if self.bot:
            self.bot.stack = Plan(self.bot.stack)

    def step(self) -> tuple[np.float32, bool, bool]:
        self.action = self.choose()
        self.observation, reward, terminated, truncated, _ = self.env.step(self.action)
        self.over = self.over or terminated or truncated
        self.bot = None if self.over else self.bot
        return np.float32(reward), terminated, truncated

    def choose(self) -> int:
        if self.bot:
            try:
                advice = int(self.bot.replan(self.action))
            except (StuckError, AssertionError, TypeError, DisappearedBoxError):
                self.bot = None
            else:
                if self.rng.random() >= self.noise:
                    return advice
        return int(self.rng.choice(7, p=LIKELY))


class Twins:
    """An engine and one minigrid environment for each of its rows, with the same start states and actions."""

    def __init__(self, names: Sequence[str], *, guided: bool = False, seed: int = 0) -> None:
        self.rng = np.random.default_rng([seed, *map(ord, names[0])])
        levels = [LEVELS[name] for name in names]
        self.envs = [Twin(level, self.rng, guided) for level in levels]
        self.engine = Engine(levels, np.arange(len(names)), self)
        self.engine.reset()
        self.steps = 0
        self.differences = self.compare()

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        for row in rows:
            self.envs[row].reset()
            capture(self.envs[row].env, state, row)

    def compare(self) -> list[str]:
        """Level and step of every observation that differs."""
        return [
            f"{env.name} sees something else after {self.steps} steps"
            for row, env in enumerate(self.envs)
            if not np.array_equal(self.engine.image[row], env.observation["image"])
            or self.engine.direction[row] != env.observation["direction"]
        ]

    def step(self) -> None:
        outcomes = [env.step() for env in self.envs]
        ours = zip(*self.engine.step(np.array([env.action for env in self.envs])), strict=True)
        self.steps += 1
        self.differences += [
            f"{env.name} answers {our} instead of {outcome} after {self.steps} steps"
            for env, our, outcome in zip(self.envs, ours, outcomes, strict=True)
            if our != outcome
        ]
        self.differences += self.compare()

    def play(self, steps: int) -> list[str]:
        """Differences to minigrid up to the first step that has one; some episodes are left early, some late."""
        while self.steps < steps and not self.differences:
            self.step()
            chance = self.rng.random(len(self.envs))
            rows = [row for row, env in enumerate(self.envs) if chance[row] < (0.5 if env.over else 0.005)]
            if rows:
                self.engine.reset(np.array(rows))
                self.differences += self.compare()
        return self.differences


def test_steps_equal_minigrids_on_levels_that_have_everything() -> None:
    few = [*["GoToObjS4", "PutNextS4N1", "PutNextS5N2Carrying"] * 2, "MiniBossLevel", "KeyInBox", "OpenDoorDebug"]
    assert Twins(few).play(200) == []


def test_steps_equal_minigrids_where_its_bot_plays() -> None:
    few = ["PutNextLocalS5N3", "UnlockPickup", "MiniBossLevel", "PickupDistDebug"]
    assert Twins(few, guided=True).play(100) == []


def test_steps_equal_minigrids_long_after_the_end_when_objects_have_been_carried_about() -> None:
    twins = Twins(["GoToObjS4", "GoToObjS4", "GoToLocalS5N2", "PutNextS4N1"])
    for _ in range(300):
        twins.step()
    assert twins.differences == []


@pytest.mark.timeout(900)
def test_every_step_of_random_play_equals_minigrids_on_every_level() -> None:
    assert [difference for names in GROUPS for difference in Twins(names, seed=1).play(1700)] == []


@pytest.mark.timeout(900)
def test_every_step_of_the_bots_play_equals_minigrids_on_every_level() -> None:
    assert [difference for names in GROUPS for difference in Twins(names, guided=True, seed=2).play(450)] == []


def start_of(name: str, seed: int = 0, instruction: Instr | None = None) -> tuple[Any, State]:
    """One of minigrid's environments, reset, and its start state."""
    env: Any = gymnasium.make(LEVELS[name].env_id).unwrapped
    env.reset(seed=seed)
    if instruction:
        env.instrs = instruction
        env.instrs.reset_verifier(env)
    state = empty(1, env.height, env.width)
    capture(env, state, 0)
    return env, state


class OneStart:
    """Source of one start state."""

    def __init__(self, state: State) -> None:
        self.state = state

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        copy_rows(self.state, np.zeros(len(rows), np.int64), state, rows)


@pytest.mark.parametrize("strict", [False, True])
def test_doing_the_second_clause_first_fails_where_the_order_is_strict(strict: bool) -> None:
    door, red = ObjDesc("door"), ObjDesc("door", "red")
    order = BeforeInstr(AndInstr(OpenInstr(red), OpenInstr(door)), GoToInstr(red), strict=strict)
    env, state = start_of("OpenRedDoor", instruction=order)
    engine = Engine([LEVELS["OpenRedDoor"]], np.zeros(1, np.int64), OneStart(state))
    engine.reset()
    terminated, rng = False, np.random.default_rng(0)
    while not terminated:
        action = rng.choice(7, p=LIKELY)
        _, reward, terminated, truncated, _ = env.step(int(action))
        outcome = engine.step(np.array([action]))
        assert [float(array[0]) for array in outcome] == [np.float32(reward), terminated, truncated]
    assert (reward == 0) == strict


def test_a_row_copied_into_a_larger_grid_looks_the_same() -> None:
    env, state = start_of("GoToLocalS5N2")
    larger = empty(3, 22, 22)
    copy_rows(state, np.zeros(1, np.int64), larger, np.array([2]))
    assert (larger.grid[2, :5, :5] == state.grid[0]).all()
    assert (larger.grid[2, 5:] == 1).all() and (larger.grid[2, :, 5:] == 1).all()
    assert (larger.looks[2] == state.looks[0]).all() and decode(larger.mission[2]) == env.mission


def test_a_row_keeps_its_task_when_it_is_overwritten() -> None:
    _, state = start_of("GoToLocalS5N2")
    target = empty(1, 5, 5)
    target.task[:] = 7
    copy_rows(state, np.zeros(1, np.int64), target, np.zeros(1, np.int64))
    assert target.task[0] == 7


def test_a_larger_grid_does_not_go_into_a_smaller_one() -> None:
    _, state = start_of("GoToLocalS5N2")
    with pytest.raises(ValueError, match="larger than the target's"):
        copy_rows(state, np.zeros(1, np.int64), empty(1, 4, 5), np.zeros(1, np.int64))


def test_only_a_start_state_that_fits_is_captured() -> None:
    env, state = start_of("GoToLocalS5N2")
    with pytest.raises(ValueError, match="does not fit"):
        capture(env, empty(1, 4, 4), 0)
    env.step(0)
    with pytest.raises(ValueError, match="has taken steps"):
        capture(env, state, 0)


def test_a_number_that_is_no_action_changes_nothing() -> None:
    _, state = start_of("GoToLocalS5N2")
    engine = Engine([LEVELS["GoToLocalS5N2"]], np.zeros(2, np.int64), OneStart(state))
    engine.reset()
    with pytest.raises(ValueError, match="not between 0 and 6"):
        engine.step(np.array([0, 7]))
    with pytest.raises(ValueError, match="2 actions are needed"):
        engine.step(np.array([0]))
    assert engine.state.steps.tolist() == [0, 0]


def test_tasks_are_numbers_of_the_levels() -> None:
    with pytest.raises(ValueError, match="numbers of the 1 levels"):
        Engine([LEVELS["GoTo"]], np.array([1]), OneStart(empty(1, 22, 22)))
