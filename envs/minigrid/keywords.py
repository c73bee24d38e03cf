"""Keywords of `gymnasium.make`: checks of their values, and what to do instead of those that are not supported."""

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from polyray.errors import InputError
from polyray.lookup import suggestion

VIEW_KEYWORDS = ("agent_view_size", "see_through_walls")
LEVEL_KEYWORDS = (
    *("room_size", "num_rows", "num_cols", "num_dists", "num_objs", "objs_per_room", "num_doors", "doors_open"),
    *("start_carrying", "select_by", "first_color", "second_color", "strict", "debug", "distractors"),
)


def refuse(keywords: Mapping[str, Any], supported: tuple[str, ...]) -> NoReturn:
    """Refuse the first of the keywords, none of which is `supported`, with what to do instead.

    Raises:
        InputError: always.
    """
    name = min(keywords)
    if name in VIEW_KEYWORDS:
        raise InputError(
            f"{name} is not for a batch: its images show 7x7 tiles, as BabyAI's do. Single environments take {name}; "
            'gymnasium.make_vec(..., vectorization_mode="sync") makes a batch of them.'
        )
    if name in LEVEL_KEYWORDS:
        raise InputError(
            f"{name} belongs to the level, and a level has one form. Register another: polyray.envs.register_level("
            f'"Mine", GoToLocal, {name}={keywords[name]!r}), with the class from minigrid.envs.babyai.'
        )
    raise InputError(f"The environment takes no keyword {name!r}. {suggestion(name, supported)}")


def whole_number(name: str, value: Any, *, least: int) -> int:
    """The value of an argument as an integer.

    Raises:
        InputError: it is no whole number, or below `least`, or does not fit into 32 bits.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value < 2**31:
        raise InputError(f"{name} is a whole number of {least} or more, not {value!r}.")
    return int(value)


def truth(name: str, value: Any) -> bool:
    """The value of an argument, which must be true or false.

    Raises:
        InputError: it is neither.
    """
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name} is True or False, not {value!r}.")
    return bool(value)
