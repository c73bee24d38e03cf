"""Notation of recipes: steps, the notes in which they store numbers, and references to what earlier steps stored."""

from typing import TypeAlias

from polyray.envs.engine.state import FIRST_OBJECT
from polyray.envs.generation.draft import ANY, COLOUR, NEXT_ITEM, NOTES
from polyray.envs.generation.steps import DRAW, REF

Step: TypeAlias = tuple[int, ...]  # an operation and up to five arguments
Steps: TypeAlias = list[Step]

ANYWHERE = (ANY, ANY)  # column and row of a room drawn at random
MIDDLE = (1, 1)  # column and row of the middle one of nine rooms
RIGHT, LEFT, UP = 0, 2, 3  # sides of a room
ITEM_1, ITEM_2, ITEM_3 = range(FIRST_OBJECT, FIRST_OBJECT + 3)  # numbers of the items that a recipe adds first
NOTE_1, NOTE_2, NOTE_3, NOTE_4 = range(NOTES, NOTES + 4)  # indices of notes in a draft


def value_at(index: int) -> int:
    """Argument that stands for the number at an index of the draft when the step is carried out."""
    return REF + index


def colour_of(item: int) -> int:
    """Argument that stands for the colour of an item."""
    return value_at(COLOUR + item)


def store(index: int, operation: int, *arguments: int) -> Step:
    """Step whose result is stored at an index of the draft."""
    return (operation, *arguments, *(0,) * (4 - len(arguments)), index)


def draw_item(first: int) -> Step:
    """Step that stores in NOTE_1 a random one of the items from number `first` on."""
    return store(NOTE_1, DRAW, first, value_at(NEXT_ITEM))
