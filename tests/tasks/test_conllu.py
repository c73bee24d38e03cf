"""Files in CoNLL-U are read strictly, line by line."""

from pathlib import Path

import pytest
from gathering import for_cases

from polyray.errors import InputError
from polyray.tasks.conllu import PARTS_OF_SPEECH, RELATIONS, sentences_of


def row(number: str, form: str = "a") -> str:
    return "\t".join([number, form, *["_"] * 8])


SENTENCES = "\n".join(
    [
        "# sent_id = 1", row("0.1"), row("1-2", "ab"), row("1"), row("2"), row("2.1"), row("2.2"), row("3"), "",
        "# text = #a", row("1", "#a"), row("2-3"), row("2"), row("3"), "", "",
    ]
)  # fmt: skip


def test_words_come_with_their_lines_without_ranges_empty_nodes_and_comments(tmp_path: Path) -> None:
    file = tmp_path / "x.conllu"
    file.write_text(SENTENCES)
    sentences = [[(number, fields[0], fields[1]) for number, fields in words] for words in sentences_of(file)]
    assert sentences == [
        [(4, "1", "a"), (5, "2", "a"), (8, "3", "a")], [(11, "1", "#a"), (13, "2", "a"), (14, "3", "a")],
    ]  # fmt: skip


def case(lines: list[str], number: int, message: str) -> dict[str, object]:
    return {"lines": lines, "number": number, "message": message}


@for_cases(
    [
        case([row("1"), row("3")], 2, "found the number '3'; expected the word 2, a range of words such as 2-3, or"),
        case([row("1"), row("1")], 2, "found the number '1'; expected the word 2"),
        case([row("2")], 1, "expected the word 1"),
        case([row("1"), "1\ta\tb"], 2, "expected 10 columns divided by tabs, none of them empty, found 3"),
        case([row("1").replace("\t", " ")], 1, "found 1: '1 a _"),
        case([row("1", "")], 1, "none of them empty"),
        case([row("x")], 1, "found the number 'x'"),
        case([row("01")], 1, "found the number '01'"),
        case([row("2-3"), row("1")], 1, "found the number '2-3'"),
        case([row("1-1"), row("1")], 1, "found the number '1-1'"),
        case([row("1-3"), row("1"), row("2-3")], 3, "found the number '2-3'"),
        case([row("1-2"), row("1"), ""], 3, "ends at the word 1, inside a range of words up to 2"),
        case([row("1"), row("1.2")], 2, "found the number '1.2'; .* or the empty node 1.1"),
        case([row("1"), row("1.1"), row("1.1")], 3, "found the number '1.1'"),
        case([row("1"), row("2.1")], 2, "found the number '2.1'"),
        case([row("1"), "# late"], 2, "expected 10 columns"),
    ]
)
def test_a_line_that_is_malformed_or_out_of_order_is_refused(
    tmp_path: Path, lines: list[str], number: int, message: str
) -> None:
    file = tmp_path / "x.conllu"
    file.write_text(SENTENCES + "\n".join(lines) + "\n" + row("1") + "\n")
    with pytest.raises(InputError, match=rf"x\.conllu:{number + 15}: .*{message}"):
        list(sentences_of(file))


def test_the_closed_sets_are_those_of_universal_dependencies() -> None:
    assert (len(PARTS_OF_SPEECH), len(RELATIONS)) == (17, 37)
    assert list(PARTS_OF_SPEECH) == sorted(PARTS_OF_SPEECH) and list(RELATIONS) == sorted(RELATIONS)
