"""Recipes of the levels about locked doors: minigrid/envs/babyai/unlock.py, goto.py and other.py."""

from polyray.envs.engine.state import GO_TO, LOOK_BALL, LOOK_BOX, LOOK_DOOR, LOOK_KEY, OPEN_DOOR, PICK_UP
from polyray.envs.generation.draft import ANY, CELL, CONTENTS, LATEST
from polyray.envs.generation.recipes.notation import (
    ANYWHERE,
    ITEM_1,
    ITEM_2,
    ITEM_3,
    LEFT,
    MIDDLE,
    NOTE_1,
    NOTE_2,
    NOTE_3,
    NOTE_4,
    RIGHT,
    UP,
    Steps,
    colour_of,
    store,
    value_at,
)
from polyray.envs.generation.steps import (
    ADD_AGENT,
    ADD_AGENT_OUTSIDE,
    ADD_DISTRACTORS,
    ADD_DOOR,
    ADD_ITEM,
    ADD_OBJECT,
    ASK_FOR,
    ASK_FOR_ITEM,
    COIN,
    CONNECT_ALL,
    DRAW,
    DRAW_COLOURS,
    REMOVE_WALL,
    REQUIRE_REACHABLE,
    SET,
    SKIP,
)

LOCKED_ROOM = (value_at(NOTE_1), value_at(NOTE_2))  # column and row


def go_to_behind_lock() -> Steps:
    """Recipe of GoToImpUnlock."""
    return [
        *_locked_room(),
        (CONNECT_ALL, ANY),
        *_distractors_everywhere(2),
        (ADD_AGENT_OUTSIDE, *LOCKED_ROOM),
        (REQUIRE_REACHABLE, 1),
        (ADD_DISTRACTORS, *LOCKED_ROOM, 1, 0),
        (ASK_FOR_ITEM, 0, GO_TO, value_at(LATEST)),
    ]


def unlock() -> Steps:
    """Recipe of Unlock."""
    return [
        *_locked_room(),
        store(NOTE_3, SET, colour_of(ITEM_1)),
        (SKIP, 1, COIN),
        store(NOTE_3, SET, ANY),
        (CONNECT_ALL, value_at(NOTE_3)),
        *_distractors_everywhere(3),
        (ADD_AGENT_OUTSIDE, *LOCKED_ROOM),
        (REQUIRE_REACHABLE, 1),
        (ASK_FOR_ITEM, 0, OPEN_DOOR, ITEM_1),
    ]


def unlock_in_room(distractors: bool) -> Steps:
    """Recipe of UnlockLocal."""
    return [
        (ADD_DOOR, *MIDDLE, ANY, ANY, 1),
        (ADD_OBJECT, *MIDDLE, LOOK_KEY, colour_of(ITEM_1)),
        *([(ADD_DISTRACTORS, *MIDDLE, 3, 1)] if distractors else []),
        (ADD_AGENT, *MIDDLE),
        (ASK_FOR, 0, OPEN_DOOR, LOOK_DOOR, ANY),
    ]


def key_in_box() -> Steps:
    """Recipe of KeyInBox."""
    return [
        (ADD_DOOR, *MIDDLE, ANY, ANY, 1),
        (ADD_OBJECT, *MIDDLE, LOOK_BOX, ANY),
        (ADD_ITEM, LOOK_KEY, colour_of(ITEM_1), 0),
        store(CONTENTS + ITEM_2, SET, ITEM_3),
        (ADD_AGENT, *MIDDLE),
        (ASK_FOR, 0, OPEN_DOOR, LOOK_DOOR, ANY),
    ]


def unlock_and_pick_up_box(distractors: bool, blocked: bool) -> Steps:
    """Recipe of UnlockPickup and, with a ball in front of the door, BlockedUnlockPickup."""
    ball = [
        store(NOTE_1, DRAW_COLOURS, 1),
        store(NOTE_2, SET, value_at(CELL + ITEM_2), -1),  # the cell to the left of the door
        (ADD_ITEM, LOOK_BALL, value_at(NOTE_1), value_at(NOTE_2)),
    ]
    return [
        (ADD_OBJECT, 1, 0, LOOK_BOX, ANY),
        (ADD_DOOR, 0, 0, RIGHT, ANY, 1),
        *(ball if blocked else []),
        (ADD_OBJECT, 0, 0, LOOK_KEY, colour_of(ITEM_2)),
        *([(ADD_DISTRACTORS, *ANYWHERE, 4, 1)] if distractors else []),
        (ADD_AGENT, 0, 0),
        (ASK_FOR, 0, PICK_UP, LOOK_BOX, ANY if blocked else colour_of(ITEM_1)),
    ]


def unlock_twice() -> Steps:
    """Recipe of UnlockToUnlock."""
    first_colour, second_colour = value_at(NOTE_1), value_at(NOTE_2)
    return [
        store(NOTE_1, DRAW_COLOURS, 2),
        (ADD_DOOR, 0, 0, RIGHT, first_colour, 1),
        (ADD_OBJECT, 2, 0, LOOK_KEY, first_colour),
        (ADD_DOOR, 1, 0, RIGHT, second_colour, 1),
        (ADD_OBJECT, 1, 0, LOOK_KEY, second_colour),
        (ADD_OBJECT, 0, 0, LOOK_BALL, ANY),
        (ADD_AGENT, 1, 0),
        (ASK_FOR, 0, PICK_UP, LOOK_BALL, ANY),
    ]


def key_corridor(n_rows: int) -> Steps:
    """Recipe of KeyCorridor with n_rows rows of rooms."""
    return [
        *((REMOVE_WALL, 1, row, UP) for row in range(1, n_rows)),
        store(NOTE_1, DRAW, 0, n_rows),
        (ADD_DOOR, 2, value_at(NOTE_1), LEFT, ANY, 1),
        (ADD_OBJECT, 2, value_at(NOTE_1), LOOK_BALL, ANY),
        store(NOTE_2, DRAW, 0, n_rows),
        (ADD_OBJECT, 0, value_at(NOTE_2), LOOK_KEY, colour_of(ITEM_1)),
        (ADD_AGENT, 1, n_rows // 2),
        (CONNECT_ALL, ANY),
        (ASK_FOR, 0, PICK_UP, LOOK_BALL, ANY),
    ]


def one_room() -> Steps:
    """Recipe of OneRoom."""
    return [(ADD_OBJECT, 0, 0, LOOK_BALL, ANY), (ADD_AGENT, *ANYWHERE), (ASK_FOR, 0, PICK_UP, LOOK_BALL, ANY)]


def _locked_room() -> Steps:
    """Steps that add a locked door to LOCKED_ROOM and its key to any room.

    minigrid intends another room for the key, but compares the coordinates with `is`, which is never true.
    """
    return [
        store(NOTE_1, DRAW, 0, 3),
        store(NOTE_2, DRAW, 0, 3),
        (ADD_DOOR, *LOCKED_ROOM, ANY, ANY, 1),
        store(NOTE_3, DRAW, 0, 3),
        store(NOTE_4, DRAW, 0, 3),
        (ADD_OBJECT, value_at(NOTE_3), value_at(NOTE_4), LOOK_KEY, colour_of(ITEM_1)),
    ]


def _distractors_everywhere(n: int) -> Steps:
    """Steps that add n distractors to each of nine rooms.

    minigrid intends to leave out the locked one, but compares the coordinates with `is`, which is never true.
    """
    return [(ADD_DISTRACTORS, column, row, n, 0) for column in range(3) for row in range(3)]
