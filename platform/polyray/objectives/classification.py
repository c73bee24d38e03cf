"""Classification: an encoder reads a text, or two together, and a head gives them one of a closed set of labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyray.backbones import Backbone
from polyray.backbones.backbone import device_of
from polyray.objectives.labels import INIT_STD, head_key, label_numbers, labels_of, rows_by_head
from polyray.objectives.lengths import TooLong, longest_input
from polyray.objectives.losses import IGNORED
from polyray.objectives.objective import Network, TensorBatch, in_batches
from polyray.objectives.options import EvaluationOptions, TextOptions
from polyray.objectives.pairs import PairRow, joined, padded_pairs, read_pairs
from polyray.objectives.questions import Question, texts_of
from polyray.tasks import LabelledTexts, Task


@dataclass(frozen=True, kw_only=True)
class LabelRow(PairRow):
    """One or two texts as token numbers.

    label: its number among the labels that the head under `key` tells apart; IGNORED: to be predicted.
    """

    example: LabelledTexts
    label: int
    key: str
    cut: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelBatch(TensorBatch):
    """Texts as tensors.

    tokens, mask, segments: [B, T]. labels: [B]. keys: of each example's head.
    """

    tokens: Tensor
    mask: Tensor
    segments: Tensor | None
    labels: Tensor
    keys: tuple[str, ...]


class Classification:
    """An encoder reads one text or two, a head labels the mean of its output: cross-entropy of the label."""

    name, predicts, otherwise = "classification", "labels", ""
    stacks = False
    needs = "an encoder"

    def fits(self, backbone: Backbone) -> bool:
        """Whether the backbone reads both ways."""
        return backbone.reads_both_ways

    def encode(
        self, backbone: Backbone, tasks: Mapping[str, Task], examples: Sequence[LabelledTexts], text: TextOptions
    ) -> list[LabelRow]:
        """Each example as the tokens of its texts; of texts that are too long the longer one is cut first.

        Raises:
            InputError: the texts are too long, or a label is none of the task's.
        """
        limit, too_long = longest_input(backbone, text), TooLong(backbone, text)
        keys = {example.task: self.head_key(tasks[example.task]) for example in examples}
        rows = []
        for example in examples:
            both = joined(backbone, example.texts, limit)
            labels = (example.label,) if example.label else ()
            numbers = label_numbers(example.task, labels, tasks[example.task].labels or ())
            cut = both.full > limit
            if cut:
                too_long.add(example.task, both.full)
            rows.append(
                LabelRow(
                    example=example, input=both.ids, second=both.second, label=next(iter(numbers), IGNORED),
                    key=keys[example.task], cut=cut,
                )
            )  # fmt: skip
        too_long.check(len(examples))
        return rows

    def ask(self, backbone: Backbone, task: Task, questions: Sequence[Question], text: TextOptions) -> list[LabelRow]:
        """Texts without a label: the fields that the task's prompt names, or `input` where it names one.

        Raises:
            InputError: the texts are too long, or a question lacks one of them.
        """
        examples = [LabelledTexts(task=task.name, texts=texts_of(task, question), label="") for question in questions]
        return self.encode(backbone, {task.name: task}, examples, text)

    def collate(
        self, backbone: Backbone, rows: Sequence[LabelRow], generator: torch.Generator | None = None
    ) -> LabelBatch:
        """Texts side by side; each example weighs the same."""
        tokens = padded_pairs(backbone, rows)
        labels = torch.tensor([row.label for row in rows])
        return LabelBatch(
            objective=self.name, tasks=tuple(row.example.task for row in rows), counts=labels != IGNORED,
            n_tokens=sum(row.n_read for row in rows), tokens=tokens.ids, mask=tokens.mask, segments=tokens.segments,
            labels=labels, keys=tuple(row.key for row in rows),
        )  # fmt: skip

    def loss(self, network: Network, batch: LabelBatch) -> Tensor:
        """[B], cross-entropy of each example's label."""
        losses = torch.zeros(len(batch.keys), device=batch.tokens.device)
        for rows, logits in self._logits(network, batch):
            losses[rows] = functional.cross_entropy(
                logits.float(), batch.labels[rows], ignore_index=IGNORED, reduction="none"
            )
        return losses

    def _logits(self, network: Network, batch: LabelBatch) -> Iterator[tuple[list[int], Tensor]]:
        """For each head the rows that use it, and their logits [rows, labels]."""
        hidden = read_pairs(network.backbone, batch.tokens, batch.mask, batch.segments)
        weights = batch.mask.unsqueeze(-1).to(hidden.dtype)
        means = (hidden * weights).sum(1) / weights.sum(1).clamp_min(1)  # [B, D]
        for rows, head in rows_by_head(network, batch.keys):
            yield rows, head(means[rows])

    def predict(
        self, network: Network, rows: Sequence[LabelRow], options: EvaluationOptions, max_output: int
    ) -> list[str]:
        """The likeliest label of each example.

        Raises:
            InputError: the network has no head for some of the labels.
        """
        logits = self._row_logits(network, rows, options.batch)
        return [labels_of(row.key)[int(each.argmax())] for row, each in zip(rows, logits, strict=True)]

    def probabilities(self, network: Network, rows: Sequence[LabelRow], size: int) -> list[list[float]]:
        """The probability of each label of each example, in the order of its head.

        Args:
            size: examples at once.

        Raises:
            InputError: as `predict`.
        """
        return [logits.double().softmax(-1).tolist() for logits in self._row_logits(network, rows, size)]

    def _row_logits(self, network: Network, rows: Sequence[LabelRow], size: int) -> list[Tensor]:
        """The logits [labels] of each example."""
        device = device_of(network.backbone.network)

        def step(chosen: list[LabelRow]) -> list[Tensor]:
            batch = self.collate(network.backbone, chosen).to(device)
            of_row: dict[int, Tensor] = {}
            for indices, logits in self._logits(network, batch):
                of_row.update(zip(indices, logits.cpu(), strict=True))
            return [of_row[index] for index in range(len(chosen))]

        return in_batches(network, rows, size, step)

    def answer(
        self, network: Network, rows: Sequence[LabelRow], options: EvaluationOptions, max_output: int
    ) -> list[str]:
        """The predictions."""
        return self.predict(network, rows, options, max_output)

    def head_key(self, task: Task) -> str:
        """The objective's name and the labels: tasks with equal ones share a head.

        Raises:
            InputError: the task has no labels.
        """
        return head_key(self.name, task)

    def head(self, backbone: Backbone, key: str, generator: torch.Generator) -> nn.Module:
        """A hidden layer and a linear one to the labels, with the dropout that the network itself has."""
        return LabelHead(backbone.width, len(labels_of(key)), backbone.dropout, generator)


class LabelHead(nn.Module):
    """Linear layer and tanh, then a linear layer, each behind dropout: [B, width] -> [B, n_labels].

    As RoBERTa's head for classification in transformers.
    """

    def __init__(self, width: int, n_labels: int, dropout: float, generator: torch.Generator) -> None:
        super().__init__()
        self.dense, self.out, self.dropout = nn.Linear(width, width), nn.Linear(width, n_labels), dropout
        with torch.no_grad():
            for layer in (self.dense, self.out):
                layer.weight.normal_(0.0, INIT_STD, generator=generator)
                layer.bias.zero_()

    def forward(self, hidden: Tensor) -> Tensor:
        """The logits of the labels."""
        hidden = hidden.to(self.dense.weight.dtype)  # of a backbone in bf16
        for layer in (self.dense, self.out):
            hidden = layer(functional.dropout(hidden, self.dropout, self.training))
            hidden = hidden if layer is self.out else torch.tanh(hidden)
        return hidden
