"""A level made by following a recipe: a table of steps, one row [operation, a, b, c, d, e] each.

A recipe (generate_recipes) says what one of minigrid's `gen_mission` does, line by line; the operations are here, in
three functions. An argument from REF on means "what stands at that place of the draft", so that one step can use what
another has drawn.
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
    NEXT,
    ROOT,
    ROWS,
    SIDES,
    SIZE,
    VERB,
    Draft,
    add_agent,
    add_door,
    add_object,
    add_thing,
    begin,
)
from polyray.envs.generation.instructions import acceptable, say
from polyray.envs.generation.levelgen import instruct
from polyray.envs.generation.maze import (
    add_agent_outside,
    add_distractors,
    all_reachable,
    connect_all,
    draw_other_room,
    draw_shut_room,
    open_all_doors,
    remove_wall,
)
from polyray.envs.generation.stream import below, coin, uniform

REF = 1 << 20
N_ARGUMENTS = 6  # of a step, its operation included

END = -1  # of a recipe

# Rooms and what is in them: column, row and more; a step of these can fail, and then the level is begun anew.
AGENT, AGENT_OUTSIDE, OBJECT, THING, DOORS, NO_WALL, CONNECT, DISTRACT, REACHABLE, NO_SUCH_BALLS, ANY_WORDS = range(11)
# Draws and changes: into the place e.
SET, DRAW, DRAW_TWO, DRAW_COLOURS, DRAW_DOOR, DRAW_SHUT_ROOM, DRAW_OTHER_ROOM, SKIP, OPEN_ALL, PAINT = range(11, 21)
# The instruction: leaf first.
SAY, SAY_THING, NEXT_TO, OTHER_VERB, ONE_TRAIT, IN_ORDER = range(21, 27)
COIN = -1  # for SKIP

Recipe: TypeAlias = NDArray[np.int64]  # [rows, 6]; row 0: the size of a room, rows and columns of rooms; the last: END


@compiled
def build(draft: Draft, step: int, a: int, b: int, c: int, d: int, e: int) -> bool:
    """Operations on rooms; False: begin anew."""
    if step == AGENT:
        return add_agent(draft, a, b)
    if step == AGENT_OUTSIDE:
        return add_agent_outside(draft, a, b)
    if step == OBJECT:
        return add_object(draft, a, b, c, d) > 0
    if step == THING:
        return add_thing(draft, a, b, c) > 0
    if step == DOORS:
        return add_door(draft, a, b, c, d, e) > 0
    if step == NO_WALL:
        remove_wall(draft, a, b, c)
        return True
    if step == CONNECT:
        return connect_all(draft, a)
    if step == DISTRACT:
        return add_distractors(draft, a, b, c, d)
    if step == REACHABLE:
        return all_reachable(draft) == (a > 0)
    if step == NO_SUCH_BALLS:
        for thing in range(FIRST_OBJECT, draft[NEXT]):
            if draft[KIND + thing] == LOOK_BALL and (draft[COLOUR + thing] == RED or draft[COLOUR + thing] == BLUE):
                return False
        return True
    return instruct(draft)  # ANY_WORDS


@compiled
def draw(draft: Draft, step: int, a: int, b: int, e: int) -> int:
    """Operations that draw or change something; how many of the next steps are left out."""
    if step == SET:  # to a + b
        draft[e] = a + b
    elif step == DRAW:  # from a up to b
        draft[e] = a + below(draft, b - a)
    elif step == DRAW_TWO:  # different ones from a up to b (_rand_subset)
        draft[e], other = a + below(draft, b - a), a + below(draft, b - a - 1)
        draft[e + 1] = other + 1 if other >= draft[e] else other
    elif step == DRAW_COLOURS:
        draw_colours(draft, a, e)
    elif step == DRAW_DOOR:
        draw_door(draft, e)
    elif step == DRAW_SHUT_ROOM:
        draw_shut_room(draft, e)
    elif step == DRAW_OTHER_ROOM:
        draw_other_room(draft, a, b, e)
    elif step == SKIP:  # for heads, or unless a chance of b in a hundred comes
        return a if (coin(draft) if b == COIN else uniform(draft) >= b / 100) else 0
    elif step == OPEN_ALL:
        open_all_doors(draft)
    else:  # PAINT everything from number b on
        for thing in range(b, draft[NEXT]):
            draft[COLOUR + thing] = a
    return 0


@compiled
def draw_colours(draft: Draft, n: int, into: int) -> None:
    """n different colours into the places from `into` on (_rand_subset)."""
    left = COLOURS.copy()
    for k in range(n):
        place = below(draft, len(COLOURS) - k)
        draft[into + k] = left[place]
        for later in range(place, len(COLOURS) - 1):
            left[later] = left[later + 1]


@compiled
def draw_door(draft: Draft, into: int) -> None:
    """One of the doors of all rooms, column by column; a door between two rooms counts twice (open.Open)."""
    n_rooms, n = draft[ROWS] * draft[COLUMNS], 0
    for k in range(n_rooms * SIDES):
        n += 1 if draft[DOOR + k] > 0 else 0
    left = below(draft, n)
    for k in range(n_rooms):
        room = k % draft[ROWS] * draft[COLUMNS] + k // draft[ROWS]
        for side in range(SIDES):
            if draft[DOOR + SIDES * room + side] > 0:
                if left == 0:
                    draft[into] = draft[DOOR + SIDES * room + side]
                left -= 1


@compiled
def speak(draft: Draft, step: int, leaf: int, b: int, c: int, d: int) -> None:
    """Operations on the instruction."""
    if step == SAY:
        say(draft, leaf, b, c, d)
    elif step == SAY_THING:
        say(draft, leaf, b, draft[KIND + c], draft[COLOUR + c])
    elif step == NEXT_TO:
        draft[KIND_B + leaf], draft[COLOUR_B + leaf] = draft[KIND + b], draft[COLOUR + b]
    elif step == OTHER_VERB:
        draft[VERB + leaf] = OPEN_DOOR if draft[KIND_A + leaf] == LOOK_DOOR else PICK_UP
    elif step == ONE_TRAIT:  # the kind, the colour or both
        trait = below(draft, len(KINDS))
        if trait < 2:
            draft[(COLOUR_A if trait == 0 else KIND_A) + leaf] = ANY
    else:  # IN_ORDER: the first leaf alone, before or after the second
        order = below(draft, 3 + 0 * leaf)
        draft[ROOT] = SINGLE if order == 0 else (BEFORE if order == 1 else AFTER)
        draft[VERB + 2] = NO_ACTION if order == 0 else draft[VERB + 2]


@compiled
def follow(draft: Draft, recipe: Recipe) -> bool:
    """Begins a level and follows its recipe from the second row to the END; False: minigrid would begin anew."""
    draft[SIZE], draft[ROWS], draft[COLUMNS] = recipe[0, 0], recipe[0, 1], recipe[0, 2]
    begin(draft)
    at = 1
    while recipe[at, 0] != END:
        step, e = recipe[at, 0], recipe[at, 5]
        a = draft[recipe[at, 1] - REF] if recipe[at, 1] >= REF else recipe[at, 1]
        b = draft[recipe[at, 2] - REF] if recipe[at, 2] >= REF else recipe[at, 2]
        c = draft[recipe[at, 3] - REF] if recipe[at, 3] >= REF else recipe[at, 3]
        d = draft[recipe[at, 4] - REF] if recipe[at, 4] >= REF else recipe[at, 4]
        at += 1
        if step < SET:
            if not build(draft, step, a, b, c, d, e):
                return False
        elif step < SAY:
            at += draw(draft, step, a, b, e)
        else:
            speak(draft, step, a, b, c, d)
    return acceptable(draft)
