"""The suite messages: chats as JSON lines, {"messages": [{"role": "user", "content": "..."}, ...]}.

Each folder at or below PATH that holds `train`, `dev` or `test` files is a task; so is each file in folders of these
names. Roles are system (the first message only), user and assistant. `knowledge`, a text or a list of texts, may stand
beside the messages. A chat ends with the assistant: messages of the user after its last one are left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from polyray.errors import InputError
from polyray.formats import read_json_lines
from polyray.tasks.dialogue.example import DialogueExample, Speaker, Turn
from polyray.tasks.dialogue.fields import objects_in, text_in, texts_in
from polyray.tasks.dialogue.options import ChatOptions
from polyray.tasks.dialogue.record import Reader, Record
from polyray.tasks.dialogue.suites import suite_of
from polyray.tasks.reading import data_folder
from polyray.tasks.splits import split_files
from polyray.tasks.task import Suite

SUFFIX = ".jsonl"
MESSAGES, INSTRUCTION = "messages", "system"
ROLES: Mapping[str, Speaker] = {"user": "user", "assistant": "system"}


def messages(options: ChatOptions) -> Suite:
    """The tasks at and below the folder `options.path`.

    Raises:
        InputError: a file is missing or malformed; the message names file, line and message.
    """
    folder = data_folder(options.path, "messages")
    files = split_files(folder, (SUFFIX,))
    if not files:
        raise InputError(f"{folder} holds no chats; expected files such as TASK/train{SUFFIX}.")
    each = options.targets == "each"
    sources: dict[str, dict[str, Reader]] = {
        name: {split: partial(_records, file, each) for split, file in splits.items()} for name, splits in files.items()
    }
    return suite_of("messages", sources, options, objective="chat" if options.targets == "all" else "dialogue")


@dataclass(frozen=True, kw_only=True)
class Chat:
    """Messages of a chat: the instruction, empty where there is none, and the turns."""

    instruction: str
    turns: tuple[Turn, ...]

    def answers(self) -> list[int]:
        """Indices of the system's turns."""
        return [index for index, turn in enumerate(self.turns) if turn.speaker == "system"]


def parsed_chat(values: Mapping[str, Any], where: str) -> Chat:
    """The messages in the field `messages`.

    Raises:
        InputError: a role is unknown or not where it may be, or a message has no text.
    """
    instruction, turns = "", list[Turn]()
    for number, (location, message) in enumerate(objects_in(values, MESSAGES, where, "message")):
        role = text_in(message, "role", location)
        if role == INSTRUCTION and number == 0:
            instruction = text_in(message, "content", location)
        elif role == INSTRUCTION:
            raise InputError(f"{location}: the role {INSTRUCTION!r} is for the first message alone.")
        elif role in ROLES:
            turns.append(Turn(speaker=ROLES[role], text=text_in(message, "content", location)))
        else:
            roles = ", ".join(map(repr, (INSTRUCTION, *ROLES)))
            raise InputError(f"{location}: unknown role {role!r:.40}; expected one of {roles}.")
    return Chat(instruction=instruction, turns=tuple(turns))


def snippets(values: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The knowledge in the field `knowledge`, a text or a list of texts; none where it is absent.

    Raises:
        InputError: it is something else.
    """
    knowledge = values.get("knowledge")
    if knowledge is None:
        return ()
    return (
        (text_in(values, "knowledge", where),) if isinstance(knowledge, str) else texts_in(values, "knowledge", where)
    )


def _records(file: Path, each: bool, task: str) -> list[Record]:
    records: list[Record] = []
    for where, values in read_json_lines(file):
        examples = chat_examples(values, where, task, each=each)
        records += [Record(example=example, dialogue=where) for example in examples]
    return records


def chat_examples(values: Mapping[str, Any], where: str, task: str, *, each: bool) -> Sequence[DialogueExample]:
    """The assistant's last message as a response; with `each` one example for each of its messages.

    Raises:
        InputError: the chat is malformed, or the assistant says nothing.
    """
    chat, knowledge = parsed_chat(values, where), snippets(values, where)
    answers = chat.answers()
    if not answers:
        raise InputError(f"{where}: the chat has no message of the role 'assistant', from which something is learned.")

    def examples() -> Iterator[DialogueExample]:
        for index in answers if each else answers[-1:]:
            yield DialogueExample(
                task=task, history=chat.turns[:index], knowledge=knowledge, outputs=(chat.turns[index].text,),
                instruction=chat.instruction, location=where,
            )  # fmt: skip

    return list(examples())
