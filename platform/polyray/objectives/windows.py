"""Windows of a long sequence of tokens, each of which a network reads by itself."""


def windows(n_tokens: int, room: int, overlap: int) -> tuple[tuple[int, int], ...]:
    """First and end of the windows that cover `n_tokens` tokens, the last one shorter.

    Args:
        room: tokens of a window at most, one or more.
        overlap: tokens that a window shares with the one before, fewer than `room`.
    """
    starts = range(0, max(1, n_tokens - overlap), room - overlap)
    return tuple((start, min(start + room, n_tokens)) for start in starts)
