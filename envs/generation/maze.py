"""What fills and connects the rooms of a draft: distractors, walls removed, doors, and whether all can be reached.

As in generate_draft, every function is one of minigrid's, draw by draw (RoomGrid and RoomGridLevel).
"""

import numpy as np

from polyray.envs.engine.compilation import compiled
from polyray.envs.engine.state import EMPTY, FIRST_OBJECT, LOOK_DOOR, OPEN, WALL
from polyray.envs.generation.draft import (
    ANY,
    AT,
    COLOUR,
    COLOURS,
    COLUMNS,
    DOOR,
    DOORWAY,
    GONE,
    GRID,
    KIND,
    KINDS,
    LATEST,
    LISTED,
    NEXT,
    PLACE,
    ROWS,
    SHUT,
    SIDES,
    SIZE,
    STATUS,
    STEPS,
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
    """n keys, balls and boxes in that room or (ANY) anywhere, if `unique` none like another (add_distractors)."""
    draft[LATEST] = draft[NEXT]
    while draft[NEXT] < draft[LATEST] + n:
        colour, kind = COLOURS[below(draft, len(COLOURS))], KINDS[below(draft, len(KINDS))]
        known = False
        for thing in range(FIRST_OBJECT, draft[NEXT]):
            alike = draft[KIND + thing] == kind and draft[COLOUR + thing] == colour
            known = known or (alike and draft[LISTED + thing] > 0)
        if unique and known:
            continue
        into_column = below(draft, draft[COLUMNS]) if column == ANY else column
        into_row = below(draft, draft[ROWS]) if row == ANY else row
        if add_object(draft, into_column, into_row, kind, colour) == 0:
            return False
    return True


@compiled
def remove_wall(draft: Draft, column: int, row: int, side: int) -> None:
    """No wall between a room and its neighbour to the right (0) or above (3) (remove_wall)."""
    room, size = row * draft[COLUMNS] + column, draft[SIZE]
    start = corner_of(draft, room) + (size - 1 if side == 0 else 0)
    for step in range(1, size - 1):
        draft[GRID + start + step * (STRIDE if side == 0 else 1)] = EMPTY
    draft[DOOR + SIDES * room + side] = draft[DOOR + SIDES * beyond(draft, room, side) + (side + 2) % 4] = GONE


@compiled
def connect_all(draft: Draft, without: int) -> bool:
    """Doors, closed but not locked, until every room can be reached; none of the colour `without` (connect_all)."""
    reached = rooms_reached(draft)
    for _ in range(CONNECTIONS):
        if reached == draft[ROWS] * draft[COLUMNS]:
            return True
        column, row, side = below(draft, draft[COLUMNS]), below(draft, draft[ROWS]), below(draft, len(STEPS))
        room = row * draft[COLUMNS] + column
        if draft[DOORWAY + SIDES * room + side] == 0 or draft[DOOR + SIDES * room + side] != 0:
            continue
        if draft[SHUT + room] or draft[SHUT + beyond(draft, room, side)]:
            continue
        add_door(draft, column, row, side, another_colour(draft, without), 0)
        reached = rooms_reached(draft)
    return False


@compiled
def another_colour(draft: Draft, without: int) -> int:
    """A random colour, not `without` unless that is ANY."""
    place = below(draft, len(COLOURS) if without == ANY else len(COLOURS) - 1)
    for k in range(place + 1):
        if COLOURS[k] == without:
            return int(COLOURS[place + 1])
    return int(COLOURS[place])


@compiled
def room_at(draft: Draft, place: int) -> int:
    """The room that minigrid says a cell is in (room_from_pos): a wall between two rooms is in the later one."""
    wall = draft[SIZE] - 1
    return int(place // STRIDE // wall * draft[COLUMNS] + place % STRIDE // wall)


@compiled
def rooms_reached(draft: Draft) -> int:
    """How many rooms doors and removed walls connect with the agent's."""
    n_rooms = draft[ROWS] * draft[COLUMNS]
    reached, seen, n = 1 << room_at(draft, draft[AT]), 0, 0
    while reached != seen:
        seen = reached
        for place in range(n_rooms * SIDES):
            if reached >> place // SIDES & 1 and draft[DOOR + place] != 0:
                reached |= 1 << beyond(draft, place // SIDES, place % SIDES)
    for room in range(n_rooms):
        n += reached >> room & 1
    return n


@compiled
def all_reachable(draft: Draft) -> bool:
    """Whether no thing has to be moved to get at any other; doors do not block (check_objs_reachable)."""
    seen, waiting, n = np.zeros(STRIDE * STRIDE, np.uint8), np.empty(STRIDE * STRIDE, np.int64), 1
    waiting[0] = draft[AT]
    seen[draft[AT]] = 1
    while n > 0:
        n -= 1
        place = waiting[n]
        for side in range(SIDES):
            next_place = place + STEPS[side]
            what = draft[GRID + next_place]
            if what == WALL or seen[next_place]:
                continue
            seen[next_place] = 1
            if what == EMPTY or draft[KIND + what] == LOOK_DOOR:
                waiting[n] = next_place
                n += 1
    hidden = 0
    for thing in range(FIRST_OBJECT, draft[NEXT]):
        place = draft[PLACE + thing]
        hidden += place > 0 and seen[place] == 0
    return hidden == 0


@compiled
def add_agent_outside(draft: Draft, column: int, row: int) -> bool:
    """Puts the agent into any room but that one (with column ANY: into any room)."""
    anywhere = ANY + 0 * draft[AT]  # no literal: numba would compile add_agent anew
    while add_agent(draft, anywhere, anywhere):
        if column == ANY or room_at(draft, draft[AT]) != row * draft[COLUMNS] + column:
            return True
    return False


@compiled
def open_all_doors(draft: Draft) -> None:
    """Every door stands open."""
    for thing in range(FIRST_OBJECT, draft[NEXT]):
        if draft[KIND + thing] == LOOK_DOOR:
            draft[STATUS + thing] = OPEN


@compiled
def draw_shut_room(draft: Draft, into: int) -> None:
    """Column, row and a side with a neighbour of any room (the first half of LevelGen.add_locked_room)."""
    draft[into], draft[into + 1] = below(draft, draft[COLUMNS]), below(draft, draft[ROWS])
    draft[into + 2] = below(draft, len(STEPS))
    while draft[DOORWAY + SIDES * (draft[into + 1] * draft[COLUMNS] + draft[into]) + draft[into + 2]] == 0:
        draft[into], draft[into + 1] = below(draft, draft[COLUMNS]), below(draft, draft[ROWS])
        draft[into + 2] = below(draft, len(STEPS))


@compiled
def draw_other_room(draft: Draft, column: int, row: int, into: int) -> None:
    """Column and row of any room but that one."""
    draft[into], draft[into + 1] = below(draft, draft[COLUMNS]), below(draft, draft[ROWS])
    while draft[into] == column and draft[into + 1] == row:
        draft[into], draft[into + 1] = below(draft, draft[COLUMNS]), below(draft, draft[ROWS])
