"""Sequence tagging: an encoder reads a sentence, and a head gives each word a tag."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from polyray.backbones import Backbone
from polyray.backbones.backbone import device_of
from polyray.backbones.text import padded
from polyray.objectives.labels import LinearHead, head_key, label_numbers, labels_of, rows_by_head
from polyray.objectives.lengths import TooLong, longest_input
from polyray.objectives.losses import IGNORED, mean_cross_entropy
from polyray.objectives.objective import InputRow, Network, TensorBatch, in_batches
from polyray.objectives.options import EvaluationOptions, TextOptions
from polyray.objectives.questions import Question, words_of
from polyray.objectives.windows import draw
from polyray.objectives.words import WordTokens, read_pieces
from polyray.tasks import TaggedWords, Task

OUTSIDE = "O"  # predicted for words that were cut off


@dataclass(frozen=True, kw_only=True)
class TagRow(InputRow):
    """One sentence as token numbers, or the first piece of a long one.

    first: the index of each word's first token, of the words that are read. labels: the numbers of their tags.
    key: of the head; tags: those that it tells apart. others: the rows of the sentence's other pieces, in order.
    """

    example: TaggedWords
    first: tuple[int, ...]
    labels: tuple[int, ...]
    key: str
    tags: tuple[str, ...]
    others: "tuple[TagRow, ...]" = ()

    @property
    def cut(self) -> bool:
        """Whether words at the end are not read."""
        return sum(len(row.first) for row in (self, *self.others)) < len(self.example.words)


@dataclass(frozen=True, eq=False, kw_only=True)
class TagBatch(TensorBatch):
    """Sentences as tensors.

    tokens, mask: [B, T]. labels: [B, T], the tag of a word at its first token, IGNORED elsewhere. keys: of each
    sentence's head.
    """

    tokens: Tensor
    mask: Tensor
    labels: Tensor
    keys: tuple[str, ...]


class Tagging:
    """An encoder reads a sentence, a linear head tags the first token of each word: cross-entropy of the tags.

    With text.too_long=split a long sentence is read in pieces of whole words. Training takes one of them at a time,
    drawn anew; predictions are of all.
    """

    name, predicts, otherwise = "tagging", "tags", ""
    stacks = False
    needs = "an encoder"

    def fits(self, backbone: Backbone) -> bool:
        """Whether the backbone reads both ways."""
        return backbone.reads_both_ways

    def encode(
        self, backbone: Backbone, tasks: Mapping[str, Task], examples: Sequence[TaggedWords], text: TextOptions
    ) -> list[TagRow]:
        """Each sentence as the tokens of its words; of a sentence that is too long, pieces or the first words.

        Raises:
            InputError: a sentence is too long.
        """
        limit = longest_input(backbone, text)
        too_long = TooLong(backbone, text, splits=True)
        keys = {example.task: self.head_key(tasks[example.task]) for example in examples}
        rows = []
        for example in examples:
            tags = tasks[example.task].labels or ()
            pieces = read_pieces(backbone, example.words, limit, most=0 if text.too_long == "split" else 1)
            row = _row(example, pieces, keys[example.task], tags)
            rows.append(row)
            if row.cut:
                too_long.add(example.task, pieces[0].full)
        too_long.check(len(examples))
        return rows

    def ask(self, backbone: Backbone, task: Task, questions: Sequence[Question], text: TextOptions) -> list[TagRow]:
        """Sentences without tags: the field `words`, or `input` split at its blanks.

        Raises:
            InputError: a sentence is too long, or a question holds none.
        """
        examples = [TaggedWords(task=task.name, words=words_of(question), tags=()) for question in questions]
        return self.encode(backbone, {task.name: task}, examples, text)

    def collate(self, backbone: Backbone, rows: Sequence[TagRow], generator: torch.Generator | None = None) -> TagBatch:
        """Sentences side by side; each weighs as much as it has words.

        Of a sentence in pieces one is taken, drawn by `generator`; without one, the first.
        """
        chosen = [draw((row, *row.others), generator) for row in rows]
        tokens = padded([row.input for row in chosen], backbone.text.pad)
        labels = torch.full_like(tokens.ids, IGNORED)
        for index, row in enumerate(chosen):
            if row.labels:  # none where they are to be predicted
                labels[index, list(row.first)] = torch.tensor(row.labels, dtype=torch.long)
        n_words = (labels != IGNORED).sum(1)
        return TagBatch(
            objective=self.name, tasks=tuple(row.example.task for row in rows),
            counts=n_words, n_tokens=sum(row.n_read for row in chosen), tokens=tokens.ids,
            mask=tokens.mask, labels=labels, keys=tuple(row.key for row in rows),
        )  # fmt: skip

    def loss(self, network: Network, batch: TagBatch) -> Tensor:
        """[B], mean cross-entropy of each sentence's tags."""
        losses = torch.zeros(len(batch.keys), device=batch.tokens.device)
        for rows, logits in self._logits(network, batch):
            losses[rows] = mean_cross_entropy(logits, batch.labels[rows])
        return losses

    def _logits(self, network: Network, batch: TagBatch) -> Iterator[tuple[list[int], Tensor]]:
        """For each head the rows that use it, and their logits [rows, T, tags]."""
        hidden = network.backbone.model(input_ids=batch.tokens, attention_mask=batch.mask).last_hidden_state
        for rows, head in rows_by_head(network, batch.keys):
            yield rows, head(hidden[rows])

    def predict(
        self, network: Network, rows: Sequence[TagRow], options: EvaluationOptions, max_output: int
    ) -> list[tuple[str, ...]]:
        """The likeliest tag of each word; words that were cut off are outside.

        Raises:
            InputError: the network has no head for some of the tags.
        """
        device = device_of(network.backbone.network)

        def tag(chosen: list[TagRow]) -> list[tuple[str, ...]]:
            batch = self.collate(network.backbone, chosen).to(device)
            best: dict[int, list[int]] = {}
            for indices, logits in self._logits(network, batch):
                best.update(zip(indices, logits.argmax(-1).tolist(), strict=True))
            return [tuple(row.tags[best[index][token]] for token in row.first) for index, row in enumerate(chosen)]

        pieces = [(index, piece) for index, row in enumerate(rows) for piece in (replace(row, others=()), *row.others)]
        tags: list[tuple[str, ...]] = [()] * len(rows)
        read = in_batches(network, [piece for _, piece in pieces], options.batch, tag)
        for (index, _), of_piece in zip(pieces, read, strict=True):
            tags[index] += of_piece
        lengths = [len(row.example.words) for row in rows]
        return [(*of_row, *[OUTSIDE] * (n - len(of_row))) for of_row, n in zip(tags, lengths, strict=True)]

    def answer(
        self, network: Network, rows: Sequence[TagRow], options: EvaluationOptions, max_output: int
    ) -> list[list[str]]:
        """The tags of each sentence's words."""
        return [list(tags) for tags in self.predict(network, rows, options, max_output)]

    def head_key(self, task: Task) -> str:
        """The objective's name and the tags: tasks with equal tags, of other languages for example, share a head.

        Raises:
            InputError: the task has no tags.
        """
        return head_key(self.name, task)

    def head(self, backbone: Backbone, key: str, generator: torch.Generator) -> nn.Module:
        """A linear layer from the network's output to the tags, with the dropout that the network itself has."""
        return LinearHead(backbone.width, len(labels_of(key)), backbone.dropout, generator)


def _row(example: TaggedWords, pieces: Sequence[WordTokens], key: str, tags: tuple[str, ...]) -> TagRow:
    labels = label_numbers(example.task, example.tags, tags)
    rows, start = [], 0
    for piece in pieces:
        end = start + len(piece.first)
        rows.append(
            TagRow(example=example, input=piece.ids, first=piece.first, labels=labels[start:end], key=key, tags=tags)
        )
        start = end
    return replace(rows[0], others=tuple(rows[1:]))
