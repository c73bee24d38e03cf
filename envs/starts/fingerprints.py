"""Fingerprints of start states: 64 bits that differ wherever an agent could tell two start states apart."""

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.compilation import compiled, compiled_entry
from polyray.envs.engine.state import FIRST_OBJECT, WALL, State

SHARE = np.uint64(4)  # one start state of so many is held out

_SHIFT = np.uint64(32)
_FACTOR = np.uint64(0xD6E8FEB86659FD93)  # rounds of "rrmxmx": Evensen 2018


@compiled
def _mixed(digest: np.uint64, value: int) -> np.uint64:
    digest = (digest ^ np.uint64(value)) * _FACTOR
    digest = (digest ^ (digest >> _SHIFT)) * _FACTOR
    return digest ^ (digest >> _SHIFT)


@compiled
def fingerprint(state: State, row: int) -> np.uint64:
    """Fingerprint of one start state: rooms, objects (look and contents), agent, carried object, mission.

    It depends neither on the numbering of objects nor on the walls that pad the grid.
    """
    world, grid = state.rows[row], state.grid[row]
    digest = _mixed(np.uint64(1), (np.int64(world.x) * 256 + world.y) * 4 + world.direction)
    for y in range(grid.shape[0]):
        floor = 0  # bit x: the cell at x in this row is no wall
        for x in range(grid.shape[1]):
            number = grid[y, x]
            if number != WALL:
                floor |= 1 << x
            if number >= FIRST_OBJECT:
                digest = _mixed(digest, look_of(world, number) * 65536 + y * 256 + x)
        digest = _mixed(digest, floor * 256 + y) if floor else digest
    if world.carried:
        digest = _mixed(digest, look_of(world, world.carried))
    for word in world.mission:
        digest = _mixed(digest, int(np.int64(word))) if word else digest
    return digest


@compiled
def look_of(world: np.record, number: int) -> int:
    """Type, colour and state of an object, and type and colour of the object in it, as one number."""
    inner = world.contents[number]
    look = (np.int64(world.looks[number, 0]) * 8 + world.looks[number, 1]) * 8 + world.looks[number, 2] + 1
    return int(look * 1024 + ((np.int64(world.looks[inner, 0]) * 8 + world.looks[inner, 1]) if inner else 0))


@compiled_entry
def _write_fingerprints(state: State, digests: NDArray[np.uint64]) -> None:
    for row in range(len(digests)):
        digests[row] = fingerprint(state, row)


def fingerprints(state: State) -> NDArray[np.uint64]:
    """Fingerprints of N start states, [N]."""
    digests = np.zeros(len(state.rows), np.uint64)
    _write_fingerprints(state, digests)
    return digests


@compiled
def is_held_out(digest: np.uint64) -> bool:
    """Whether a start state with this fingerprint is for evaluation alone: the fingerprint is a multiple of four.

    The rule asks for nothing but the state itself: whatever the seeds, levels and numbers of episodes of two runs are,
    neither trains on a state that the other is scored on. About three quarters of a level's states are for training,
    however few there are.
    """
    return bool(digest % SHARE == 0)
