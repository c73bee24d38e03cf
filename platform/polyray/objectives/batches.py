"""Examples as tensors, and the order in which training sees them."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from polyray.backbones.backbone import Backbone
from polyray.backbones.text import padded
from polyray.config import Section
from polyray.errors import InputError
from polyray.tasks.task import Example, Task

IGNORED = -100  # labels that no loss counts, as torch and transformers have it


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """A few examples as tensors.

    tokens, mask [B, T]; tasks: the name of each example's task. Written answers: labels [B, L] (seq2seq) or [B, T]
    (causal, IGNORED on the input). Chosen answers: anchors [C, D], allowed [B, C], chosen [B].
    """

    tasks: tuple[str, ...]
    tokens: Tensor
    mask: Tensor
    labels: Tensor | None = None
    anchors: Tensor | None = None
    allowed: Tensor | None = None
    chosen: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """This batch on `device`."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return Batch(**{**vars(self), **moved})

    @property
    def n_tokens(self) -> int:
        """Tokens read and written, padding left out."""
        written = int((self.labels != IGNORED).sum()) if self.labels is not None else 0
        return int(self.mask.sum()) + written


@dataclass(frozen=True, kw_only=True)
class Row:
    """One example as token numbers: `input`, the target `output` (empty for an encoder), and its candidates."""

    task: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    candidates: tuple[str, ...]
    chosen: int


class TextOptions(Section):
    """Lengths of texts."""

    max_input: int = Field(512, ge=1)
    """Tokens of an input at most; the backbone's own limit holds too."""
    max_output: int = Field(64, ge=1)
    """Tokens of an answer at most, in training and in generation."""
    too_long: Literal["error", "truncate"] = "error"
    """What to do with a longer text: stop before training and count them, or cut them and report how many."""


def encode(
    backbone: Backbone, tasks: Mapping[str, Task], examples: Sequence[Example], lengths: TextOptions
) -> list[Row]:
    """The examples as rows of token numbers.

    Raises:
        InputError: a text is longer than `lengths` allow and these do not say to truncate (the message counts them), or
            an encoder is given a task without a closed set of answers.
    """
    limit = min(lengths.max_input, backbone.reach) if backbone.reach else lengths.max_input
    rows, over = [], []
    for example in examples:
        task = tasks[example.task]
        read = backbone.text.encode(example.input)
        written = [] if backbone.kind == "encoder" else backbone.text.continuation(example.outputs[0])
        if len(read) > limit or len(written) > lengths.max_output:
            over.append((example.task, max(len(read), len(written))))
            read, written = _cut(read, limit, backbone.kind), _cut(written, lengths.max_output, "seq2seq")
        candidates, chosen = _candidates(backbone, task, example)
        rows.append(
            Row(task=example.task, input=tuple(read), output=tuple(written), candidates=candidates, chosen=chosen)
        )
    if over and lengths.too_long == "error":
        worst = max(over, key=lambda pair: pair[1])
        raise InputError(
            f"{len(over)} of {len(examples)} examples are longer than text.max_input={limit} or "
            f"text.max_output={lengths.max_output} tokens (longest: {worst[1]}, task {worst[0]!r}). "
            "Raise the limits, or set text.too_long=truncate to cut them."
        )
    return rows


def count_too_long(rows: Sequence[Row], lengths: TextOptions) -> int:
    """Rows that fill a limit to the brim, that is, were cut."""
    return sum(len(row.input) >= lengths.max_input or len(row.output) >= lengths.max_output for row in rows)


def _cut(ids: list[int], limit: int, kind: str) -> list[int]:
    """The first `limit` tokens, the last one kept (an end or separator); a causal input keeps its end instead."""
    if len(ids) <= limit:
        return ids
    return ids[-limit:] if kind == "causal" else [*ids[: limit - 1], ids[-1]]


def _candidates(backbone: Backbone, task: Task, example: Example) -> tuple[tuple[str, ...], int]:
    candidates = example.choices or task.labels or ()
    if backbone.kind == "encoder" and not candidates:
        raise InputError(
            f"Task {task.name!r} asks for free text, but an encoder ({backbone.name}) chooses among given answers. "
            "Take labelled tasks only (tasks.labelled=true), or a seq2seq or causal backbone."
        )
    answer = example.outputs[0]
    return candidates, candidates.index(answer) if answer in candidates else -1


def collate(backbone: Backbone, rows: Sequence[Row]) -> Batch:
    """A training batch of `rows`."""
    tasks = tuple(row.task for row in rows)
    if backbone.kind == "seq2seq":
        read, written = padded([row.input for row in rows], backbone.text.pad), padded([row.output for row in rows], 0)
        labels = written.ids.masked_fill(written.mask == 0, IGNORED)
        return Batch(tasks=tasks, tokens=read.ids, mask=read.mask, labels=labels)
    if backbone.kind == "causal":
        both = padded([(*row.input, *row.output) for row in rows], backbone.text.pad)
        labels = both.ids.masked_fill(both.mask == 0, IGNORED)
        for place, row in enumerate(rows):
            labels[place, : len(row.input)] = IGNORED
        return Batch(tasks=tasks, tokens=both.ids, mask=both.mask, labels=labels)
    return _choices(backbone, rows)


def _choices(backbone: Backbone, rows: Sequence[Row]) -> Batch:
    read = padded([row.input for row in rows], backbone.text.pad)
    texts = list(dict.fromkeys(text for row in rows for text in row.candidates))
    column = {text: place for place, text in enumerate(texts)}
    allowed = torch.zeros(len(rows), len(texts), dtype=torch.bool)
    chosen = torch.full((len(rows),), IGNORED)
    for place, row in enumerate(rows):
        allowed[place, [column[text] for text in row.candidates]] = True
        if row.chosen >= 0:
            chosen[place] = column[row.candidates[row.chosen]]
    anchors = torch.stack([backbone.anchors[text] for text in texts])
    return Batch(
        tasks=tuple(row.task for row in rows), tokens=read.ids, mask=read.mask, anchors=anchors, allowed=allowed,
        chosen=chosen,
    )  # fmt: skip


class Sampler:
    """Which rows a step sees: tasks in the wanted proportion, each task's rows in shuffled rounds.

    sizes: rows of each task. A task is drawn with probability proportional to size ** power: 1 is proportional, 0
    uniform, between them a temperature of 1 / power.
    """

    def __init__(self, sizes: Sequence[int], batch: int, power: float, seed: int) -> None:
        if not sizes or min(sizes) < 1:
            raise InputError("Every training task needs at least one example.")
        self._sizes, self._batch, self._seed = list(sizes), batch, seed
        self._weights = [size**power for size in sizes]
        self._random = random.Random(f"{seed}-tasks")
        self._seen = [0] * len(sizes)
        self._rounds: dict[int, tuple[int, list[int]]] = {}

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        while True:
            yield self.draw()

    def draw(self) -> list[tuple[int, int]]:
        """The next batch as (task, row within the task)."""
        tasks = self._random.choices(range(len(self._sizes)), self._weights, k=self._batch)
        return [(task, self._next(task)) for task in tasks]

    def _next(self, task: int) -> int:
        turn, place = divmod(self._seen[task], self._sizes[task])
        if self._rounds.get(task, (-1, []))[0] != turn:
            order = list(range(self._sizes[task]))
            random.Random(f"{self._seed}-{task}-{turn}").shuffle(order)
            self._rounds[task] = (turn, order)
        self._seen[task] += 1
        return self._rounds[task][1][place]

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on from here, as JSON."""
        version, numbers, gauss = self._random.getstate()
        return {"random": [version, list(numbers), gauss], "seen": list(self._seen)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        version, numbers, gauss = state["random"]
        self._random.setstate((version, tuple(numbers), gauss))
        self._seen = list(state["seen"])
