"""A level while it is being made: rooms, doors, things and the agent, drawn in minigrid's order.

Every function here is one of minigrid's RoomGrid (minigrid/core/roomgrid.py) or MiniGridEnv, draw by draw, so that the
same stream gives the same level. Where minigrid raises RecursionError (the level cannot be finished and is begun anew),
a function here returns 0 or False.

A draft is one array of whole numbers, because numba compiles functions of one flat array many times faster than
functions of a struct of arrays. It begins with the stream that it draws from; the names below say where the rest is:
`draft[KIND + thing]`, `draft[DOOR + 4 * room + side]`, `draft[VERB + leaf]`. A cell of the grid is y * 32 + x.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.compilation import compiled
from polyray.envs.engine.state import (
    BLUE,
    CLOSED,
    EMPTY,
    FIRST_OBJECT,
    GREEN,
    GREY,
    LOCKED,
    LOOK_BALL,
    LOOK_BOX,
    LOOK_DOOR,
    LOOK_KEY,
    N_LEAVES,
    N_OBJECTS,
    PURPLE,
    RED,
    WALL,
    YELLOW,
)
from polyray.envs.generation.stream import N_STREAM, below, coin

Draft: TypeAlias = NDArray[np.int64]

ANY = -1  # left to chance, or not said
STRIDE = 32  # from a cell to the one below it; the largest grid
SIDES = 4  # of a room, and directions of the agent: right, down, left, up
N_ROOMS = 9  # the most there can be
GONE = 1  # in place of a door's number: the wall has been removed

# The size of a room with its walls, the rows and columns of rooms.
SIZE, ROWS, COLUMNS = range(N_STREAM, N_STREAM + 3)
# The agent's cell and direction, the next thing's number, the thing carried at the start, the root of the instruction,
# the step limit (0: it follows from the instruction), LevelGen's `unblocking`, the first of the latest distractors.
AT, HEADING, NEXT, HELD, ROOT, LIMIT, UNBLOCKING, LATEST = range(COLUMNS + 1, COLUMNS + 9)
NOTES = LATEST + 1  # eight numbers that a recipe keeps
# Of every thing: what it looks like, what is in it, its cell (0: it is not on the grid), whether a room lists it.
KIND, COLOUR, STATUS, INSIDE, PLACE, LISTED = range(NOTES + 8, NOTES + 8 + 6 * N_OBJECTS, N_OBJECTS)
# Of every side of every room: the cell for a door (0: no neighbour there) and its number; of every room: `locked`.
DOORWAY, DOOR, SHUT = range(LISTED + N_OBJECTS, LISTED + N_OBJECTS + 3 * SIDES * N_ROOMS, SIDES * N_ROOMS)
# Of every leaf: what to do, strictly or not, and two descriptions.
VERB, STRICT, KIND_A, COLOUR_A, SIDE_A, KIND_B, COLOUR_B, SIDE_B = range(
    SHUT + SIDES * N_ROOMS, SHUT + SIDES * N_ROOMS + 8 * N_LEAVES, N_LEAVES
)
GRID = SIDE_B + N_LEAVES  # EMPTY, WALL or the number of a thing, by cell
N_DRAFT = GRID + STRIDE * STRIDE

COLOURS = np.array([BLUE, GREEN, GREY, PURPLE, RED, YELLOW])  # in the order in which minigrid draws them: alphabetical
KINDS = np.array([LOOK_KEY, LOOK_BALL, LOOK_BOX])  # in minigrid's order of drawing
STEPS = np.array([1, STRIDE, -1, -STRIDE])  # from a cell to the next one, by side
TRIES = 1001  # cells that minigrid tries before it begins the level anew


@compiled
def begin(draft: Draft) -> None:
    """Empty rooms with places for doors; the agent in the middle, facing right (RoomGrid._gen_grid)."""
    wall, n_rows, n_columns = draft[SIZE] - 1, draft[ROWS], draft[COLUMNS]
    for k in range(AT, N_DRAFT):
        draft[k] = 0 if k < GRID else WALL
    for y in range(n_rows * wall):
        for x in range(n_columns * wall):
            if x % wall > 0 and y % wall > 0:
                draft[GRID + y * STRIDE + x] = EMPTY
    for room in range(n_rows * n_columns):
        corner = corner_of(draft, room)
        if room % n_columns < n_columns - 1:
            doorway = corner + wall + STRIDE * (1 + below(draft, wall - 1))
            draft[DOORWAY + SIDES * room] = draft[DOORWAY + SIDES * (room + 1) + 2] = doorway
        if room // n_columns < n_rows - 1:
            doorway = corner + wall * STRIDE + 1 + below(draft, wall - 1)
            draft[DOORWAY + SIDES * room + 1] = draft[DOORWAY + SIDES * (room + n_columns) + 3] = doorway
    draft[AT] = STRIDE * (n_rows // 2 * wall + draft[SIZE] // 2) + n_columns // 2 * wall + draft[SIZE] // 2
    draft[NEXT] = FIRST_OBJECT


@compiled
def corner_of(draft: Draft, room: int) -> int:
    """The cell in the upper left corner of a room, which is part of its walls."""
    return int((room // draft[COLUMNS] * STRIDE + room % draft[COLUMNS]) * (draft[SIZE] - 1))


@compiled
def beyond(draft: Draft, room: int, side: int) -> int:
    """The room on that side of a room."""
    step = 1 if side % 2 == 0 else draft[COLUMNS]
    return room + step if side < 2 else room - step


@compiled
def distance(a: int, b: int) -> int:
    """How many steps two cells are apart."""
    return abs(a // STRIDE - b // STRIDE) + abs(a % STRIDE - b % STRIDE)


@compiled
def find_place(draft: Draft, room: int) -> int:
    """An empty cell of a room, neither the agent's nor beside it; 0 if none was found (place_obj)."""
    corner = corner_of(draft, room)
    for _ in range(TRIES):
        x = below(draft, draft[SIZE])
        place = corner + x + STRIDE * below(draft, draft[SIZE])
        if draft[GRID + place] == EMPTY and distance(place, draft[AT]) >= 2:
            return place
    return 0


@compiled
def add_agent(draft: Draft, column: int, row: int) -> bool:
    """Puts the agent into a room, not in front of a thing (RoomGrid.place_agent)."""
    column = below(draft, draft[COLUMNS]) if column == ANY else column
    row = below(draft, draft[ROWS]) if row == ANY else row
    while True:
        draft[AT] = 0  # two steps or more from every empty cell
        draft[AT] = find_place(draft, row * draft[COLUMNS] + column)
        if draft[AT] == 0:
            return False
        draft[HEADING] = below(draft, len(STEPS))
        if draft[GRID + draft[AT] + STEPS[draft[HEADING]]] <= WALL:
            return True


@compiled
def add_thing(draft: Draft, kind: int, colour: int, place: int) -> int:
    """The number of a new thing; with place 0 it is not on the grid."""
    number = draft[NEXT]
    draft[NEXT] += 1
    draft[KIND + number], draft[COLOUR + number], draft[PLACE + number] = kind, colour, place
    if place > 0:
        draft[GRID + place] = number
    return int(number)


@compiled
def add_object(draft: Draft, column: int, row: int, kind: int, colour: int) -> int:
    """The number of a new key, ball or box in a room (RoomGrid.add_object); 0: no place was found."""
    kind = KINDS[below(draft, len(KINDS))] if kind == ANY else kind
    colour = COLOURS[below(draft, len(COLOURS))] if colour == ANY else colour
    place = find_place(draft, row * draft[COLUMNS] + column)
    if place == 0:
        return 0
    number = add_thing(draft, kind, colour, place)
    draft[LISTED + number] = 1
    return number


@compiled
def add_door(draft: Draft, column: int, row: int, side: int, colour: int, locked: int) -> int:
    """The number of a new door of a room (RoomGrid.add_door); `side`, `colour` and `locked` may be ANY."""
    room = row * draft[COLUMNS] + column
    while side == ANY:
        drawn = below(draft, len(STEPS))
        if draft[DOORWAY + SIDES * room + drawn] > 0 and draft[DOOR + SIDES * room + drawn] == 0:
            side = drawn
    colour = COLOURS[below(draft, len(COLOURS))] if colour == ANY else colour
    if locked == ANY:
        locked = 1 if coin(draft) else 0
    draft[SHUT + room] = locked
    number = add_thing(draft, LOOK_DOOR, colour, draft[DOORWAY + SIDES * room + side])
    draft[STATUS + number] = LOCKED if locked else CLOSED
    draft[DOOR + SIDES * room + side] = number
    draft[DOOR + SIDES * beyond(draft, room, side) + (side + 2) % 4] = number
    return number
