from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from minigrid.envs.babyai.core.verifier import AndInstr, BeforeInstr, GoToInstr, Instr, ObjDesc, OpenInstr
from minigrid.utils.baby_ai_bot import BabyAIBot, DisappearedBoxError

from polyray.envs.engine.engine import Engine
from polyray.envs.engine.state import State, copy_rows, empty
from polyray.envs.levels import LEVELS, Level
from polyray.envs.missions import decode
from polyray.envs.starts.capture import capture

pytestmark = pytest.mark.agents  # compiles for some ten seconds at first

LIKELY = (0.12, 0.12, 0.3, 0.14, 0.12, 0.15, 0.05)  # of each action in random play: mostly forward
Integers = npt.NDArray[np.int64]
GROUPS = [list(LEVELS)[first::16] for first in range(16)]


class StuckError(Exception):
    pass


class Plan(list[Any]):
    """The bot's stack of subgoals, which now and then would grow for ever."""

    def append(self, subgoal: Any) -> None:
        if len(self) > 100:
            raise StuckError
        super().append(subgoal)


class Twin:
    """minigrid's environment of one level, played at random or by its bot, which is interrupted by random actions."""

    def __init__(self, level: Level, rng: np.random.Generator, guided: bool) -> None:
        self.env: Any = gymnasium.make(level.env_id).unwrapped
        self.rng, self.guided = rng, guided

    def reset(self) -> None:
        self.seen = self.env.reset(seed=int(self.rng.integers(2**31)))[0]
        self.action: int | None = None
        self.over = False
        self.bot: Any = BabyAIBot(self.env) if self.guided else None
        self.noise = self.rng.choice((0, 0.1, 0.4))
        if self.bot:
            self.bot.stack = Plan(self.bot.stack)

    def step(self) -> list[Any]:
        self.action = self.choose()
        outcome: list[Any]
        self.seen, *outcome, _ = self.env.step(self.action)
        self.over = self.over or outcome[1] or outcome[2]
        self.bot = None if self.over else self.bot
        return outcome

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

    def __init__(self, names: list[str], guided: bool = False, seed: int = 0) -> None:
        self.rng = np.random.default_rng([seed, *map(ord, names[0])])
        levels = [LEVELS[name] for name in names]
        self.envs = [Twin(level, self.rng, guided) for level in levels]
        self.engine = Engine(levels, np.arange(len(names)), self)
        self.engine.reset()
        self.compare()

    def fill(self, state: State, rows: Integers, tasks: Integers) -> None:
        for row in rows:
            self.envs[row].reset()
            capture(self.envs[row].env, state, row)

    def compare(self) -> None:
        for row, env in enumerate(self.envs):
            assert np.array_equal(self.engine.image[row], env.seen["image"]), env.env.spec
            assert self.engine.direction[row] == env.seen["direction"], env.env.spec

    def step(self) -> None:
        outcomes = [env.step() for env in self.envs]
        reward, terminated, truncated = self.engine.step(np.array([env.action for env in self.envs]))
        assert reward.tolist() == [np.float32(outcome[0]) for outcome in outcomes]
        assert terminated.tolist() == [outcome[1] for outcome in outcomes]
        assert truncated.tolist() == [outcome[2] for outcome in outcomes]
        self.compare()

    def play(self, steps: int) -> None:
        """Some episodes are left early, some go on after their end, as minigrid's do."""
        for _ in range(steps):
            self.step()
            chance = self.rng.random(len(self.envs))
            rows = [row for row, env in enumerate(self.envs) if chance[row] < (0.5 if env.over else 0.005)]
            if rows:
                self.engine.reset(np.array(rows))
                self.compare()


def test_steps_equal_minigrids_on_levels_that_have_everything() -> None:
    Twins(
        [*["GoToObjS4", "PutNextS4N1", "PutNextS5N2Carrying"] * 2, "MiniBossLevel", "KeyInBox", "OpenDoorDebug"]
    ).play(200)


def test_steps_equal_minigrids_where_its_bot_plays() -> None:
    Twins(["PutNextLocalS5N3", "UnlockPickup", "MiniBossLevel", "PickupDistDebug"], guided=True).play(100)


def test_steps_equal_minigrids_long_after_the_end_when_things_have_been_carried_about() -> None:
    twins = Twins(["GoToObjS4", "GoToObjS4", "GoToLocalS5N2", "PutNextS4N1"])
    for _ in range(300):
        twins.step()


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_every_step_of_random_play_equals_minigrids(names: list[str]) -> None:
    Twins(names, seed=1).play(1700)


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_every_step_of_the_bots_play_equals_minigrids(names: list[str]) -> None:
    Twins(names, guided=True, seed=2).play(450)


def start_of(name: str, seed: int = 0, instruction: Instr | None = None) -> tuple[Any, State]:
    env: Any = gymnasium.make(LEVELS[name].env_id).unwrapped
    env.reset(seed=seed)
    if instruction:
        env.instrs = instruction
        env.instrs.reset_verifier(env)
    state = empty(1, env.height, env.width)
    capture(env, state, 0)
    return env, state


class Given:
    """Start states that are there already."""

    def __init__(self, state: State) -> None:
        self.state = state

    def fill(self, state: State, rows: Integers, tasks: Integers) -> None:
        copy_rows(self.state, np.zeros(len(rows), np.int64), state, rows)


@pytest.mark.parametrize("strict", [False, True])
def test_doing_the_second_thing_first_fails_where_the_order_is_strict(strict: bool) -> None:
    door, red = ObjDesc("door"), ObjDesc("door", "red")
    order = BeforeInstr(AndInstr(OpenInstr(red), OpenInstr(door)), GoToInstr(red), strict=strict)
    env, state = start_of("OpenRedDoor", instruction=order)
    engine = Engine([LEVELS["OpenRedDoor"]], np.zeros(1, np.int64), Given(state))
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


def test_an_action_that_is_none_changes_nothing() -> None:
    _, state = start_of("GoToLocalS5N2")
    engine = Engine([LEVELS["GoToLocalS5N2"]], np.zeros(2, np.int64), Given(state))
    engine.reset()
    with pytest.raises(ValueError, match="not between 0 and 6"):
        engine.step(np.array([0, 7]))
    with pytest.raises(ValueError, match="2 actions are wanted"):
        engine.step(np.array([0]))
    assert engine.state.steps.tolist() == [0, 0]


def test_tasks_are_numbers_of_the_levels() -> None:
    with pytest.raises(ValueError, match="numbers of the 1 levels"):
        Engine([LEVELS["GoTo"]], np.array([1]), Given(empty(1, 22, 22)))
