"""Instruction of a draft: the items that it describes, whether minigrid would accept it, and its step limit.

Ported from minigrid/envs/babyai/core/verifier.py (ObjDesc) and roomgrid_level.py (validate_instrs, num_navs_needed).
Leaves are numbered as in `engine.state`: the first clause has leaves 0 and 1, the second 2 and 3. A leaf's first
description has the leaf's number, its second one (PUT_NEXT only) the number leaf + SECOND.
"""

import numpy as np

from polyray.envs.engine.compilation import compiled
from polyray.envs.engine.state import FIRST_OBJECT, LOCKED, LOOK_DOOR, LOOK_KEY, N_LEAVES, NO_ACTION, PUT_NEXT
from polyray.envs.generation.draft import (
    AGENT_CELL,
    ANY,
    CELL,
    COLOUR,
    COLOUR_A,
    COLOUR_B,
    COLUMNS,
    HEADING,
    KIND,
    KIND_A,
    KIND_B,
    LIMIT,
    NEXT_ITEM,
    ROWS,
    SIDE_A,
    SIDE_B,
    SIZE,
    STATUS,
    STRICT,
    STRIDE,
    UNBLOCKING,
    VERB,
    Draft,
    corner_of,
    distance,
)
from polyray.envs.generation.maze import room_at

LEFT, RIGHT, FRONT, BEHIND = range(4)  # sides of the agent, in minigrid's order of drawing
SECOND = KIND_B - KIND_A
ONE = np.uint64(1)


@compiled
def set_leaf(draft: Draft, leaf: int, verb: int, kind: int, colour: int) -> None:
    """Make a leaf ask for the action `verb` on an item of this kind and colour; ANY leaves one of them unmentioned."""
    draft[VERB + leaf], draft[STRICT + leaf] = verb, 0
    draft[KIND_A + leaf], draft[COLOUR_A + leaf], draft[SIDE_A + leaf] = kind, colour, ANY
    draft[KIND_B + leaf], draft[COLOUR_B + leaf], draft[SIDE_B + leaf] = ANY, ANY, ANY


@compiled
def in_room(draft: Draft, cell: int, room: int) -> bool:
    """Whether a cell is in a room or in its walls (Room.pos_inside)."""
    x = cell % STRIDE - corner_of(draft, room) % STRIDE
    y = cell // STRIDE - corner_of(draft, room) // STRIDE
    return bool(0 <= x < draft[SIZE] and 0 <= y < draft[SIZE])


@compiled
def on_side(draft: Draft, cell: int, side: int) -> bool:
    """Whether a cell is in the agent's room and on this side of the agent."""
    if not in_room(draft, cell, room_at(draft, draft[AGENT_CELL])):
        return False
    x, y = cell % STRIDE - draft[AGENT_CELL] % STRIDE, cell // STRIDE - draft[AGENT_CELL] // STRIDE
    for _ in range(draft[HEADING]):  # rotate the world until the agent looks to the right
        x, y = y, -x
    if side <= RIGHT:
        return bool((y < 0) == (side == LEFT) and y != 0)
    return bool((x > 0) == (side == FRONT) and x != 0)


@compiled
def matching_items(draft: Draft, description: int) -> np.uint64:
    """Set of the items on the grid that match a description, bit k for item k (ObjDesc.find_matching_objs)."""
    kind, colour, side = draft[KIND_A + description], draft[COLOUR_A + description], draft[SIDE_A + description]
    items = np.uint64(0)
    for item in range(FIRST_OBJECT, draft[NEXT_ITEM]):
        cell = draft[CELL + item]
        if cell == 0 or (kind != ANY and kind != draft[KIND + item]):
            continue
        if (colour == ANY or colour == draft[COLOUR + item]) and (side == ANY or on_side(draft, cell, side)):
            items |= ONE << np.uint64(item)
    return items


@compiled
def is_valid(draft: Draft) -> bool:
    """Whether minigrid would accept this instruction (RoomGridLevel.validate_instrs)."""
    for leaf in range(N_LEAVES):
        if draft[VERB + leaf] == PUT_NEXT:
            moved, fixed = matching_items(draft, leaf), matching_items(draft, leaf + SECOND)
            if coincide_or_adjoin(draft, moved, fixed):
                return False
        if draft[VERB + leaf] != NO_ACTION and draft[UNBLOCKING] and mentions_needed_key(draft, leaf):
            return False
    return True


@compiled
def coincide_or_adjoin(draft: Draft, moved: np.uint64, fixed: np.uint64) -> bool:
    """Whether two sets of items share an item, or an item of one is beside an item of the other."""
    if moved & fixed:
        return True
    for item in range(FIRST_OBJECT, draft[NEXT_ITEM]):
        if moved >> np.uint64(item) & ONE:
            for other in range(FIRST_OBJECT, draft[NEXT_ITEM]):
                if fixed >> np.uint64(other) & ONE and distance(draft[CELL + item], draft[CELL + other]) == 1:
                    return True
    return False


@compiled
def mentions_needed_key(draft: Draft, leaf: int) -> bool:
    """Whether a leaf mentions the colour of a key that opens a locked door."""
    for item in range(FIRST_OBJECT, draft[NEXT_ITEM]):
        if draft[KIND + item] == LOOK_DOOR and draft[STATUS + item] == LOCKED:
            if draft[KIND_A + leaf] == LOOK_KEY and draft[COLOUR_A + leaf] == draft[COLOUR + item]:
                return True
            if draft[KIND_B + leaf] == LOOK_KEY and draft[COLOUR_B + leaf] == draft[COLOUR + item]:
                return True
    return False


@compiled
def step_limit(draft: Draft) -> int:
    """Step limit: the level's own, or the tiles of all rooms for each walk of the instruction (num_navs_needed)."""
    if draft[LIMIT] > 0:
        return int(draft[LIMIT])
    walks = 0
    for leaf in range(N_LEAVES):
        if draft[VERB + leaf] != NO_ACTION:
            walks += 2 if draft[VERB + leaf] == PUT_NEXT else 1
    return int(walks * draft[SIZE] * draft[SIZE] * draft[ROWS] * draft[COLUMNS])
