"""Compiled verification of instructions (minigrid/envs/babyai/core/verifier.py)."""

import numpy as np

from polyray.envs.engine.actions import DROP, PICKUP, TOGGLE
from polyray.envs.engine.compilation import compiled
from polyray.envs.engine.state import (
    AFTER,
    AND,
    EMPTY,
    FIRST_OBJECT,
    GO_TO,
    LOOK_DOOR,
    N_OBJECTS,
    NO_ACTION,
    NOWHERE,
    OPEN,
    OPEN_DOOR,
    PICK_UP,
)

Front = tuple[np.int64, np.int64, np.int64]  # x, y and the object number of the cell in front of the agent

CONTINUE, SUCCESS, FAILURE = range(3)


@compiled
def has(objects: np.uint64, number: np.int64) -> bool:
    """Whether the set `objects` contains the object with this number."""
    return bool((objects >> np.uint64(number)) & np.uint64(1))


@compiled
def update_beliefs(world: np.record) -> None:
    """Note the objects' positions for the instruction, after a drop action (`RoomGridLevel.update_objs_poss`)."""
    for number in range(FIRST_OBJECT, N_OBJECTS):
        world.believed_position[number, 0] = world.position[number, 0]
        world.believed_position[number, 1] = world.position[number, 1]
    if world.carried != EMPTY:
        world.believed_position[world.carried] = NOWHERE


@compiled
def verify(world: np.record, action: np.int64, front: Front) -> int:
    """Outcome of the action that was just taken: CONTINUE, SUCCESS or FAILURE.

    Args:
        front: the cell that the agent faces after the action.
    """
    root = world.root
    if root <= AND:
        return _clause(world, 0, action, front)
    first = 2 if root == AFTER else 0
    if not (world.done[first] and (world.kind[first + 1] == NO_ACTION or world.done[first + 1])):
        outcome = _clause(world, first, action, front)
        if outcome == CONTINUE and world.root_strict:
            early = _clause(world, 2 - first, action, front) == SUCCESS
            return FAILURE if early else CONTINUE
        if outcome != SUCCESS:
            return outcome
        world.done[first] = True
    return _clause(world, 2 - first, action, front)


@compiled
def _clause(world: np.record, leaf: int, action: np.int64, front: Front) -> int:
    """Outcome of one leaf, or of two that must each succeed once; as in `AndInstr` the failure of one is ignored."""
    if world.kind[leaf + 1] == NO_ACTION:
        return _leaf(world, leaf, action, front)
    for k in range(leaf, leaf + 2):
        if not world.done[k]:
            world.done[k] = _leaf(world, k, action, front) == SUCCESS
    return SUCCESS if world.done[leaf] and world.done[leaf + 1] else CONTINUE


@compiled
def _leaf(world: np.record, leaf: int, action: np.int64, front: Front) -> int:
    kind = world.kind[leaf]
    if kind == GO_TO:
        return SUCCESS if _near(world, world.objects[leaf], front[0], front[1], 0) else CONTINUE
    if kind == OPEN_DOOR:
        return _open(world, leaf, front[2]) if action == TOGGLE else CONTINUE
    carried_before = world.carried_before[leaf]
    world.carried_before[leaf] = world.carried
    if kind == PICK_UP:
        return _pick_up(world, leaf, carried_before) if action == PICKUP else CONTINUE
    if world.strict[leaf] and action == PICKUP and world.carried != EMPTY:
        return FAILURE
    if action != DROP or carried_before == EMPTY or not has(world.objects[leaf], carried_before):
        return CONTINUE
    x, y = np.int64(world.position[carried_before, 0]), np.int64(world.position[carried_before, 1])
    return SUCCESS if _near(world, world.fixed[leaf], x, y, 1) else CONTINUE


@compiled
def _near(world: np.record, objects: np.uint64, x: np.int64, y: np.int64, distance: int) -> bool:
    """Whether the instruction believes one of `objects` to be at this Manhattan distance (0 or 1) from x, y."""
    number = FIRST_OBJECT
    remaining = objects >> np.uint64(FIRST_OBJECT)
    while remaining != np.uint64(0):
        if remaining & np.uint64(1) != np.uint64(0):
            object_x = np.int64(world.believed_position[number, 0])
            object_y = np.int64(world.believed_position[number, 1])
            if abs(object_x - x) + abs(object_y - y) == distance and object_x != NOWHERE:
                return True
        remaining >>= np.uint64(1)
        number += 1
    return False


@compiled
def _open(world: np.record, leaf: int, front: np.int64) -> int:
    if front < FIRST_OBJECT or world.looks[front, 0] != LOOK_DOOR:
        return CONTINUE
    if world.looks[front, 2] == OPEN and has(world.objects[leaf], front):
        return SUCCESS
    return FAILURE if world.strict[leaf] else CONTINUE


@compiled
def _pick_up(world: np.record, leaf: int, carried_before: np.int64) -> int:
    carried = world.carried
    if carried == EMPTY:
        return CONTINUE
    if carried_before == EMPTY and has(world.objects[leaf], carried):
        return SUCCESS
    return FAILURE if world.strict[leaf] else CONTINUE
