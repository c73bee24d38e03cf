"""The instruction of a draft: which things it means, whether minigrid would accept it, how long it may take.

minigrid/envs/babyai/core/verifier.py (ObjDesc) and roomgrid_level.py (validate_instrs, num_navs_needed). Leaves are
numbered as in state.State: clause a has 0 and 1, clause b 2 and 3.
"""

import numpy as np

from polyray.envs.engine.compilation import compiled
from polyray.envs.engine.state import FIRST_OBJECT, LOCKED, LOOK_DOOR, LOOK_KEY, N_LEAVES, NO_ACTION, PUT_NEXT
from polyray.envs.generation.draft import (
    ANY,
    AT,
    COLOUR,
    COLOUR_A,
    COLOUR_B,
    COLUMNS,
    HEADING,
    KIND,
    KIND_A,
    KIND_B,
    LIMIT,
    NEXT,
    PLACE,
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
def say(draft: Draft, leaf: int, verb: int, kind: int, colour: int) -> None:
    """Leaf number `leaf` asks for `verb` with what has this kind and colour (ANY: not said)."""
    draft[VERB + leaf], draft[STRICT + leaf] = verb, 0
    draft[KIND_A + leaf], draft[COLOUR_A + leaf], draft[SIDE_A + leaf] = kind, colour, ANY
    draft[KIND_B + leaf], draft[COLOUR_B + leaf], draft[SIDE_B + leaf] = ANY, ANY, ANY


@compiled
def inside(draft: Draft, place: int, room: int) -> bool:
    """Whether a cell is in a room or in its walls (pos_inside)."""
    x = place % STRIDE - corner_of(draft, room) % STRIDE
    y = place // STRIDE - corner_of(draft, room) // STRIDE
    return bool(0 <= x < draft[SIZE] and 0 <= y < draft[SIZE])


@compiled
def on_side(draft: Draft, place: int, side: int) -> bool:
    """Whether a cell of the agent's room is on that side of the agent."""
    if not inside(draft, place, room_at(draft, draft[AT])):
        return False
    x, y = place % STRIDE - draft[AT] % STRIDE, place // STRIDE - draft[AT] // STRIDE
    for _ in range(draft[HEADING]):  # turn the world until the agent looks to the right
        x, y = y, -x
    if side <= RIGHT:
        return bool((y < 0) == (side == LEFT) and y != 0)
    return bool((x > 0) == (side == FRONT) and x != 0)


@compiled
def meant(draft: Draft, description: int) -> np.uint64:
    """The things on the grid that a description means, as bits (find_matching_objs).

    Description: a leaf for its first one, a leaf + SECOND for its second one.
    """
    kind, colour, side = draft[KIND_A + description], draft[COLOUR_A + description], draft[SIDE_A + description]
    found = np.uint64(0)
    for thing in range(FIRST_OBJECT, draft[NEXT]):
        place = draft[PLACE + thing]
        if place == 0 or (kind != ANY and kind != draft[KIND + thing]):
            continue
        if (colour == ANY or colour == draft[COLOUR + thing]) and (side == ANY or on_side(draft, place, side)):
            found |= ONE << np.uint64(thing)
    return found


@compiled
def acceptable(draft: Draft) -> bool:
    """Whether minigrid would keep this instruction (validate_instrs)."""
    for leaf in range(N_LEAVES):
        if draft[VERB + leaf] == PUT_NEXT and together(draft, meant(draft, leaf), meant(draft, leaf + SECOND)):
            return False
        if draft[VERB + leaf] != NO_ACTION and draft[UNBLOCKING] and needs_key(draft, leaf):
            return False
    return True


@compiled
def together(draft: Draft, moved: np.uint64, fixed: np.uint64) -> bool:
    """Whether two sets of things share one, or one of each are next to each other."""
    if moved & fixed:
        return True
    for a in range(FIRST_OBJECT, draft[NEXT]):
        if moved >> np.uint64(a) & ONE:
            for b in range(FIRST_OBJECT, draft[NEXT]):
                if fixed >> np.uint64(b) & ONE and distance(draft[PLACE + a], draft[PLACE + b]) == 1:
                    return True
    return False


@compiled
def needs_key(draft: Draft, leaf: int) -> bool:
    """Whether a leaf speaks of a key that opens a locked door."""
    for thing in range(FIRST_OBJECT, draft[NEXT]):
        if draft[KIND + thing] == LOOK_DOOR and draft[STATUS + thing] == LOCKED:
            if draft[KIND_A + leaf] == LOOK_KEY and draft[COLOUR_A + leaf] == draft[COLOUR + thing]:
                return True
            if draft[KIND_B + leaf] == LOOK_KEY and draft[COLOUR_B + leaf] == draft[COLOUR + thing]:
                return True
    return False


@compiled
def step_limit(draft: Draft) -> int:
    """The level's own limit, or the tiles of all rooms for every walk that the instruction needs (num_navs_needed)."""
    if draft[LIMIT] > 0:
        return int(draft[LIMIT])
    walks = 0
    for leaf in range(N_LEAVES):
        if draft[VERB + leaf] != NO_ACTION:
            walks += 2 if draft[VERB + leaf] == PUT_NEXT else 1
    return int(walks * draft[SIZE] * draft[SIZE] * draft[ROWS] * draft[COLUMNS])
