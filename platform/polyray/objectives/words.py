"""Sentences in words as sequences of tokens in which each word is known."""

from collections.abc import Sequence
from dataclasses import dataclass

from polyray.backbones import Backbone


@dataclass(frozen=True, kw_only=True)
class WordTokens:
    """The tokens of a sentence's words between the backbone's special tokens.

    first: index of the first token of each word that is read. full: the tokens that the whole sentence would have.
    """

    ids: tuple[int, ...]
    first: tuple[int, ...]
    full: int


def read_words(backbone: Backbone, words: Sequence[str], limit: int) -> WordTokens:
    """The tokens of the words of one sentence.

    Args:
        limit: tokens at most; the words at the end that do not fit are left out whole.
    """
    text = backbone.text
    pieces = text.pieces(words)
    ids, first = list(text.prefix), []
    for piece in pieces:
        if len(ids) + len(piece) + len(text.suffix) > limit:
            break
        first.append(len(ids))
        ids += piece
    around = len(text.prefix) + len(text.suffix)
    return WordTokens(
        ids=(*ids, *text.suffix), first=tuple(first), full=around + sum(map(len, pieces))
    )  # fmt: skip


def read_pieces(backbone: Backbone, words: Sequence[str], limit: int, most: int = 0) -> list[WordTokens]:
    """The tokens of the words of one sentence, in as few pieces as it takes; the first one knows its full length.

    Args:
        limit: tokens of a piece at most; a single word that does not fit, and all behind it, are left out.
        most: pieces at most, words behind them are left out; 0: any number.
    """
    pieces = [read_words(backbone, words, limit)]
    start = len(pieces[0].first)
    while 0 < start < len(words) and len(pieces) != most:
        piece = read_words(backbone, words[start:], limit)
        if not piece.first:
            break
        pieces.append(piece)
        start += len(piece.first)
    return pieces
