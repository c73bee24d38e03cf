"""One BabyAI level as a gymnasium environment, with minigrid's interface to the compiled engine."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from minigrid.core.actions import Actions
from minigrid.core.grid import Grid
from minigrid.core.world_object import WorldObj
from minigrid.envs.babyai.core.roomgrid_level import BabyAIMissionSpace, RoomGridLevel
from numpy.typing import NDArray

from polyray.envs.engine.actions import N_ACTIONS
from polyray.envs.engine.engine import Engine
from polyray.envs.engine.observe import VIEW
from polyray.envs.engine.state import State, copy_rows
from polyray.envs.engine.validity import checked_start
from polyray.envs.levels import Level, level_called
from polyray.envs.minigrid.attributes import BEFORE_RESET, OFFER, READABLE, write
from polyray.envs.minigrid.drawing import Drawing, draw_world
from polyray.envs.minigrid.keywords import refuse, truth, whole_number
from polyray.envs.minigrid.world import World
from polyray.envs.missions import decode
from polyray.envs.starts.seeded import MinigridStarts
from polyray.errors import InputError
from polyray.lookup import lookup

Observation = dict[str, Any]
KEYWORDS = (
    *("render_mode", "max_steps", "agent_view_size", "see_through_walls", "tile_size", "highlight", "agent_pov"),
)


class BabyAIEnv(gymnasium.Env[Observation, int]):
    """BabyAI level with the spaces, observations, rewards and pictures of minigrid's environment of the same name.

    An observation is {"image": uint8 [7, 7, 3], "direction": 0 to 3, "mission": text}. `reset(seed=s)` begins the
    episode that minigrid's `reset(seed=s)` begins, and further resets go on as minigrid's do. With
    `reset(options={"start": state})` the episode begins in `state` instead, a `State` of one environment of this level
    such as one of `evaluation_starts`.

    The attributes of minigrid's environments that `polyray.envs.minigrid.attributes` lists can be read (`agent_pos`,
    `grid`, `carrying`, `front_pos`, ...), so that minigrid's wrappers work; `agent_pos`, `agent_dir`, `step_count` and,
    for this episode, `max_steps` can be set. `copy.deepcopy` and pickle make copies that go on exactly as the original.

    Args:
        level: a name from `polyray.envs.levels.LEVELS`, which `polyray.envs.register_level` extends.
        render_mode: None or "rgb_array".
        max_steps: replaces the level's own step limit, 1 or more.
        agent_view_size: tiles along each side of the agent's view, odd, 3 or more; levels are the same with each.
        see_through_walls: whether the agent sees the whole view.
        tile_size: pixels along a cell of the picture.
        highlight: whether the cells that the agent sees are lighter in the picture.
        agent_pov: whether the picture shows what the agent sees instead of the whole grid.

    Raises:
        InputError: there is no level or render mode of this name, a value is impossible, or a keyword is another's.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (gymnasium demands it)

    # Read from the world (`__getattr__`).
    agent_pos: tuple[np.int64, np.int64]
    agent_dir: int
    carrying: WorldObj | None
    grid: Grid
    step_count: int
    max_steps: int
    front_pos: NDArray[np.int64]

    def __init__(
        self,
        level: str,
        *,
        render_mode: str | None = None,
        max_steps: int | None = None,
        agent_view_size: int = VIEW,
        see_through_walls: bool = False,
        tile_size: int = 32,
        highlight: bool = True,
        agent_pov: bool = False,
        **unknown: Any,
    ) -> None:
        if unknown:
            refuse(unknown, KEYWORDS)
        self.level = level_called(level)
        if render_mode is not None:
            lookup({mode: mode for mode in self.metadata["render_modes"]}, render_mode, "render mode")
        self.render_mode = render_mode
        self.tile_size = whole_number("tile_size", tile_size, least=1)
        self.highlight, self.agent_pov = truth("highlight", highlight), truth("agent_pov", agent_pov)
        self.agent_view_size = _view_size(agent_view_size)
        self.see_through_walls = truth("see_through_walls", see_through_walls)
        self.actions, self.width, self.height = Actions, self.level.width, self.level.height
        self.observation_space = _observation_space(self.agent_view_size)
        self.action_space = spaces.Discrete(N_ACTIONS)
        self._max_steps = None if max_steps is None else whole_number("max_steps", max_steps, least=1)
        self._starts = _OptionalStart(MinigridStarts(self.level, self.np_random))
        rooms = self._starts.minigrid.environment
        self.room_size, self.num_rows, self.num_cols = rooms.room_size, rooms.num_rows, rooms.num_cols
        self._engine = Engine((self.level,), np.zeros(1, np.int64), self._starts)
        self._action = np.zeros(1, np.int64)
        self._begun, self._mission = False, ""
        self._world: World | None = None

    @property
    def state(self) -> State:
        """State of the engine, one row, which every step changes."""
        return self._engine.state

    @property
    def mission(self) -> str:
        """Instruction of this episode."""
        return self._mission

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode.

        Raises:
            InputError: `options` has another key than "start", or its value is no state of this level.
        """
        start = _start_of(options or {}, self.level)
        super().reset(seed=seed)
        self._starts.minigrid.generator = self.np_random
        self._starts.start = start
        self._engine.reset()
        if self._max_steps is not None:
            self.state.limit[0] = self._max_steps
        self._mission = decode(self._engine.mission[0])
        self._begun, self._world = True, None
        return self._observation(first=True), {}

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take an action; the reward is 1 - 0.9 * steps / max_steps when the mission is done, else 0.

        Raises:
            gymnasium.error.ResetNeeded: there was no reset yet.
            InputError: `action` is not from 0 to 6.
        """
        self._check_begun()
        self._action[0] = _number_of(action)
        rewards, terminated, truncated = self._engine.step(self._action)
        steps, limit = int(self.state.steps[0]), int(self.state.limit[0])
        reward = 1 - 0.9 * (steps / limit) if rewards[0] else 0.0  # in double precision; negative after the limit
        return self._observation(), reward, bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """Picture as minigrid draws it, [height * tile_size, width * tile_size, 3]; None without a render mode."""
        if self.render_mode is None:
            return None
        return draw_world(self.world(), Drawing(self.tile_size, self.highlight, self.agent_pov))

    def world(self) -> World:
        """Present state of the environment as minigrid's objects; the same World until the next reset.

        Raises:
            gymnasium.error.ResetNeeded: there was no reset yet.
        """
        self._check_begun()
        if self._world is None:
            self._world = World(self.state, 0, self.level)
        world = self._world
        world.agent_view_size, world.see_through_walls = self.agent_view_size, self.see_through_walls
        world.look()
        return world

    def __getattr__(self, name: str) -> Any:
        if name in READABLE and self._begun:
            return getattr(self.world(), name)
        if name == "max_steps":
            return self._max_steps or self.level.max_steps
        if name in BEFORE_RESET:
            return None
        if hasattr(RoomGridLevel, name):
            when = "only after the first reset" if name in READABLE else "not, because a compiled engine steps it"
            raise AttributeError(f"The environment has minigrid's {name!r} {when}. {OFFER}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in READABLE:
            self._check_begun()
            write(self.state, self.level, name, value)
        else:
            super().__setattr__(name, value)

    def _check_begun(self) -> None:
        if not self._begun:
            raise ResetNeeded("The environment has not begun: call reset first.")

    def _observation(self, *, first: bool = False) -> Observation:
        engine = self._engine
        if self.agent_view_size == VIEW and not self.see_through_walls:
            image = engine.image[0].copy()
        else:
            image = self.world().first_image() if first else self.world().image()
        return {"image": image, "direction": int(engine.direction[0]), "mission": self._mission}


class _OptionalStart:
    """Start states from minigrid, unless `start` has been set for the next episode."""

    def __init__(self, minigrid: MinigridStarts) -> None:
        self.minigrid = minigrid
        self.start: State | None = None

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        if self.start is None:
            self.minigrid.fill(state, rows, tasks)
        else:
            copy_rows(self.start, np.zeros(1, np.int64), state, rows)


def _observation_space(view_size: int) -> spaces.Dict:
    return spaces.Dict(
        {
            "image": spaces.Box(0, 255, (view_size, view_size, 3), np.uint8),
            "direction": spaces.Discrete(4),
            "mission": BabyAIMissionSpace(),
        }
    )


def _start_of(options: dict[str, Any], level: Level) -> State | None:
    unknown = sorted(set(options) - {"start"})
    if unknown:
        raise InputError(f'The only option of reset is "start"; there is no option {unknown[0]!r}.')
    start = options.get("start")
    return None if start is None else checked_start(start, level)


def _view_size(size: int) -> int:
    size = whole_number("agent_view_size", size, least=3)
    if size % 2 == 0:
        raise InputError(f"agent_view_size is odd, so that the agent is in the middle, not {size}.")
    return size


def _number_of(action: Any) -> int:
    """The number of an action: an integer, one of minigrid's Actions, or an array that holds one integer."""
    numbers = np.asarray(action)
    if numbers.size != 1 or numbers.dtype.kind not in "iu" or not 0 <= numbers.item() < N_ACTIONS:
        raise InputError(f"There is no action {action}; actions are numbered from 0 to {N_ACTIONS - 1}.")
    return int(numbers.item())
