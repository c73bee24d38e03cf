"""Shards of a level bank: files with start states that minigrid made, each with the seed it came from."""

import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import gymnasium
import numpy as np
from minigrid.envs.babyai.core.roomgrid_level import RoomGridLevel
from numpy.typing import NDArray

from polyray.envs.engine.capture import capture
from polyray.envs.engine.observe import VIEW
from polyray.envs.engine.state import ROW, State, empty
from polyray.envs.fingerprints import fingerprints
from polyray.envs.generation.stream import entropy_of
from polyray.envs.levels import Level
from polyray.errors import InputError

SHARD_SIZE = 512  # start states in a shard


def record_of(level: Level) -> np.dtype[np.void]:
    """One start state in a shard: minigrid's seed, the fingerprint, the grid and the rest of its row."""
    grid = (np.uint8, (level.height, level.width))
    return np.dtype([("seed", np.int64), ("fingerprint", np.uint64), ("grid", *grid), ("row", np.dtype(ROW.descr))])


def shard_path(folder: Path, level: Level, seed: int, split: str, number: int) -> Path:
    """Where that shard of a level is kept."""
    return folder / level.name / f"{split}-{seed}" / f"shard-{number:05d}.npy"


def shard_seeds(level: Level, seed: int, split: str, number: int, n: int) -> list[int]:
    """The seeds of a shard's start states, which depend on these arguments alone."""
    sequence = np.random.SeedSequence([*entropy_of(seed, level.name, split), number])
    return [int(drawn) for drawn in sequence.generate_state(n)]


def environment(level: Level) -> RoomGridLevel:
    """minigrid's own environment of a level.

    Raises:
        InputError: it is none of BabyAI's kind, or shows another shape than all levels in a batch must.
    """
    maker = gymnasium.make(level.env_id, disable_env_checker=True).unwrapped
    if not isinstance(maker, RoomGridLevel):
        raise InputError(
            f"The level {level.name!r} cannot be batched: {level.env_id} is of the class {type(maker).__name__}, not a "
            f"level of BabyAI (minigrid's RoomGridLevel)."
        )
    if maker.agent_view_size != VIEW:
        raise InputError(
            f"The level {level.name!r} cannot be batched with others: its images show {maker.agent_view_size}x"
            f"{maker.agent_view_size} tiles, those of all levels {VIEW}x{VIEW}."
        )
    if (maker.width, maker.height) != (level.width, level.height):
        raise InputError(
            f"The level {level.name!r} is {level.width}x{level.height} tiles in the table of levels, but "
            f"{maker.width}x{maker.height} in {level.env_id}."
        )
    return maker


def captured(maker: RoomGridLevel, level: Level, seeds: Sequence[int]) -> State:
    """The start states that minigrid makes from these seeds."""
    state = empty(len(seeds), level.height, level.width)
    for row, seed in enumerate(seeds):
        with redirect_stdout(StringIO()):  # minigrid prints why it begins a level anew
            maker.reset(seed=seed)
        capture(maker, state, row)
    return state


def write_shard(path: Path, level: Level, seeds: Sequence[int]) -> None:
    """Makes a shard; the file appears at `path` only when it is complete."""
    state = captured(environment(level), level, seeds)
    shard = np.zeros(len(seeds), record_of(level))
    shard["seed"], shard["fingerprint"] = seeds, fingerprints(state)
    shard["grid"], shard["row"] = state.grid, state.rows.view(np.dtype(ROW.descr))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.save(file, shard, allow_pickle=False)
    temporary.replace(path)


def read_shard(path: Path, level: Level) -> NDArray[np.void]:
    """A shard as a memory map, checked from end to end.

    Raises:
        InputError: the file is cut off, damaged, or of another version or level.
    """
    try:
        shard: NDArray[np.void] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"The level bank's file {path} cannot be read ({error}); delete it.") from error
    if shard.dtype != record_of(level) or shard.ndim != 1:
        raise InputError(f"The file {path} holds no start states of {level.name} as Polyray keeps them now.")
    if (fingerprints(as_state(shard)) != shard["fingerprint"]).any():
        raise InputError(f"The level bank's file {path} is damaged: its contents are not what was written; delete it.")
    return shard


def as_state(shard: NDArray[np.void]) -> State:
    """A copy of a shard's start states."""
    return State(grid=np.array(shard["grid"]), rows=np.array(shard["row"]).view(ROW))
