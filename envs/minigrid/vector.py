"""Many BabyAI environments as one gymnasium vector environment on the compiled engine."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from polyray.envs.engine.actions import N_ACTIONS
from polyray.envs.engine.engine import Engine, Starts
from polyray.envs.engine.state import State
from polyray.envs.levels import levels_of
from polyray.envs.minigrid.drawing import Drawing, draw
from polyray.envs.minigrid.keywords import refuse, truth, whole_number
from polyray.envs.missions import LENGTH, VOCABULARY
from polyray.envs.starts.limited import LimitedStarts
from polyray.envs.starts.seeded import SeededStarts
from polyray.errors import InputError
from polyray.lookup import lookup

Arrays = dict[str, NDArray[Any]]
Infos = dict[str, Any]
Step = tuple[Arrays, NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], Infos]

KEYWORDS = (
    *("level", "levels", "starts", "autoreset_mode", "copy", "render_mode", "max_steps", "tile_size", "highlight"),
    "agent_pov",
)
_MODES = {mode.value: mode for mode in AutoresetMode}


class BabyAIVectorEnv(VectorEnv[Arrays, NDArray[np.int64], NDArray[Any]]):
    """Batch of n environments, each of one level, stepped together.

    An observation is {"image": uint8 [n, 7, 7, 3] as in minigrid, "direction": int64 [n], "mission": uint8 [n, LENGTH],
    the numbers of the words (`polyray.envs.missions.decode` returns the text), "task": int64 [n], the number of each
    environment's level in `levels`}. Levels may differ in size, their observations do not.

    `reset(seed=s)` begins in environment i the episode that minigrid's environment begins with the seed s + i, and
    later resets go on as minigrid's do: the batch equals `gymnasium.vector.SyncVectorEnv` over n single environments.

    Args:
        num_envs: n.
        level: a name from `polyray.envs.levels.LEVELS`.
        levels: several names instead; equally many environments, up to rounding, play each, the first ones the first.
        starts: another source of start states, whose seed then replaces that of `reset`, such as
            `polyray.envs.starts.resumable.starts_for(levels, seed=...)`.
        autoreset_mode: gymnasium's NEXT_STEP, SAME_STEP (infos have `final_obs` and `final_info`) or DISABLED (ended
            environments wait for `reset(options={"reset_mask": mask})`, which works in every mode).
        copy: whether `reset` and `step` return copies; if not, the next call overwrites what they returned, "direction"
            is uint8, and a call takes a few microseconds less.
        render_mode: None, or "rgb_array" to make `render` return a tuple of n pictures.
        max_steps: replaces the levels' own step limits, 1 or more.
        tile_size: pixels along a cell of the pictures.
        highlight: whether the cells that the agent sees are lighter in the pictures.
        agent_pov: whether the pictures show what the agents see instead of the whole grids.

    Raises:
        InputError: neither or both of `level` and `levels`, fewer environments than levels, an unknown name, an
            impossible value, or a keyword of another.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10, "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        *,
        level: str | None = None,
        levels: Sequence[str] = (),
        starts: Starts | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        render_mode: str | None = None,
        max_steps: int | None = None,
        tile_size: int = 32,
        highlight: bool = True,
        agent_pov: bool = False,
        **unknown: Any,
    ) -> None:
        if unknown:
            refuse(unknown, KEYWORDS)
        if level is not None and levels:
            raise InputError("Give either one level or several levels; both are given.")
        self.levels = levels_of(None, levels if level is None else (level,))
        num_envs = whole_number("num_envs", num_envs, least=1)
        if num_envs < len(self.levels):
            raise InputError(f"{len(self.levels)} levels need as many environments or more, not {num_envs}.")
        mode = lookup(_MODES, autoreset_mode, "autoreset mode") if isinstance(autoreset_mode, str) else autoreset_mode
        if render_mode is not None:
            lookup({mode: mode for mode in self.metadata["render_modes"]}, render_mode, "render mode")
        self.num_envs, self.render_mode, self._copy, self._autoreset_mode = num_envs, render_mode, copy, mode
        self.metadata = {**self.metadata, "autoreset_mode": mode}
        self.single_action_space = spaces.Discrete(N_ACTIONS)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.single_observation_space = _observation_space(len(self.levels))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._seeded: SeededStarts | None = None
        if starts is None:
            starts = self._seeded = SeededStarts(self.levels, num_envs)
        limited = starts if max_steps is None else LimitedStarts(starts, whole_number("max_steps", max_steps, least=1))
        self._drawing = Drawing(
            whole_number("tile_size", tile_size, least=1), truth("highlight", highlight), truth("agent_pov", agent_pov)
        )
        self._engine = Engine(self.levels, np.arange(num_envs) * len(self.levels) // num_envs, limited)
        self._ended = np.arange(num_envs)  # environments that must be reset before they step

    @property
    def state(self) -> State:
        """State of the engine, n rows, which every step changes."""
        return self._engine.state

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Arrays, Infos]:
        """Begin an episode in every environment, or in those of the mask [n] `options["reset_mask"]`.

        Raises:
            InputError: the mask is no boolean array [n] with a true entry, or `options` has another key.
        """
        rows = np.flatnonzero(self._mask(options or {}))
        first = self._np_random is None
        if seed is None and first:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        super().reset(seed=seed)
        if seed is not None and self._seeded is not None:
            self._seeded.seed(seed, np.arange(self.num_envs) if first else rows)
        self._engine.reset(rows)
        self._ended = np.setdiff1d(self._ended, rows)
        return self._observations(), {}

    def step(self, actions: NDArray[np.int64]) -> Step:
        """Take one action in every environment, [n]; ended episodes are reset as the autoreset mode says.

        Raises:
            ResetNeeded: there was no reset yet.
            InputError: `actions` are not n integers from 0 to 6, or with DISABLED an environment has ended.
        """
        if self._np_random is None:
            raise ResetNeeded("The environments have not begun: call reset before step.")
        mode, ended = self._autoreset_mode, self._ended
        if mode is AutoresetMode.DISABLED and len(ended):
            raise InputError(
                f"Environments {ended.tolist()} have ended: reset them with "
                'reset(options={"reset_mask": mask}), or choose another autoreset mode.'
            )
        rewards, terminated, truncated = self._act(actions)
        infos: Infos = {}
        if mode is AutoresetMode.NEXT_STEP and len(ended):
            rewards[ended], terminated[ended], truncated[ended] = 0.0, False, False
            self._engine.reset(ended)
        self._ended = (terminated | truncated).nonzero()[0]
        if mode is AutoresetMode.SAME_STEP and len(self._ended):
            infos = self._final(self._ended)
            self._engine.reset(self._ended)
        return self._observations(), rewards, terminated, truncated, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]
        """Pictures of the n environments as minigrid draws them; None without a render mode."""
        if self.render_mode is None:
            return None
        levels = [self.levels[task] for task in self._engine.tasks]
        return tuple(draw(self.state, row, level, self._drawing) for row, level in enumerate(levels))

    def _observations(self) -> Arrays:
        engine = self._engine
        if not self._copy:
            return {
                "image": engine.image,
                "direction": engine.direction,
                "mission": engine.mission,
                "task": engine.tasks,
            }
        return {
            "image": engine.image.copy(),
            "direction": engine.direction.astype(np.int64),
            "mission": engine.mission.copy(),
            "task": engine.tasks.copy(),
        }

    def _final(self, ended: NDArray[np.int64]) -> Infos:
        """Infos of ended episodes, in the form of gymnasium's SyncVectorEnv."""
        engine, last, mask = self._engine, np.full(self.num_envs, None, object), np.zeros(self.num_envs, np.bool_)
        mask[ended] = True
        for row in ended.tolist():
            last[row] = {
                "image": engine.image[row].copy(),
                "direction": np.int64(engine.direction[row]),
                "mission": engine.mission[row].copy(),
                "task": engine.tasks[row],
            }
        return {"final_obs": last, "_final_obs": mask, "final_info": {}, "_final_info": mask.copy()}

    def _mask(self, options: dict[str, Any]) -> NDArray[np.bool_]:
        unknown = sorted(set(options) - {"reset_mask"})
        if unknown:
            raise InputError(f'The only option of reset is "reset_mask"; there is no option {unknown[0]!r}.')
        mask = options.get("reset_mask", np.ones(self.num_envs, np.bool_))
        if not isinstance(mask, np.ndarray) or mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise InputError(f"The reset_mask is a boolean numpy array of shape ({self.num_envs},), not {mask!r}.")
        if not mask.any():
            raise InputError("The reset_mask names no environment; at least one entry must be true.")
        return mask

    def _act(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
        actions = np.asarray(actions)
        rule = f"A step takes {self.num_envs} integers from 0 to {N_ACTIONS - 1}"
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise InputError(f"{rule}; found {actions.dtype} of shape {actions.shape}.")
        try:
            return self._engine.step(actions)
        except ValueError as error:  # the engine looks at every action anyway
            raise InputError(f"{rule}; found {actions.min()} to {actions.max()}.") from error


def _observation_space(n_levels: int) -> spaces.Dict:
    return spaces.Dict(
        {
            "image": spaces.Box(0, 255, (7, 7, 3), np.uint8),
            "direction": spaces.Discrete(4),
            "mission": spaces.Box(0, len(VOCABULARY) - 1, (LENGTH,), np.uint8),
            "task": spaces.Discrete(n_levels),
        }
    )
