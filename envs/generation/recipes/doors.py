"""Recipes of the levels about doors that are not locked: minigrid/envs/babyai/open.py, goto.py and pickup.py."""

from polyray.envs.engine.state import BEFORE, GO_TO, LOOK_DOOR, OPEN_DOOR, PICK_UP, RED
from polyray.envs.generation.draft import ANY, COLOUR_A, KIND, NOTES, ROOT, SIDE_A, STRICT
from polyray.envs.generation.recipes.notation import (
    ANYWHERE,
    ITEM_1,
    ITEM_2,
    LEFT,
    MIDDLE,
    NOTE_1,
    NOTE_2,
    RIGHT,
    UP,
    Steps,
    draw_item,
    store,
    value_at,
)
from polyray.envs.generation.steps import (
    ADD_AGENT,
    ADD_DISTRACTORS,
    ADD_DOOR,
    ADD_OBJECT,
    ASK_FOR,
    ASK_FOR_ITEM,
    COIN,
    CONNECT_ALL,
    DRAW,
    DRAW_COLOURS,
    DRAW_DOOR,
    DRAW_ORDER,
    DRAW_TWO,
    REQUIRE_REACHABLE,
    SET,
    SKIP,
)


def go_to_door() -> Steps:
    """Recipe of GoToDoor."""
    return [
        *[(ADD_DOOR, *MIDDLE, ANY, ANY, ANY)] * 4,
        (ADD_AGENT, *MIDDLE),
        draw_item(ITEM_1),
        (ASK_FOR_ITEM, 0, GO_TO, value_at(NOTE_1)),
    ]


def open_any_door() -> Steps:
    """Recipe of Open."""
    return [
        (ADD_AGENT, *ANYWHERE),
        (CONNECT_ALL, ANY),
        (ADD_DISTRACTORS, *ANYWHERE, 18, 0),
        (REQUIRE_REACHABLE, 1),
        store(NOTE_1, DRAW_DOOR),
        (ASK_FOR_ITEM, 0, OPEN_DOOR, value_at(NOTE_1)),
    ]


def open_red_door() -> Steps:
    """Recipe of OpenRedDoor."""
    return [(ADD_DOOR, 0, 0, RIGHT, RED, 0), (ADD_AGENT, 0, 0), (ASK_FOR, 0, OPEN_DOOR, LOOK_DOOR, RED)]


def open_one_door(strict: bool, select_by: str | None) -> Steps:
    """Recipe of OpenDoor; `select_by`: "color", "loc" or, for either, None."""
    by_side = [store(COLOUR_A, SET, ANY), store(SIDE_A, DRAW, 0, 4)]
    selection = {"color": [], "loc": by_side, None: [(SKIP, len(by_side), COIN), *by_side]}[select_by]
    return [
        store(NOTES, DRAW_COLOURS, 4),
        *((ADD_DOOR, *MIDDLE, side, value_at(NOTES + side), 0) for side in range(4)),
        (ASK_FOR, 0, OPEN_DOOR, LOOK_DOOR, value_at(NOTES)),
        *selection,
        store(STRICT, SET, int(strict)),
        (ADD_AGENT, *MIDDLE),
    ]


def open_two_doors(first_colour: int, second_colour: int, strict: bool) -> Steps:
    """Recipe of OpenTwoDoors; a colour of ANY is drawn."""
    first_colour = value_at(NOTE_1) if first_colour == ANY else first_colour
    second_colour = value_at(NOTE_2) if second_colour == ANY else second_colour
    return [
        store(NOTE_1, DRAW_COLOURS, 2),
        (ADD_DOOR, *MIDDLE, LEFT, first_colour, 0),
        (ADD_DOOR, *MIDDLE, RIGHT, second_colour, 0),
        (ADD_AGENT, *MIDDLE),
        (ASK_FOR_ITEM, 0, OPEN_DOOR, ITEM_1),
        (ASK_FOR_ITEM, 2, OPEN_DOOR, ITEM_2),
        store(STRICT, SET, int(strict)),
        store(ROOT, SET, BEFORE),
    ]


def open_doors_in_order(n: int, strict: bool) -> Steps:
    """Recipe of OpenDoorsOrder with n doors."""
    return [
        store(NOTES, DRAW_COLOURS, n),
        *((ADD_DOOR, *MIDDLE, ANY, value_at(NOTES + k), 0) for k in range(n)),
        (ADD_AGENT, *MIDDLE),
        store(NOTE_1, DRAW_TWO, ITEM_1, ITEM_1 + n),
        (ASK_FOR_ITEM, 0, OPEN_DOOR, value_at(NOTE_1)),
        (ASK_FOR_ITEM, 2, OPEN_DOOR, value_at(NOTE_2)),
        (DRAW_ORDER,),
        *(store(STRICT + leaf, SET, int(strict)) for leaf in (0, 2)),
    ]


def pick_up_above() -> Steps:
    """Recipe of PickupAbove."""
    return [
        (ADD_OBJECT, 1, 0, ANY, ANY),
        (ADD_DOOR, *MIDDLE, UP, ANY, 0),
        (ADD_AGENT, *MIDDLE),
        (CONNECT_ALL, ANY),
        (ASK_FOR_ITEM, 0, PICK_UP, ITEM_1),
    ]


def find_object() -> Steps:
    """Recipe of FindObj."""
    return [
        store(NOTE_1, DRAW, 0, 3),
        store(NOTE_2, DRAW, 0, 3),
        (ADD_OBJECT, value_at(NOTE_1), value_at(NOTE_2), ANY, ANY),
        (ADD_AGENT, *MIDDLE),
        (CONNECT_ALL, ANY),
        (ASK_FOR, 0, PICK_UP, value_at(KIND + ITEM_1), ANY),
    ]
