"""Compiled observations: minigrid's 7 x 7 view with occlusion (`gen_obs_grid`, `process_vis` and `encode`)."""

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.compilation import compiled
from polyray.envs.engine.state import EMPTY, FIRST_OBJECT, LOOK_DOOR, NOWHERE, OPEN, WALL

VIEW = 7  # tiles along each side of the view; the agent is in the middle of its last row, looking at its first
MIDDLE, LAST = VIEW // 2, VIEW - 1


def _light() -> NDArray[np.int16]:
    """Table of light in one row of the view, [128, 128]: by the row's transparent tiles and those lit from below.

    An entry's low 7 bits are the tiles lit in the end, its next 7 bits those that they light in the row above.
    """
    transparent, lit = np.divmod(np.arange(1 << 2 * VIEW), 1 << VIEW)
    above = np.zeros_like(lit)
    for tiles, step in ((range(LAST), 1), (range(LAST, 0, -1), -1)):
        for i in tiles:
            shines = (lit & transparent) >> i & 1
            lit |= shines << i + step
            above |= shines << i + step | shines << i
    light: NDArray[np.int16] = (lit | above << VIEW).astype(np.int16)
    return light.reshape(1 << VIEW, 1 << VIEW)


LIGHT = _light()


@compiled
def see_through(world: np.record, number: np.int64) -> bool:
    """Whether the object with this number is transparent: everything is, except walls and doors that are not open."""
    if number < FIRST_OBJECT:
        return bool(number == EMPTY)
    return bool(world.looks[number, 0] != LOOK_DOOR or world.looks[number, 2] == OPEN)


@compiled
def observe(world: np.record, grid: NDArray[np.uint8], image: NDArray[np.uint8]) -> None:
    """Overwrite image [7, 7, 3] with the agent's view: type, colour, state; 0 for a tile that it cannot see."""
    direction = world.direction
    ahead_x, ahead_y = int(direction == 0) - int(direction == 2), int(direction == 1) - int(direction == 3)
    lit = np.int64(1 << MIDDLE)
    for row in range(LAST, -1, -1):
        x, y = world.x + ahead_x * (LAST - row), world.y + ahead_y * (LAST - row)
        numbers = _row(grid, x, y, ahead_x, ahead_y) if lit else np.uint64(0)
        transparent = 0
        for i in range(VIEW):
            transparent |= int(see_through(world, np.int64(numbers >> np.uint64(8 * i) & np.uint64(255)))) << i
        light = np.int64(LIGHT[transparent, lit])
        for i in range(VIEW):
            number = np.int64(numbers >> np.uint64(8 * i) & np.uint64(255))
            seen = light >> i & 1
            for channel in range(3):
                image[i, row, channel] = world.looks[number, channel] * seen
        lit = light >> VIEW
    for channel in range(3):
        image[MIDDLE, LAST, channel] = world.looks[world.carried, channel]


@compiled
def _row(grid: NDArray[np.uint8], x: np.int64, y: np.int64, ahead_x: int, ahead_y: int) -> np.uint64:
    """Numbers of the 7 objects in the row of the view around x, y, one byte each; walls off the grid."""
    numbers = np.uint64(0)
    for i in range(VIEW):
        at_x, at_y = x - ahead_y * (i - MIDDLE), y + ahead_x * (i - MIDDLE)
        inside = 0 <= at_x < grid.shape[1] and 0 <= at_y < grid.shape[0]
        numbers |= np.uint64(grid[at_y, at_x] if inside else WALL) << np.uint64(8 * i)
    return numbers


@compiled
def observe_start(world: np.record, grid: NDArray[np.uint8], image: NDArray[np.uint8]) -> None:
    """Overwrite image [7, 7, 3] with the first observation of an episode.

    An object carried from the start is still seen at its position, because `reset` of minigrid's PutNext takes the
    first observation before it hands the object to the agent.
    """
    number = world.carried
    x, y = world.position[number, 0], world.position[number, 1]
    if number != EMPTY and x != NOWHERE:
        world.carried, grid[y, x] = EMPTY, number
    observe(world, grid, image)
    if number != EMPTY and x != NOWHERE:
        world.carried, grid[y, x] = number, EMPTY
