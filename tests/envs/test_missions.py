import numpy as np
import pytest
from minigrid.core.constants import COLOR_NAMES
from minigrid.envs.babyai.core.verifier import LOC_NAMES, OBJ_TYPES

from polyray.envs.missions import LENGTH, VOCABULARY, decode, encode
from polyray.errors import InputError

LONGEST = "put the red ball in front of you next to the red box in front of you"


@pytest.mark.parametrize(
    "mission",
    [
        "go to the red ball",
        "open a door on your left, then pick up an object".replace(" an ", " a "),
        "put a grey key behind you next to the purple box and go to the yellow door after you open the green door",
        f"{LONGEST} and {LONGEST}, then {LONGEST} and {LONGEST}",
        f"{LONGEST} and {LONGEST} after you {LONGEST} and {LONGEST}",
    ],
)
def test_a_mission_comes_back_from_its_numbers(mission: str) -> None:
    assert decode(encode(mission)) == mission


def test_the_longest_mission_fills_the_length() -> None:
    assert np.count_nonzero(encode(f"{LONGEST} and {LONGEST}, then {LONGEST} and {LONGEST}")) == LENGTH


def test_the_vocabulary_has_every_word_once_and_begins_with_padding() -> None:
    assert VOCABULARY[0] == "" and len(set(VOCABULARY)) == len(VOCABULARY)
    assert {*COLOR_NAMES, *LOC_NAMES, *OBJ_TYPES} <= set(VOCABULARY)


def test_the_numbers_of_words_never_change() -> None:
    assert encode("go to the red ball")[:6].tolist() == [1, 2, 14, 15, 23, 0]


def test_an_unknown_word_is_explained() -> None:
    with pytest.raises(InputError, match="'bal'.*Did you mean 'ball'"):
        encode("go to the red bal")


def test_a_mission_that_is_too_long_is_explained() -> None:
    with pytest.raises(InputError, match="73 words"):
        encode("go " * 73)


def test_a_number_without_a_word_is_explained() -> None:
    with pytest.raises(InputError, match="number 99"):
        decode(np.array([1, 99, 0]))
