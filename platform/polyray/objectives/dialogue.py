"""Responses in a dialogue: the network reads turns and knowledge and writes the system's next turn."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyray.backbones import Backbone
from polyray.backbones.backbone import device_of
from polyray.backbones.text import padded
from polyray.decoding.generation import drawing
from polyray.errors import InputError
from polyray.objectives.answers import AnswerBatch, Answers, WrittenRow, answer_fields, written
from polyray.objectives.fitting import Fitting, n_tokens
from polyray.objectives.lengths import TooLong, first_tokens, longest_input
from polyray.objectives.losses import IGNORED, mean_cross_entropy
from polyray.objectives.objective import Network, in_batches
from polyray.objectives.options import EvaluationOptions, TextOptions
from polyray.objectives.packing import attention_within, bins, positions_in
from polyray.objectives.questions import Question
from polyray.objectives.turns import Layout, Span, layout_of
from polyray.objectives.utterances import asked
from polyray.tasks import DialogueExample, Task

ANSWERS = Answers()


@dataclass(frozen=True, kw_only=True)
class DialogueRow(WrittenRow):
    """One example as token numbers: what stands before the response, and the response.

    shared: tokens of a sequence that it shares with others in training; 0: it shares none.
    """

    example: DialogueExample
    cut: bool
    shared: int


@dataclass(frozen=True, eq=False, kw_only=True)
class DialogueBatch(AnswerBatch):
    """Dialogues as tensors; where sequences are shared, one row a sequence.

    members [B, T]: the number of the example that a token belongs to; None where each has a sequence of its own.
    """

    members: Tensor | None = None


@dataclass(kw_only=True)
class Dialogue:
    """Turns and knowledge are read, a response written: cross-entropy of its tokens.

    every_turn: of earlier responses in the dialogue, too, which needs one sequence of tokens.
    """

    name: str
    every_turn: bool
    needs: str
    predicts: str = "responses"
    otherwise: str = ""
    stacks: bool = False

    def fits(self, backbone: Backbone) -> bool:
        """Whether the backbone writes."""
        return backbone.continues if self.every_turn else backbone.writes

    def encode(
        self, backbone: Backbone, tasks: Mapping[str, Task], examples: Sequence[DialogueExample], text: TextOptions
    ) -> list[DialogueRow]:
        """Each example as the tokens of its newest turns with the knowledge, and of its first response.

        Raises:
            InputError: an input or a response is too long, or packing does not fit the backbone.
        """
        limit, longest_output = longest_input(backbone, text), backbone.output_limit(text.max_output)
        fitting, too_long = Fitting(backbone.text, text, limit), TooLong(backbone, text, writes=True)
        layouts = {name: layout_of(backbone, tasks[name], text) for name in dict.fromkeys(x.task for x in examples)}
        shared, rows = shared_length(text, backbone), []
        for whole in examples:
            layout = layouts[whole.task]
            example = fitting.within(whole)
            output = layout.written(example) if whole.outputs else [backbone.text.eos]
            spans = self._spans(layout, example)
            if n_tokens(spans) > limit or len(output) > longest_output:
                too_long.add(whole.task, max(n_tokens(spans), len(output)))
                example = fitting.shortened(example, partial(self._spans, layout))
                spans = self._spans(layout, example)
            rows.append(
                DialogueRow(
                    **joined(spans), example=whole, output=tuple(first_tokens(output, longest_output)),
                    cut=example != whole or len(output) > longest_output, shared=shared,
                )
            )  # fmt: skip
        too_long.check(len(examples))
        return rows

    def _spans(self, layout: Layout, example: DialogueExample) -> list[Span]:
        if self.every_turn:
            return layout.spans(example)
        return [Span(tokens=tuple(layout.read(example)), learned=False)]

    def ask(
        self, backbone: Backbone, task: Task, questions: Sequence[Question], text: TextOptions
    ) -> list[DialogueRow]:
        """Turns of a user to be answered.

        Raises:
            InputError: one is too long, or is no dialogue.
        """
        return self.encode(backbone, {task.name: task}, [asked(task, question) for question in questions], text)

    def collate(
        self, backbone: Backbone, rows: Sequence[DialogueRow], generator: torch.Generator | None = None
    ) -> DialogueBatch:
        """Dialogues side by side, each with its response behind it where that continues it.

        In training, where `generator` is there, rows that are packed share sequences; a row of the batch is then one.
        """
        if generator is not None and all(row.shared for row in rows):
            return DialogueBatch(**packed_fields(self.name, backbone, rows))
        return DialogueBatch(**answer_fields(self.name, backbone, rows, [row.example.task for row in rows]))

    def loss(self, network: Network, batch: DialogueBatch) -> Tensor:
        """[B], mean cross-entropy of the tokens that are learned in each row."""
        if batch.members is None:
            return ANSWERS.loss(network, batch)
        model = network.backbone.model
        output = model(
            input_ids=batch.tokens, attention_mask=attention_within(batch.members, model.dtype),
            position_ids=positions_in(batch.members), use_cache=False,
        )  # fmt: skip
        return mean_cross_entropy(output.logits, batch.labels)

    def predict(
        self, network: Network, rows: Sequence[DialogueRow], options: EvaluationOptions, max_output: int
    ) -> list[str]:
        """The written responses.

        Raises:
            InputError: responses are to be ranked.
        """
        if options.method == "rank":
            raise InputError("Responses are written, there are none to rank: use evaluation.method=generate.")
        with drawing(options, device_of(network.backbone.network)):
            return in_batches(network, rows, options.batch, lambda batch: written(network, batch, options, max_output))

    def answer(
        self, network: Network, rows: Sequence[DialogueRow], options: EvaluationOptions, max_output: int
    ) -> list[str]:
        """The predictions."""
        return self.predict(network, rows, options, max_output)

    def head_key(self, task: Task) -> str:
        """No head: the backbone's own writes."""
        return ""

    def head(self, backbone: Backbone, key: str, generator: torch.Generator) -> None:
        """None."""


RESPONSES = Dialogue(name="dialogue", every_turn=False, needs="a backbone that writes (seq2seq or causal)")
CHATS = Dialogue(
    name="chat", every_turn=True,
    needs="a causal backbone, which learns all messages of a chat at once (or set tasks.targets=each)",
)  # fmt: skip


def shared_length(text: TextOptions, backbone: Backbone) -> int:
    """Tokens of a sequence that examples share; 0: they share none.

    Raises:
        InputError: they are to, and the backbone takes no positions of tokens, or attends in another way.
    """
    if not text.packing or not backbone.continues:
        return 0
    attention = backbone.model.config._attn_implementation
    if "position_ids" not in inspect.signature(backbone.model.forward).parameters or attention not in MASKED:
        raise InputError(
            f"text.packing=true does not fit the backbone {backbone.name}, which takes no positions of tokens or has "
            f"no attention among {', '.join(MASKED)}. Set text.packing=false."
        )
    return longest_input(backbone, text) + text.max_output


MASKED = ("sdpa", "eager")  # transformers' ways to attend that take a mask for each pair of tokens


def packed_fields(objective: str, backbone: Backbone, rows: Sequence[DialogueRow]) -> dict[str, Any]:
    """The fields of a `DialogueBatch` in which rows of one task share sequences."""
    lengths = [len(row.input) + len(row.output) for row in rows]
    by_task: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        by_task.setdefault(row.example.task, []).append(index)
    shared: list[tuple[str, list[DialogueRow]]] = []
    for task, indices in by_task.items():
        groups = bins([lengths[index] for index in indices], max(*lengths, rows[0].shared))
        shared += [(task, [rows[indices[member]] for member in group]) for group in groups]
    tokens = padded(
        [[token for row in group for token in (*row.input, *row.output)] for _, group in shared], backbone.text.pad
    )
    members = [[n for n, row in enumerate(group, 1) for _ in row.labels] for _, group in shared]
    return {
        "objective": objective, "tasks": tuple(task for task, _ in shared),
        "counts": torch.tensor([sum(row.n_written for row in group) for _, group in shared]),
        "n_tokens": sum(lengths), "tokens": tokens.ids, "mask": tokens.mask,
        "labels": padded([[label for row in group for label in row.labels] for _, group in shared], IGNORED).ids,
        "members": padded(members, 0).ids, "decoder_tokens": None,
    }  # fmt: skip


def joined(spans: Sequence[Span]) -> dict[str, Any]:
    """The fields `input` and `learned` of a row."""
    flags = [span.learned for span in spans for _ in span.tokens]
    return {
        "input": tuple(token for span in spans for token in span.tokens),
        "learned": tuple(position for position, learned in enumerate(flags) if learned),
    }
