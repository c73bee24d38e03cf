"""Inputs of predictions as dialogues that wait for a response."""

from polyray.errors import InputError
from polyray.objectives.questions import INPUT, Question, unicode
from polyray.tasks import DialogueExample, Task, Turn
from polyray.tasks.dialogue.fields import objects_in, text_in, texts_in
from polyray.tasks.dialogue.messages import MESSAGES, parsed_chat, snippets

HISTORY, SPEAKERS = "history", ("user", "system")


def asked(task: Task, question: Question) -> DialogueExample:
    """The dialogue in the fields `messages`, `history` or `input`, with `knowledge`, a text or a list of texts.

    `input` is the user's only turn. `history` lists turns as {"speaker": "user", "text": ...}, as files of predictions
    do. Control tokens are those of `task`, unless the field `control` lists some.

    Raises:
        InputError: there is no dialogue, or a field is malformed.
    """
    fields, where = question.fields, question.where
    instruction = ""
    if MESSAGES in fields:
        chat = parsed_chat(fields, where)
        instruction, turns = chat.instruction, chat.turns
    elif HISTORY in fields:
        turns = tuple(_turns(question))
    elif INPUT in fields:
        turns = (Turn(speaker="user", text=question.text(INPUT)),)
    else:
        raise InputError(
            f"{where}: expected one of the fields {MESSAGES}, {HISTORY}, {INPUT}; found {', '.join(fields)}."
        )
    knowledge = snippets(fields, where)
    for text in (instruction, *knowledge, *(turn.text for turn in turns)):
        unicode(text, where)
    control = texts_in(fields, "control", where) if "control" in fields else task.control
    return DialogueExample(
        task=task.name, history=turns, knowledge=knowledge, outputs=(), control=control, instruction=instruction,
        location=where,
    )  # fmt: skip


def _turns(question: Question) -> list[Turn]:
    turns = []
    for where, fields in objects_in(question.fields, HISTORY, question.where, "turn"):
        speaker = fields.get("speaker")
        if speaker not in SPEAKERS:
            raise InputError(f"{where}: unknown speaker {speaker!r:.40}; expected {' or '.join(map(repr, SPEAKERS))}.")
        turns.append(Turn(speaker=speaker, text=text_in(fields, "text", where)))
    return turns
