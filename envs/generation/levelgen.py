"""Random instructions: any sentence of the grammar (minigrid/envs/babyai/core/levelgen.py, draw by draw)."""

import numpy as np

from polyray.envs.engine.compilation import compiled
from polyray.envs.engine.state import (
    AFTER,
    AND,
    BEFORE,
    FIRST_OBJECT,
    GO_TO,
    LOOK_BOX,
    LOOK_DOOR,
    N_OBJECTS,
    OPEN_DOOR,
    PICK_UP,
    PUT_NEXT,
    SINGLE,
)
from polyray.envs.generation.draft import (
    ANY,
    COLOUR_A,
    COLOURS,
    COLUMNS,
    KIND_A,
    KIND_B,
    NOTES,
    PLACE,
    ROOT,
    SIDE_A,
    STEPS,
    STRICT,
    VERB,
    Draft,
)
from polyray.envs.generation.instructions import ONE, SECOND, inside, meant
from polyray.envs.generation.stream import below, coin

# LevelGen's options, kept in the notes: the one kind of action (NO_ACTION: all four), of how many forms an instruction
# may be, sides in descriptions, implicit_unlock; then column and row of the locked room (column ANY: none).
ACTION, N_FORMS, SIDED, IMPLICIT, CELLAR_COLUMN, CELLAR_ROW = range(NOTES, NOTES + 6)

ACTIONS = np.array([GO_TO, PICK_UP, OPEN_DOOR, PUT_NEXT])  # in minigrid's order of drawing
DESCRIPTIONS = 101  # descriptions that minigrid tries before it begins the level anew


@compiled
def instruct(draft: Draft) -> bool:
    """A random instruction (rand_instr): one action, two, or up to two before or after up to two others."""
    form = below(draft, draft[N_FORMS])  # action, and, sequence
    n_clauses = 2 if form == 2 else 1
    for clause in range(n_clauses):
        n = 1 + (int(not coin(draft)) if form == 2 else form)
        for leaf in range(2 * clause, 2 * clause + n):
            if not act(draft, leaf):
                return False
    draft[ROOT] = AND if form == 1 else SINGLE
    if form == 2:
        draft[ROOT] = BEFORE if coin(draft) else AFTER
    return True


@compiled
def act(draft: Draft, leaf: int) -> bool:
    """A random action with random things."""
    verb = draft[ACTION] if draft[ACTION] > 0 else ACTIONS[below(draft, len(ACTIONS))]
    draft[VERB + leaf], draft[STRICT + leaf], draft[KIND_B + leaf] = verb, 0, ANY
    for second in range(2 if verb == PUT_NEXT else 1):
        kind = LOOK_DOOR if verb == OPEN_DOOR else LOOK_BOX
        n_kinds = 1 if verb == OPEN_DOOR else (4 if verb == GO_TO or second else 3)
        if not describe(draft, leaf + second * SECOND, kind, n_kinds):
            return False
    return True


@compiled
def describe(draft: Draft, description: int, kind: int, n_kinds: int) -> bool:
    """A description of something there is (rand_obj): one of `n_kinds` from `kind` (box, ball, key, door) on."""
    for _ in range(DESCRIPTIONS):
        colour = below(draft, len(COLOURS) + 1)
        draft[COLOUR_A + description] = ANY if colour == 0 else COLOURS[colour - 1]
        draft[KIND_A + description] = kind - below(draft, n_kinds)
        sided = draft[SIDED] and coin(draft)
        draft[SIDE_A + description] = below(draft, len(STEPS)) if sided else ANY
        objects = meant(draft, description)
        if objects and (draft[IMPLICIT] or draft[CELLAR_COLUMN] == ANY or some_outside(draft, objects)):
            return True
    return False


@compiled
def some_outside(draft: Draft, objects: np.uint64) -> bool:
    """Whether one of these things is neither in the locked room nor in its walls."""
    cellar = draft[CELLAR_ROW] * draft[COLUMNS] + draft[CELLAR_COLUMN]
    for thing in range(FIRST_OBJECT, N_OBJECTS):
        if objects >> np.uint64(thing) & ONE and not inside(draft, draft[PLACE + thing], cellar):
            return True
    return False
