"""The suite treebank: dependency parsing of treebanks in CoNLL-U.

Each folder at or below PATH that holds `train`, `dev` or `test` files (`wo_wtb-ud-test.conllu`) is a task, named after
its path; so is each file in folders of these names. Where a treebank has no dev or test file, the ninth or the tenth of
every ten training sentences are taken for it. `PATH/partition.json`, if there is one, lists the tasks for `train`,
`dev` and `test`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from polyray.errors import InputError
from polyray.lookup import suggestion
from polyray.metrics.trees import universal
from polyray.tasks.conllu import FORM, HEAD, RELATION, RELATIONS, SUFFIX, WordLine, sentences_of
from polyray.tasks.examples import ParsedWords
from polyray.tasks.options import TreebankOptions
from polyray.tasks.partition import arranged, partition_beside
from polyray.tasks.reading import data_folder
from polyray.tasks.splits import examples_of_split, split_files, with_missing
from polyray.tasks.task import Suite, Task, first_places

ROOT = "root"
Parsed = tuple[ParsedWords, tuple[int, ...]]  # a sentence, and the lines of its words


def treebank(options: TreebankOptions) -> Suite:
    """The treebanks at and below the folder `options.path`; the files of those that are taken are read and checked.

    Raises:
        InputError: a file is missing or malformed, or a sentence is no tree; the message names file and line.
    """
    folder = data_folder(options.path, "treebank")
    files = split_files(folder, (SUFFIX,))
    if not files:
        raise InputError(f"{folder} holds no treebank; expected files such as UD_Wolof-WTB/wo_wtb-ud-train{SUFFIX}.")
    build = partial(_task, files, options)
    return arranged("treebank", dict.fromkeys(files, "trees"), build, options, partition_beside(options, folder))


def _task(files: Mapping[str, Mapping[str, Path]], options: TreebankOptions, name: str) -> Task:
    first = next(iter(files[name].values()))
    parsed = with_missing({split: _parsed(file, options, name) for split, file in files[name].items()})
    labels = {relation for sentences in parsed.values() for example, _ in sentences for relation in example.relations}
    places = first_places(
        (split, relation, f"{files[name].get(split, first)}:{line}")
        for split, sentences in parsed.items()
        for example, lines in sentences
        for relation, line in zip(example.relations, lines, strict=True)
    )
    examples = {split: tuple(example for example, _ in sentences) for split, sentences in parsed.items()}
    return Task(
        name=name, category="trees", metric=options.metric, labels=tuple(sorted({*labels, *_closed(options)})),
        seeds=(0,), read=partial(examples_of_split, examples, name), objective="parsing", places=places,
    )  # fmt: skip


def _closed(options: TreebankOptions) -> Sequence[str]:
    """The relations that there are; empty: any."""
    return options.relations or (() if options.subtypes else RELATIONS)


def _parsed(file: Path, options: TreebankOptions, name: str) -> list[Parsed]:
    """The sentences in `file`, each of them a tree."""
    parsed = []
    for lines in sentences_of(file):
        heads = _heads(file, lines)
        relations = tuple(_relation(file, line, head, options) for line, head in zip(lines, heads, strict=True))
        words = tuple(fields[FORM] for _, fields in lines)
        example = ParsedWords(task=name, words=words, heads=heads, relations=relations)
        parsed.append((example, tuple(number for number, _ in lines)))
    if not parsed:
        raise InputError(f"{file} holds no sentence.")
    return parsed


def _heads(file: Path, lines: Sequence[WordLine]) -> tuple[int, ...]:
    """The heads of a sentence.

    Raises:
        InputError: one is no word of the sentence, there is not one root, or words depend on each other in a cycle.
    """
    heads = []
    for word, (number, fields) in enumerate(lines, start=1):
        head = int(fields[HEAD]) if fields[HEAD].isascii() and fields[HEAD].isdecimal() else -1
        if not 0 <= head <= len(lines) or head == word:
            raise InputError(
                f"{file}:{number}: the head of word {word} is {fields[HEAD]!r:.40}; expected 0 for the root, or "
                f"another of the words 1 to {len(lines)}."
            )
        heads.append(head)
    roots = [number for (number, _), head in zip(lines, heads, strict=True) if head == 0]
    if len(roots) != 1:
        place, found = (roots[1], "a second root") if roots else (lines[0][0], "a sentence without a root")
        raise InputError(f"{file}:{place}: {found}; expected one word with the head 0.")
    cycle = _cycle(heads)
    if cycle:
        shown = " -> ".join(map(str, [*cycle, cycle[0]]))
        raise InputError(f"{file}:{lines[cycle[0] - 1][0]}: the heads {shown} are a cycle; all must lead to the root.")
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


def _relation(file: Path, line: WordLine, head: int, options: TreebankOptions) -> str:
    number, fields = line
    relation = fields[RELATION] if options.subtypes else universal(fields[RELATION])
    closed = _closed(options)
    if closed and relation not in closed:
        noun = "tasks.relations" if options.relations else "the universal relations"
        raise InputError(f"{file}:{number}: {relation!r:.80} is not among {noun}. {suggestion(relation, closed)}")
    if (universal(relation) == ROOT) != (head == 0):
        raise InputError(
            f"{file}:{number}: the relation {relation!r:.80} to the head {head}; the head 0 and the relation {ROOT!r} "
            "go together."
        )
    return relation
