"""Masked language modelling: an encoder predicts tokens of raw text that are hidden from it."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyray.backbones import Backbone
from polyray.backbones.backbone import device_of
from polyray.backbones.heads import masked_head
from polyray.backbones.text import padded
from polyray.errors import InputError
from polyray.metrics import Recovery
from polyray.modules.inversion import inverted
from polyray.objectives.lengths import TooLong, first_tokens, longest_input
from polyray.objectives.losses import IGNORED
from polyray.objectives.objective import InputRow, Network, TensorBatch, in_batches
from polyray.objectives.options import EvaluationOptions, TextOptions
from polyray.objectives.questions import Question
from polyray.tasks import RawText, Task

SHARE = 0.15  # of a text's tokens that are to be predicted
MASKED, RANDOM = 0.8, 0.1  # of these the shares that are masked and that are replaced; the others stay


@dataclass(frozen=True, kw_only=True)
class TextRow(InputRow):
    """A piece of the tokens of consecutive lines, as long as the network may read."""

    example: RawText
    cut: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class MaskedBatch(TensorBatch):
    """Pieces of text with hidden tokens.

    tokens, mask: [B, T]. labels: [B, T], the true token where one is to be predicted, IGNORED elsewhere.
    """

    tokens: Tensor
    mask: Tensor
    labels: Tensor


class MaskedLM:
    """Masked tokens: an encoder predicts 15 % of the tokens, of which 80 % are masked and 10 % replaced.

    Devlin et al. 2019 (arXiv:1810.04805), section 3.1. The loss is the cross-entropy; the head computes logits
    at these tokens alone.
    """

    name, predicts, otherwise = "masked_lm", "masked tokens", ""
    stacks = False
    needs = "an encoder whose vocabulary has a mask"

    def fits(self, backbone: Backbone) -> bool:
        """Whether the backbone reads both ways and knows a mask."""
        return backbone.reads_both_ways and backbone.text.mask is not None

    def encode(
        self, backbone: Backbone, tasks: Mapping[str, Task], examples: Sequence[RawText], text: TextOptions
    ) -> list[TextRow]:
        """The tokens of each task's lines, one behind the other, in pieces of `text.max_input`."""
        prefix, suffix = backbone.text.prefix, backbone.text.suffix
        room = max(1, longest_input(backbone, text) - len(prefix) - len(suffix))
        rows = []
        for task in dict.fromkeys(example.task for example in examples):
            lines = backbone.text.pieces([example.text for example in examples if example.task == task])
            ids = [number for line in lines for number in line]
            for start in range(0, len(ids), room):
                piece = ids[start : start + room]
                example = RawText(task=task, text=backbone.text.decode(piece))
                rows.append(TextRow(example=example, input=(*prefix, *piece, *suffix)))
        return rows

    def ask(self, backbone: Backbone, task: Task, questions: Sequence[Question], text: TextOptions) -> list[TextRow]:
        """Texts in which the backbone's mask stands for what is to be filled in.

        Raises:
            InputError: a text has no mask, or is longer than the network reads.
        """
        limit = longest_input(backbone, text)
        too_long = TooLong(backbone, text)
        rows = []
        for question in questions:
            shown = question.text("input")
            ids = backbone.text.encode_masked(shown)
            if backbone.text.mask not in first_tokens(ids, limit):
                raise InputError(
                    f"{question.where}: the objective {self.name} fills masks, and the text has none"
                    f"{' among the tokens that are read' if backbone.text.mask in ids else ''}: write "
                    f"{backbone.text.mask_text} for each token to predict."
                )
            if len(ids) > limit:
                too_long.add(task.name, len(ids))
            example = RawText(task=task.name, text=shown)
            rows.append(TextRow(example=example, input=tuple(first_tokens(ids, limit)), cut=len(ids) > limit))
        too_long.check(len(questions))
        return rows

    def collate(
        self, backbone: Backbone, rows: Sequence[TextRow], generator: torch.Generator | None = None
    ) -> MaskedBatch:
        """Pieces with hidden tokens, drawn by `generator`; without one each piece always hides the same tokens."""
        hidden = [hide(backbone, row.input, generator or _own_generator(row)) for row in rows]
        tokens = padded([ids for ids, _ in hidden], backbone.text.pad)
        labels = padded([labels for _, labels in hidden], IGNORED).ids
        counts = (labels != IGNORED).sum(1)
        return MaskedBatch(
            objective=self.name, tasks=tuple(row.example.task for row in rows),
            counts=counts, n_tokens=sum(row.n_read for row in rows), tokens=tokens.ids,
            mask=tokens.mask, labels=labels,
        )  # fmt: skip

    def loss(self, network: Network, batch: MaskedBatch) -> Tensor:
        """[B], mean cross-entropy of the hidden tokens of each piece."""
        rows, targets, logits = self._logits(network, batch)
        losses = functional.cross_entropy(logits.float(), targets, reduction="none")
        sums = torch.zeros(len(batch.tasks), device=losses.device).index_add(0, rows, losses)
        return sums / (batch.labels != IGNORED).sum(1).clamp_min(1)

    def _logits(self, network: Network, batch: MaskedBatch) -> tuple[Tensor, Tensor, Tensor]:
        """The row [M] and the true token [M] of each hidden token, and its logits [M, V]."""
        hidden = network.backbone.model(input_ids=batch.tokens, attention_mask=batch.mask).last_hidden_state
        counted = batch.labels != IGNORED
        return counted.nonzero()[:, 0], batch.labels[counted], self._of_states(network, hidden, counted)

    def _of_states(self, network: Network, hidden: Tensor, chosen: Tensor) -> Tensor:
        """The logits [M, V] at the chosen tokens, bool [B, T] with M true, of hidden states [B, T, width].

        Skills that change the embeddings invertibly are undone before these decode (MAD-X, section 3.3).
        """
        examples = chosen.nonzero()[:, 0]

        def inverse(states: Tensor) -> Tensor:
            return inverted(network.backbone.network, states, examples, len(hidden))

        logits: Tensor = network.heads[self.name](hidden[chosen], network.backbone.decoder, inverse)
        return logits

    def predict(
        self, network: Network, rows: Sequence[TextRow], options: EvaluationOptions, max_output: int
    ) -> list[Recovery]:
        """Numbers of hidden tokens of each piece, of those that are likeliest, and their mean loss."""
        device = device_of(network.backbone.network)

        def recover(chosen: list[TextRow]) -> list[Recovery]:
            batch = self.collate(network.backbone, chosen).to(device)
            of_row, targets, logits = self._logits(network, batch)
            values = functional.cross_entropy(logits.float(), targets, reduction="none")
            figures = torch.stack([torch.ones_like(values), (logits.argmax(-1) == targets).float(), values], 1)
            sums = torch.zeros(len(chosen), 3, device=device).index_add(0, of_row, figures)
            return [Recovery(tokens=int(n), hits=int(hits), loss=x / max(1, n)) for n, hits, x in sums.tolist()]

        return in_batches(network, rows, options.batch, recover)

    def answer(
        self, network: Network, rows: Sequence[TextRow], options: EvaluationOptions, max_output: int
    ) -> list[list[str]]:
        """The likeliest token at each mask of each text."""
        backbone, device = network.backbone, device_of(network.backbone.network)
        ordinary, mask = backbone.text.ordinary.to(device), backbone.text.mask
        assert mask is not None  # `fits` asked for it

        def fill(chosen: list[TextRow]) -> list[list[str]]:
            tokens = padded([row.input for row in chosen], backbone.text.pad)
            ids = tokens.ids.to(device)
            hidden = backbone.model(input_ids=ids, attention_mask=tokens.mask.to(device)).last_hidden_state
            masked = torch.eq(ids, mask)
            logits = self._of_states(network, hidden, masked)
            best = iter(ordinary[logits[:, ordinary].argmax(-1)].tolist())
            return [[backbone.text.decode([next(best)]) for _ in range(n)] for n in masked.sum(1).tolist()]

        return in_batches(network, rows, options.batch, fill)

    def head_key(self, task: Task) -> str:
        """One head for all texts."""
        return self.name

    def head(self, backbone: Backbone, key: str, generator: torch.Generator) -> nn.Module:
        """The head of the backbone's own checkpoint, or a fresh one where it has none."""
        return masked_head(backbone, generator)


def hide(backbone: Backbone, ids: Sequence[int], generator: torch.Generator) -> tuple[list[int], list[int]]:
    """Tokens with some hidden, and the labels: the true token where one is hidden, IGNORED elsewhere.

    15 % of the tokens, at least one, are chosen, as in Devlin et al.'s code; special tokens never are.
    """
    text = backbone.text
    assert text.mask is not None  # `fits` asked for it
    ordinary = torch.tensor([index for index, number in enumerate(ids) if number not in text.special])
    n_hidden = min(len(ordinary), max(1, round(SHARE * len(ordinary))))
    chosen = ordinary[torch.rand(len(ordinary), generator=generator).argsort()[:n_hidden]].long()
    fate = torch.rand(n_hidden, generator=generator)
    drawn = text.ordinary[torch.randint(len(text.ordinary), (n_hidden,), generator=generator)]
    tokens, labels = torch.tensor(ids), torch.full((len(ids),), IGNORED)
    labels[chosen] = tokens[chosen]
    tokens[chosen] = torch.where(fate < MASKED + RANDOM, drawn, tokens[chosen]).masked_fill(fate < MASKED, text.mask)
    return tokens.tolist(), labels.tolist()


def _own_generator(row: TextRow) -> torch.Generator:
    """A generator that the row's tokens fix."""
    return torch.Generator().manual_seed(zlib.crc32(repr(row.input).encode()))
