"""Many BabyAI environments as one gymnasium vector environment: the compiled engine behind gymnasium's interface."""

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
from polyray.envs.missions import LENGTH, VOCABULARY
from polyray.envs.starts.seeded import SeededStarts
from polyray.errors import InputError
from polyray.lookup import lookup

Arrays = dict[str, NDArray[Any]]
Infos = dict[str, Any]
Step = tuple[Arrays, NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], Infos]

_MODES = {mode.value: mode for mode in AutoresetMode}


class BabyAIVectorEnv(VectorEnv[Arrays, NDArray[np.int64], NDArray[Any]]):
    """`num_envs` environments, each of one level, stepped together.

    An observation is {"image": uint8 [n, 7, 7, 3] as minigrid gives it, "direction": int64 [n], "mission": uint8
    [n, LENGTH] the words' numbers (`polyray.envs.missions.decode` gives the text), "task": int64 [n] the number of the
    environment's level in `levels`}. With several `levels` (or one `level`) the environments are dealt out evenly, in
    order: the first ones play the first level. Levels may differ in size: what is observed has one shape.

    `autoreset_mode` is gymnasium's NEXT_STEP, SAME_STEP (with `final_obs` and `final_info` in the infos) or DISABLED
    (an ended environment is reset by `reset(options={"reset_mask": mask})`, which works in every mode).

    `reset(seed=s)` begins in environment i the level that minigrid's environment begins with the seed s + i, and later
    resets go on as minigrid's do: the batch is `gymnasium.vector.SyncVectorEnv` over `num_envs` single environments.
    `starts` is another source of start states, whose own seed then decides: any `polyray.envs.engine.engine.Starts`,
    such as `polyray.envs.starts.resumable.starts_for(levels, seed=...)`.

    With `copy` what `reset` and `step` return is the caller's; without, observations are views that the next call
    overwrites (and "direction" is uint8), which saves a few microseconds. `render_mode="rgb_array"` makes `render`
    return a tuple of n pictures.

    Raises:
        InputError: neither or both of `level` and `levels`, fewer environments than levels, or an unknown name.
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
    ) -> None:
        self.levels = levels_of(None, tuple(levels) or ((level,) if level else ()))
        if num_envs < len(self.levels):
            raise InputError(f"{len(self.levels)} levels need as many environments or more, not {num_envs}.")
        if isinstance(autoreset_mode, str):
            autoreset_mode = lookup(_MODES, autoreset_mode, "autoreset mode")
        if render_mode is not None:
            lookup({"rgb_array": draw}, render_mode, "render mode")
        self.num_envs, self.render_mode, self._copy, self._autoreset_mode = num_envs, render_mode, copy, autoreset_mode
        self.metadata = {**self.metadata, "autoreset_mode": autoreset_mode}
        self.single_action_space = spaces.Discrete(N_ACTIONS)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.single_observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, (7, 7, 3), np.uint8),
                "direction": spaces.Discrete(4),
                "mission": spaces.Box(0, len(VOCABULARY) - 1, (LENGTH,), np.uint8),
                "task": spaces.Discrete(len(self.levels)),
            }
        )
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        tasks = np.arange(num_envs) * len(self.levels) // num_envs
        self._seeded: SeededStarts | None = None
        if starts is None:
            starts = self._seeded = SeededStarts(self.levels, num_envs)
        self._engine = Engine(self.levels, tasks, starts)
        self._ended = np.arange(num_envs)  # numbers of the environments that must be reset before they step

    @property
    def state(self) -> State:
        """The engine's state of the n environments: it changes with every step."""
        return self._engine.state

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Arrays, Infos]:
        """Begin an episode in every environment, or in those of the mask [n] `options["reset_mask"]`.

        Raises:
            InputError: the mask is no boolean array [n] with a true entry, or `options` holds something else.
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
        """One action for every environment, [n]; what becomes of an ended episode is the autoreset mode's affair.

        Raises:
            ResetNeeded: there was no reset yet.
            InputError: `actions` are not n whole numbers from 0 to 6, or with DISABLED one that ended was not reset.
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
        """A picture of each environment as minigrid draws it, or None without a render mode."""
        if self.render_mode is None:
            return None
        levels = [self.levels[task] for task in self._engine.tasks]
        return tuple(draw(self.state, row, level, Drawing()) for row, level in enumerate(levels))

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
        """The infos of ended episodes, in the shape of gymnasium's SyncVectorEnv."""
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
            raise InputError(f'reset knows the option "reset_mask" alone, not {unknown[0]!r}.')
        mask = options.get("reset_mask", np.ones(self.num_envs, np.bool_))
        if not isinstance(mask, np.ndarray) or mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise InputError(f"The reset_mask is a boolean numpy array of shape ({self.num_envs},), not {mask!r}.")
        if not mask.any():
            raise InputError("The reset_mask names no environment; at least one entry must be true.")
        return mask

    def _act(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
        found = np.asarray(actions)
        wanted = f"A step takes {self.num_envs} whole numbers from 0 to {N_ACTIONS - 1}; found "
        if found.shape != (self.num_envs,) or found.dtype.kind not in "iu":
            raise InputError(f"{wanted}{found.dtype} of shape {found.shape}.")
        try:
            return self._engine.step(found)
        except ValueError as error:  # it looks at each one anyway
            raise InputError(f"{wanted}{found.min()} to {found.max()}.") from error
