"""Extractive fragments and knowledge F1, by hand and against slow definitions."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyray.metrics.fragments import Extraction, extraction, words
from polyray.metrics.knowledge import content_words, knowledge_f1, stop_words
from polyray.metrics.suffix_automaton import longest_matches, matching_statistics

SEQUENCE = st.lists(st.sampled_from("abc"), max_size=12)


def all_pieces(sequence: list[str]) -> set[tuple[str, ...]]:
    return {tuple(sequence[i:j]) for i in range(len(sequence)) for j in range(i + 1, len(sequence) + 1)}


@given(sequence=SEQUENCE, source=SEQUENCE)
@settings(max_examples=150, deadline=None)
def test_the_longest_match_at_each_position_is_the_longest_piece_of_the_source(
    sequence: list[str], source: list[str]
) -> None:
    pieces = all_pieces(source)
    by_hand = [
        max((n for n in range(1, len(sequence) - i + 1) if tuple(sequence[i : i + n]) in pieces), default=0)
        for i in range(len(sequence))
    ]
    assert matching_statistics(sequence, source) == longest_matches(sequence, source) == by_hand


def test_the_automaton_equals_the_plain_form_on_longer_sequences_of_few_and_of_many_words() -> None:
    draw = random.Random(1)
    for alphabet in ("ab", "abcdefghijklmnop"):
        sequence, source = (draw.choices(alphabet, k=k) for k in (60, 250))
        assert matching_statistics(sequence, source) == longest_matches(sequence, source)


def test_fragments_by_hand() -> None:
    # the hotel has | a | free wifi: the first three words, then "a", which stands elsewhere; "and" is nowhere; 2 words
    knowledge = "Breakfast is a buffet. The hotel has free wifi"
    pool = extraction("The hotel has a pool and free wifi", knowledge)
    assert pool == Extraction(fragments=(3, 1, 2), n_words=8)
    assert pool.coverage == 6 / 8 and pool.density == (9 + 1 + 4) / 8 and pool.longest == 3 / 8
    # the first word of the knowledge counts, the longest match wins even where a shorter one overlaps it
    assert extraction("a a b", "a a a b").fragments == (3,)
    assert extraction("Breakfast", knowledge).density == 1.0


def test_case_counts_unless_it_is_left_out() -> None:
    assert extraction("the Hotel", "The hotel").fragments == ()
    assert extraction("the Hotel", "The hotel", case=False).fragments == (2,)
    assert words("It's 3.50, naïve_x!") == ["It", "s", "3", "50", "naïve_x"]


def test_a_copy_has_the_greatest_values_and_an_empty_response_none() -> None:
    text = "Rooms start at 80 pounds, breakfast included."
    copied = extraction(text, f"Good to know: {text} Ask us.")
    assert (copied.coverage, copied.density, copied.longest) == (1.0, copied.n_words, 1.0) and copied.n_words == 7
    assert extraction("...", text) == Extraction(fragments=(), n_words=0)
    empty = extraction("", text)
    assert (empty.coverage, empty.density, empty.longest) == (0.0, 0.0, 0.0)


def test_knowledge_f1_by_hand() -> None:
    # hotel free wifi lobby of the response, hotel offers free wifi free parking: 3 shared, 2 * 3 / (4 + 6)
    response, knowledge = "The hotel has free WiFi in its lobby.", "Hotel offers free wifi and free parking!"
    assert knowledge_f1(response, knowledge) == pytest.approx(2 * 3 / (4 + 6))
    assert knowledge_f1(knowledge, knowledge) == 1.0
    assert knowledge_f1("It is what it is.", knowledge) == 0.0 == knowledge_f1("", "")


def test_content_words_are_neither_stop_words_nor_punctuation_nor_clitics() -> None:
    text = "I don't think the guest's pool, which they'll clean at 7:30, can\u2019t cost £3.50!"
    assert content_words(text) == ["think", "guest", "pool", "clean", "7:30", "cost", "3.50"]
    assert {"the", "it", "n't", "'s"} <= stop_words() and len(stop_words()) > 318
