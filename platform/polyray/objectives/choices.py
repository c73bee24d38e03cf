"""Chosen answers: an encoder puts the input near one of the embedded answers that it may choose among."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from polyray.backbones import Backbone
from polyray.backbones.backbone import device_of, evaluating, longest_first
from polyray.backbones.text import padded
from polyray.errors import InputError
from polyray.objectives.lengths import TooLong, first_tokens, longest_input
from polyray.objectives.losses import IGNORED
from polyray.objectives.objective import InputRow, Network, TensorBatch, in_batches
from polyray.objectives.options import EvaluationOptions, TextOptions
from polyray.objectives.questions import Question, unanswered
from polyray.tasks import Task, TextAnswers

SHARPNESS = 20.0  # cosines are multiplied by it before the softmax, as sentence-transformers does
AT_ONCE = 64  # answers that are embedded in one batch


@dataclass(frozen=True, kw_only=True)
class ChoiceRow(InputRow):
    """One example as the tokens of its input, its candidates, and which of them is right (-1: none)."""

    example: TextAnswers
    candidates: tuple[str, ...]
    chosen: int
    cut: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class ChoiceBatch(TensorBatch):
    """Inputs and the answers to choose among.

    tokens, mask: [B, T]. answers: the C distinct candidates of all rows; anchors: [C, D], their embeddings. allowed:
    [B, C], which are a row's own. chosen: [B], the right one, or IGNORED.
    """

    tokens: Tensor
    mask: Tensor
    answers: tuple[str, ...]
    anchors: Tensor
    allowed: Tensor
    chosen: Tensor


class Choices:
    """An encoder chooses among answers that it has embedded: cross-entropy over scaled cosines."""

    name, predicts, otherwise = "choices", "answers", ""
    stacks = True
    needs = "an encoder"

    def fits(self, backbone: Backbone) -> bool:
        """Whether the backbone reads both ways."""
        return backbone.reads_both_ways

    def encode(
        self, backbone: Backbone, tasks: Mapping[str, Task], examples: Sequence[TextAnswers], text: TextOptions
    ) -> list[ChoiceRow]:
        """Each example as the tokens of its input; the candidates are embedded on the way.

        Raises:
            InputError: a text is too long, or an example has no candidates.
        """
        limit = longest_input(backbone, text)
        too_long = TooLong(backbone, text)
        lengths: dict[str, int] = {}  # of the answers, which are embedded whole or cut at what the backbone reads
        rows = []
        for example in examples:
            read = backbone.text.encode(example.input)
            candidates = _candidates(backbone, tasks[example.task], example)
            lengths |= {text: len(backbone.text.encode(text)) for text in candidates if text not in lengths}
            longest = max(lengths[text] for text in candidates)
            cut = len(read) > limit or 0 < backbone.reach < longest
            if cut:
                too_long.add(example.task, max(len(read), longest))
            answer = example.target
            rows.append(
                ChoiceRow(
                    example=example, input=tuple(first_tokens(read, limit)), candidates=candidates,
                    chosen=candidates.index(answer) if answer in candidates else -1, cut=cut,
                )
            )  # fmt: skip
        too_long.check(len(examples))
        embed(backbone, [text for row in rows for text in row.candidates])
        return rows

    def ask(self, backbone: Backbone, task: Task, questions: Sequence[Question], text: TextOptions) -> list[ChoiceRow]:
        """Inputs in the task's prompt, and the answers to choose among.

        Raises:
            InputError: a text is too long, or a question lacks its choices or does not fit the prompt.
        """
        examples = [unanswered(task, question) for question in questions]
        for question, example in zip(questions, examples, strict=True):
            if not (example.choices or task.labels):
                raise InputError(
                    f"{question.where}: inputs of the task {task.name!r} bring the answers to choose among. Give them "
                    'as "choices": ["...", "..."] in a file of JSON lines (inputs=FILE.jsonl).'
                )
        return self.encode(backbone, {task.name: task}, examples, text)

    def collate(
        self, backbone: Backbone, rows: Sequence[ChoiceRow], generator: torch.Generator | None = None
    ) -> ChoiceBatch:
        """Inputs, and the candidates of all rows as columns; each example with a right answer weighs the same."""
        tokens = padded([row.input for row in rows], backbone.text.pad)
        answers = tuple(dict.fromkeys(text for row in rows for text in row.candidates))
        column = {text: index for index, text in enumerate(answers)}
        allowed = torch.zeros(len(rows), len(answers), dtype=torch.bool)
        chosen = torch.full((len(rows),), IGNORED)
        for index, row in enumerate(rows):
            allowed[index, [column[text] for text in row.candidates]] = True
            if row.chosen >= 0:
                chosen[index] = column[row.candidates[row.chosen]]
        return ChoiceBatch(
            objective=self.name, tasks=tuple(row.example.task for row in rows),
            counts=chosen != IGNORED, n_tokens=int(tokens.mask.sum()), tokens=tokens.ids,
            mask=tokens.mask, answers=answers, anchors=torch.stack([backbone.anchors[text] for text in answers]),
            allowed=allowed, chosen=chosen,
        )  # fmt: skip

    def loss(self, network: Network, batch: ChoiceBatch) -> Tensor:
        """[B], cross-entropy of the right answer among an example's own candidates."""
        return functional.cross_entropy(
            self.scores(network, batch), batch.chosen, ignore_index=IGNORED, reduction="none"
        )

    def scores(self, network: Network, batch: ChoiceBatch) -> Tensor:
        """[B, C], scaled cosine of input and answer; -inf where an answer is not among an example's candidates."""
        hidden = network.backbone.model(input_ids=batch.tokens, attention_mask=batch.mask).last_hidden_state
        cosines = mean_embedding(hidden, batch.mask) @ batch.anchors.T
        return (SHARPNESS * cosines).float().masked_fill(~batch.allowed, float("-inf"))

    def predict(
        self, network: Network, rows: Sequence[ChoiceRow], options: EvaluationOptions, max_output: int
    ) -> list[str]:
        """The nearest of each row's candidates."""
        scores = self.candidate_scores(network, rows, options.batch)
        return [row.candidates[values.index(max(values))] for row, values in zip(rows, scores, strict=True)]

    def candidate_scores(self, network: Network, rows: Sequence[ChoiceRow], size: int) -> list[list[float]]:
        """For each row the scaled cosine of its input and each of its candidates; `size` rows at once."""
        device = device_of(network.backbone.network)

        def cosines(chosen: list[ChoiceRow]) -> list[list[float]]:
            batch = self.collate(network.backbone, chosen).to(device)
            columns = {text: column for column, text in enumerate(batch.answers)}
            scores = self.scores(network, batch).tolist()
            return [
                [values[columns[text]] for text in row.candidates] for row, values in zip(chosen, scores, strict=True)
            ]

        return in_batches(network, rows, size, cosines)

    def answer(
        self, network: Network, rows: Sequence[ChoiceRow], options: EvaluationOptions, max_output: int
    ) -> list[str]:
        """The predictions."""
        return self.predict(network, rows, options, max_output)

    def head_key(self, task: Task) -> str:
        """No head: the answers' embeddings take its place."""
        return ""

    def head(self, backbone: Backbone, key: str, generator: torch.Generator) -> None:
        """None."""


def _candidates(backbone: Backbone, task: Task, example: TextAnswers) -> tuple[str, ...]:
    candidates = task.candidates(example)
    if not candidates:
        raise InputError(
            f"Task {task.name!r} asks for free text, but an encoder ({backbone.name}) chooses among given answers. "
            "Take labelled tasks only (tasks.labelled=true), or a seq2seq or causal backbone."
        )
    return candidates


def mean_embedding(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens of each text in fp32, scaled to length 1: hidden [B, T, D], mask [B, T] -> [B, D]."""
    weights = mask.unsqueeze(-1).float()
    mean = (hidden * weights).sum(1) / weights.sum(1).clamp_min(1)
    return functional.normalize(mean, dim=-1)


@torch.no_grad()
def embed(backbone: Backbone, texts: Sequence[str]) -> None:
    """Embed answers with the network as it was pretrained, and keep them in `backbone.anchors`.

    Without skills in force, nor what training made of the network: answers stay where the pretrained encoder puts them,
    inputs learn to come near. In training the network is still the pretrained one when its answers are embedded.
    """
    missing = [text for text in dict.fromkeys(texts) if text not in backbone.anchors]
    rows = [backbone.text.encode(text)[: backbone.reach or None] for text in missing]
    if not missing:
        return
    device = device_of(backbone.network)
    network = backbone.embedder.to(device)  # type: ignore[arg-type]  # transformers wraps nn.Module.to
    for indices in longest_first([len(row) for row in rows], AT_ONCE):
        tokens = padded([rows[index] for index in indices], backbone.text.pad)
        mask = tokens.mask.to(device)
        with evaluating(network):  # an answer has one embedding, which dropout must not move
            hidden = network(input_ids=tokens.ids.to(device), attention_mask=mask).last_hidden_state
        for index, vector in zip(indices, mean_embedding(hidden, mask).cpu(), strict=True):
            backbone.anchors[missing[index]] = vector
