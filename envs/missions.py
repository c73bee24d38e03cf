"""Missions as numbers, by the closed vocabulary of BabyAI's language, which never changes."""

import numpy as np
from numpy.typing import NDArray

from polyray.errors import InputError
from polyray.lookup import lookup

# The grammar is that of `surface` in minigrid/envs/babyai/core/verifier.py. A word's index in this tuple is its number.
VOCABULARY: tuple[str, ...] = (
    "",  # padding
    *("go", "to", "open", "pick", "up", "put", "next"),
    *("and", ",", "then", "after", "you"),
    *("a", "the"),
    *("red", "green", "blue", "purple", "yellow", "grey"),
    *("door", "key", "ball", "box", "object"),
    *("on", "your", "left", "right", "in", "front", "of", "behind"),
)

# Two clauses of two actions each, every one of them
# "put the red ball in front of you next to the red box in front of you" (17 words), with 1 + 2 + 1 words between them.
LENGTH: int = 4 * 17 + 4

NUMBERS: dict[str, int] = {word: number for number, word in enumerate(VOCABULARY) if word}


def encode(mission: str) -> NDArray[np.uint8]:
    """Numbers of a mission's words, [LENGTH], padded with 0; the comma is a word of its own.

    Raises:
        InputError: a word is not in VOCABULARY, or the mission is longer than LENGTH.
    """
    words = mission.replace(",", " ,").split()
    if len(words) > LENGTH:
        raise InputError(f"The mission {mission!r} has {len(words)} words; at most {LENGTH} are possible.")
    tokens = np.zeros(LENGTH, np.uint8)
    tokens[: len(words)] = [lookup(NUMBERS, word, f"word of a mission (in {mission!r})") for word in words]
    return tokens


def decode(tokens: NDArray[np.integer]) -> str:
    """Mission whose words have these numbers; padding is left out.

    Raises:
        InputError: a number is not that of a word.
    """
    numbers = [int(token) for token in tokens if token]
    wrong = [number for number in numbers if not 0 < number < len(VOCABULARY)]
    if wrong:
        raise InputError(f"No word of a mission has the number {wrong[0]}: there are {len(VOCABULARY)}.")
    return " ".join(VOCABULARY[number] for number in numbers).replace(" ,", ",")
