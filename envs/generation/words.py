"""Finished drafts written into a State: the grid, the items, and the mission in words (`surface` of verifier.py)."""

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
    AGENT_CELL,
    ANY,
    CARRIED,
    CELL,
    COLOUR,
    COLOUR_A,
    CONTENTS,
    GRID,
    HEADING,
    KIND,
    KIND_A,
    NEXT_ITEM,
    ROOT,
    SIDE_A,
    STATUS,
    STRICT,
    STRIDE,
    VERB,
    Draft,
)
from polyray.envs.generation.instructions import ONE, SECOND, matching_items, step_limit
from polyray.envs.missions import LENGTH, NUMBERS


def _words(*phrases: str) -> NDArray[np.uint8]:
    """Numbers of the words of each phrase, [phrases, 4], padded with 0."""
    table = np.zeros((len(phrases), 4), np.uint8)
    for row, phrase in zip(table, phrases, strict=True):
        row[: len(phrase.split())] = [NUMBERS[word] for word in phrase.split()]
    return table


VERBS = _words("", "go to", "open", "pick up", "put")
ROOTS = _words("", "and", ", then", "after you")
SIDE_PHRASES = _words("on your left", "on your right", "in front of you", "behind you")
NEXT_TO = _words("next to")
ARTICLES = _words("the", "a")
NOUNS = _words("", "", "", "", "door", "key", "ball", "box", "object")  # by minigrid's number of the kind
ADJECTIVES = _words("red", "green", "blue", "purple", "yellow", "grey")
NO_NOUN = 8  # "object", for a description without a kind


@compiled
def append_phrase(mission: NDArray[np.uint8], end: int, phrases: NDArray[np.uint8], phrase: int) -> int:
    """Append row `phrase` of `phrases` to a mission of `end` words; the new number of words."""
    for k in range(phrases.shape[1]):
        if phrases[phrase, k] > 0:
            mission[end] = phrases[phrase, k]
            end += 1
    return end


@compiled
def is_indefinite(objects: np.uint64, kind: int, colour: int) -> int:
    """Row of ARTICLES for a description: 1 ("a") if it matches several cells, else 0.

    Without a kind, a grey object may also be a wall.
    """
    if kind == ANY and colour in (ANY, GREY):
        return 1
    return 1 if objects & (objects - np.uint64(1)) else 0


@compiled
def append_description(draft: Draft, mission: NDArray[np.uint8], end: int, description: int, objects: np.uint64) -> int:
    """Append a description (numbered as in `matching_items`) of `objects`; the new number of words."""
    kind, colour, side = draft[KIND_A + description], draft[COLOUR_A + description], draft[SIDE_A + description]
    end = append_phrase(mission, end, ARTICLES, is_indefinite(objects, kind, colour))
    if colour != ANY:
        end = append_phrase(mission, end, ADJECTIVES, colour)
    end = append_phrase(mission, end, NOUNS, NO_NOUN if kind == ANY else kind)
    return end if side == ANY else append_phrase(mission, end, SIDE_PHRASES, side)


@compiled
def write_grid(draft: Draft, state: State, row: int) -> NDArray[np.int64]:
    """Write the grid of row `row`; the object number that each item has there, [64].

    Objects are numbered as `starts.capture` does: as they come in the grid, then the carried one, then what boxes hold.
    """
    numbers, n = np.zeros(N_OBJECTS, np.int64), FIRST_OBJECT
    for y in range(state.grid.shape[1]):
        for x in range(state.grid.shape[2]):
            content = draft[GRID + y * STRIDE + x]
            if content >= FIRST_OBJECT and content == draft[CARRIED]:
                content = EMPTY
            elif content >= FIRST_OBJECT:
                numbers[content], content = n, n
                n += 1
            state.grid[row, y, x] = content
    for item in range(FIRST_OBJECT, draft[NEXT_ITEM]):  # at most one is not on the grid: carried or in a box
        if numbers[item] == 0:
            numbers[item] = n
            n += 1
    return numbers


@compiled
def renumbered(items: np.uint64, numbers: NDArray[np.int64]) -> np.uint64:
    """Set of objects for a set of items, by the object number of each item."""
    objects = np.uint64(0)
    for item in range(FIRST_OBJECT, N_OBJECTS):
        if items >> np.uint64(item) & ONE:
            objects |= ONE << np.uint64(numbers[item])
    return objects


@compiled
def write_instruction(draft: Draft, world: np.record, numbers: NDArray[np.int64]) -> None:
    """Write the instruction's leaves and its words."""
    end, mission = 0, world.mission
    for k in range(LENGTH):
        mission[k] = 0
    for leaf in range(N_LEAVES):
        verb = draft[VERB + leaf]
        world.kind[leaf], world.strict[leaf] = verb, draft[STRICT + leaf] if verb != NO_ACTION else 0
        world.done[leaf] = world.carried_before[leaf] = 0
        world.objects[leaf] = world.fixed[leaf] = 0
        if leaf > 0 and verb != NO_ACTION:
            end = append_phrase(mission, end, ROOTS, draft[ROOT] if leaf == 2 else AND)
        for second in range(0 if verb == NO_ACTION else (2 if verb == PUT_NEXT else 1)):
            items = matching_items(draft, leaf + second * SECOND)
            end = append_phrase(mission, end, NEXT_TO if second else VERBS, 0 if second else verb)
            end = append_description(draft, mission, end, leaf + second * SECOND, items)
            if second:
                world.fixed[leaf] = renumbered(items, numbers)
            else:
                world.objects[leaf] = renumbered(items, numbers)


@compiled
def write_objects(draft: Draft, world: np.record, numbers: NDArray[np.int64]) -> None:
    """Write looks, contents and positions of all objects."""
    for number in range(FIRST_OBJECT, N_OBJECTS):
        world.contents[number] = 0
        for k in range(3):
            world.looks[number, k] = 0
        for k in range(2):
            world.position[number, k] = world.believed_position[number, k] = NOWHERE
    for item in range(FIRST_OBJECT, draft[NEXT_ITEM]):
        number, cell = numbers[item], draft[CELL + item]
        world.looks[number, 0] = draft[KIND + item]
        world.looks[number, 1] = draft[COLOUR + item]
        world.looks[number, 2] = draft[STATUS + item]
        world.contents[number] = numbers[draft[CONTENTS + item]]
        if cell > 0:
            world.position[number, 0] = world.believed_position[number, 0] = cell % STRIDE
            world.position[number, 1] = world.believed_position[number, 1] = cell // STRIDE


@compiled
def write(draft: Draft, state: State, row: int) -> None:
    """Write the draft into row `row` of `state`, whose grid may be larger (then walls surround it), except `task`."""
    world, numbers = state.rows[row], write_grid(draft, state, row)
    world.x, world.y, world.direction = draft[AGENT_CELL] % STRIDE, draft[AGENT_CELL] // STRIDE, draft[HEADING]
    world.carried, world.steps, world.limit = numbers[draft[CARRIED]], 0, step_limit(draft)
    world.root, world.root_strict = draft[ROOT], 0
    write_objects(draft, world, numbers)
    write_instruction(draft, world, numbers)
