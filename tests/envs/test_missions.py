"""Missions become numbers and come back, by a vocabulary that never changes."""

import numpy as np
import pytest
from minigrid.core.constants import COLOR_NAMES
from minigrid.envs.babyai.core.verifier import LOC_NAMES, OBJ_TYPES

from polyray.envs.missions import LENGTH, VOCABULARY, decode, encode
from polyray.errors import InputError

ACTION = "put the red ball in front of you next to the red box in front of you"
LONGEST = f"{ACTION} and {ACTION}, then {ACTION} and {ACTION}"


def test_missions_come_back_from_their_numbers() -> None:
    missions = [
        "go to the red ball",
        "open a door on your left, then pick up a object",
        "put a grey key behind you next to the purple box and go to the yellow door after you open the green door",
        LONGEST,
        f"{ACTION} and {ACTION} after you {ACTION} and {ACTION}",
    ]
    assert [decode(encode(mission)) for mission in missions] == missions


def test_the_longest_mission_fills_the_length() -> None:
    assert np.count_nonzero(encode(LONGEST)) == LENGTH


def test_the_vocabulary_has_every_word_once_and_begins_with_padding() -> None:
    assert VOCABULARY[0] == "" and len(set(VOCABULARY)) == len(VOCABULARY)
    assert {*COLOR_NAMES, *LOC_NAMES, *OBJ_TYPES} <= set(VOCABULARY)


def test_the_numbers_of_words_never_change() -> None:
    assert encode("go to the red ball")[:6].tolist() == [1, 2, 14, 15, 23, 0]


def test_words_and_numbers_outside_the_vocabulary_and_long_missions_are_explained() -> None:
    with pytest.raises(InputError, match="'bal'.*Did you mean 'ball'"):
        encode("go to the red bal")
    with pytest.raises(InputError, match="73 words"):
        encode("go " * 73)
    with pytest.raises(InputError, match="number 99"):
        decode(np.array([1, 99, 0]))
