"""The suites wow and faithdial: dialogues about Wikipedia, in which a system answers from a sentence of it.

wow, Wizard of Wikipedia as it is released: `train.json`, `valid_random_split.json` and `test_random_split.json` (or
`_topic_split`, whose topics training has not seen), each a list of dialogues with their turns in `dialog`; each turn
of the wizard is a response, and the sentence that it checked is its knowledge (none where it used no passage). Dinan
et al. 2019 (arXiv:1811.01241).

faithdial: `train.json`, `valid.json` and `test.json`, each a list of dialogues with their `utterances`: `history`,
`knowledge`, `response`, and where the response was edited `original_response` with its annotation `BEGIN`. Dziri et
al. 2022 (arXiv:2204.10757).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from polyray.errors import InputError
from polyray.formats import is_there
from polyray.tasks.dialogue.example import DialogueExample, Speaker, Turn
from polyray.tasks.dialogue.fields import fields_of, json_list, objects_in, text_in, texts_in
from polyray.tasks.dialogue.options import DialogueOptions, WizardOptions
from polyray.tasks.dialogue.record import Reader, Record
from polyray.tasks.dialogue.suites import suite_of
from polyray.tasks.reading import data_folder
from polyray.tasks.task import Suite

NO_PASSAGE = "no_passages_used"
ROLES: Mapping[str, Speaker] = {"wizard": "system", "apprentice": "user"}
FAITHDIAL = {"train": "train.json", "dev": "valid.json", "test": "test.json"}


def wow(options: WizardOptions) -> Suite:
    """The task wow.

    Raises:
        InputError: a file is missing or malformed; the message names the file, dialogue and turn.
    """
    kind = "topic" if options.unseen else "random"
    files = {"train": "train.json", "dev": f"valid_{kind}_split.json", "test": f"test_{kind}_split.json"}
    return _suite("wow", files, _turns_of_wizard, options)


def faithdial(options: DialogueOptions) -> Suite:
    """The task faithdial.

    Raises:
        InputError: a file is missing or malformed; the message names the file, dialogue and utterance.
    """
    return _suite("faithdial", FAITHDIAL, _utterances, options)


def _suite(name: str, files: Mapping[str, str], read: Any, options: DialogueOptions) -> Suite:
    folder = data_folder(options.path, name)
    readers: dict[str, Reader] = {
        split: partial(_records, folder / file, read) for split, file in files.items() if is_there(folder / file)
    }
    if not readers:
        raise InputError(f"{folder} holds none of the files of {name}: {', '.join(files.values())}.")
    return suite_of(name, {name: readers}, options)


def _records(file: Path, read: Any, task: str) -> list[Record]:
    records = []
    for number, values in enumerate(json_list(file), start=1):
        where = f"{file}, dialogue {number}"
        records += read(fields_of(values, where), where, task)
    return records


def _turns_of_wizard(values: Mapping[str, Any], where: str, task: str) -> list[Record]:
    history: list[Turn] = []
    records = []
    for location, turn in objects_in(values, "dialog", where, "turn"):
        name = text_in(turn, "speaker", location)
        speaker = next((speaker for role, speaker in ROLES.items() if role in name.lower()), None)
        if speaker is None:
            raise InputError(f"{location}: unknown speaker {name!r:.40}; expected a name with Wizard or Apprentice.")
        said = Turn(speaker=speaker, text=text_in(turn, "text", location))
        if speaker == "system":
            example = DialogueExample(
                task=task, history=tuple(history), knowledge=_checked(turn, location), outputs=(said.text,),
                location=location,
            )  # fmt: skip
            records.append(Record(example=example, dialogue=where))
        history.append(said)
    return records


def _checked(turn: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The sentence that the wizard checked."""
    sentences = fields_of(turn.get("checked_sentence", {}), f"{where}, checked_sentence")
    first = next(iter(sentences), NO_PASSAGE)
    return () if sentences.get(first, NO_PASSAGE) == NO_PASSAGE else (text_in(sentences, first, where),)


def _utterances(values: Mapping[str, Any], where: str, task: str) -> list[Record]:
    located = objects_in(values, "utterances", where, "utterance")
    return [edited_record(utterance, location, task, where) for location, utterance in located]


def edited_record(values: Mapping[str, Any], where: str, task: str, dialogue: str) -> Record:
    """A response of FaithDial with the one from before it was edited.

    Raises:
        InputError: a field is missing or malformed.
    """
    original = text_in(values, "original_response", where) if values.get("original_response") is not None else ""
    labels = texts_in(values, "BEGIN", where) if values.get("BEGIN") is not None else ()
    example = DialogueExample(
        task=task, history=alternating(texts_in(values, "history", where)),
        knowledge=(text_in(values, "knowledge", where),), outputs=(text_in(values, "response", where),),
        location=where,
    )  # fmt: skip
    edited = original if original != example.target else ""
    return Record(example=example, dialogue=dialogue, labels=labels, original=edited)


def alternating(texts: Sequence[str]) -> tuple[Turn, ...]:
    """Texts of the user and of the system in turn, the last one of the user."""
    speakers: tuple[Speaker, Speaker] = ("user", "system")
    return tuple(Turn(speaker=speakers[(len(texts) - 1 - n) % 2], text=text) for n, text in enumerate(texts))
