"""What tells one start state from another: 64 bits of everything that distinguishes it for the agent."""

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.compilation import compiled, compiled_entry
from polyray.envs.engine.state import FIRST_OBJECT, WALL, State

NO_FINGERPRINTS = np.zeros(0, np.uint64)

_SHIFT = np.uint64(32)
_FACTOR = np.uint64(0xD6E8FEB86659FD93)  # rounds of "rrmxmx": Evensen 2018


@compiled
def _mixed(found: np.uint64, value: int) -> np.uint64:
    found = (found ^ np.uint64(value)) * _FACTOR
    found = (found ^ (found >> _SHIFT)) * _FACTOR
    return found ^ (found >> _SHIFT)


@compiled
def fingerprint(state: State, row: int) -> np.uint64:
    """The fingerprint of one start state: rooms, things (look and contents), agent, what it carries, mission.

    It does not depend on how things are numbered, nor on how far the grid is padded with walls.
    """
    world, grid = state.rows[row], state.grid[row]
    found = _mixed(np.uint64(1), (np.int64(world.x) * 256 + world.y) * 4 + world.direction)
    for y in range(grid.shape[0]):
        floor = 0  # the cells of this line that are no walls
        for x in range(grid.shape[1]):
            number = grid[y, x]
            if number != WALL:
                floor |= 1 << x
            if number >= FIRST_OBJECT:
                found = _mixed(found, look_of(world, number) * 65536 + y * 256 + x)
        found = _mixed(found, floor * 256 + y) if floor else found
    if world.carried:
        found = _mixed(found, look_of(world, world.carried))
    for word in world.mission:
        found = _mixed(found, int(np.int64(word))) if word else found
    return found


@compiled
def look_of(world: np.record, number: int) -> int:
    """Type, colour and state of a thing and of what is in it as one number."""
    inner = world.contents[number]
    look = (np.int64(world.looks[number, 0]) * 8 + world.looks[number, 1]) * 8 + world.looks[number, 2] + 1
    return int(look * 1024 + ((np.int64(world.looks[inner, 0]) * 8 + world.looks[inner, 1]) if inner else 0))


@compiled_entry
def _fingerprints(state: State, found: NDArray[np.uint64]) -> None:
    for row in range(len(found)):
        found[row] = fingerprint(state, row)


def fingerprints(state: State) -> NDArray[np.uint64]:
    """The fingerprints [N] of start states."""
    found = np.zeros(len(state.rows), np.uint64)
    _fingerprints(state, found)
    return found


@compiled
def is_among(found: np.uint64, known: NDArray[np.uint64]) -> bool:
    """Whether a fingerprint is one of `known`, which are in order (a search by halves)."""
    low, high = 0, len(known)
    while low < high:
        middle = (low + high) // 2
        if known[middle] < found:
            low = middle + 1
        else:
            high = middle
    return low < len(known) and known[low] == found
