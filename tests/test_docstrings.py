"""Plain docstrings become reStructuredText that shows the same."""

import pytest

from docs.docstrings import as_restructured_text


def converted(docstring: str) -> list[str]:
    return list(as_restructured_text(docstring.split("\n")))


def test_what_looks_like_markup_is_shown_as_it_is_written() -> None:
    assert converted("x [*batch, in] -> |U| of `weights_` and tasks_, 2 * 3") == [
        r"x [\*batch, in] -> \|U\| of ``weights_`` and tasks\_, 2 \* 3",
        "",
    ]


def test_code_may_be_followed_by_anything() -> None:
    assert converted("`a` and `b`") == ["``a`` and ``b``", ""]
    assert converted("gamma = `weight`(code), `n`th `x`.") == [r"gamma = ``weight``\ (code), ``n``\ th ``x``.", ""]


def test_a_lone_backtick_is_shown_as_it_is() -> None:
    assert converted("`a` and `b\nc`") == [r"``a`` and \`b", r"c\`", ""]


def test_names_with_underscores_are_left_alone() -> None:
    assert converted("n_skills of __init__") == [r"n_skills of __init\_\_", ""]


def test_arguments_and_errors_become_fields_with_their_continuations() -> None:
    docstring = "Mask.\n\nArgs:\n    k: entries\n        to keep\n\nRaises:\n    ValueError: k < 0\n\nSee [*]."
    assert converted(docstring) == [
        "Mask.", "", "", ":param k: entries", "        to keep", "",
        "", ":raises ValueError: k < 0", "", "", r"See [\*].", "",
    ]  # fmt: skip


def test_several_arguments_of_one_line_are_all_names_and_none_of_them_a_type() -> None:
    assert converted("Mix.\n\nArgs:\n    name, k: of both")[-2:] == [":param name,k: of both", ""]


def test_an_indented_formula_is_shown_as_it_is_written() -> None:
    assert converted("Loss:\n    a * b_\n    c\nwhere c > 0") == [
        "Loss:", "", "::", "", "    a * b_", "    c", "", "where c > 0", "",
    ]  # fmt: skip


def test_an_argument_without_a_colon_is_refused() -> None:
    with pytest.raises(ValueError, match="must be `name: text`, not 'the number of skills'"):
        converted("Mix.\n\nArgs:\n    the number of skills")
