"""A finished draft written down: its mission in words (verifier.py's `surface`) and its row of a State."""

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.compilation import compiled
from polyray.envs.engine.state import (
    AND,
    EMPTY,
    FIRST_OBJECT,
    GREY,
    N_LEAVES,
    N_OBJECTS,
    NO_ACTION,
    NOWHERE,
    PUT_NEXT,
    State,
)
from polyray.envs.generation.draft import (
    ANY,
    AT,
    COLOUR,
    COLOUR_A,
    GRID,
    HEADING,
    HELD,
    INSIDE,
    KIND,
    KIND_A,
    NEXT,
    PLACE,
    ROOT,
    SIDE_A,
    STATUS,
    STRICT,
    STRIDE,
    VERB,
    Draft,
)
from polyray.envs.generation.instructions import ONE, SECOND, meant, step_limit
from polyray.envs.missions import LENGTH, NUMBERS


def _words(*phrases: str) -> NDArray[np.uint8]:
    """The words' numbers of each phrase, [phrases, 4], padded with 0."""
    table = np.zeros((len(phrases), 4), np.uint8)
    for row, phrase in zip(table, phrases, strict=True):
        row[: len(phrase.split())] = [NUMBERS[word] for word in phrase.split()]
    return table


VERBS = _words("", "go to", "open", "pick up", "put")
ROOTS = _words("", "and", ", then", "after you")
SIDES = _words("on your left", "on your right", "in front of you", "behind you")
NEXT_TO = _words("next to")
ARTICLES = _words("the", "a")
NOUNS = _words("", "", "", "", "door", "key", "ball", "box", "object")  # by minigrid's number of the kind
ADJECTIVES = _words("red", "green", "blue", "purple", "yellow", "grey")
NO_NOUN = 8


@compiled
def put_words(mission: NDArray[np.uint8], at: int, phrases: NDArray[np.uint8], phrase: int) -> int:
    """Writes one phrase from `at` on; where the next one begins."""
    for k in range(phrases.shape[1]):
        if phrases[phrase, k] > 0:
            mission[at] = phrases[phrase, k]
            at += 1
    return at


@compiled
def several(objects: np.uint64, kind: int, colour: int) -> int:
    """1 if a description means more than one cell; without a kind, "grey" means the walls too."""
    if kind == ANY and colour in (ANY, GREY):
        return 1
    return 1 if objects & (objects - np.uint64(1)) else 0


@compiled
def put_thing(draft: Draft, mission: NDArray[np.uint8], at: int, description: int, objects: np.uint64) -> int:
    """Writes a leaf's description (as `meant` numbers it) of `objects`."""
    kind, colour, side = draft[KIND_A + description], draft[COLOUR_A + description], draft[SIDE_A + description]
    at = put_words(mission, at, ARTICLES, several(objects, kind, colour))
    if colour != ANY:
        at = put_words(mission, at, ADJECTIVES, colour)
    at = put_words(mission, at, NOUNS, NO_NOUN if kind == ANY else kind)
    return at if side == ANY else put_words(mission, at, SIDES, side)


@compiled
def renumber(draft: Draft, state: State, row: int) -> NDArray[np.int64]:
    """Writes the grid; a thing's number there: as capture has it, row by row, then the carried one, then contents."""
    numbers, n = np.zeros(N_OBJECTS, np.int64), FIRST_OBJECT
    for y in range(state.grid.shape[1]):
        for x in range(state.grid.shape[2]):
            what = draft[GRID + y * STRIDE + x]
            if what >= FIRST_OBJECT and what == draft[HELD]:
                what = EMPTY
            elif what >= FIRST_OBJECT:
                numbers[what], what = n, n
                n += 1
            state.grid[row, y, x] = what
    for thing in range(FIRST_OBJECT, draft[NEXT]):  # there is but one on the list, carried or in a box
        if numbers[thing] == 0:
            numbers[thing] = n
            n += 1
    return numbers


@compiled
def renumbered(objects: np.uint64, numbers: NDArray[np.int64]) -> np.uint64:
    """A set of things by their new numbers."""
    found = np.uint64(0)
    for thing in range(FIRST_OBJECT, N_OBJECTS):
        if objects >> np.uint64(thing) & ONE:
            found |= ONE << np.uint64(numbers[thing])
    return found


@compiled
def write_instruction(draft: Draft, world: np.record, numbers: NDArray[np.int64]) -> None:
    """The instruction's leaves, root and words."""
    at, mission = 0, world.mission
    for k in range(LENGTH):
        mission[k] = 0
    for leaf in range(N_LEAVES):
        verb = draft[VERB + leaf]
        world.kind[leaf], world.strict[leaf] = verb, draft[STRICT + leaf] if verb != NO_ACTION else 0
        world.done[leaf] = world.held[leaf] = 0
        world.objects[leaf] = world.fixed[leaf] = 0
        if leaf > 0 and verb != NO_ACTION:
            at = put_words(mission, at, ROOTS, draft[ROOT] if leaf == 2 else AND)
        for second in range(0 if verb == NO_ACTION else (2 if verb == PUT_NEXT else 1)):
            objects = meant(draft, leaf + second * SECOND)
            at = put_words(mission, at, NEXT_TO if second else VERBS, 0 if second else verb)
            at = put_thing(draft, mission, at, leaf + second * SECOND, objects)
            if second:
                world.fixed[leaf] = renumbered(objects, numbers)
            else:
                world.objects[leaf] = renumbered(objects, numbers)


@compiled
def write_things(draft: Draft, world: np.record, numbers: NDArray[np.int64]) -> None:
    """The things' looks, contents and places."""
    for number in range(FIRST_OBJECT, N_OBJECTS):
        world.contents[number] = 0
        for k in range(3):
            world.looks[number, k] = 0
        for k in range(2):
            world.place[number, k] = world.known[number, k] = NOWHERE
    for thing in range(FIRST_OBJECT, draft[NEXT]):
        number, place = numbers[thing], draft[PLACE + thing]
        world.looks[number, 0] = draft[KIND + thing]
        world.looks[number, 1] = draft[COLOUR + thing]
        world.looks[number, 2] = draft[STATUS + thing]
        world.contents[number] = numbers[draft[INSIDE + thing]]
        if place > 0:
            world.place[number, 0] = world.known[number, 0] = place % STRIDE
            world.place[number, 1] = world.known[number, 1] = place // STRIDE


@compiled
def write(draft: Draft, state: State, row: int) -> None:
    """Makes the draft row `row` of `state`, whose grid may be larger (the rest is wall); `task` is left alone."""
    world, numbers = state.rows[row], renumber(draft, state, row)
    world.x, world.y, world.direction = draft[AT] % STRIDE, draft[AT] // STRIDE, draft[HEADING]
    world.carried, world.steps, world.limit = numbers[draft[HELD]], 0, step_limit(draft)
    world.root, world.root_strict = draft[ROOT], 0
    write_things(draft, world, numbers)
    write_instruction(draft, world, numbers)
