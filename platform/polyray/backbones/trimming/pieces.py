"""Pieces that a trimmed tokenizer needs so that it cuts given texts as the full one does.

A model is the object `model` of a tokenizer.json, of the library tokenizers; numbers are those of the full vocabulary.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from itertools import pairwise
from typing import Any

from polyray.errors import InputError

Model = Mapping[str, Any]
BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # a piece that stands for a byte of a character without a piece
PREFIX, SUFFIX = "continuing_subword_prefix", "end_of_word_suffix"


def pieces_of(model: Model) -> dict[int, str]:
    """Number -> piece, in the order of the numbers."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):
        return {number: piece for number, (piece, _) in enumerate(vocabulary)}
    return dict(sorted((number, piece) for piece, number in vocabulary.items()))


def most_frequent(model: Model, n: int) -> set[int]:
    """The n pieces of the largest probability; where there are none, the first n, as trainers order them."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):
        return set(sorted(range(len(vocabulary)), key=lambda number: -vocabulary[number][1])[:n])
    return set(list(pieces_of(model))[:n])


def characters(model: Model) -> set[int]:
    """The pieces of one character, or of one byte, alone or inside a word."""
    prefix, suffix = model.get(PREFIX) or "", model.get(SUFFIX) or ""
    return {
        number
        for number, piece in pieces_of(model).items()
        if len(piece.removeprefix(prefix)) == 1 or len(piece.removesuffix(suffix)) == 1 or BYTE.fullmatch(piece)
    }


def needed_pieces(model: Model, used: Set[int], unknown_words: Collection[str]) -> set[int]:
    """`used` and all pieces without which the texts that use them, or others that are remaining, were cut otherwise.

    Args:
        unknown_words: words of the texts, normalised, that the full tokenizer takes for unknown.

    Raises:
        InputError: tokenizers of this make cannot be trimmed.
    """
    make = str(model.get("type"))
    if make not in NEEDED:
        raise InputError(f"Its tokenizer is of the make {make}; those that can be trimmed: {', '.join(NEEDED)}.")
    return set(used) | NEEDED[make](model, used, unknown_words)


def restricted(model: Model, numbers: Sequence[int]) -> dict[str, Any]:
    """The model with the pieces `numbers` alone, ascending, numbered anew from 0, and the merges among them."""
    pieces = pieces_of(model)
    remaining = {pieces[number] for number in numbers}
    vocabulary = model["vocab"]
    content = {**model, "vocab": {pieces[number]: new for new, number in enumerate(numbers)}}
    if isinstance(vocabulary, list):
        content["vocab"] = [vocabulary[number] for number in numbers]
        content["unk_id"] = None if model["unk_id"] is None else numbers.index(model["unk_id"])
    if "merges" in model:
        content["merges"] = [
            merge for merge in model["merges"] if {*(pair := _pair(merge)), "".join(pair)} <= remaining
        ]  # fmt: skip
    return content


def _of_unigram(model: Model, used: Set[int], unknown_words: Collection[str]) -> set[int]:
    """The unknown piece, and the least likely one, from whose score that of an unknown character is computed.

    The best cut of a text has used pieces alone, and taking others away leaves none better; equally good cuts are
    decided by the earliest start, so that fewer of them decide alike.
    """
    scores = [score for _, score in model["vocab"]]
    unknown = [] if model["unk_id"] is None else [int(model["unk_id"])]
    return {scores.index(min(scores)), *unknown, *_bytes(model)}


def _of_word_pieces(model: Model, used: Set[int], unknown_words: Collection[str]) -> set[int]:
    """The unknown piece, and for an unknown word all pieces that it contains.

    The longest piece is taken first: without one that led nowhere, a shorter one could make the word a known one.
    """
    numbers, prefix = model["vocab"], model.get(PREFIX) or ""
    inside: set[int] = set()
    for word in unknown_words:
        if len(word) <= model.get("max_input_chars_per_word", len(word)):
            spans = {word[start:end] for start in range(len(word)) for end in range(start + 1, len(word) + 1)}
            inside |= {numbers[piece] for span in spans for piece in (span, prefix + span) if piece in numbers}
    return inside | _unknown(model)


def _of_words(model: Model, used: Set[int], unknown_words: Collection[str]) -> set[int]:
    """The unknown word."""
    return _unknown(model)


def _of_merges(model: Model, used: Set[int], unknown_words: Collection[str]) -> set[int]:
    """The pieces from which those in use are merged, in the order of the merges.

    Within a piece the merges of a text are those of the piece alone; a merge that is remaining besides comes into force
    exactly where the full tokenizer has it.

    Raises:
        InputError: pieces inside words are marked, or merges are left out at random.
    """
    for field in (PREFIX, "dropout"):
        if model.get(field):
            raise InputError(f"Its tokenizer merges pairs with {field}={model[field]!r}, which cannot be trimmed.")
    ranks = {_pair(merge): rank for rank, merge in enumerate(model["merges"])}
    numbers, pieces = model["vocab"], pieces_of(model)
    derived = {name for number in used if number in pieces for name in derivation(pieces[number], ranks, model)}
    return {numbers[name] for name in derived if name in numbers} | _unknown(model) | _bytes(model)


def derivation(piece: str, ranks: Mapping[tuple[str, str], int], model: Model) -> set[str]:
    """The characters of `piece` and all that is merged on the way to it: of all pairs the one of lowest rank first."""
    suffix = model.get(SUFFIX) or ""
    bare = piece.removesuffix(suffix)
    symbols = [*bare[:-1], bare[-1:] + piece[len(bare) :]]
    parts = set(symbols)
    while pairs := [(ranks[pair], at) for at, pair in enumerate(pairwise(symbols)) if pair in ranks]:
        _, at = min(pairs)
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        parts.add(symbols[at])
    return parts


def _pair(merge: str | Sequence[str]) -> tuple[str, str]:
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def _unknown(model: Model) -> set[int]:
    return {model["vocab"][piece] for piece in [model.get("unk_token")] if piece in model["vocab"]}


def _bytes(model: Model) -> set[int]:
    """The pieces into which a character without a piece is spelled, if it is."""
    if not model.get("byte_fallback"):
        return set()
    return {number for number, piece in pieces_of(model).items() if BYTE.fullmatch(piece)}


NEEDED: Mapping[str, Callable[[Model, Set[int], Collection[str]], set[int]]] = {
    "Unigram": _of_unigram, "WordPiece": _of_word_pieces, "BPE": _of_merges, "WordLevel": _of_words,
}  # fmt: skip
"""Make of a tokenizer -> the pieces that it needs besides the used ones."""
