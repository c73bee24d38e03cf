"""Dialogues as text: turns between markers, or in the chat template of a tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from polyray.backbones import Backbone
from polyray.backbones.text import Text
from polyray.errors import InputError
from polyray.objectives.options import TextOptions
from polyray.tasks import DialogueExample, Task, Turn

USER, SYSTEM, KNOWLEDGE, NEXT_SNIPPET = "<user>", "<system>", "<knowledge_tag>", "<knowledge_sep>"
MARKERS = {"user": USER, "system": SYSTEM}
ROLES = {"user": "user", "system": "assistant"}
PROBE = "Polyray"  # a text that no template changes


@dataclass(frozen=True, kw_only=True)
class Span:
    """Tokens of a dialogue; `learned` where the system wrote them."""

    tokens: tuple[int, ...]
    learned: bool


class Layout(Protocol):
    """A way to write a dialogue as tokens."""

    def read(self, example: DialogueExample) -> list[int]:
        """Tokens of all that stands before the response."""

    def written(self, example: DialogueExample) -> list[int]:
        """Tokens of the response, with its end."""

    def spans(self, example: DialogueExample) -> list[Span]:
        """Tokens of all that stands before the response, the system's turns among them apart."""


def layout_of(backbone: Backbone, task: Task, text: TextOptions) -> Layout:
    """The chat template of a causal backbone's tokenizer, where it has one and `text` does not say else; or markers."""
    if backbone.continues and backbone.text.chats and text.layout == "auto":
        return ChatTemplate(backbone.text, task.prompt)
    return Markers(backbone.text, continues=backbone.continues)


class Markers:
    """Control tokens and instruction, <knowledge_tag> and the snippets, and each turn behind <user> or <system>.

    Daheim et al. 2024 (arXiv:2303.17574), section 4, as in their code. A causal backbone's input ends with <system>.
    """

    def __init__(self, text: Text, *, continues: bool) -> None:
        self._text, self._continues = text, continues

    def read(self, example: DialogueExample) -> list[int]:
        """Tokens of the text, with those that the tokenizer puts around one."""
        turns = [f"{MARKERS[turn.speaker]} {turn.text}" for turn in example.history]
        return self._text.encode(" ".join([*_before(example), *turns, *([SYSTEM] if self._continues else [])]))

    def written(self, example: DialogueExample) -> list[int]:
        """Tokens of the response and an end."""
        return self._text.continuation(example.target)

    def spans(self, example: DialogueExample) -> list[Span]:
        """Tokens up to each <system>, and of each of the system's turns with an end."""
        spans: list[Span] = []
        waiting = _before(example)
        for turn in example.history:
            waiting.append(MARKERS[turn.speaker])
            if turn.speaker == "user":
                waiting.append(turn.text)
                continue
            spans += [
                self._unlearned(waiting, spans),
                Span(tokens=tuple(self._text.continuation(turn.text)), learned=True),
            ]
            waiting = []
        return [*spans, self._unlearned([*waiting, SYSTEM], spans)]

    def _unlearned(self, pieces: Sequence[str], before: Sequence[Span]) -> Span:
        prefix = () if before else self._text.prefix
        return Span(tokens=(*prefix, *self._text.bare(" ".join(pieces))), learned=False)


def _before(example: DialogueExample) -> list[str]:
    """Words before the first turn."""
    snippets = f" {NEXT_SNIPPET} ".join(example.knowledge)
    return [
        *example.control, *([example.instruction] if example.instruction else []),
        *([KNOWLEDGE, snippets] if snippets else []),
    ]  # fmt: skip


class ChatTemplate:
    """Messages in a chat template; that of the role system is control tokens, instruction and knowledge."""

    def __init__(self, text: Text, prompt: str) -> None:
        """Write in the chat template of `text`.

        Args:
            prompt: text of the system's message, with the snippets, a line each, in place of {knowledge}.
        """
        self._text, self._prompt = text, prompt

    def read(self, example: DialogueExample) -> list[int]:
        """Tokens up to where the assistant begins to write."""
        return self._text.bare(self._text.chat(self._messages(example), unanswered=True))

    def written(self, example: DialogueExample) -> list[int]:
        """Tokens of the response and what the template puts behind it; the tokenizer's end, if that is another one."""
        before, behind = self._around
        tokens = self._text.bare(before + example.target.strip() + behind)
        return tokens if tokens[-1:] == [self._text.eos] else [*tokens, self._text.eos]

    def spans(self, example: DialogueExample) -> list[Span]:
        """Tokens up to where the assistant begins to write, and of each of its messages with what ends it."""
        messages, spans, seen = self._messages(example), list[Span](), ""
        first = len(messages) - len(example.history)
        for index, turn in enumerate(example.history):
            if turn.speaker == "system":
                before, answer = self._answer(messages[: first + index], turn.text, example)
                spans += [self._rest(before, seen, example), Span(tokens=tuple(self._text.bare(answer)), learned=True)]
                seen = before + answer
        return [*spans, self._rest(self._text.chat(messages, unanswered=True), seen, example)]

    @cached_property
    def _around(self) -> tuple[str, str]:
        """All that the template puts between its request to answer and an answer, and behind that."""
        probe = DialogueExample(
            task="",
            history=(Turn(speaker="user", text=PROBE),),
            knowledge=(),
            outputs=(),
            location="a chat of one turn",
        )
        answer = self._answer(self._messages(probe), PROBE, probe)[1]
        before, _, behind = answer.rpartition(PROBE)
        return before, behind

    def _messages(self, example: DialogueExample) -> list[dict[str, str]]:
        knowledge = self._prompt.replace("{knowledge}", "\n".join(example.knowledge)) if example.knowledge else ""
        system = "\n".join(filter(None, [" ".join(example.control), example.instruction, knowledge]))
        turns = [{"role": ROLES[turn.speaker], "content": turn.text} for turn in example.history]
        return [*([{"role": "system", "content": system}] if system else []), *turns]

    def _answer(self, messages: Sequence[dict[str, str]], text: str, example: DialogueExample) -> tuple[str, str]:
        """All that stands before an answer to the messages, and the answer with what ends it."""
        before = self._text.chat(messages, unanswered=True)
        whole = self._text.chat([*messages, {"role": "assistant", "content": text}], unanswered=False)
        _check_grown(before, whole, example)
        return before, whole[len(before) :].rstrip()

    def _rest(self, before: str, seen: str, example: DialogueExample) -> Span:
        _check_grown(seen, before, example)
        return Span(tokens=tuple(self._text.bare(before[len(seen) :])), learned=False)


def _check_grown(beginning: str, text: str, example: DialogueExample) -> None:
    """Refuse a template that writes the beginning of a chat otherwise once the chat goes on.

    Raises:
        InputError: it does.
    """
    if not text.startswith(beginning):
        raise InputError(
            f"{example.location}: the chat template of the backbone's tokenizer writes earlier messages otherwise once "
            "others follow, so that answers cannot be told apart. Learn from one at a time (tasks.targets=each), or "
            "set text.layout=markers."
        )
