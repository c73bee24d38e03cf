"""Whether an instruction is fulfilled: minigrid/envs/babyai/core/verifier.py, compiled."""

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

Front = tuple[np.int64, np.int64, np.int64]  # x, y and the number of what is there

CONTINUE, SUCCESS, FAILURE = range(3)


@compiled
def has(objects: np.uint64, number: np.int64) -> bool:
    """Whether the set holds the object with this number."""
    return bool((objects >> np.uint64(number)) & np.uint64(1))


@compiled
def look_again(world: np.record) -> None:
    """After a drop action the instruction learns where its objects are (`RoomGridLevel.update_objs_poss`)."""
    for number in range(FIRST_OBJECT, N_OBJECTS):
        world.known[number, 0] = world.place[number, 0]
        world.known[number, 1] = world.place[number, 1]
    if world.carried != EMPTY:
        world.known[world.carried] = NOWHERE


@compiled
def verify(world: np.record, action: np.int64, front: Front) -> int:
    """What the action just done makes of the instruction: CONTINUE, SUCCESS or FAILURE.

    front is the cell that the agent faces after the action.
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
    """One leaf, or two of which each has to succeed once; the failure of one of two is ignored, as in `AndInstr`."""
    if world.kind[leaf + 1] == NO_ACTION:
        return _leaf(world, leaf, action, front)
    for either in range(leaf, leaf + 2):
        if not world.done[either]:
            world.done[either] = _leaf(world, either, action, front) == SUCCESS
    return SUCCESS if world.done[leaf] and world.done[leaf + 1] else CONTINUE


@compiled
def _leaf(world: np.record, leaf: int, action: np.int64, front: Front) -> int:
    kind = world.kind[leaf]
    if kind == GO_TO:
        return SUCCESS if _near(world, world.objects[leaf], front[0], front[1], 0) else CONTINUE
    if kind == OPEN_DOOR:
        return _open(world, leaf, front[2]) if action == TOGGLE else CONTINUE
    held = world.held[leaf]
    world.held[leaf] = world.carried
    if kind == PICK_UP:
        return _pick_up(world, leaf, held) if action == PICKUP else CONTINUE
    if world.strict[leaf] and action == PICKUP and world.carried != EMPTY:
        return FAILURE
    if action != DROP or held == EMPTY or not has(world.objects[leaf], held):
        return CONTINUE
    x, y = np.int64(world.place[held, 0]), np.int64(world.place[held, 1])
    return SUCCESS if _near(world, world.fixed[leaf], x, y, 1) else CONTINUE


@compiled
def _near(world: np.record, objects: np.uint64, x: np.int64, y: np.int64, distance: int) -> bool:
    """Whether one of the objects is known to be so many steps (left, right, up, down) from x, y."""
    number = FIRST_OBJECT
    rest = objects >> np.uint64(FIRST_OBJECT)
    while rest != np.uint64(0):
        if rest & np.uint64(1) != np.uint64(0):
            known_x, known_y = np.int64(world.known[number, 0]), np.int64(world.known[number, 1])
            if abs(known_x - x) + abs(known_y - y) == distance and known_x != NOWHERE:
                return True
        rest >>= np.uint64(1)
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
def _pick_up(world: np.record, leaf: int, held: np.int64) -> int:
    carried = world.carried
    if carried == EMPTY:
        return CONTINUE
    if held == EMPTY and has(world.objects[leaf], carried):
        return SUCCESS
    return FAILURE if world.strict[leaf] else CONTINUE
