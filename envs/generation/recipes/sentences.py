"""Recipe of the levels whose instruction is drawn from BabyAI's grammar (minigrid/envs/babyai/core/levelgen.py)."""

from dataclasses import dataclass

from polyray.envs.engine.state import LOOK_KEY, NO_ACTION
from polyray.envs.generation.draft import ANY, NOTES, UNBLOCKING
from polyray.envs.generation.levelgen import ACTION, IMPLICIT, LOCKED_COLUMN, LOCKED_ROW, N_FORMS, SIDED
from polyray.envs.generation.recipes.notation import ANYWHERE, ITEM_1, Steps, colour_of, store, value_at
from polyray.envs.generation.steps import (
    ADD_AGENT_OUTSIDE,
    ADD_DISTRACTORS,
    ADD_DOOR,
    ADD_OBJECT,
    CONNECT_ALL,
    DRAW_LOCKED_ROOM,
    DRAW_OTHER_ROOM,
    RANDOM_INSTRUCTION,
    REQUIRE_REACHABLE,
    SET,
    SKIP,
)


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """Options of LevelGen."""

    n_distractors: int = 18
    locked_rooms: int = 50  # levels with a locked room, in percent
    sided: bool = True  # descriptions may mention a side of the agent
    unblocking: bool = True  # objects may have to be moved out of the way
    implicit: bool = True  # a door may have to be unlocked without being mentioned
    action: int = NO_ACTION  # the one kind of action; NO_ACTION: any
    n_forms: int = 3  # 1: one action; 2: also "and"; 3: also one or two actions before or after one or two others


def sentence(grammar: Grammar) -> Steps:
    """Recipe of every class that derives from LevelGen."""
    locked_room = value_at(LOCKED_COLUMN), value_at(LOCKED_ROW)
    scratch = NOTES + 6  # first the side of the locked door, then column and row of the key's room
    lock = [
        store(LOCKED_COLUMN, DRAW_LOCKED_ROOM),
        (ADD_DOOR, *locked_room, value_at(scratch), ANY, 1),
        store(scratch, DRAW_OTHER_ROOM, *locked_room),
        (ADD_OBJECT, value_at(scratch), value_at(scratch + 1), LOOK_KEY, colour_of(ITEM_1)),
    ]
    return [
        store(ACTION, SET, grammar.action),
        store(N_FORMS, SET, grammar.n_forms),
        store(SIDED, SET, int(grammar.sided)),
        store(IMPLICIT, SET, int(grammar.implicit)),
        store(UNBLOCKING, SET, int(grammar.unblocking)),
        store(LOCKED_COLUMN, SET, ANY),
        (SKIP, len(lock), grammar.locked_rooms),
        *lock,
        (CONNECT_ALL, ANY),
        (ADD_DISTRACTORS, *ANYWHERE, grammar.n_distractors, 0),
        (ADD_AGENT_OUTSIDE, *locked_room),
        *([] if grammar.unblocking else [(REQUIRE_REACHABLE, 1)]),
        (RANDOM_INSTRUCTION,),
    ]
