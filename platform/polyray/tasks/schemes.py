"""Tags of sentences: entities in any dialect are rewritten in IOB2, single tags checked against a closed set."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from polyray.errors import InputError
from polyray.lookup import suggestion
from polyray.metrics import entities
from polyray.metrics.tags import OUTSIDE, POSITIONS

Locate = Callable[[int], str]  # of a word by its index, as FILE:LINE


def iob2(tags: Sequence[str], types: Sequence[str] = (), relabel: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The tags of one sentence in IOB2: each entity begins with B-, and goes on with I-.

    Args:
        tags: in IOB1, IOB2, BIOES or BILOU.
        types: those to keep, under their new names; entities of others are O. Empty: all.
        relabel: new names of types; O: the entity is none.
    """
    rewritten = [OUTSIDE] * len(tags)
    for written, first, last in entities(tags):
        kind = (relabel or {}).get(written, written)
        if kind != OUTSIDE and (not types or kind in types):
            rewritten[first : last + 1] = [f"B-{kind}", *[f"I-{kind}"] * (last - first)]
    return tuple(rewritten)


def entity_tags(
    tags: Sequence[str], locate: Locate, types: Sequence[str], relabel: Mapping[str, str]
) -> tuple[str, ...]:
    """The tags of a sentence in IOB2, as `iob2` rewrites them.

    Raises:
        InputError: one is no tag of an entity; the message names its place.
    """
    for index, tag in enumerate(tags):
        if not is_entity_tag(tag):
            raise InputError(
                f"{locate(index)}: {tag!r:.80} is no tag of an entity; expected O, B-TYPE or I-TYPE (in BIOES also "
                "E-TYPE and S-TYPE). Is tasks.tag_column right? Tags of another kind: tasks.scheme=plain."
            )
    return iob2(tags, types, relabel)


def is_entity_tag(tag: str) -> bool:
    """Whether this is O or POSITION-TYPE."""
    position, dash, kind = tag.partition("-")
    return tag == OUTSIDE or bool(position in POSITIONS and dash and kind)


def entity_labels(types: Iterable[str]) -> tuple[str, ...]:
    """The tags in IOB2 of entities of these types."""
    return tuple(sorted({OUTSIDE, *(f"{position}-{kind}" for kind in types for position in "BI")}))


def single_tags(
    tags: Sequence[str], locate: Locate, closed: Sequence[str], relabel: Mapping[str, str], noun: str
) -> tuple[str, ...]:
    """The tags of a sentence under their new names.

    Args:
        locate: of each word of the sentence, for messages.
        closed: the tags that there are; empty: any.
        noun: the closed set in the error ("tasks.types").

    Raises:
        InputError: one is not among `closed`; the message names its place.
    """
    renamed = tuple(relabel.get(tag, tag) for tag in tags)
    for index, tag in enumerate(renamed):
        if closed and tag not in closed:
            raise InputError(f"{locate(index)}: {tag!r:.80} is not among {noun}. {suggestion(tag, closed)}")
    return renamed
