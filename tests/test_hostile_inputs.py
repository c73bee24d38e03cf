"""Hostile files end in one message: no other error, no hang, no gigabyte, nothing written."""

import pytest
from hostile_cases import FORMATS, attempt


def offenders(first: int, last: int) -> list[str]:
    return [wrong for number in range(first, last) if (wrong := attempt(number))]


def test_some_hostile_files_of_every_format_are_read_or_refused_with_one_message() -> None:
    assert not offenders(0, 8 * len(FORMATS))
    assert not attempt(429, kind="CoNLL")  # a tag of five thousand letters, which a message repeated


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_hundreds_of_hostile_files_are_read_or_refused_with_one_message() -> None:
    assert not offenders(8 * len(FORMATS), 600)
