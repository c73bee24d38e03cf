"""Compiled interpreter of recipes: one row [operation, a, b, c, d, e] of a recipe is one step of making a level.

A recipe (`generation.recipes`) does line by line what one of minigrid's `gen_mission` does. An argument of REF + index
stands for the number at that index of the draft, so that a step can use what an earlier one has drawn.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.compilation import compiled
from polyray.envs.engine.state import (
    AFTER,
    BEFORE,
    BLUE,
    FIRST_OBJECT,
    LOOK_BALL,
    LOOK_DOOR,
    NO_ACTION,
    OPEN_DOOR,
    PICK_UP,
    RED,
    SINGLE,
)
from polyray.envs.generation.draft import (
    ANY,
    COLOUR,
    COLOUR_A,
    COLOUR_B,
    COLOURS,
    COLUMNS,
    DOOR,
    KIND,
    KIND_A,
    KIND_B,
    KINDS,
    NEXT_ITEM,
    ROOT,
    ROWS,
    SIDES,
    SIZE,
    VERB,
    Draft,
    add_agent,
    add_door,
    add_item,
    add_object,
    begin,
)
from polyray.envs.generation.instructions import is_valid, set_leaf
from polyray.envs.generation.levelgen import random_instruction
from polyray.envs.generation.maze import (
    add_agent_outside,
    add_distractors,
    all_reachable,
    connect_all,
    draw_locked_room,
    draw_other_room,
    open_all_doors,
    remove_wall,
)
from polyray.envs.generation.stream import below, coin, uniform

REF = 1 << 20
N_ARGUMENTS = 6  # of a step, its operation included
END = -1  # of a recipe

# Steps that build rooms. Where minigrid begins a level anew, these fail. Arguments a to e:
(
    ADD_AGENT,  # column, row
    ADD_AGENT_OUTSIDE,  # column, row of the room to avoid
    ADD_OBJECT,  # column, row, kind, colour
    ADD_ITEM,  # kind, colour, cell
    ADD_DOOR,  # column, row, side, colour, locked
    REMOVE_WALL,  # column, row, side
    CONNECT_ALL,  # colour that no door may have, or ANY
    ADD_DISTRACTORS,  # column, row, number, unique
    REQUIRE_REACHABLE,  # 1: all items must be reachable, 0: not all may be
    REQUIRE_NO_BALLS,  # neither a red nor a blue ball
    RANDOM_INSTRUCTION,
) = range(11)
# Steps that store values at index e of the draft, or change control flow or items:
(
    SET,  # a + b
    DRAW,  # a number from a to b - 1
    DRAW_TWO,  # two different numbers from a to b - 1
    DRAW_COLOURS,  # a different colours
    DRAW_DOOR,  # an item that is a door
    DRAW_LOCKED_ROOM,  # column, row and a side with a neighbour
    DRAW_OTHER_ROOM,  # column, row of a room other than column a, row b
    SKIP,  # the next a steps, unless a chance of b in a hundred comes true; b = COIN: if a coin shows heads
    OPEN_ALL_DOORS,
    PAINT,  # every item from number b on in colour a
) = range(11, 21)
# Steps that change the instruction's leaf a:
(
    ASK_FOR,  # action b on kind c, colour d
    ASK_FOR_ITEM,  # action b on kind and colour of item c
    SET_SECOND,  # second description: kind and colour of item b
    USE_OTHER_VERB,  # open if the leaf is about a door, else pick up
    DROP_TRAIT,  # leave the kind, the colour or neither unmentioned
    DRAW_ORDER,  # the first leaf alone, before or after the second
) = range(21, 27)
COIN = -1  # for SKIP

Recipe: TypeAlias = NDArray[np.int64]  # [steps, 6]; row 0: size of a room, rows and columns of rooms; last row: END


@compiled
def build_room(draft: Draft, step: int, a: int, b: int, c: int, d: int, e: int) -> bool:
    """Carry out a step that builds rooms; False: begin the level anew."""
    if step == ADD_AGENT:
        return add_agent(draft, a, b)
    if step == ADD_AGENT_OUTSIDE:
        return add_agent_outside(draft, a, b)
    if step == ADD_OBJECT:
        return add_object(draft, a, b, c, d) > 0
    if step == ADD_ITEM:
        return add_item(draft, a, b, c) > 0
    if step == ADD_DOOR:
        return add_door(draft, a, b, c, d, e) > 0
    if step == REMOVE_WALL:
        remove_wall(draft, a, b, c)
        return True
    if step == CONNECT_ALL:
        return connect_all(draft, a)
    if step == ADD_DISTRACTORS:
        return add_distractors(draft, a, b, c, d)
    if step == REQUIRE_REACHABLE:
        return all_reachable(draft) == (a > 0)
    if step == REQUIRE_NO_BALLS:
        return not has_red_or_blue_ball(draft)
    return random_instruction(draft)


@compiled
def has_red_or_blue_ball(draft: Draft) -> bool:
    """Whether the level has a red or a blue ball (GoToRedBlueBall must not have another one)."""
    for item in range(FIRST_OBJECT, draft[NEXT_ITEM]):
        if draft[KIND + item] == LOOK_BALL and (draft[COLOUR + item] == RED or draft[COLOUR + item] == BLUE):
            return True
    return False


@compiled
def draw_values(draft: Draft, step: int, a: int, b: int, e: int) -> int:
    """Carry out a step that stores values or changes items; the number of following steps to leave out."""
    if step == SET:
        draft[e] = a + b
    elif step == DRAW:
        draft[e] = a + below(draft, b - a)
    elif step == DRAW_TWO:  # as _rand_subset draws
        draft[e], other = a + below(draft, b - a), a + below(draft, b - a - 1)
        draft[e + 1] = other + 1 if other >= draft[e] else other
    elif step == DRAW_COLOURS:
        draw_colours(draft, a, e)
    elif step == DRAW_DOOR:
        draw_door(draft, e)
    elif step == DRAW_LOCKED_ROOM:
        draw_locked_room(draft, e)
    elif step == DRAW_OTHER_ROOM:
        draw_other_room(draft, a, b, e)
    elif step == SKIP:
        return a if (coin(draft) if b == COIN else uniform(draft) >= b / 100) else 0
    elif step == OPEN_ALL_DOORS:
        open_all_doors(draft)
    else:  # PAINT
        for item in range(b, draft[NEXT_ITEM]):
            draft[COLOUR + item] = a
    return 0


@compiled
def draw_colours(draft: Draft, n: int, target: int) -> None:
    """Draw n different colours into the draft from index `target` on (_rand_subset)."""
    colours = COLOURS.copy()
    for k in range(n):
        index = below(draft, len(COLOURS) - k)
        draft[target + k] = colours[index]
        for later in range(index, len(COLOURS) - 1):
            colours[later] = colours[later + 1]


@compiled
def draw_door(draft: Draft, target: int) -> None:
    """Draw a door, room by room and column by column; a door between two rooms counts twice (open.Open)."""
    n_rooms, n = draft[ROWS] * draft[COLUMNS], 0
    for k in range(n_rooms * SIDES):
        n += 1 if draft[DOOR + k] > 0 else 0
    n_before = below(draft, n)
    for k in range(n_rooms):
        room = k % draft[ROWS] * draft[COLUMNS] + k // draft[ROWS]
        for side in range(SIDES):
            if draft[DOOR + SIDES * room + side] > 0:
                if n_before == 0:
                    draft[target] = draft[DOOR + SIDES * room + side]
                n_before -= 1


@compiled
def edit_instruction(draft: Draft, step: int, leaf: int, b: int, c: int, d: int) -> None:
    """Carry out a step that changes the instruction."""
    if step == ASK_FOR:
        set_leaf(draft, leaf, b, c, d)
    elif step == ASK_FOR_ITEM:
        set_leaf(draft, leaf, b, draft[KIND + c], draft[COLOUR + c])
    elif step == SET_SECOND:
        draft[KIND_B + leaf], draft[COLOUR_B + leaf] = draft[KIND + b], draft[COLOUR + b]
    elif step == USE_OTHER_VERB:
        draft[VERB + leaf] = OPEN_DOOR if draft[KIND_A + leaf] == LOOK_DOOR else PICK_UP
    elif step == DROP_TRAIT:
        trait = below(draft, len(KINDS))
        if trait < 2:
            draft[(COLOUR_A if trait == 0 else KIND_A) + leaf] = ANY
    else:  # DRAW_ORDER
        order = below(draft, 3 + 0 * leaf)
        draft[ROOT] = SINGLE if order == 0 else (BEFORE if order == 1 else AFTER)
        draft[VERB + 2] = NO_ACTION if order == 0 else draft[VERB + 2]


@compiled
def follow(draft: Draft, recipe: Recipe) -> bool:
    """Begin a level and follow its recipe to the END; False where minigrid would begin it anew."""
    draft[SIZE], draft[ROWS], draft[COLUMNS] = recipe[0, 0], recipe[0, 1], recipe[0, 2]
    begin(draft)
    row = 1
    while recipe[row, 0] != END:
        step, e = recipe[row, 0], recipe[row, 5]
        a = draft[recipe[row, 1] - REF] if recipe[row, 1] >= REF else recipe[row, 1]
        b = draft[recipe[row, 2] - REF] if recipe[row, 2] >= REF else recipe[row, 2]
        c = draft[recipe[row, 3] - REF] if recipe[row, 3] >= REF else recipe[row, 3]
        d = draft[recipe[row, 4] - REF] if recipe[row, 4] >= REF else recipe[row, 4]
        row += 1
        if step < SET:
            if not build_room(draft, step, a, b, c, d, e):
                return False
        elif step < ASK_FOR:
            row += draw_values(draft, step, a, b, e)
        else:
            edit_instruction(draft, step, a, b, c, d)
    return is_valid(draft)
