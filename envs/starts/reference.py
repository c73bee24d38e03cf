"""Start states that minigrid itself makes: for levels of one's own, and as the truth for compiled generation."""

from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO

import gymnasium
import numpy as np
from minigrid.envs.babyai.core.roomgrid_level import RoomGridLevel
from numpy.typing import NDArray

from polyray.envs.engine.observe import VIEW
from polyray.envs.engine.state import State, empty
from polyray.envs.generation.stream import N_STREAM, generator_at, stream_for, stream_of
from polyray.envs.levels import Level
from polyray.envs.starts.capture import capture
from polyray.envs.starts.fingerprints import fingerprints, is_held_out
from polyray.errors import InputError

BEGINNINGS = 2_000  # of one level by minigrid, after which it is taken to be impossible
REJECTIONS = 20_000  # held-out start states in a row, after which a level is taken to have no others


def minigrid_environment(level: Level) -> RoomGridLevel:
    """minigrid's own environment of a level, unwrapped.

    Raises:
        InputError: it is no level of BabyAI's kind, its grid is not as in the table of levels, or its view is not 7x7.
    """
    environment = gymnasium.make(level.env_id, disable_env_checker=True).unwrapped
    if not isinstance(environment, RoomGridLevel):
        raise InputError(
            f"The level {level.name!r} cannot be batched: {level.env_id} is of the class {type(environment).__name__}, "
            f"not a level of BabyAI (minigrid's RoomGridLevel)."
        )
    if environment.agent_view_size != VIEW:
        raise InputError(
            f"The level {level.name!r} cannot be batched with others: its images show {environment.agent_view_size}x"
            f"{environment.agent_view_size} tiles, those of all levels {VIEW}x{VIEW}."
        )
    if (environment.width, environment.height) != (level.width, level.height):
        raise InputError(
            f"The level {level.name!r} is {level.width}x{level.height} tiles in the table of levels, but "
            f"{environment.width}x{environment.height} in {level.env_id}."
        )
    return environment


class _Reasons(StringIO):
    """Lines that minigrid prints: why it begins a level anew, one each time."""

    def __init__(self, environment: RoomGridLevel) -> None:
        super().__init__()
        self._name, self._count = type(environment).__name__, 0

    def write(self, text: str) -> int:
        """Note a reason.

        Raises:
            InputError: there have been BEGINNINGS of them, so that the level can hardly ever be made.
        """
        self._count += text.count("\n")
        if self._count >= BEGINNINGS:
            raise InputError(
                f"The class {self._name!r} has begun a level anew {self._count} times: its objects do not fit into it, "
                f"or its instruction is never valid. Last reason: {self.getvalue().splitlines()[-1]}"
            )
        return super().write(text)


def begin(environment: RoomGridLevel, state: State, row: int, seed: int | None = None) -> None:
    """Reset minigrid's environment and capture its start state in `row` of `state`.

    Raises:
        InputError: the level holds what the engine cannot play, or can hardly ever be made.
    """
    with redirect_stdout(_Reasons(environment)):
        environment.reset(seed=seed)
    try:
        capture(environment, state, row)
    except ValueError as error:
        raise InputError(f"A level of the class {type(environment).__name__} cannot be played: {error}") from error


def captured(environment: RoomGridLevel, seeds: Sequence[int]) -> State:
    """Start states that minigrid's environment makes from `seeds`, one row each."""
    state = empty(len(seeds), environment.height, environment.width)
    for row, seed in enumerate(seeds):
        begin(environment, state, row, seed)
    return state


class ReferenceStarts:
    """Start states of `levels`, made by minigrid, from one endless stream per level.

    They are those of `NativeStarts` with the same arguments, a thousand times slower, and exist for every level whose
    environment is one of minigrid's RoomGridLevel: a level of one's own needs no recipe.

    Raises:
        InputError: minigrid's environment of a level cannot be played by the engine.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        *,
        seed: int,
        split: str = "training",
        skip_held_out: bool = False,
    ) -> None:
        self.levels = tuple(levels)
        self.rejected = np.zeros(len(self.levels), np.int64)
        self._skip_held_out = skip_held_out
        self._environments = [minigrid_environment(level) for level in self.levels]
        self._generators = [generator_at(stream_for(seed, level.name, split)) for level in self.levels]

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Overwrite row rows[i] with the next start state of level number tasks[i].

        Raises:
            InputError: a level has no start state that is not held out.
        """
        for row, task in zip(rows.tolist(), tasks.tolist(), strict=True):
            environment = self._environments[task]
            environment.np_random = self._generators[task]
            begin(environment, state, row)
            rejections = 0
            while self._skip_held_out and is_held_out(fingerprints(state.at([row]))[0]):
                rejections += 1
                if rejections > REJECTIONS:
                    raise InputError(f"The level {self.levels[task].name!r} has no start state that is not held out.")
                begin(environment, state, row)
            self.rejected[task] += rejections

    def state(self) -> dict[str, NDArray[np.int64]]:
        """Position in each level's stream by the level's name: the stream's six numbers and the rejected count, [7]."""
        return {
            level.name: np.append(stream_of(generator), rejected)
            for level, generator, rejected in zip(self.levels, self._generators, self.rejected, strict=True)
        }

    def restore(self, positions: Mapping[str, NDArray[np.int64]]) -> None:
        """Go on exactly where `state` returned `positions`; a level without a position begins at its beginning."""
        for k, level in enumerate(self.levels):
            if level.name in positions:
                position = positions[level.name]
                self._generators[k], self.rejected[k] = generator_at(position[:N_STREAM]), position[N_STREAM]
