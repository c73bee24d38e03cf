"""Suites of dialogues: files' records as tasks, selected and with control tokens."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from polyray.errors import InputError
from polyray.formats import user_path
from polyray.tasks.dialogue.channel import with_target
from polyray.tasks.dialogue.control import tokens_of_answers, with_control
from polyray.tasks.dialogue.options import DialogueOptions
from polyray.tasks.dialogue.record import Reader, Splits
from polyray.tasks.dialogue.select import figures, selected
from polyray.tasks.partition import arranged, partition_beside
from polyray.tasks.splits import examples_of_split, with_missing
from polyray.tasks.task import Suite, Task

EVERY_TURN = "chat"  # the objective that learns all of the system's turns at once
Sources = Mapping[str, Mapping[str, Reader]]  # task -> split of files -> reader


def suite_of(name: str, sources: Sources, options: DialogueOptions, objective: str = "dialogue") -> Suite:
    """The suite called `name` of the tasks whose files `sources` reads, those of tasks that are taken.

    Its figures say how many responses of each split are left by selection, and their mean coverage and density.

    Raises:
        InputError: a file is malformed, or a selection leaves nothing.
    """
    if options.target != "response" and objective == EVERY_TURN:
        raise InputError(
            f"tasks.target={options.target} is of one response of a dialogue: set tasks.targets=each or last."
        )
    counts: dict[str, dict[str, Any]] = {}
    build = partial(_task, sources, options, objective, counts)
    partition = partition_beside(options, user_path(options.path))
    suite = arranged(name, dict.fromkeys(sources, "dialogue"), build, options, partition)
    return replace(suite, figures=counts)


def _task(
    sources: Sources, options: DialogueOptions, objective: str, counts: dict[str, dict[str, Any]], name: str
) -> Task:
    records = _splits(sources[name], options, name)
    taken = selected(records, options, name)
    counts[name] = figures(records, taken)
    ready = with_control(taken, options)
    examples = {split: with_target([record.example for record in rows], options, name) for split, rows in ready.items()}
    return Task(
        name=name, category="dialogue", metric=options.metric, labels=None, seeds=(0,),
        read=partial(examples_of_split, examples, name), objective=objective, prompt=options.prompt,
        control=tokens_of_answers(options.control),
    )  # fmt: skip


def _splits(readers: Mapping[str, Reader], options: DialogueOptions, name: str) -> Splits:
    chosen = options.splits or {split: split for split in readers}
    for split, source in chosen.items():
        if source not in readers:
            raise InputError(
                f"tasks.splits.{split}={source}: the task {name!r} has no {source} file. It has {', '.join(readers)}."
            )
    read = {source: readers[source](name) for source in dict.fromkeys(chosen.values())}
    records = with_missing(
        {split: read[source] for split, source in chosen.items()}, group=lambda record: record.dialogue
    )
    if not records:
        raise InputError(f"The task {name!r} holds no response.")
    return records
