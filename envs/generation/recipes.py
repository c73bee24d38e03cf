"""What minigrid's level classes do, step by step: minigrid/envs/babyai/*.py, `gen_mission` of each as a recipe.

A level's options are those that minigrid registers its class with, so a new id of a known class needs no line here.
Things are numbered from 2 in the order in which they are added; NOTES are what a recipe keeps of its draws.
"""

from typing import TypeAlias

from polyray.envs.engine.state import BEFORE, BLUE, FIRST_OBJECT, GO_TO, GREY, LOOK_BALL, PICK_UP, PUT_NEXT, RED
from polyray.envs.generation.draft import ANY, HELD, LATEST, NEXT, NOTES, ROOT, STRICT
from polyray.envs.generation.steps import (
    AGENT,
    COIN,
    CONNECT,
    DISTRACT,
    DOORS,
    DRAW,
    DRAW_TWO,
    NEXT_TO,
    NO_SUCH_BALLS,
    NO_WALL,
    OBJECT,
    ONE_TRAIT,
    OTHER_VERB,
    PAINT,
    REACHABLE,
    REF,
    SAY,
    SAY_THING,
    SET,
    SKIP,
)

Step: TypeAlias = tuple[int, ...]  # operation and up to five arguments
Steps: TypeAlias = list[Step]

ANYWHERE = (ANY, ANY)
MIDDLE = (1, 1)
ONE, TWO, THREE, FOUR = range(NOTES, NOTES + 4)  # places of notes
FIRST = FIRST_OBJECT


def of(place: int) -> int:
    """What stands at that place of the draft when the step is done."""
    return REF + place


def into(place: int, operation: int, *arguments: int) -> Step:
    """A step whose result goes to that place."""
    return (operation, *arguments, *(0,) * (4 - len(arguments)), place)


def choose(first: int) -> Step:
    """Note ONE: a random thing from number `first` on."""
    return into(ONE, DRAW, first, of(NEXT))


def red_ball(n: int, grey: bool) -> Steps:
    """GoToRedBall and GoToRedBallGrey."""
    paint = [(PAINT, GREY, FIRST + 1)] if grey else []
    ball, others = (OBJECT, 0, 0, LOOK_BALL, RED), (DISTRACT, *ANYWHERE, n, 0)
    return [(AGENT, *ANYWHERE), ball, others, *paint, (REACHABLE, 1), (SAY, 0, GO_TO, LOOK_BALL, RED)]


def red_blue_ball(n: int) -> Steps:
    """GoToRedBlueBall."""
    return [
        (AGENT, *ANYWHERE),
        (DISTRACT, *ANYWHERE, n, 0),
        (NO_SUCH_BALLS,),
        into(ONE, SET, RED),
        (SKIP, 1, COIN),
        into(ONE, SET, BLUE),
        (OBJECT, 0, 0, LOOK_BALL, of(ONE)),
        (REACHABLE, 1),
        (SAY, 0, GO_TO, LOOK_BALL, of(ONE)),
    ]


def lone_object() -> Steps:
    """GoToObj."""
    return [(AGENT, *ANYWHERE), (DISTRACT, *ANYWHERE, 1, 1), (SAY_THING, 0, GO_TO, FIRST)]


def scattered(n: int, verb: int, reachable: int = 1) -> Steps:
    """GoToLocal, GoTo, Pickup and UnblockPickup (where not everything may be reachable)."""
    return [
        (AGENT, *ANYWHERE),
        (CONNECT, ANY),
        (DISTRACT, *ANYWHERE, n, 0),
        (REACHABLE, reachable),
        choose(of(LATEST)),
        (SAY_THING, 0, verb, of(ONE)),
    ]


def object_or_door() -> Steps:
    """GoToObjDoor."""
    things = [(AGENT, *MIDDLE), (DISTRACT, *MIDDLE, 8, 0), *[(DOORS, *MIDDLE, ANY, ANY, ANY)] * 4, (REACHABLE, 1)]
    return [*things, choose(FIRST), (SAY_THING, 0, GO_TO, of(ONE))]


def any_action() -> Steps:
    """ActionObjDoor."""
    things = [(DISTRACT, *MIDDLE, 5, 1), *[(DOORS, *MIDDLE, ANY, ANY, 0)] * 4, (AGENT, *MIDDLE)]
    return [*things, choose(FIRST), (SAY_THING, 0, GO_TO, of(ONE)), (SKIP, 1, COIN), (OTHER_VERB, 0)]


def by_trait(strict: bool) -> Steps:
    """PickupDist."""
    things = [(DISTRACT, *ANYWHERE, 5, 1), (AGENT, 0, 0), choose(FIRST)]
    return [*things, (SAY_THING, 0, PICK_UP, of(ONE)), (ONE_TRAIT, 0), into(STRICT, SET, int(strict))]


def put_near(n: int) -> Steps:
    """PutNextLocal."""
    things = [(AGENT, *ANYWHERE), (DISTRACT, *ANYWHERE, n, 1), (REACHABLE, 1), into(ONE, DRAW_TWO, FIRST, FIRST + n)]
    return [*things, *put(0, ONE, TWO)]


def put(leaf: int, moved: int, fixed: int) -> Steps:
    """Put one noted thing next to another."""
    return [(SAY_THING, leaf, PUT_NEXT, of(moved)), (NEXT_TO, leaf, of(fixed))]


def two_sides(n: int) -> Steps:
    """Two rooms without the wall between them and different things in each."""
    return [(AGENT, 0, 0), (DISTRACT, 0, 0, n, 1), (DISTRACT, 1, 0, n, 1), (NO_WALL, 0, 0, 0)]


def put_across(n: int, carrying: bool) -> Steps:
    """PutNext."""
    drawn = [into(ONE, DRAW, FIRST, FIRST + n), into(TWO, DRAW, FIRST + n, FIRST + 2 * n)]
    left, right = ([*put(0, a, b), into(HELD, SET, of(a) if carrying else 0)] for a, b in ((ONE, TWO), (TWO, ONE)))
    return [*two_sides(n), *drawn, *right, (SKIP, 3, COIN), *left]


def put_both_across(n: int) -> Steps:
    """MoveTwoAcross."""
    drawn = [into(ONE, DRAW_TWO, FIRST, FIRST + n), into(THREE, DRAW_TWO, FIRST + n, FIRST + 2 * n)]
    return [*two_sides(n), *drawn, *put(0, ONE, THREE), *put(2, FOUR, TWO), into(ROOT, SET, BEFORE)]
