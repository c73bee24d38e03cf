"""Dynamics of minigrid (`MiniGridEnv.step`, `RoomGridLevel.step`), compiled for all environments in one call."""

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.actions import DROP, FORWARD, LEFT, N_ACTIONS, PICKUP, RIGHT, TOGGLE
from polyray.envs.engine.compilation import compiled, compiled_entry
from polyray.envs.engine.observe import observe, observe_start
from polyray.envs.engine.state import (
    CLOSED,
    EMPTY,
    FIRST_OBJECT,
    LOCKED,
    LOOK_BOX,
    LOOK_DOOR,
    LOOK_KEY,
    NOWHERE,
    OPEN,
    State,
)
from polyray.envs.engine.verify import CONTINUE, SUCCESS, update_beliefs, verify


@compiled_entry
def step_all(
    state: State,
    actions: NDArray[np.int64],
    image: NDArray[np.uint8],
    reward: NDArray[np.float32],
    terminated: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
) -> None:
    """Take one step in every environment; overwrites image [N, 7, 7, 3], reward, terminated and truncated [N].

    Raises:
        ValueError: an action is not between 0 and 6; no environment has changed then.
    """
    for n in range(len(actions)):
        if not 0 <= actions[n] < N_ACTIONS:
            raise ValueError("step: an action is not between 0 and 6")
    for n in range(len(actions)):
        world, grid = state.rows[n], state.grid[n]
        outcome = _step(world, grid, actions[n])
        terminated[n] = outcome != CONTINUE
        truncated[n] = world.steps >= world.limit
        reward[n] = 1 - 0.9 * (world.steps / world.limit) if outcome == SUCCESS else 0.0
        observe(world, grid, image[n])


@compiled_entry
def observe_starts(state: State, rows: NDArray[np.int64], image: NDArray[np.uint8]) -> None:
    """Overwrite the images [N, 7, 7, 3] of the environments `rows` with their first observations."""
    for n in rows:
        observe_start(state.rows[n], state.grid[n], image[n])


@compiled
def _step(world: np.record, grid: NDArray[np.uint8], action: np.int64) -> int:
    world.steps += 1
    if action == LEFT:
        world.direction = (world.direction + 3) & 3
    elif action == RIGHT:
        world.direction = (world.direction + 1) & 3
    direction = world.direction
    ahead_x, ahead_y = int(direction == 0) - int(direction == 2), int(direction == 1) - int(direction == 3)
    x, y = np.int64(world.x) + ahead_x, np.int64(world.y) + ahead_y
    if action == FORWARD and _can_enter(world, np.int64(grid[y, x])):
        world.x, world.y = x, y
        x, y = x + ahead_x, y + ahead_y
    elif action == PICKUP:
        _pick_up(world, grid, x, y)
    elif action == DROP:
        _drop(world, grid, x, y)
        update_beliefs(world)
    elif action == TOGGLE:
        _toggle(world, grid, x, y)
    return verify(world, action, (x, y, np.int64(grid[y, x])))


@compiled
def _can_enter(world: np.record, number: np.int64) -> bool:
    if number < FIRST_OBJECT:
        return bool(number == EMPTY)
    return bool(world.looks[number, 0] == LOOK_DOOR and world.looks[number, 2] == OPEN)


@compiled
def _pick_up(world: np.record, grid: NDArray[np.uint8], x: np.int64, y: np.int64) -> None:
    number = grid[y, x]
    if number < FIRST_OBJECT or world.looks[number, 0] == LOOK_DOOR or world.carried != EMPTY:
        return
    world.carried, grid[y, x] = number, EMPTY
    world.position[number, 0], world.position[number, 1] = NOWHERE, NOWHERE


@compiled
def _drop(world: np.record, grid: NDArray[np.uint8], x: np.int64, y: np.int64) -> None:
    number = world.carried
    if number == EMPTY or grid[y, x] != EMPTY:
        return
    world.carried, grid[y, x] = EMPTY, number
    world.position[number, 0], world.position[number, 1] = x, y


@compiled
def _toggle(world: np.record, grid: NDArray[np.uint8], x: np.int64, y: np.int64) -> None:
    number = grid[y, x]
    if number < FIRST_OBJECT:
        return
    if world.looks[number, 0] == LOOK_BOX:
        content = world.contents[number]
        grid[y, x] = content
        world.position[number, 0], world.position[number, 1] = NOWHERE, NOWHERE
        if content != EMPTY:
            world.position[content, 0], world.position[content, 1] = x, y
    elif world.looks[number, 0] == LOOK_DOOR:
        _toggle_door(world, world.looks[number])


@compiled
def _toggle_door(world: np.record, door: NDArray[np.uint8]) -> None:
    key = world.looks[world.carried]
    if door[2] != LOCKED:
        door[2] = CLOSED if door[2] == OPEN else OPEN
    elif key[0] == LOOK_KEY and key[1] == door[1]:
        door[2] = OPEN
