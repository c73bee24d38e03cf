"""Random instructions of BabyAI's grammar, drawn as minigrid/envs/babyai/core/levelgen.py draws them."""

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
    CELL,
    COLOUR_A,
    COLOURS,
    COLUMNS,
    KIND_A,
    KIND_B,
    NOTES,
    OFFSETS,
    ROOT,
    SIDE_A,
    STRICT,
    VERB,
    Draft,
)
from polyray.envs.generation.instructions import ONE, SECOND, in_room, matching_items
from polyray.envs.generation.stream import below, coin

# LevelGen's options, stored in the notes: the one kind of action (NO_ACTION: all four), the number of forms that an
# instruction may have, whether descriptions mention sides, implicit_unlock; then column and row of the locked room
# (column ANY: there is none).
ACTION, N_FORMS, SIDED, IMPLICIT, LOCKED_COLUMN, LOCKED_ROW = range(NOTES, NOTES + 6)

ACTIONS = np.array([GO_TO, PICK_UP, OPEN_DOOR, PUT_NEXT])  # in minigrid's order of drawing
DESCRIPTIONS = 101  # descriptions that minigrid tries before it begins the level anew


@compiled
def random_instruction(draft: Draft) -> bool:
    """Draw an instruction (rand_instr): one action, two, or up to two before or after up to two others."""
    form = below(draft, draft[N_FORMS])  # action, and, sequence
    n_clauses = 2 if form == 2 else 1
    for clause in range(n_clauses):
        n = 1 + (int(not coin(draft)) if form == 2 else form)
        for leaf in range(2 * clause, 2 * clause + n):
            if not random_action(draft, leaf):
                return False
    draft[ROOT] = AND if form == 1 else SINGLE
    if form == 2:
        draft[ROOT] = BEFORE if coin(draft) else AFTER
    return True


@compiled
def random_action(draft: Draft, leaf: int) -> bool:
    """Draw the action of a leaf and descriptions of its items; False: begin the level anew."""
    verb = draft[ACTION] if draft[ACTION] > 0 else ACTIONS[below(draft, len(ACTIONS))]
    draft[VERB + leaf], draft[STRICT + leaf], draft[KIND_B + leaf] = verb, 0, ANY
    for second in range(2 if verb == PUT_NEXT else 1):
        kind = LOOK_DOOR if verb == OPEN_DOOR else LOOK_BOX
        n_kinds = 1 if verb == OPEN_DOOR else (4 if verb == GO_TO or second else 3)
        if not random_description(draft, leaf + second * SECOND, kind, n_kinds):
            return False
    return True


@compiled
def random_description(draft: Draft, description: int, kind: int, n_kinds: int) -> bool:
    """Draw a description that matches an item of the level (rand_obj); False after too many tries.

    Args:
        kind: first of the kinds that may be drawn, in the order box, ball, key, door.
        n_kinds: number of kinds that may be drawn.
    """
    for _ in range(DESCRIPTIONS):
        colour = below(draft, len(COLOURS) + 1)
        draft[COLOUR_A + description] = ANY if colour == 0 else COLOURS[colour - 1]
        draft[KIND_A + description] = kind - below(draft, n_kinds)
        sided = draft[SIDED] and coin(draft)
        draft[SIDE_A + description] = below(draft, len(OFFSETS)) if sided else ANY
        objects = matching_items(draft, description)
        if objects and (draft[IMPLICIT] or draft[LOCKED_COLUMN] == ANY or any_outside(draft, objects)):
            return True
    return False


@compiled
def any_outside(draft: Draft, objects: np.uint64) -> bool:
    """Whether one of these items is neither in the locked room nor in its walls."""
    locked_room = draft[LOCKED_ROW] * draft[COLUMNS] + draft[LOCKED_COLUMN]
    for item in range(FIRST_OBJECT, N_OBJECTS):
        if objects >> np.uint64(item) & ONE and not in_room(draft, draft[CELL + item], locked_room):
            return True
    return False
