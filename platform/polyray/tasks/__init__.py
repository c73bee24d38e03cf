"""Tasks: examples with a metric, in suites of one kind.

`load_suite(options)` gives a Suite; a new kind of suite is one file and one line in TASKS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pydantic import field_validator

from polyray.config import Choice, Section
from polyray.lookup import all_known
from polyray.reuse import reused
from polyray.tasks.classification import classification
from polyray.tasks.conll import conll
from polyray.tasks.crossfit import crossfit
from polyray.tasks.dialogue import DialogueExample, Turn
from polyray.tasks.dialogue.begin import begin
from polyray.tasks.dialogue.dstc import dstc9, dstc11
from polyray.tasks.dialogue.messages import messages
from polyray.tasks.dialogue.options import BeginOptions, ChatOptions, DialogueOptions, WizardOptions
from polyray.tasks.dialogue.wizard import faithdial, wow
from polyray.tasks.examples import (
    ContextQuestion,
    Example,
    LabelledTexts,
    ParsedWords,
    RawText,
    TaggedWords,
    TextAnswers,
)
from polyray.tasks.jsonl import jsonl
from polyray.tasks.options import (
    ClassificationOptions,
    ColumnOptions,
    FolderOptions,
    HubDataset,
    HubOptions,
    PlantedSuiteOptions,
    RawTextOptions,
    SelectionOptions,
    SquadOptions,
    TreebankOptions,
)
from polyray.tasks.planted import load_planted
from polyray.tasks.squad import squad
from polyray.tasks.task import SPLITS, Suite, Task, read_all
from polyray.tasks.text import text
from polyray.tasks.treebank import treebank


@dataclass(frozen=True, kw_only=True)
class SuiteKind:
    """A kind of suite: the options it reads, and the function that loads it.

    objectives: keys of `polyray.objectives.OBJECTIVES` that its tasks may name; empty: any.
    """

    about: str
    Options: type[Section]
    load: Callable[[Any], Suite]
    objectives: tuple[str, ...] = ()


def _hub(options: HubOptions) -> Suite:
    # The datasets library takes seconds to import, in every worker process; only this suite needs it.
    suite: Suite = import_module("polyray.tasks.hub").hub(options)
    return suite


def _planted(options: PlantedSuiteOptions) -> Suite:
    return load_planted(options.planted)


TASKS: dict[str, SuiteKind] = {
    "classification": SuiteKind(
        about="texts, or pairs of texts, with labels as TSV or JSON lines",
        Options=ClassificationOptions,
        load=classification,
        objectives=("classification",),
    ),
    "conll": SuiteKind(
        about="sequence tagging tasks in CoNLL columns or CoNLL-U",
        Options=ColumnOptions,
        load=conll,
        objectives=("tagging",),
    ),
    "crossfit": SuiteKind(
        about="few-shot text-to-text tasks as TSV files in the layout of CrossFit",
        Options=FolderOptions,
        load=crossfit,
        objectives=("answers",),
    ),
    "hub": SuiteKind(about="tasks made of datasets that the `datasets` library loads", Options=HubOptions, load=_hub),
    "jsonl": SuiteKind(
        about="a user's own tasks as JSON lines", Options=FolderOptions, load=jsonl, objectives=("answers",)
    ),
    "planted": SuiteKind(
        about="seeded synthetic tasks, each a composition of a few known latent skills",
        Options=PlantedSuiteOptions,
        load=_planted,
        objectives=("answers",),
    ),
    "squad": SuiteKind(
        about="questions whose answers stand in a text, as SQuAD's JSON or JSON lines",
        Options=SquadOptions,
        load=squad,
        objectives=("spans",),
    ),
    "text": SuiteKind(
        about="texts without labels, for masked language modelling",
        Options=RawTextOptions,
        load=text,
        objectives=("masked_lm",),
    ),
    "treebank": SuiteKind(
        about="dependency treebanks in CoNLL-U", Options=TreebankOptions, load=treebank, objectives=("parsing",)
    ),
    "begin": SuiteKind(
        about="responses with annotations whether knowledge supports them (BEGIN)",
        Options=BeginOptions,
        load=begin,
        objectives=("dialogue",),
    ),
    "dstc9": SuiteKind(
        about="task-oriented dialogues grounded in questions and answers (DSTC9 track 1)",
        Options=DialogueOptions,
        load=dstc9,
        objectives=("dialogue",),
    ),
    "dstc11": SuiteKind(
        about="task-oriented dialogues grounded in reviews (DSTC11 track 5)",
        Options=DialogueOptions,
        load=dstc11,
        objectives=("dialogue",),
    ),
    "faithdial": SuiteKind(
        about="dialogues about Wikipedia with hallucinations edited out (FaithDial)",
        Options=DialogueOptions,
        load=faithdial,
        objectives=("dialogue",),
    ),
    "messages": SuiteKind(
        about="chats as JSON lines of messages", Options=ChatOptions, load=messages, objectives=("chat", "dialogue")
    ),
    "wow": SuiteKind(
        about="dialogues about Wikipedia, grounded in its sentences (Wizard of Wikipedia)",
        Options=WizardOptions,
        load=wow,
        objectives=("dialogue",),
    ),
}


class TasksOptions(Choice):
    """The `tasks` section of every job: the options of the suite that `suite` names, and the splits to learn from."""

    table = TASKS
    noun = "suite"

    kind: str = "planted"
    """Kind of suite; in a config the field `suite`."""
    train_splits: tuple[str, ...] = ("train", "dev")
    """Splits of the training tasks that multi-task training uses, from every few-shot seed, repeats left out."""

    @field_validator("train_splits")
    @classmethod
    def _splits_there_are(cls, splits: tuple[str, ...]) -> tuple[str, ...]:
        all_known(splits, SPLITS, "split")
        return splits


def load_suite(tasks: TasksOptions) -> Suite:
    """The suite that `tasks` chooses, with the tasks that its options select.

    Raises:
        InputError: its data or options are wrong.
    """
    key = ("suite", tasks.kind, tasks.options.model_dump_json())
    return reused(key, lambda: TASKS[tasks.kind].load(tasks.options))


__all__ = [
    "SPLITS",
    "TASKS",
    "ClassificationOptions",
    "ColumnOptions",
    "ContextQuestion",
    "DialogueExample",
    "Example",
    "FolderOptions",
    "HubDataset",
    "HubOptions",
    "LabelledTexts",
    "ParsedWords",
    "PlantedSuiteOptions",
    "RawText",
    "RawTextOptions",
    "SelectionOptions",
    "SquadOptions",
    "Suite",
    "SuiteKind",
    "TaggedWords",
    "Task",
    "TasksOptions",
    "TextAnswers",
    "TreebankOptions",
    "Turn",
    "load_suite",
    "read_all",
]
