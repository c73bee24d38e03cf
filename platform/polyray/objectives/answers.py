"""Written answers: the network reads an input and writes the answer, or scores given answers by their likelihood."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from polyray.backbones import Backbone
from polyray.backbones.backbone import device_of
from polyray.backbones.text import Tokens, padded
from polyray.decoding.generation import Processor, continuations, drawing, inputs_of
from polyray.errors import InputError
from polyray.objectives.lengths import TooLong, first_tokens, longest_input
from polyray.objectives.losses import IGNORED, mean_cross_entropy
from polyray.objectives.objective import InputRow, Network, TensorBatch, in_batches
from polyray.objectives.options import EvaluationOptions, TextOptions
from polyray.objectives.questions import Question, unanswered
from polyray.tasks import Task, TextAnswers


@dataclass(frozen=True, kw_only=True)
class WrittenRow(InputRow):
    """Base of rows with a text that the network writes.

    output: its tokens. learned: positions in the input of tokens that are learned too, where the output continues it.
    """

    output: tuple[int, ...]
    learned: tuple[int, ...] = ()

    @property
    def n_read(self) -> int:
        """Tokens of the input but for those that are learned."""
        return len(self.input) - len(self.learned)

    @property
    def n_written(self) -> int:
        """Tokens that are learned."""
        return len(self.output) + len(self.learned)

    @property
    def labels(self) -> list[int]:
        """For each token of input and output the one behind it, IGNORED where that is not learned."""
        labels = [*[IGNORED] * len(self.input), *self.output, IGNORED]
        for position in self.learned:
            labels[position] = self.input[position]
        return labels[1:]


@dataclass(frozen=True, kw_only=True)
class AnswerRow(WrittenRow):
    """One example as token numbers: the input, the target, and the candidates among which it may be ranked."""

    example: TextAnswers
    candidates: tuple[str, ...]
    cut: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class AnswerBatch(TensorBatch):
    """Inputs and targets as tensors.

    tokens, mask: [B, T]. labels: [B, L], at each position the token that the network writes next, IGNORED elsewhere.
    decoder_tokens: [B, L], the decoder's inputs; None where the answer continues the input (L = T).
    """

    tokens: Tensor
    mask: Tensor
    labels: Tensor
    decoder_tokens: Tensor | None


class Answers:
    """An input text is read, an answer written: cross-entropy of its tokens."""

    name, predicts, otherwise = "answers", "answers", "choices"
    stacks = True
    needs = "a backbone that writes (seq2seq or causal)"

    def fits(self, backbone: Backbone) -> bool:
        """Whether the backbone writes."""
        return backbone.writes

    def encode(
        self, backbone: Backbone, tasks: Mapping[str, Task], examples: Sequence[TextAnswers], text: TextOptions
    ) -> list[AnswerRow]:
        """Each example as the tokens of its input and of its first answer.

        Raises:
            InputError: a text is too long.
        """
        limit, longest_output = longest_input(backbone, text), backbone.output_limit(text.max_output)
        lengths: dict[str, int] = {}  # of candidates
        too_long = TooLong(backbone, text, writes=True)
        rows = []
        for example in examples:
            read, written = backbone.text.encode(example.input), backbone.text.continuation(example.target)
            candidates = tasks[example.task].candidates(example)
            lengths |= {x: len(backbone.text.continuation(x)) for x in candidates if x not in lengths}
            room = backbone.answer_room(min(len(read), limit))
            longest = max((lengths[x] for x in candidates), default=0)
            cut = len(read) > limit or len(written) > longest_output or (room is not None and longest > room)
            if cut:
                too_long.add(example.task, max(len(read), len(written), longest))
                read = read[-limit:] if backbone.continues else first_tokens(read, limit)
                written = first_tokens(written, longest_output)
            rows.append(
                AnswerRow(example=example, input=tuple(read), output=tuple(written), candidates=candidates, cut=cut)
            )
        too_long.check(len(examples))
        return rows

    def ask(self, backbone: Backbone, task: Task, questions: Sequence[Question], text: TextOptions) -> list[AnswerRow]:
        """Inputs in the task's prompt, without an answer.

        Raises:
            InputError: a text is too long, or a question does not fit the prompt.
        """
        return self.encode(backbone, {task.name: task}, [unanswered(task, question) for question in questions], text)

    def collate(
        self, backbone: Backbone, rows: Sequence[AnswerRow], generator: torch.Generator | None = None
    ) -> AnswerBatch:
        """Inputs and targets side by side, or one behind the other where an answer continues the input."""
        return AnswerBatch(**answer_fields(self.name, backbone, rows, [row.example.task for row in rows]))

    def loss(self, network: Network, batch: AnswerBatch) -> Tensor:
        """[B], mean cross-entropy of each answer's tokens."""
        return mean_cross_entropy(self.logits(network, batch), batch.labels)

    def logits(self, network: Network, batch: AnswerBatch) -> Tensor:
        """[B, L, V], scores of the token that the network writes next, at each position."""
        decoder = {} if batch.decoder_tokens is None else {"decoder_input_ids": batch.decoder_tokens}
        output = network.backbone.model(input_ids=batch.tokens, attention_mask=batch.mask, use_cache=False, **decoder)
        logits: Tensor = output.logits
        return logits

    def predict(
        self, network: Network, rows: Sequence[AnswerRow], options: EvaluationOptions, max_output: int
    ) -> list[str]:
        """The written answers, or with `options.method` rank the likeliest candidates.

        Raises:
            InputError: answers are to be ranked, and a row has none to choose among.
        """
        if options.method == "rank":
            return self.rank(network, rows, options.batch)
        with drawing(options, device_of(network.backbone.network)):
            return in_batches(network, rows, options.batch, lambda batch: written(network, batch, options, max_output))

    def rank(self, network: Network, rows: Sequence[AnswerRow], size: int) -> list[str]:
        """The likeliest of each row's candidates, by `candidate_scores`.

        Raises:
            InputError: a row has no candidates.
        """
        scores = self.candidate_scores(network, rows, size)
        return [row.candidates[values.index(max(values))] for row, values in zip(rows, scores, strict=True)]

    def candidate_scores(self, network: Network, rows: Sequence[AnswerRow], size: int) -> list[list[float]]:
        """For each row the mean log-likelihood per token of each of its candidates; `size` of them at once.

        Of a candidate that is longer than the backbone has room for, the first tokens count.

        Raises:
            InputError: a row has no candidates.
        """
        open_ended = [row.example.task for row in rows if not row.candidates]
        if open_ended:
            raise InputError(
                f"Task {open_ended[0]!r} has no closed set of answers to rank: use evaluation.method=generate."
            )
        tokens = {text: tuple(network.backbone.text.continuation(text)) for row in rows for text in row.candidates}
        rooms = [network.backbone.answer_room(row.n_read) for row in rows]
        answered = [
            replace(row, output=tokens[text] if room is None else tuple(first_tokens(tokens[text], room)))
            for row, room in zip(rows, rooms, strict=True)
            for text in row.candidates
        ]
        device = device_of(network.backbone.network)

        def losses(batch: list[AnswerRow]) -> list[float]:
            values: list[float] = self.loss(network, self.collate(network.backbone, batch).to(device)).tolist()
            return values

        values = iter(in_batches(network, answered, size, losses))
        return [[-next(values) for _ in row.candidates] for row in rows]

    def answer(
        self, network: Network, rows: Sequence[AnswerRow], options: EvaluationOptions, max_output: int
    ) -> list[str]:
        """The predictions."""
        return self.predict(network, rows, options, max_output)

    def head_key(self, task: Task) -> str:
        """No head: the backbone's own writes."""
        return ""

    def head(self, backbone: Backbone, key: str, generator: torch.Generator) -> None:
        """None."""


def answer_fields(
    objective: str, backbone: Backbone, rows: Sequence[WrittenRow], tasks: Sequence[str]
) -> dict[str, Any]:
    """The fields of an `AnswerBatch` of rows, by name; tasks: of each row."""
    read = [(*row.input, *row.output) if backbone.continues else row.input for row in rows]
    tokens = padded(read, backbone.text.pad)
    decoder_tokens = None
    if backbone.continues:
        labels = padded([row.labels for row in rows], IGNORED).ids
    else:
        written = padded([row.output for row in rows], 0)
        labels = written.ids.masked_fill(written.mask == 0, IGNORED)
        decoder_tokens = backbone.decoder_tokens(labels)
    return {
        "objective": objective, "tasks": tuple(tasks), "counts": torch.tensor([row.n_written for row in rows]),
        "n_tokens": sum(row.n_read + row.n_written for row in rows), "tokens": tokens.ids, "mask": tokens.mask,
        "labels": labels, "decoder_tokens": decoder_tokens,
    }  # fmt: skip


def written(
    network: Network, rows: Sequence[InputRow], options: EvaluationOptions, max_output: int,
    processors: Callable[[Tokens], Sequence[Processor]] = lambda inputs: (),
) -> list[str]:  # fmt: skip
    """The answers that the network writes to a batch of rows whose mix is in force.

    Args:
        processors: from the inputs, what changes the scores of the next token.
    """
    backbone = network.backbone
    limits = [backbone.output_limit(min(row.limit or max_output, max_output)) for row in rows]
    inputs = inputs_of(backbone, [row.input for row in rows])
    answers = continuations(backbone, inputs, options, max(limits), processors=processors(inputs))
    return [backbone.text.decode(best.tokens[:limit]) for (best,), limit in zip(answers, limits, strict=True)]
