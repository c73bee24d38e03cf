"""Recipes of the levels about doors, keys and locked rooms: minigrid/envs/babyai/open.py, unlock.py and others."""

from dataclasses import dataclass

from polyray.envs.engine.state import (
    BEFORE,
    GO_TO,
    LOOK_BALL,
    LOOK_BOX,
    LOOK_DOOR,
    LOOK_KEY,
    NO_ACTION,
    OPEN_DOOR,
    PICK_UP,
    RED,
)
from polyray.envs.generation.draft import (
    ANY,
    COLOUR,
    COLOUR_A,
    INSIDE,
    KIND,
    LATEST,
    NOTES,
    PLACE,
    ROOT,
    SIDE_A,
    STRICT,
    UNBLOCKING,
)
from polyray.envs.generation.levelgen import ACTION, CELLAR_COLUMN, CELLAR_ROW, IMPLICIT, N_FORMS, SIDED
from polyray.envs.generation.recipes import ANYWHERE, FIRST, FOUR, MIDDLE, ONE, THREE, TWO, Steps, choose, into, of
from polyray.envs.generation.steps import (
    AGENT,
    AGENT_OUTSIDE,
    ANY_WORDS,
    COIN,
    CONNECT,
    DISTRACT,
    DOORS,
    DRAW,
    DRAW_COLOURS,
    DRAW_DOOR,
    DRAW_OTHER_ROOM,
    DRAW_SHUT_ROOM,
    DRAW_TWO,
    IN_ORDER,
    NO_WALL,
    OBJECT,
    REACHABLE,
    SAY,
    SAY_THING,
    SET,
    SKIP,
    THING,
)

LEFT, UP = 2, 3  # sides of a room


def locked_room() -> Steps:
    """A locked door of room ONE, TWO and its key anywhere: minigrid means elsewhere, but compares with `is`."""
    door = [into(ONE, DRAW, 0, 3), into(TWO, DRAW, 0, 3), (DOORS, of(ONE), of(TWO), ANY, ANY, 1)]
    return [
        *door,
        into(THREE, DRAW, 0, 3),
        into(FOUR, DRAW, 0, 3),
        (OBJECT, of(THREE), of(FOUR), LOOK_KEY, of(COLOUR + FIRST)),
    ]


def distract_everywhere(n: int) -> Steps:
    """n things in every room: minigrid means to leave the locked one out, but compares with `is`."""
    return [(DISTRACT, column, row, n, 0) for column in range(3) for row in range(3)]


def behind_lock() -> Steps:
    """GoToImpUnlock."""
    return [
        *locked_room(),
        (CONNECT, ANY),
        *distract_everywhere(2),
        (AGENT_OUTSIDE, of(ONE), of(TWO)),
        (REACHABLE, 1),
        (DISTRACT, of(ONE), of(TWO), 1, 0),
        (SAY_THING, 0, GO_TO, of(LATEST)),
    ]


def unlock() -> Steps:
    """Unlock."""
    return [
        *locked_room(),
        into(THREE, SET, of(COLOUR + FIRST)),
        (SKIP, 1, COIN),
        into(THREE, SET, ANY),
        (CONNECT, of(THREE)),
        *distract_everywhere(3),
        (AGENT_OUTSIDE, of(ONE), of(TWO)),
        (REACHABLE, 1),
        (SAY_THING, 0, OPEN_DOOR, 2),
    ]


def go_to_door() -> Steps:
    """GoToDoor."""
    return [*[(DOORS, *MIDDLE, ANY, ANY, ANY)] * 4, (AGENT, *MIDDLE), choose(FIRST), (SAY_THING, 0, GO_TO, of(ONE))]


def open_any() -> Steps:
    """Open."""
    things = [(AGENT, *ANYWHERE), (CONNECT, ANY), (DISTRACT, *ANYWHERE, 18, 0), (REACHABLE, 1)]
    return [*things, into(ONE, DRAW_DOOR), (SAY_THING, 0, OPEN_DOOR, of(ONE))]


def open_red() -> Steps:
    """OpenRedDoor."""
    return [(DOORS, 0, 0, 0, RED, 0), (AGENT, 0, 0), (SAY, 0, OPEN_DOOR, LOOK_DOOR, RED)]


def open_one(strict: bool, by: str | None) -> Steps:
    """OpenDoor."""
    doors = [into(NOTES, DRAW_COLOURS, 4), *((DOORS, *MIDDLE, side, of(NOTES + side), 0) for side in range(4))]
    by_side = [into(COLOUR_A, SET, ANY), into(SIDE_A, DRAW, 0, 4)]
    either = {"color": [], "loc": by_side, None: [(SKIP, 2, COIN), *by_side]}[by]
    said = [(SAY, 0, OPEN_DOOR, LOOK_DOOR, of(NOTES)), *either, into(STRICT, SET, int(strict))]
    return [*doors, *said, (AGENT, *MIDDLE)]


def open_two(first: int, second: int, strict: bool) -> Steps:
    """OpenTwoDoors."""
    first, second = (of(NOTES) if first == ANY else first), (of(NOTES + 1) if second == ANY else second)
    return [
        into(NOTES, DRAW_COLOURS, 2),
        (DOORS, *MIDDLE, LEFT, first, 0),
        (DOORS, *MIDDLE, 0, second, 0),
        (AGENT, *MIDDLE),
        (SAY_THING, 0, OPEN_DOOR, FIRST),
        (SAY_THING, 2, OPEN_DOOR, FIRST + 1),
        into(STRICT, SET, int(strict)),
        into(ROOT, SET, BEFORE),
    ]


def open_in_order(n: int, strict: bool) -> Steps:
    """OpenDoorsOrder."""
    doors = [into(NOTES, DRAW_COLOURS, n), *((DOORS, *MIDDLE, ANY, of(NOTES + k), 0) for k in range(n))]
    said = [(SAY_THING, 0, OPEN_DOOR, of(ONE)), (SAY_THING, 2, OPEN_DOOR, of(TWO)), (IN_ORDER,)]
    stern = [into(STRICT + leaf, SET, int(strict)) for leaf in (0, 2)]
    return [*doors, (AGENT, *MIDDLE), into(ONE, DRAW_TWO, FIRST, FIRST + n), *said, *stern]


def unlock_here(distractors: bool) -> Steps:
    """UnlockLocal."""
    things = [(DOORS, *MIDDLE, ANY, ANY, 1), (OBJECT, *MIDDLE, LOOK_KEY, of(COLOUR + FIRST))]
    others = [(DISTRACT, *MIDDLE, 3, 1)] if distractors else []
    return [*things, *others, (AGENT, *MIDDLE), (SAY, 0, OPEN_DOOR, LOOK_DOOR, ANY)]


def key_in_box() -> Steps:
    """KeyInBox."""
    return [
        (DOORS, *MIDDLE, ANY, ANY, 1),
        (OBJECT, *MIDDLE, LOOK_BOX, ANY),
        (THING, LOOK_KEY, of(COLOUR + FIRST), 0),
        into(INSIDE + FIRST + 1, SET, FIRST + 2),
        (AGENT, *MIDDLE),
        (SAY, 0, OPEN_DOOR, LOOK_DOOR, ANY),
    ]


def unlock_box(distractors: bool, blocked: bool) -> Steps:
    """UnlockPickup and BlockedUnlockPickup."""
    place = into(TWO, SET, of(PLACE + FIRST + 1), -1)
    ball_before_door = [into(ONE, DRAW_COLOURS, 1), place, (THING, LOOK_BALL, of(ONE), of(TWO))]
    return [
        (OBJECT, 1, 0, LOOK_BOX, ANY),
        (DOORS, 0, 0, 0, ANY, 1),
        *(ball_before_door if blocked else []),
        (OBJECT, 0, 0, LOOK_KEY, of(COLOUR + FIRST + 1)),
        *([(DISTRACT, *ANYWHERE, 4, 1)] if distractors else []),
        (AGENT, 0, 0),
        (SAY, 0, PICK_UP, LOOK_BOX, ANY if blocked else of(COLOUR + FIRST)),
    ]


def unlock_twice() -> Steps:
    """UnlockToUnlock."""
    first, second = of(NOTES), of(NOTES + 1)
    return [
        into(NOTES, DRAW_COLOURS, 2),
        (DOORS, 0, 0, 0, first, 1),
        (OBJECT, 2, 0, LOOK_KEY, first),
        (DOORS, 1, 0, 0, second, 1),
        (OBJECT, 1, 0, LOOK_KEY, second),
        (OBJECT, 0, 0, LOOK_BALL, ANY),
        (AGENT, 1, 0),
        (SAY, 0, PICK_UP, LOOK_BALL, ANY),
    ]


def above() -> Steps:
    """PickupAbove."""
    things = [(OBJECT, 1, 0, ANY, ANY), (DOORS, *MIDDLE, UP, ANY, 0), (AGENT, *MIDDLE), (CONNECT, ANY)]
    return [*things, (SAY_THING, 0, PICK_UP, FIRST)]


def find() -> Steps:
    """FindObj."""
    thing = [into(ONE, DRAW, 0, 3), into(TWO, DRAW, 0, 3), (OBJECT, of(ONE), of(TWO), ANY, ANY)]
    return [*thing, (AGENT, *MIDDLE), (CONNECT, ANY), (SAY, 0, PICK_UP, of(KIND + FIRST), ANY)]


def corridor(n_rows: int) -> Steps:
    """KeyCorridor."""
    return [
        *((NO_WALL, 1, row, UP) for row in range(1, n_rows)),
        into(ONE, DRAW, 0, n_rows),
        (DOORS, 2, of(ONE), LEFT, ANY, 1),
        (OBJECT, 2, of(ONE), LOOK_BALL, ANY),
        into(TWO, DRAW, 0, n_rows),
        (OBJECT, 0, of(TWO), LOOK_KEY, of(COLOUR + FIRST)),
        (AGENT, 1, n_rows // 2),
        (CONNECT, ANY),
        (SAY, 0, PICK_UP, LOOK_BALL, ANY),
    ]


def one_room() -> Steps:
    """OneRoom."""
    return [(OBJECT, 0, 0, LOOK_BALL, ANY), (AGENT, *ANYWHERE), (SAY, 0, PICK_UP, LOOK_BALL, ANY)]


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """LevelGen's options."""

    n: int = 18  # distractors
    locks: int = 50  # locked rooms in a hundred levels
    sided: bool = True  # descriptions may say on which side of the agent
    unblocking: bool = True  # things may have to be moved out of the way
    implicit: bool = True  # a door may have to be unlocked without being mentioned
    action: int = NO_ACTION  # the one kind of action; NO_ACTION: any
    forms: int = 3  # one action; also two; also one or two before or after one or two


def sentence(options: Sentences) -> Steps:
    """Every class made from LevelGen."""
    cellar = of(CELLAR_COLUMN), of(CELLAR_ROW)
    other = NOTES + 6  # column and row of the key's room; before that, the locked door's side
    lock = [
        into(CELLAR_COLUMN, DRAW_SHUT_ROOM),
        (DOORS, *cellar, of(other), ANY, 1),
        into(other, DRAW_OTHER_ROOM, *cellar),
        (OBJECT, of(other), of(other + 1), LOOK_KEY, of(COLOUR + FIRST)),
    ]
    return [
        into(ACTION, SET, options.action),
        into(N_FORMS, SET, options.forms),
        into(SIDED, SET, int(options.sided)),
        into(IMPLICIT, SET, int(options.implicit)),
        into(UNBLOCKING, SET, int(options.unblocking)),
        into(CELLAR_COLUMN, SET, ANY),
        (SKIP, len(lock), options.locks),
        *lock,
        (CONNECT, ANY),
        (DISTRACT, *ANYWHERE, options.n, 0),
        (AGENT_OUTSIDE, *cellar),
        *([] if options.unblocking else [(REACHABLE, 1)]),
        (ANY_WORDS,),
    ]
