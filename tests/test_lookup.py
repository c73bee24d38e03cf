"""An unknown name is refused with the name that was meant and the names that there are."""

import pytest

from polyray.errors import InputError
from polyray.lookup import lookup, suggestion

ROUTERS = {"polytropon": 1, "private": 2, "shared": 3}


def test_a_name_in_the_table_gives_its_entry() -> None:
    assert lookup(ROUTERS, "private", "router") == 2


def test_a_misspelt_name_is_refused_with_the_nearest_and_with_all_names_in_order() -> None:
    with pytest.raises(InputError) as caught:
        lookup(dict(reversed(ROUTERS.items())), "polytropn", "router")
    assert str(caught.value) == (
        "No router is called 'polytropn'. Did you mean 'polytropon'? Known: polytropon, private, shared."
    )


def test_a_name_like_no_other_has_no_suggestion() -> None:
    assert suggestion("xyz", ROUTERS) == "Known: polytropon, private, shared."
    assert suggestion("xyz", []) == "None is known."


def test_of_a_long_table_the_first_twenty_names_are_listed_and_the_rest_counted() -> None:
    names = [f"task-{number:02}" for number in range(21)]
    assert suggestion("xyz", names[:20]) == f"Known: {', '.join(names[:20])}."
    assert suggestion("xyz", names) == f"Known: {', '.join(names[:20])}, ... (21 in all)."


def test_of_a_long_name_eighty_letters_are_shown() -> None:
    assert suggestion("a", ["a" * 5000]) == f"Known: {'a' * 80}."
