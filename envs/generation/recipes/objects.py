"""Recipes of the levels about keys, balls and boxes (minigrid/envs/babyai/goto.py, pickup.py, putnext.py, other.py)."""

from polyray.envs.engine.state import BEFORE, BLUE, GO_TO, GREY, LOOK_BALL, PICK_UP, PUT_NEXT, RED
from polyray.envs.generation.draft import ANY, CARRIED, LATEST, ROOT, STRICT
from polyray.envs.generation.recipes.notation import (
    ANYWHERE,
    ITEM_1,
    ITEM_2,
    MIDDLE,
    NOTE_1,
    NOTE_2,
    NOTE_3,
    NOTE_4,
    RIGHT,
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
    DRAW_TWO,
    DROP_TRAIT,
    PAINT,
    REMOVE_WALL,
    REQUIRE_NO_BALLS,
    REQUIRE_REACHABLE,
    SET,
    SET_SECOND,
    SKIP,
    USE_OTHER_VERB,
)


def go_to_red_ball(n: int, grey: bool) -> Steps:
    """Recipe of GoToRedBall and GoToRedBallGrey with n distractors."""
    return [
        (ADD_AGENT, *ANYWHERE),
        (ADD_OBJECT, 0, 0, LOOK_BALL, RED),
        (ADD_DISTRACTORS, *ANYWHERE, n, 0),
        *([(PAINT, GREY, ITEM_2)] if grey else []),
        (REQUIRE_REACHABLE, 1),
        (ASK_FOR, 0, GO_TO, LOOK_BALL, RED),
    ]


def go_to_red_or_blue_ball(n: int) -> Steps:
    """Recipe of GoToRedBlueBall with n distractors."""
    return [
        (ADD_AGENT, *ANYWHERE),
        (ADD_DISTRACTORS, *ANYWHERE, n, 0),
        (REQUIRE_NO_BALLS,),
        store(NOTE_1, SET, RED),
        (SKIP, 1, COIN),
        store(NOTE_1, SET, BLUE),
        (ADD_OBJECT, 0, 0, LOOK_BALL, value_at(NOTE_1)),
        (REQUIRE_REACHABLE, 1),
        (ASK_FOR, 0, GO_TO, LOOK_BALL, value_at(NOTE_1)),
    ]


def go_to_lone_object() -> Steps:
    """Recipe of GoToObj."""
    return [(ADD_AGENT, *ANYWHERE), (ADD_DISTRACTORS, *ANYWHERE, 1, 1), (ASK_FOR_ITEM, 0, GO_TO, ITEM_1)]


def one_of_scattered(n: int, verb: int, reachable: int = 1) -> Steps:
    """Recipe of GoToLocal, GoTo, Pickup and, where not all items may be reachable, UnblockPickup."""
    return [
        (ADD_AGENT, *ANYWHERE),
        (CONNECT_ALL, ANY),
        (ADD_DISTRACTORS, *ANYWHERE, n, 0),
        (REQUIRE_REACHABLE, reachable),
        draw_item(value_at(LATEST)),
        (ASK_FOR_ITEM, 0, verb, value_at(NOTE_1)),
    ]


def go_to_object_or_door() -> Steps:
    """Recipe of GoToObjDoor."""
    return [
        (ADD_AGENT, *MIDDLE),
        (ADD_DISTRACTORS, *MIDDLE, 8, 0),
        *[(ADD_DOOR, *MIDDLE, ANY, ANY, ANY)] * 4,
        (REQUIRE_REACHABLE, 1),
        draw_item(ITEM_1),
        (ASK_FOR_ITEM, 0, GO_TO, value_at(NOTE_1)),
    ]


def any_action() -> Steps:
    """Recipe of ActionObjDoor."""
    return [
        (ADD_DISTRACTORS, *MIDDLE, 5, 1),
        *[(ADD_DOOR, *MIDDLE, ANY, ANY, 0)] * 4,
        (ADD_AGENT, *MIDDLE),
        draw_item(ITEM_1),
        (ASK_FOR_ITEM, 0, GO_TO, value_at(NOTE_1)),
        (SKIP, 1, COIN),
        (USE_OTHER_VERB, 0),
    ]


def pick_up_by_trait(strict: bool) -> Steps:
    """Recipe of PickupDist."""
    return [
        (ADD_DISTRACTORS, *ANYWHERE, 5, 1),
        (ADD_AGENT, 0, 0),
        draw_item(ITEM_1),
        (ASK_FOR_ITEM, 0, PICK_UP, value_at(NOTE_1)),
        (DROP_TRAIT, 0),
        store(STRICT, SET, int(strict)),
    ]


def put_next_in_room(n: int) -> Steps:
    """Recipe of PutNextLocal with n objects."""
    return [
        (ADD_AGENT, *ANYWHERE),
        (ADD_DISTRACTORS, *ANYWHERE, n, 1),
        (REQUIRE_REACHABLE, 1),
        store(NOTE_1, DRAW_TWO, ITEM_1, ITEM_1 + n),
        *_put_next(0, NOTE_1, NOTE_2),
    ]


def put_next_across(n: int, carrying: bool) -> Steps:
    """Recipe of PutNext with n objects in each room; `carrying`: the agent starts with the object to move."""
    to_left = [*_put_next(0, NOTE_2, NOTE_1), store(CARRIED, SET, value_at(NOTE_2) if carrying else 0)]
    to_right = [*_put_next(0, NOTE_1, NOTE_2), store(CARRIED, SET, value_at(NOTE_1) if carrying else 0)]
    return [
        *_two_rooms(n),
        store(NOTE_1, DRAW, ITEM_1, ITEM_1 + n),
        store(NOTE_2, DRAW, ITEM_1 + n, ITEM_1 + 2 * n),
        *to_left,
        (SKIP, len(to_right), COIN),
        *to_right,
    ]


def move_two_across(n: int) -> Steps:
    """Recipe of MoveTwoAcross with n objects in each room."""
    return [
        *_two_rooms(n),
        store(NOTE_1, DRAW_TWO, ITEM_1, ITEM_1 + n),
        store(NOTE_3, DRAW_TWO, ITEM_1 + n, ITEM_1 + 2 * n),
        *_put_next(0, NOTE_1, NOTE_3),
        *_put_next(2, NOTE_4, NOTE_2),
        store(ROOT, SET, BEFORE),
    ]


def _put_next(leaf: int, moved: int, fixed: int) -> Steps:
    """Steps by which a leaf asks to put the item in the note `moved` next to the item in the note `fixed`."""
    return [(ASK_FOR_ITEM, leaf, PUT_NEXT, value_at(moved)), (SET_SECOND, leaf, value_at(fixed))]


def _two_rooms(n: int) -> Steps:
    """Steps that add the agent and n different objects on both sides of a removed wall."""
    return [(ADD_AGENT, 0, 0), (ADD_DISTRACTORS, 0, 0, n, 1), (ADD_DISTRACTORS, 1, 0, n, 1), (REMOVE_WALL, 0, 0, RIGHT)]
