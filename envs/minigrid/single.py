"""One BabyAI level as a gymnasium environment, with minigrid's interface to the compiled engine."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from minigrid.envs.babyai.core.roomgrid_level import BabyAIMissionSpace
from numpy.typing import NDArray

from polyray.envs.engine.actions import N_ACTIONS
from polyray.envs.engine.engine import Engine
from polyray.envs.engine.state import State, copy_rows
from polyray.envs.levels import LEVELS
from polyray.envs.minigrid.drawing import Drawing, draw_world
from polyray.envs.minigrid.world import World
from polyray.envs.missions import decode
from polyray.envs.starts.seeded import MinigridStarts
from polyray.errors import InputError
from polyray.lookup import lookup

Observation = dict[str, Any]


class BabyAIEnv(gymnasium.Env[Observation, int]):
    """BabyAI level with the spaces, observations, rewards and pictures of minigrid's environment of the same name.

    An observation is {"image": uint8 [7, 7, 3], "direction": 0 to 3, "mission": text}. `reset(seed=s)` begins the
    episode that minigrid's `reset(seed=s)` begins, and further resets go on as minigrid's do. With
    `reset(options={"start": state})` the episode begins in `state` instead, a `State` of one environment of this level
    such as one of `evaluation_starts`.

    Args:
        level: a name from `polyray.envs.levels.LEVELS`.
        render_mode: None or "rgb_array".
        drawing: options of the picture.
        max_steps: replaces the level's own step limit.

    Raises:
        InputError: there is no level or render mode of this name.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (gymnasium demands it)

    def __init__(
        self,
        level: str,
        *,
        render_mode: str | None = None,
        drawing: Drawing | None = None,
        max_steps: int | None = None,
    ) -> None:
        self.level = lookup(LEVELS, level, "level")
        if render_mode is not None:
            lookup({mode: mode for mode in self.metadata["render_modes"]}, render_mode, "render mode")
        self.render_mode = render_mode
        self.observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, (7, 7, 3), np.uint8),
                "direction": spaces.Discrete(4),
                "mission": BabyAIMissionSpace(),
            }
        )
        self.action_space = spaces.Discrete(N_ACTIONS)
        self._drawing = drawing or Drawing()
        self._max_steps = max_steps
        self._starts = _OptionalStart(MinigridStarts(self.level, self.np_random))
        self._engine = Engine((self.level,), np.zeros(1, np.int64), self._starts)
        self._action = np.zeros(1, np.int64)
        self._mission = ""
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
            InputError: `options` has another key than "start", or its value is no State.
        """
        super().reset(seed=seed)
        self._starts.minigrid.generator = self.np_random
        self._starts.start = _start_of(options or {})
        self._engine.reset()
        if self._max_steps is not None:
            self.state.limit[0] = self._max_steps
        self._mission = decode(self._engine.mission[0])
        self._world = None
        return self._observation(), {}

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take an action; the reward is 1 - 0.9 * steps / max_steps when the mission is done, else 0.

        Raises:
            InputError: `action` is not from 0 to 6.
        """
        if not 0 <= action < N_ACTIONS:
            raise InputError(f"There is no action {action}; actions are numbered from 0 to {N_ACTIONS - 1}.")
        self._action[0] = action
        rewards, terminated, truncated = self._engine.step(self._action)
        steps, limit = int(self.state.steps[0]), int(self.state.limit[0])
        reward = 1 - 0.9 * (steps / limit) if rewards[0] > 0 else 0.0
        return self._observation(), reward, bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """Picture as minigrid draws it, [height * tile_size, width * tile_size, 3]; None without a render mode."""
        return None if self.render_mode is None else draw_world(self.world(), self._drawing)

    def world(self) -> World:
        """Present state of the environment as minigrid's objects; the same World until the next reset."""
        if self._world is None:
            self._world = World(self.state, 0, self.level)
        self._world.look()
        return self._world

    def _observation(self) -> Observation:
        engine = self._engine
        return {
            "image": engine.image[0].copy(),
            "direction": int(engine.direction[0]),
            "mission": self._mission,
        }


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


def _start_of(options: dict[str, Any]) -> State | None:
    unknown = sorted(set(options) - {"start"})
    if unknown:
        raise InputError(f'The only option of reset is "start"; there is no option {unknown[0]!r}.')
    start = options.get("start")
    if start is not None and not isinstance(start, State):
        raise InputError(f'The option "start" is a polyray.envs.engine.state.State, not a {type(start).__name__}.')
    return start
