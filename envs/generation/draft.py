"""Draft of a level in the making: rooms, doors, other objects and the agent, drawn in minigrid's order.

Every function here is one of minigrid's RoomGrid (minigrid/core/roomgrid.py) or MiniGridEnv and draws the same random
numbers in the same order, so that the same stream gives the same level. Where minigrid raises RecursionError (the level
cannot be finished and is begun anew), a function here returns 0 or False.

A draft is one array of integers, because numba compiles functions of one flat array many times faster than functions of
a struct of arrays. It begins with the stream that it draws from; the names below are the indices of all else, such as
`draft[KIND + item]`, `draft[DOOR + 4 * room + side]` or `draft[VERB + leaf]`. An item is a door, key, ball or box,
numbered from 2 in the order of creation. A cell of the grid is the number y * 32 + x.
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

ANY = -1  # as an argument: drawn at random; in a description: not mentioned
STRIDE = 32  # from a cell to the one below it, and the largest width and height of a grid
SIDES = 4  # of a room, and directions of the agent: right, down, left, up
N_ROOMS = 9  # at most
REMOVED_WALL = 1  # stands for a door's number where the wall has been removed

# The size of a room with its walls, the rows and columns of rooms.
SIZE, ROWS, COLUMNS = range(N_STREAM, N_STREAM + 3)
# The agent's cell and direction, the next item's number, the item carried at the start, the root of the instruction,
# the step limit (0: it follows from the instruction), LevelGen's `unblocking`, the first of the latest distractors.
AGENT_CELL, HEADING, NEXT_ITEM, CARRIED, ROOT, LIMIT, UNBLOCKING, LATEST = range(COLUMNS + 1, COLUMNS + 9)
NOTES = LATEST + 1  # eight numbers in which a recipe's steps store what later steps use
# For every item: its look, the item in it, its cell (0: it is not on the grid), whether it is in a room's list.
KIND, COLOUR, STATUS, CONTENTS, CELL, LISTED = range(NOTES + 8, NOTES + 8 + 6 * N_OBJECTS, N_OBJECTS)
# For every side of every room: the cell for a door (0: there is no neighbour) and the door; for every room: `locked`.
DOORWAY, DOOR, LOCKED_ROOM = range(LISTED + N_OBJECTS, LISTED + N_OBJECTS + 3 * SIDES * N_ROOMS, SIDES * N_ROOMS)
# For every leaf: the kind of action, whether it is strict, and the descriptions of up to two sets of items.
VERB, STRICT, KIND_A, COLOUR_A, SIDE_A, KIND_B, COLOUR_B, SIDE_B = range(
    LOCKED_ROOM + SIDES * N_ROOMS, LOCKED_ROOM + SIDES * N_ROOMS + 8 * N_LEAVES, N_LEAVES
)
GRID = SIDE_B + N_LEAVES  # for every cell: EMPTY, WALL or the number of an item
N_DRAFT = GRID + STRIDE * STRIDE

COLOURS = np.array([BLUE, GREEN, GREY, PURPLE, RED, YELLOW])  # in minigrid's order of drawing, which is alphabetical
KINDS = np.array([LOOK_KEY, LOOK_BALL, LOOK_BOX])  # in minigrid's order of drawing
OFFSETS = np.array([1, STRIDE, -1, -STRIDE])  # from a cell to its neighbour, by side
TRIES = 1001  # cells that minigrid tries before it begins the level anew


@compiled
def begin(draft: Draft) -> None:
    """Lay out empty rooms and the cells for doors; the agent in the middle faces right (RoomGrid._gen_grid)."""
    wall, n_rows, n_columns = draft[SIZE] - 1, draft[ROWS], draft[COLUMNS]
    for k in range(AGENT_CELL, N_DRAFT):
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
    draft[AGENT_CELL] = STRIDE * (n_rows // 2 * wall + draft[SIZE] // 2) + n_columns // 2 * wall + draft[SIZE] // 2
    draft[NEXT_ITEM] = FIRST_OBJECT


@compiled
def corner_of(draft: Draft, room: int) -> int:
    """Cell in the upper left corner of a room, which is part of its walls."""
    return int((room // draft[COLUMNS] * STRIDE + room % draft[COLUMNS]) * (draft[SIZE] - 1))


@compiled
def beyond(draft: Draft, room: int, side: int) -> int:
    """Number of the neighbouring room on a side of a room."""
    step = 1 if side % 2 == 0 else draft[COLUMNS]
    return room + step if side < 2 else room - step


@compiled
def distance(a: int, b: int) -> int:
    """Manhattan distance of two cells."""
    return abs(a // STRIDE - b // STRIDE) + abs(a % STRIDE - b % STRIDE)


@compiled
def find_cell(draft: Draft, room: int) -> int:
    """Draw an empty cell of a room, neither the agent's nor beside it; 0 after too many tries (place_obj)."""
    corner = corner_of(draft, room)
    for _ in range(TRIES):
        x = below(draft, draft[SIZE])
        cell = corner + x + STRIDE * below(draft, draft[SIZE])
        if draft[GRID + cell] == EMPTY and distance(cell, draft[AGENT_CELL]) >= 2:
            return cell
    return 0


@compiled
def add_agent(draft: Draft, column: int, row: int) -> bool:
    """Put the agent into a room, not in front of an item (RoomGrid.place_agent); `column` and `row` may be ANY."""
    column = below(draft, draft[COLUMNS]) if column == ANY else column
    row = below(draft, draft[ROWS]) if row == ANY else row
    while True:
        draft[AGENT_CELL] = 0  # two steps or more from every empty cell
        draft[AGENT_CELL] = find_cell(draft, row * draft[COLUMNS] + column)
        if draft[AGENT_CELL] == 0:
            return False
        draft[HEADING] = below(draft, len(OFFSETS))
        if draft[GRID + draft[AGENT_CELL] + OFFSETS[draft[HEADING]]] <= WALL:
            return True


@compiled
def add_item(draft: Draft, kind: int, colour: int, cell: int) -> int:
    """Number of a new item at a cell of the grid; with cell 0 it is not on the grid."""
    number = draft[NEXT_ITEM]
    draft[NEXT_ITEM] += 1
    draft[KIND + number], draft[COLOUR + number], draft[CELL + number] = kind, colour, cell
    if cell > 0:
        draft[GRID + cell] = number
    return int(number)


@compiled
def add_object(draft: Draft, column: int, row: int, kind: int, colour: int) -> int:
    """Number of a new key, ball or box in a room (RoomGrid.add_object), or 0 after too many tries to place it.

    `kind` and `colour` may be ANY.
    """
    kind = KINDS[below(draft, len(KINDS))] if kind == ANY else kind
    colour = COLOURS[below(draft, len(COLOURS))] if colour == ANY else colour
    cell = find_cell(draft, row * draft[COLUMNS] + column)
    if cell == 0:
        return 0
    number = add_item(draft, kind, colour, cell)
    draft[LISTED + number] = 1
    return number


@compiled
def add_door(draft: Draft, column: int, row: int, side: int, colour: int, locked: int) -> int:
    """Number of a new door of a room (RoomGrid.add_door); `side`, `colour` and `locked` may be ANY."""
    room = row * draft[COLUMNS] + column
    while side == ANY:
        drawn = below(draft, len(OFFSETS))
        if draft[DOORWAY + SIDES * room + drawn] > 0 and draft[DOOR + SIDES * room + drawn] == 0:
            side = drawn
    colour = COLOURS[below(draft, len(COLOURS))] if colour == ANY else colour
    if locked == ANY:
        locked = 1 if coin(draft) else 0
    draft[LOCKED_ROOM + room] = locked
    number = add_item(draft, LOOK_DOOR, colour, draft[DOORWAY + SIDES * room + side])
    draft[STATUS + number] = LOCKED if locked else CLOSED
    draft[DOOR + SIDES * room + side] = number
    draft[DOOR + SIDES * beyond(draft, room, side) + (side + 2) % 4] = number
    return number
