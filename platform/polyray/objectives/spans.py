"""Extractive question answering: an encoder reads a question with a text and marks the answer's ends in the text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyray.backbones import Backbone
from polyray.backbones.backbone import device_of
from polyray.errors import InputError
from polyray.objectives.labels import LinearHead
from polyray.objectives.lengths import TooLong, first_tokens, longest_input
from polyray.objectives.losses import IGNORED
from polyray.objectives.objective import Network, TensorBatch, in_batches
from polyray.objectives.options import EvaluationOptions, TextOptions
from polyray.objectives.pairs import PairRow, padded_pairs, read_pairs
from polyray.objectives.questions import Question, texts_of
from polyray.objectives.windows import draw, windows
from polyray.tasks import ContextQuestion, Task


@dataclass(frozen=True, kw_only=True)
class SpanRow(PairRow):
    """A question with one window of its context, as token numbers; the other windows stand beside.

    letters: first letter and end of each token of the window in the context. ends: indices of the answer's first and
    last token in `input`; those of the special token `nowhere` where the window lacks it, IGNORED where it is to be
    predicted. others: the rows of the context's other windows, in order.
    """

    example: ContextQuestion
    letters: tuple[tuple[int, int], ...]
    ends: tuple[int, int]
    nowhere: int
    cut: bool
    others: "tuple[SpanRow, ...]" = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class SpanBatch(TensorBatch):
    """Questions with windows as tensors.

    tokens, mask, segments: [B, T]. allowed: [B, T], tokens of the context, and the one that stands for no answer here.
    ends: [B, 2], as `SpanRow.ends`.
    """

    tokens: Tensor
    mask: Tensor
    segments: Tensor | None
    allowed: Tensor
    ends: Tensor


class Spans:
    """An encoder reads a question and its context, a linear head marks the answer's ends: cross-entropy of both.

    A long context is read in windows that share `text.stride` tokens. Training takes one of them at a time, drawn anew;
    predictions take the likeliest span of all. Devlin et al. 2019 (arXiv:1810.04805), section 4.2.
    """

    name, predicts, otherwise = "spans", "spans", ""
    stacks = False
    needs = "an encoder"

    def fits(self, backbone: Backbone) -> bool:
        """Whether the backbone reads both ways."""
        return backbone.reads_both_ways

    def encode(
        self, backbone: Backbone, tasks: Mapping[str, Task], examples: Sequence[ContextQuestion], text: TextOptions
    ) -> list[SpanRow]:
        """Each question with all windows of its context; the row is of the window that holds the answer.

        Raises:
            InputError: a question is too long, or an answer has no token.
        """
        too_long = TooLong(backbone, text)
        rows = [_row(backbone, example, text, too_long) for example in examples]
        too_long.check(len(examples))
        return rows

    def ask(self, backbone: Backbone, task: Task, questions: Sequence[Question], text: TextOptions) -> list[SpanRow]:
        """Questions and contexts, the fields that the task's prompt names in this order, without answers.

        Raises:
            InputError: a question is too long, or lacks its context.
        """
        examples = []
        for question in questions:
            asked, context = texts_of(task, question)
            examples.append(
                ContextQuestion(
                    task=task.name, id=question.where, question=asked, context=context, answers=(), starts=()
                )
            )
        return self.encode(backbone, {task.name: task}, examples, text)

    def collate(
        self, backbone: Backbone, rows: Sequence[SpanRow], generator: torch.Generator | None = None
    ) -> SpanBatch:
        """Questions with a window each, drawn by `generator`; without one, that which holds the answer."""
        chosen = [draw((row, *row.others), generator) for row in rows]
        tokens = padded_pairs(backbone, chosen)
        allowed = torch.zeros_like(tokens.ids, dtype=torch.bool)
        for index, row in enumerate(chosen):
            allowed[index, row.second : row.second + len(row.letters)] = True
            allowed[index, row.nowhere] = True
        ends = torch.tensor([row.ends for row in chosen])
        return SpanBatch(
            objective=self.name, tasks=tuple(row.example.task for row in rows), counts=(ends != IGNORED).all(1),
            n_tokens=sum(row.n_read for row in chosen), tokens=tokens.ids, mask=tokens.mask,
            segments=tokens.segments, allowed=allowed, ends=ends,
        )  # fmt: skip

    def loss(self, network: Network, batch: SpanBatch) -> Tensor:
        """[B], mean of the cross-entropies of the answer's first and of its last token."""
        scores = self._scores(network, batch).flatten(0, 1)  # [B * 2, T]
        losses = functional.cross_entropy(scores, batch.ends.flatten(), ignore_index=IGNORED, reduction="none")
        return losses.view(-1, 2).mean(1)

    def _scores(self, network: Network, batch: SpanBatch) -> Tensor:
        """[B, 2, T], scores of the answer's first and last token; -inf where it cannot be."""
        if self.name not in network.heads:
            raise InputError("These skills have no head that finds answers: they were trained on other tasks.")
        hidden = read_pairs(network.backbone, batch.tokens, batch.mask, batch.segments)
        scores: Tensor = network.heads[self.name](hidden).float().transpose(1, 2)
        return scores.masked_fill(~batch.allowed.unsqueeze(1), float("-inf"))

    def predict(
        self, network: Network, rows: Sequence[SpanRow], options: EvaluationOptions, max_output: int
    ) -> list[str]:
        """The text of each context's likeliest span of at most `max_output` tokens, over all its windows.

        Raises:
            InputError: the network has no head that finds answers.
        """
        device = device_of(network.backbone.network)
        pieces = [(index, piece) for index, row in enumerate(rows) for piece in (replace(row, others=()), *row.others)]

        def find(chosen: list[SpanRow]) -> list[tuple[float, str]]:
            batch = self.collate(network.backbone, chosen).to(device)
            scores = self._scores(network, batch).log_softmax(-1).cpu()
            return [_best(row, scores[index], max_output) for index, row in enumerate(chosen)]

        best: list[tuple[float, str]] = [(float("-inf"), "")] * len(rows)
        spans = in_batches(network, [piece for _, piece in pieces], options.batch, find)
        for (index, _), span in zip(pieces, spans, strict=True):
            if span[0] > best[index][0]:
                best[index] = span
        return [text for _, text in best]

    def answer(
        self, network: Network, rows: Sequence[SpanRow], options: EvaluationOptions, max_output: int
    ) -> list[str]:
        """The predictions."""
        return self.predict(network, rows, options, max_output)

    def head_key(self, task: Task) -> str:
        """One head for all tasks."""
        return self.name

    def head(self, backbone: Backbone, key: str, generator: torch.Generator) -> nn.Module:
        """A linear layer from the network's output to the scores of both ends."""
        return LinearHead(backbone.width, 2, 0.0, generator)


def _row(backbone: Backbone, example: ContextQuestion, text: TextOptions, too_long: TooLong) -> SpanRow:
    """The row of the window that holds the answer, with the other ones beside."""
    limit, around = longest_input(backbone, text), backbone.text
    special = len(around.prefix) + len(around.between) + len(around.suffix)
    question = around.bare(example.question)
    longest = max(1, (limit - special) // 2)  # the context has at least as much room
    cut = len(question) > longest
    if cut:
        too_long.add(example.task, special + 2 * len(question))
    start = (*around.prefix, *first_tokens(question, longest), *around.between)
    ids, letters = around.with_letters(example.context)
    answer = _tokens_of(example, letters)
    room = max(1, limit - len(start) - len(around.suffix))
    rows = []
    for first, end in windows(len(ids), room, min(text.stride, room // 2)):
        tokens = (*start, *ids[first:end], *around.suffix)
        nowhere = 0 if around.prefix else len(tokens) - 1
        ends = (IGNORED, IGNORED) if answer is None else (nowhere, nowhere)
        if answer is not None and first <= answer[0] and answer[1] < end:
            ends = (answer[0] - first + len(start), answer[1] - first + len(start))
        rows.append(
            SpanRow(
                example=example, input=tokens, second=len(start), letters=tuple(letters[first:end]), ends=ends,
                nowhere=nowhere, cut=cut,
            )
        )  # fmt: skip
    holder = next((row for row in rows if row.ends[0] != row.nowhere), rows[0])
    return replace(holder, others=tuple(row for row in rows if row is not holder))


def _tokens_of(example: ContextQuestion, letters: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """First and last token of the first answer; None where it is to be predicted.

    Raises:
        InputError: no token holds a letter of it.
    """
    if not example.answers:
        return None
    first, end = example.starts[0], example.starts[0] + len(example.answers[0])
    tokens = [index for index, (start, stop) in enumerate(letters) if start < end and stop > first]
    if not tokens:
        raise InputError(f"Task {example.task!r}, {example.id}: the answer {example.answers[0]!r:.80} has no token.")
    return tokens[0], tokens[-1]


def _best(row: SpanRow, scores: Tensor, max_output: int) -> tuple[float, str]:
    """Score and text of the best span in a window: scores [2, T]."""
    n = len(row.letters)
    if not n:  # a context without a single token
        return float("-inf"), ""
    start, end = scores[:, row.second : row.second + n]
    spans = start.unsqueeze(1) + end.unsqueeze(0)  # [first, last]
    lengths = torch.arange(n).unsqueeze(0) - torch.arange(n).unsqueeze(1)
    spans = spans.masked_fill((lengths < 0) | (lengths >= max_output), float("-inf"))
    first, last = divmod(int(spans.argmax()), n)
    return float(spans[first, last]), row.example.context[row.letters[first][0] : row.letters[last][1]].strip()
