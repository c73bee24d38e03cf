"""Checks of a start state that somebody else made, before compiled code, which has no bounds checks, plays it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.state import (
    AFTER,
    EMPTY,
    GREY,
    LOCKED,
    LOOK_BALL,
    LOOK_BOX,
    LOOK_DOOR,
    LOOK_EMPTY,
    LOOK_KEY,
    LOOK_WALL,
    N_OBJECTS,
    NOWHERE,
    OPEN,
    PUT_NEXT,
    ROW,
    WALL,
    State,
)
from polyray.envs.levels import LEVELS, Level
from polyray.envs.missions import VOCABULARY
from polyray.errors import InputError

_LOOKS = (0, LOOK_EMPTY, LOOK_WALL, LOOK_DOOR, LOOK_KEY, LOOK_BALL, LOOK_BOX)


def checked_start(start: Any, level: Level) -> State:
    """Copy of a state of one environment, on a grid of the level's size.

    Raises:
        InputError: it is no State of one environment, of another level or size, or no state that the engine can play.
    """
    if not isinstance(start, State):
        raise InputError(f'The option "start" is a polyray.envs.engine.state.State, not a {type(start).__name__}.')
    _check_form(start)
    _check_level(int(start.level[0]), level)
    state = State(grid=_cut(start.grid, level), rows=start.rows.copy())
    if fault := first_fault(state):
        raise InputError(f'The state of the option "start" cannot be played: {fault}.')
    return state


def first_fault(state: State) -> str | None:
    """The first thing that is wrong with the state of one environment, None if the engine can play it."""
    return next(_faults(state.rows[0], state.grid[0]), None)


def can_be_entered(looks: NDArray[np.uint8], number: int) -> bool:
    """Whether the agent can stand where the object `number` is, with the looks [objects, 3] of its environment."""
    kind, _, condition = looks[number]
    return bool(number == EMPTY or (kind == LOOK_DOOR and condition == OPEN))


def _check_form(start: State) -> None:
    for name, array, dtype, axes in (("grid", start.grid, np.dtype(np.uint8), 3), ("rows", start.rows, ROW, 1)):
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != axes:
            raise InputError(f'The {name} of the option "start" has not the type and axes of a State: {array!r:.80}.')
    if len(start.rows) != 1 or len(start.grid) != 1:
        raise InputError(
            f'The option "start" is a state of one environment, not of {len(start.rows)}: start.at([row]) takes one.'
        )


def _check_level(code: int, level: Level) -> None:
    if code not in (0, level.code):
        name = next((repr(other.name) for other in LEVELS.values() if other.code == code), "a level that is not known")
        raise InputError(f'The option "start" is a state of {name}, and this is an environment of {level.name!r}.')


def _cut(grid: NDArray[np.uint8], level: Level) -> NDArray[np.uint8]:
    """The grid [1, H, W] without the walls that pad it beyond the level's size."""
    _, height, width = grid.shape
    fits = height >= level.height and width >= level.width
    if not fits or (grid[:, level.height :] != WALL).any() or (grid[:, :, level.width :] != WALL).any():
        raise InputError(
            f'The option "start" has a grid of {width}x{height} cells, and {level.name!r} one of '
            f"{level.width}x{level.height}."
        )
    return grid[:, : level.height, : level.width].copy()


def _faults(world: Any, grid: NDArray[np.uint8]) -> Iterator[str]:
    """Faults of one environment's row and grid [H, W]; the first faults are those that hide later ones."""
    height, width = grid.shape
    border = np.concatenate([grid[0], grid[-1], grid[:, 0], grid[:, -1]])
    if (border != WALL).any():
        yield "its grid is not enclosed by walls"
    if not (0 < world.x < width - 1 and 0 < world.y < height - 1):
        yield f"the agent is at {(int(world.x), int(world.y))}, outside the grid of {width}x{height} cells"
    for name, numbers in (("grid", grid), ("contents", world.contents), ("carried", world.carried)):
        if (np.asarray(numbers) >= N_OBJECTS).any():
            yield f"{name} holds a number of an object that is not below {N_OBJECTS}"
    for name in ("position", "believed_position"):
        x, y = world[name].T
        if not (((x < width) & (y < height)) | ((x == NOWHERE) & (y == NOWHERE))).all():
            yield f"{name} holds a place outside the grid of {width}x{height} cells"
    yield from _faults_of_values(world, grid)


def _faults_of_values(world: Any, grid: NDArray[np.uint8]) -> Iterator[str]:
    for name, values, most in (
        ("direction", world.direction, 3), ("kind", world.kind, PUT_NEXT), ("root", world.root, AFTER),
        ("mission", world.mission, len(VOCABULARY) - 1), ("colour", world.looks[:, 1], GREY),
        ("state", world.looks[:, 2], LOCKED),
    ):  # fmt: skip
        if (np.asarray(values) > most).any():
            yield f"{name} is {int(np.max(values))}, and at most {most} is possible"
    if not np.isin(world.looks[:, 0], _LOOKS).all() or world.looks[EMPTY, 0] != LOOK_EMPTY:
        yield "looks holds a type of object that BabyAI has not"
    if (world.looks[np.unique(grid[grid > WALL]), 0] <= LOOK_WALL).any():
        yield "its grid holds the number of an object that is not there"
    if not can_be_entered(world.looks, grid[world.y, world.x]):
        yield f"the agent stands at {(int(world.x), int(world.y))}, where it cannot be"
    if world.steps < 0 or world.limit < 1:
        yield f"it has taken {world.steps} steps of {world.limit}"
