"""Checks of dependency trees: heads that lead to one root, relations of a closed set."""

from collections.abc import Sequence

from polyray.errors import InputError
from polyray.lookup import suggestion
from polyray.metrics.trees import universal
from polyray.tasks.conllu import RELATIONS
from polyray.tasks.examples import ParsedWords
from polyray.tasks.options import TreebankOptions
from polyray.tasks.schemes import Locate

ROOT = "root"


def checked_parse(
    task: str, words: Sequence[str], heads: Sequence[str], relations: Sequence[str], locate: Locate,
    options: TreebankOptions,
) -> ParsedWords:  # fmt: skip
    """A sentence with its tree, of the heads and relations of its words as they are written.

    Raises:
        InputError: the heads make no tree, or a relation is not among those that there are; the message names the
            place.
    """
    numbers = _heads(heads, locate)
    kinds = tuple(
        _relation(relation, head, locate(index), options)
        for index, (relation, head) in enumerate(zip(relations, numbers, strict=True))
    )
    return ParsedWords(task=task, words=tuple(words), heads=numbers, relations=kinds)


def closed_relations(options: TreebankOptions) -> Sequence[str]:
    """The relations that there are; empty: any."""
    return options.relations or (() if options.subtypes else RELATIONS)


def _heads(written: Sequence[str], locate: Locate) -> tuple[int, ...]:
    """The heads of a sentence.

    Raises:
        InputError: one is no word of the sentence, there is not one root, or words depend on each other in a cycle.
    """
    heads = []
    for word, text in enumerate(written, start=1):
        head = int(text) if text.isascii() and text.isdecimal() else -1
        if not 0 <= head <= len(written) or head == word:
            raise InputError(
                f"{locate(word - 1)}: the head of word {word} is {text!r:.40}; expected 0 for the root, or another of "
                f"the words 1 to {len(written)}."
            )
        heads.append(head)
    roots = [index for index, head in enumerate(heads) if head == 0]
    if len(roots) != 1:
        index, kind = (roots[1], "a second root") if roots else (0, "a sentence without a root")
        raise InputError(f"{locate(index)}: {kind}; expected one word with the head 0.")
    cycle = _cycle(heads)
    if cycle:
        shown = " -> ".join(map(str, [*cycle, cycle[0]]))
        raise InputError(f"{locate(cycle[0] - 1)}: the heads {shown} are a cycle; all must lead to the root.")
    return tuple(heads)


def _cycle(heads: Sequence[int]) -> list[int]:
    """The words of a cycle, from the first one; none where all heads lead to the root."""
    safe = {0}
    for start in range(1, len(heads) + 1):
        path = [start]
        while path[-1] not in safe:
            head = heads[path[-1] - 1]
            if head in path:
                cycle = path[path.index(head) :]
                turn = cycle.index(min(cycle))
                return cycle[turn:] + cycle[:turn]
            path.append(head)
        safe.update(path)
    return []


def _relation(written: str, head: int, location: str, options: TreebankOptions) -> str:
    relation = written if options.subtypes else universal(written)
    closed = closed_relations(options)
    if closed and relation not in closed:
        noun = "tasks.relations" if options.relations else "the universal relations"
        raise InputError(f"{location}: {relation!r:.80} is not among {noun}. {suggestion(relation, closed)}")
    if (universal(relation) == ROOT) != (head == 0):
        raise InputError(
            f"{location}: the relation {relation!r:.80} to the head {head}; the head 0 and the relation {ROOT!r} go "
            "together."
        )
    return relation
