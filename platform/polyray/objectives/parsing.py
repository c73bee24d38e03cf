"""Dependency parsing: an encoder reads a sentence, and a biaffine head gives each word its head and relation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from polyray.backbones import Backbone
from polyray.backbones.backbone import device_of
from polyray.backbones.text import padded
from polyray.objectives.labels import head_key, label_numbers, labels_of, rows_by_head
from polyray.objectives.lengths import TooLong, longest_input
from polyray.objectives.losses import IGNORED, mean_cross_entropy
from polyray.objectives.objective import InputRow, Network, TensorBatch, in_batches
from polyray.objectives.options import EvaluationOptions, TextOptions
from polyray.objectives.parser_head import ParserHead
from polyray.objectives.questions import Question, words_of
from polyray.objectives.trees import best_tree
from polyray.objectives.words import read_words
from polyray.tasks import ParsedWords, Task

Parse = tuple[tuple[int, str], ...]  # head and relation of each word
ROOT = "root"


@dataclass(frozen=True, kw_only=True)
class ParseRow(InputRow):
    """One sentence as token numbers.

    first: index of the first token of each word that is read. heads, relations: of these words, the relations as
    numbers among those that the head under `key` tells apart; none where they are to be predicted.
    """

    example: ParsedWords
    first: tuple[int, ...]
    n_suffix: int
    heads: tuple[int, ...]
    relations: tuple[int, ...]
    key: str

    @property
    def cut(self) -> bool:
        """Whether words at the end are not read."""
        return len(self.first) < len(self.example.words)

    @property
    def words(self) -> list[int]:
        """The number of each token's word from 1; 0: it is of none."""
        ends = (*self.first[1:], self.n_read - self.n_suffix)
        numbers = [0] * self.n_read
        for word, (start, end) in enumerate(zip(self.first, ends, strict=True), start=1):
            numbers[start:end] = [word] * (end - start)
        return numbers


@dataclass(frozen=True, eq=False, kw_only=True)
class ParseBatch(TensorBatch):
    """Sentences as tensors.

    tokens, mask, words: [B, T], words as `ParseRow.words`. heads, relations: [B, W], IGNORED where there is no word or
    its head is not read. keys: of each sentence's head.
    """

    tokens: Tensor
    mask: Tensor
    words: Tensor
    heads: Tensor
    relations: Tensor
    keys: tuple[str, ...]


class Parsing:
    """An encoder reads a sentence, a biaffine head chooses each word's head and relation: cross-entropy of both."""

    name, predicts, otherwise = "parsing", "trees", ""
    stacks = False
    needs = "an encoder"

    def fits(self, backbone: Backbone) -> bool:
        """Whether the backbone reads both ways."""
        return backbone.reads_both_ways

    def encode(
        self, backbone: Backbone, tasks: Mapping[str, Task], examples: Sequence[ParsedWords], text: TextOptions
    ) -> list[ParseRow]:
        """Each sentence as the tokens of its words; of a sentence that is too long, the first words.

        Raises:
            InputError: a sentence is too long, or a relation is none of the task's.
        """
        limit, too_long = longest_input(backbone, text), TooLong(backbone, text)
        keys = {example.task: self.head_key(tasks[example.task]) for example in examples}
        rows = []
        for example in examples:
            tokens = read_words(backbone, example.words, limit)
            n = len(tokens.first)
            numbers = label_numbers(example.task, example.relations, tasks[example.task].labels or ())
            row = ParseRow(
                example=example, input=tokens.ids, first=tokens.first, n_suffix=len(backbone.text.suffix),
                heads=example.heads[:n], relations=numbers[:n], key=keys[example.task],
            )  # fmt: skip
            rows.append(row)
            if row.cut:
                too_long.add(example.task, tokens.full)
        too_long.check(len(examples))
        return rows

    def ask(self, backbone: Backbone, task: Task, questions: Sequence[Question], text: TextOptions) -> list[ParseRow]:
        """Sentences without trees: the field `words`, or `input` split at its blanks.

        Raises:
            InputError: a sentence is too long, or a question holds none.
        """
        examples = [
            ParsedWords(task=task.name, words=words_of(question), heads=(), relations=()) for question in questions
        ]
        return self.encode(backbone, {task.name: task}, examples, text)

    def collate(
        self, backbone: Backbone, rows: Sequence[ParseRow], generator: torch.Generator | None = None
    ) -> ParseBatch:
        """Sentences side by side; each weighs as much as it has words."""
        tokens = padded([row.input for row in rows], backbone.text.pad)
        width = max(1, *(len(row.first) for row in rows))
        heads = torch.full((len(rows), width), IGNORED)
        relations = heads.clone()
        for index, row in enumerate(rows):
            for word, (head, relation) in enumerate(zip(row.heads, row.relations, strict=True)):
                if head <= len(row.first):
                    heads[index, word], relations[index, word] = head, relation
        return ParseBatch(
            objective=self.name, tasks=tuple(row.example.task for row in rows), counts=(heads != IGNORED).sum(1),
            n_tokens=sum(row.n_read for row in rows), tokens=tokens.ids, mask=tokens.mask,
            words=padded([row.words for row in rows], 0).ids, heads=heads, relations=relations,
            keys=tuple(row.key for row in rows),
        )  # fmt: skip

    def loss(self, network: Network, batch: ParseBatch) -> Tensor:
        """[B], the mean over words of the cross-entropies of the head, and of the relation to the true head."""
        losses = torch.zeros(len(batch.keys), device=batch.tokens.device)
        for rows, head, nodes, arcs in self._arcs(network, batch):
            labels = batch.heads[rows]
            relations = head.relations(nodes, labels.clamp_min(0))
            losses[rows] = mean_cross_entropy(arcs, labels) + mean_cross_entropy(relations, batch.relations[rows])
        return losses

    def _arcs(self, network: Network, batch: ParseBatch) -> Iterator[tuple[list[int], ParserHead, Tensor, Tensor]]:
        """For each head the rows that use it, the head, and its nodes and arcs, as wide as the batch."""
        hidden = network.backbone.model(input_ids=batch.tokens, attention_mask=batch.mask).last_hidden_state
        for rows, head in rows_by_head(network, batch.keys):
            assert isinstance(head, ParserHead)
            yield rows, head, *head(hidden[rows], batch.words[rows], batch.heads.shape[1])

    def predict(
        self, network: Network, rows: Sequence[ParseRow], options: EvaluationOptions, max_output: int
    ) -> list[Parse]:
        """Head and relation of each word; a word that was cut off depends on the one before it.

        Raises:
            InputError: the network has no head for some of the relations.
        """
        device = device_of(network.backbone.network)

        def parse(chosen: list[ParseRow]) -> list[Parse]:
            batch = self.collate(network.backbone, chosen).to(device)
            parses: dict[int, Parse] = {}
            for indices, head, nodes, arcs in self._arcs(network, batch):
                lengths = [len(chosen[index].first) for index in indices]
                heads = _decoded(arcs.float().log_softmax(-1), lengths, options.tree)
                scores = head.relations(nodes, heads.to(device)).float().cpu()
                for row, index in enumerate(indices):
                    parses[index] = _parse(chosen[index], heads[row], scores[row], options.tree)
            return [parses[index] for index in range(len(chosen))]

        return in_batches(network, rows, options.batch, parse)

    def answer(
        self, network: Network, rows: Sequence[ParseRow], options: EvaluationOptions, max_output: int
    ) -> list[list[list[int | str]]]:
        """For each word of each sentence [head, relation]; words count from 1, and the head 0 is the root."""
        parses = self.predict(network, rows, options, max_output)
        return [[[head, relation] for head, relation in parse] for parse in parses]

    def head_key(self, task: Task) -> str:
        """The objective's name and the relations: tasks with equal ones, of other languages for example, share a head.

        Raises:
            InputError: the task has no relations.
        """
        return head_key(self.name, task)

    def head(self, backbone: Backbone, key: str, generator: torch.Generator) -> nn.Module:
        """A biaffine parser with the dropout that the network itself has."""
        return ParserHead(backbone.width, len(labels_of(key)), backbone.dropout, generator)


def _decoded(arcs: Tensor, lengths: Sequence[int], decoding: str) -> Tensor:
    """The head of each word [B, W], 0 for padding: arcs [B, W, W + 1], sentences of `lengths` words."""
    heads = torch.zeros(arcs.shape[:2], dtype=torch.long)
    for row, (scores, n) in enumerate(zip(arcs.cpu(), lengths, strict=True)):
        scores = scores[:n, : n + 1]
        if n and decoding == "mst":
            heads[row, :n] = torch.tensor(best_tree(scores.numpy().astype(np.float64)))
        elif n:
            heads[row, :n] = scores.argmax(-1)
    return heads


def _parse(row: ParseRow, heads: Tensor, scores: Tensor, decoding: str) -> Parse:
    """Heads [W] and the likeliest relations, scores [W, relations]; in a tree the root's child alone is called so."""
    names = labels_of(row.key)
    n = len(row.first)
    if decoding == "mst" and ROOT in names and len(names) > 1:
        of_root = (heads == 0).unsqueeze(1) == (torch.tensor([name == ROOT for name in names]))
        scores = scores.masked_fill(~of_root, float("-inf"))
    pairs = zip(heads[:n].tolist(), scores[:n].argmax(-1).tolist(), strict=True)
    read = tuple((head, names[relation]) for head, relation in pairs)
    return (*read, *((word, names[0]) for word in range(n, len(row.example.words))))
