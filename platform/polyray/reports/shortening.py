"""Names short enough for a picture that can still be told apart."""

import re
from collections.abc import Iterator, Sequence

LIMIT = 34  # letters
LEGIBLE, SHORTEST = 5, 3  # letters of a word that was cut


def shortened(name: str, limit: int = LIMIT) -> str:
    """`name` with its middle left out if it is longer than `limit` characters."""
    if len(name) <= limit:
        return name
    head = (limit - 1) // 2
    return f"{name[:head]}…{name[head + 1 - limit :]}"


def short_names(names: Sequence[str], limit: int = LIMIT) -> list[str]:
    """The names at most `limit` letters long where they allow it, different names by different labels.

    Names that are short enough stay. Else the words that all begin with go first, then those that all end with, so that
    the number of a layer is seen; then words, never numbers, are cut; then the middle. A name that could not be told
    from others stays whole.
    """
    distinct = list(dict.fromkeys(names))
    if max(map(len, distinct), default=0) <= limit:
        return list(names)
    labels = next(
        (x for x in _candidates(distinct) if max(map(len, x)) <= limit and len(set(x)) == len(distinct)),
        _middles(distinct, limit),
    )
    label_of = dict(zip(distinct, labels, strict=True))
    return [label_of[name] for name in names]


def _candidates(names: Sequence[str]) -> Iterator[list[str]]:
    """Labels of the different `names`, shorter and shorter; a single name has nothing in common with others."""
    if len(names) < 2:
        return
    begun = _without_shared(names, at_end=False)
    bare = _without_shared(begun, at_end=True)
    longest = max(len(word) for name in begun for word in _words(name))
    yield begun
    yield from ([_cut_words(name, size) for name in begun] for size in range(longest, LEGIBLE - 1, -1))
    yield from ([_cut_words(name, size) for name in bare] for size in range(longest, SHORTEST - 1, -1))


def _middles(names: Sequence[str], limit: int) -> list[str]:
    """The names without their middles, or whole where two would look alike."""
    labels = [shortened(name, limit) for name in names]
    return [label if labels.count(label) == 1 else name for name, label in zip(names, labels, strict=True)]


def _without_shared(names: Sequence[str], *, at_end: bool) -> list[str]:
    """The names without the words that all begin, or end, with; "…" in their place, and never all of a name."""
    step = -1 if at_end else 1
    words = [_words(name)[::step] for name in names]
    n_shared = 0
    while n_shared < min(map(len, words)) - 1 and len({of_name[n_shared] for of_name in words}) == 1:
        n_shared += 1
    if not n_shared:
        return list(names)
    return ["".join(["…", *of_name[n_shared:]][::step]) for of_name in words]


def _words(name: str) -> list[str]:
    """Words, numbers and what stands between them."""
    return re.findall(r"[^\W\d_]+|\d+|[\W_]+", name)


def _cut_words(name: str, size: int) -> str:
    return "".join(f"{word[: size - 1]}…" if word.isalpha() and len(word) > size else word for word in _words(name))
