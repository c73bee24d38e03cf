"""Dialogues that fit into limits: the newest turns, whole, and the beginning of the knowledge."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from polyray.backbones.text import Text
from polyray.errors import InputError
from polyray.objectives.options import TextOptions
from polyray.objectives.turns import Span
from polyray.tasks import DialogueExample, Turn

Spans = Callable[[DialogueExample], Sequence[Span]]


def n_tokens(spans: Sequence[Span]) -> int:
    """Tokens of all spans."""
    return sum(len(span.tokens) for span in spans)


class Fitting:
    """Shortens dialogues; it remembers the lengths of texts, as those of one dialogue share their turns.

    Daheim et al. 2024 (arXiv:2303.17574), as in their code: whole turns, knowledge cut on the right.
    """

    def __init__(self, text: Text, options: TextOptions, limit: int) -> None:
        """Shorten to the lengths in `options`.

        Args:
            limit: tokens of an input at most, all together.
        """
        self._text, self._options, self._limit = text, options, limit
        self._lengths: dict[str, int] = {}

    def within(self, example: DialogueExample) -> DialogueExample:
        """The example with as many turns and as much knowledge as max_history and max_knowledge allow."""
        options = self._options
        history, knowledge = example.history, example.knowledge
        if options.max_history:
            history = self._newest(history, options.max_history)
        if options.max_knowledge:
            knowledge = self._first(knowledge, options.max_knowledge)
        return replace(example, history=history, knowledge=knowledge)

    def shortened(self, example: DialogueExample, spans: Spans) -> DialogueExample:
        """The example with so few turns, and then so little knowledge, that its input fits.

        Args:
            spans: of the input of an example.

        Raises:
            InputError: even the last token of its newest turn without knowledge does not fit.
        """
        while (excess := n_tokens(spans(example)) - self._limit) > 0:
            n_history = sum(map(self._length, [turn.text for turn in example.history]))
            n_knowledge = sum(map(self._length, example.knowledge))
            if len(example.history) > 1:
                room = max(self._length(example.history[-1].text), n_history - excess)
                example = replace(example, history=self._newest(example.history, room))
            elif n_knowledge:
                example = replace(example, knowledge=self._first(example.knowledge, n_knowledge - excess))
            elif n_history > 1:
                example = replace(example, history=self._newest(example.history, max(1, n_history - excess)))
            else:
                raise InputError(
                    f"{example.location}: {self._limit} tokens are too few for an input. Raise text.max_input."
                )
        return example

    def _length(self, text: str) -> int:
        if text not in self._lengths:
            self._lengths[text] = len(self._text.bare(text))
        return self._lengths[text]

    def _newest(self, turns: Sequence[Turn], limit: int) -> tuple[Turn, ...]:
        """The newest turns with at most `limit` tokens together; of a newest one that has more, its last tokens."""
        n_tokens = 0
        for index in reversed(range(len(turns))):
            n_tokens += self._length(turns[index].text)
            if n_tokens > limit:
                newest = tuple(turns[index + 1 :])
                return newest or (replace(turns[-1], text=self._last_tokens(turns[-1].text, limit)),)
        return tuple(turns)

    def _first(self, snippets: Sequence[str], limit: int) -> tuple[str, ...]:
        """The first snippets that together have at most `limit` tokens; of the next one what still fits."""
        room, first = limit, list[str]()
        for snippet in snippets:
            if room <= 0:
                break
            length = self._length(snippet)
            first.append(snippet if length <= room else self._first_tokens(snippet, room))
            room -= length
        return tuple(filter(str.strip, first))

    def _first_tokens(self, text: str, limit: int) -> str:
        return text[: self._text.with_letters(text)[1][limit - 1][1]].rstrip()

    def _last_tokens(self, text: str, limit: int) -> str:
        return text[self._text.with_letters(text)[1][-limit][0] :].lstrip()
