"""Tags of sentences: entities in any dialect are rewritten in IOB2, single tags checked against a closed set."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from polyray.errors import InputError
from polyray.lookup import suggestion
from polyray.metrics import entities
from polyray.metrics.tags import OUTSIDE, POSITIONS
from polyray.tasks.columns import Sentence


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


def entity_tags(file: Path, sentence: Sentence, types: Sequence[str], relabel: Mapping[str, str]) -> tuple[str, ...]:
    """The tags of a sentence of `file` in IOB2, as `iob2` rewrites them.

    Raises:
        InputError: one is no tag of an entity; the message names the line.
    """
    for tag, line in zip(sentence.tags, sentence.lines, strict=True):
        position, dash, kind = tag.partition("-")
        if tag != OUTSIDE and not (position in POSITIONS and dash and kind):
            raise InputError(
                f"{file}:{line}: {tag!r:.80} is no tag of an entity; expected O, B-TYPE or I-TYPE (in BIOES also "
                "E-TYPE and S-TYPE). Is tasks.tag_column right? Tags of another kind: tasks.scheme=plain."
            )
    return iob2(sentence.tags, types, relabel)


def single_tags(
    file: Path, sentence: Sentence, closed: Sequence[str], relabel: Mapping[str, str], noun: str
) -> tuple[str, ...]:
    """The tags of a sentence of `file` under their new names.

    Args:
        closed: the tags that there are; empty: any.
        noun: the closed set in the error ("tasks.types").

    Raises:
        InputError: one is not among `closed`; the message names the line.
    """
    tags = tuple(relabel.get(tag, tag) for tag in sentence.tags)
    for tag, line in zip(tags, sentence.lines, strict=True):
        if closed and tag not in closed:
            raise InputError(f"{file}:{line}: {tag!r:.80} is not among {noun}. {suggestion(tag, closed)}")
    return tags
