"""Contents and connections of a draft's rooms: distractors, doors, removed walls, and what can be reached.

As in `generation.draft`, every function is one of minigrid's (RoomGrid and RoomGridLevel) and draws the same numbers.
"""

import numpy as np

from polyray.envs.engine.compilation import compiled
from polyray.envs.engine.state import EMPTY, FIRST_OBJECT, LOOK_DOOR, OPEN, WALL
from polyray.envs.generation.draft import (
    AGENT_CELL,
    ANY,
    CELL,
    COLOUR,
    COLOURS,
    COLUMNS,
    DOOR,
    DOORWAY,
    GRID,
    KIND,
    KINDS,
    LATEST,
    LISTED,
    LOCKED_ROOM,
    NEXT_ITEM,
    OFFSETS,
    REMOVED_WALL,
    ROWS,
    SIDES,
    SIZE,
    STATUS,
    STRIDE,
    Draft,
    add_agent,
    add_door,
    add_object,
    beyond,
    corner_of,
)
from polyray.envs.generation.stream import below

CONNECTIONS = 5001  # doors that minigrid tries before it begins the level anew


@compiled
def add_distractors(draft: Draft, column: int, row: int, n: int, unique: int) -> bool:
    """Add n keys, balls and boxes to a room, or with ANY to any room; False: begin the level anew (add_distractors).

    Args:
        unique: 1: no two items of the rooms have the same kind and colour.
    """
    draft[LATEST] = draft[NEXT_ITEM]
    while draft[NEXT_ITEM] < draft[LATEST] + n:
        colour, kind = COLOURS[below(draft, len(COLOURS))], KINDS[below(draft, len(KINDS))]
        duplicate = False
        for item in range(FIRST_OBJECT, draft[NEXT_ITEM]):
            alike = draft[KIND + item] == kind and draft[COLOUR + item] == colour
            duplicate = duplicate or (alike and draft[LISTED + item] > 0)
        if unique and duplicate:
            continue
        into_column = below(draft, draft[COLUMNS]) if column == ANY else column
        into_row = below(draft, draft[ROWS]) if row == ANY else row
        if add_object(draft, into_column, into_row, kind, colour) == 0:
            return False
    return True


@compiled
def remove_wall(draft: Draft, column: int, row: int, side: int) -> None:
    """Remove the wall between a room and its neighbour to the right (side 0) or above (side 3) (remove_wall)."""
    room, size = row * draft[COLUMNS] + column, draft[SIZE]
    start = corner_of(draft, room) + (size - 1 if side == 0 else 0)
    for step in range(1, size - 1):
        draft[GRID + start + step * (STRIDE if side == 0 else 1)] = EMPTY
    draft[DOOR + SIDES * room + side] = draft[DOOR + SIDES * beyond(draft, room, side) + (side + 2) % 4] = REMOVED_WALL


@compiled
def connect_all(draft: Draft, without: int) -> bool:
    """Add closed doors, none of the colour `without`, until every room can be reached; False after too many tries."""
    reached = rooms_reached(draft)
    for _ in range(CONNECTIONS):
        if reached == draft[ROWS] * draft[COLUMNS]:
            return True
        column, row, side = below(draft, draft[COLUMNS]), below(draft, draft[ROWS]), below(draft, len(OFFSETS))
        room = row * draft[COLUMNS] + column
        if draft[DOORWAY + SIDES * room + side] == 0 or draft[DOOR + SIDES * room + side] != 0:
            continue
        if draft[LOCKED_ROOM + room] or draft[LOCKED_ROOM + beyond(draft, room, side)]:
            continue
        add_door(draft, column, row, side, another_colour(draft, without), 0)
        reached = rooms_reached(draft)
    return False


@compiled
def another_colour(draft: Draft, without: int) -> int:
    """Draw a colour other than `without`, any colour if that is ANY."""
    index = below(draft, len(COLOURS) if without == ANY else len(COLOURS) - 1)
    for k in range(index + 1):
        if COLOURS[k] == without:
            return int(COLOURS[index + 1])
    return int(COLOURS[index])


@compiled
def room_at(draft: Draft, cell: int) -> int:
    """Room of a cell (room_from_pos); a wall between two rooms belongs to the right or lower one."""
    wall = draft[SIZE] - 1
    return int(cell // STRIDE // wall * draft[COLUMNS] + cell % STRIDE // wall)


@compiled
def rooms_reached(draft: Draft) -> int:
    """Number of rooms that doors and removed walls connect with the agent's, its own included."""
    n_rooms = draft[ROWS] * draft[COLUMNS]
    reached, seen, n = 1 << room_at(draft, draft[AGENT_CELL]), 0, 0
    while reached != seen:
        seen = reached
        for index in range(n_rooms * SIDES):
            room, side = index // SIDES, index % SIDES
            if reached >> room & 1 and draft[DOOR + index] != 0:
                reached |= 1 << beyond(draft, room, side)
    for room in range(n_rooms):
        n += reached >> room & 1
    return n


@compiled
def all_reachable(draft: Draft) -> bool:
    """Whether the agent can get beside every item without moving one; doors do not block (check_objs_reachable)."""
    seen, waiting, n = np.zeros(STRIDE * STRIDE, np.uint8), np.empty(STRIDE * STRIDE, np.int64), 1
    waiting[0] = draft[AGENT_CELL]
    seen[draft[AGENT_CELL]] = 1
    while n > 0:
        n -= 1
        cell = waiting[n]
        for side in range(SIDES):
            next_cell = cell + OFFSETS[side]
            content = draft[GRID + next_cell]
            if content == WALL or seen[next_cell]:
                continue
            seen[next_cell] = 1
            if content == EMPTY or draft[KIND + content] == LOOK_DOOR:
                waiting[n] = next_cell
                n += 1
    n_hidden = 0
    for item in range(FIRST_OBJECT, draft[NEXT_ITEM]):
        cell = draft[CELL + item]
        n_hidden += cell > 0 and seen[cell] == 0
    return n_hidden == 0


@compiled
def add_agent_outside(draft: Draft, column: int, row: int) -> bool:
    """Put the agent into any room but this one, with column ANY into any room; False: begin the level anew."""
    anywhere = ANY + 0 * draft[AGENT_CELL]  # no literal: numba would compile add_agent anew
    while add_agent(draft, anywhere, anywhere):
        if column == ANY or room_at(draft, draft[AGENT_CELL]) != row * draft[COLUMNS] + column:
            return True
    return False


@compiled
def open_all_doors(draft: Draft) -> None:
    """Open every door."""
    for item in range(FIRST_OBJECT, draft[NEXT_ITEM]):
        if draft[KIND + item] == LOOK_DOOR:
            draft[STATUS + item] = OPEN


@compiled
def draw_locked_room(draft: Draft, target: int) -> None:
    """Draw a room and a side of it with a neighbour; the notes from `target` on become its column, row and the side.

    The first half of LevelGen.add_locked_room.
    """
    draft[target], draft[target + 1] = below(draft, draft[COLUMNS]), below(draft, draft[ROWS])
    draft[target + 2] = below(draft, len(OFFSETS))
    while draft[DOORWAY + SIDES * (draft[target + 1] * draft[COLUMNS] + draft[target]) + draft[target + 2]] == 0:
        draft[target], draft[target + 1] = below(draft, draft[COLUMNS]), below(draft, draft[ROWS])
        draft[target + 2] = below(draft, len(OFFSETS))


@compiled
def draw_other_room(draft: Draft, column: int, row: int, target: int) -> None:
    """Draw any room but this one; the notes from `target` on become its column and row."""
    draft[target], draft[target + 1] = below(draft, draft[COLUMNS]), below(draft, draft[ROWS])
    while draft[target] == column and draft[target + 1] == row:
        draft[target], draft[target + 1] = below(draft, draft[COLUMNS]), below(draft, draft[ROWS])
