"""Sequence tagging: an encoder reads a sentence, and a head gives each word a tag."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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
from polyray.objectives.words import WordTokens, read_words
from polyray.tasks import TaggedWords, Task

OUTSIDE = "O"  # predicted for words that were cut off


@dataclass(frozen=True, kw_only=True)
class TagRow(InputRow):
    """One sentence as token numbers.

    first: the index of each word's first token, of the words that are read. labels: the numbers of their tags.
    key: of the head; tags: those that it tells apart.
    """

    example: TaggedWords
    first: tuple[int, ...]
    labels: tuple[int, ...]
    key: str
    tags: tuple[str, ...]

    @property
    def cut(self) -> bool:
        """Whether words at the end are not read."""
        return len(self.first) < len(self.example.words)


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
    """An encoder reads a sentence, a linear head tags the first token of each word: cross-entropy of the tags."""

    name, predicts, otherwise = "tagging", "tags", ""
    stacks = False
    needs = "an encoder"

    def fits(self, backbone: Backbone) -> bool:
        """Whether the backbone reads both ways."""
        return backbone.reads_both_ways

    def encode(
        self, backbone: Backbone, tasks: Mapping[str, Task], examples: Sequence[TaggedWords], text: TextOptions
    ) -> list[TagRow]:
        """Each sentence as the tokens of its words; of a sentence that is too long, the first words.

        Raises:
            InputError: a sentence is too long.
        """
        limit = longest_input(backbone, text)
        too_long = TooLong(backbone, text)
        keys = {example.task: self.head_key(tasks[example.task]) for example in examples}
        rows = []
        for example in examples:
            tokens = read_words(backbone, example.words, limit)
            row = _row(example, tokens, keys[example.task], tasks[example.task].labels or ())
            rows.append(row)
            if row.cut:
                too_long.add(example.task, tokens.full)
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
        """Sentences side by side; each weighs as much as it has words."""
        tokens = padded([row.input for row in rows], backbone.text.pad)
        labels = torch.full_like(tokens.ids, IGNORED)
        for index, row in enumerate(rows):
            if row.labels:  # none where they are to be predicted
                labels[index, list(row.first)] = torch.tensor(row.labels, dtype=torch.long)
        n_words = (labels != IGNORED).sum(1)
        return TagBatch(
            objective=self.name, tasks=tuple(row.example.task for row in rows),
            counts=n_words, n_tokens=sum(row.n_read for row in rows), tokens=tokens.ids,
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
            return [_tags(row, best[index]) for index, row in enumerate(chosen)]

        return in_batches(network, rows, options.batch, tag)

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


def _row(example: TaggedWords, tokens: WordTokens, key: str, tags: tuple[str, ...]) -> TagRow:
    labels = label_numbers(example.task, example.tags, tags)[: len(tokens.first)]
    return TagRow(example=example, input=tokens.ids, first=tokens.first, labels=labels, key=key, tags=tags)


def _tags(row: TagRow, best: Sequence[int]) -> tuple[str, ...]:
    read = [row.tags[best[index]] for index in row.first]
    return (*read, *[OUTSIDE] * (len(row.example.words) - len(read)))
