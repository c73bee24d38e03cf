"""Predictions and scores."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from polyray.backbones.backbone import Backbone, device_of, evaluating, longest_first
from polyray.backbones.text import padded
from polyray.config import Section
from polyray.errors import InputError
from polyray.modules.site import mixing
from polyray.objectives.batches import IGNORED, Row, collate
from polyray.tasks.task import Example, Task
from polyray.training.model import Modular, scores


class EvaluationOptions(Section):
    """How answers are predicted: written token by token, or ranked among the task's answers."""

    method: Literal["auto", "generate", "rank"] = "auto"
    """Write the answer, or choose the likeliest of the task's answers; auto: encoders rank, others generate."""
    beams: int = Field(1, ge=1)
    """Beams of the search; 1 is greedy."""
    sample: bool = False
    """Draw tokens instead of searching."""
    temperature: float = Field(1.0, gt=0)
    """Temperature of the drawing."""
    batch: int = Field(64, ge=1)
    """Examples at once."""
    max_examples: int = Field(0, ge=0)
    """Test examples of a task at most, the first ones; 0: all."""


@torch.no_grad()
def predict(model: Modular, rows: Sequence[Row], decoding: EvaluationOptions, max_output: int) -> list[str]:
    """The answer to every row; tasks may be mixed freely.

    Raises:
        InputError: answers are to be ranked and a row has none to choose among.
    """
    answers = [""] * len(rows)
    with evaluating(model):
        for places in longest_first([len(row.input) for row in rows], decoding.batch):
            chosen = [rows[place] for place in places]
            with mixing(model.inventory, model.router(tuple(row.task for row in chosen))):
                found = _answer(model.backbone, chosen, decoding, max_output)
            for place, text in zip(places, found, strict=True):
                answers[place] = text
    return answers


def _answer(backbone: Backbone, rows: Sequence[Row], decoding: EvaluationOptions, max_output: int) -> list[str]:
    if backbone.kind == "encoder":
        batch = collate(backbone, rows).to(device_of(backbone.model))
        columns = list(dict.fromkeys(text for row in rows for text in row.candidates))
        return [columns[place] for place in scores(backbone, batch).argmax(-1).tolist()]
    return _written(backbone, rows, decoding, max_output)


def _written(backbone: Backbone, rows: Sequence[Row], decoding: EvaluationOptions, max_output: int) -> list[str]:
    read = padded([row.input for row in rows], backbone.text.pad, left=backbone.kind == "causal")
    device = device_of(backbone.model)
    ids = backbone.model.generate(  # type: ignore[operator]
        input_ids=read.ids.to(device), attention_mask=read.mask.to(device), max_new_tokens=max_output,
        num_beams=decoding.beams, do_sample=decoding.sample, pad_token_id=backbone.text.pad,
        eos_token_id=backbone.text.eos, **({"temperature": decoding.temperature} if decoding.sample else {}),
    )  # fmt: skip
    skipped = read.ids.shape[1] if backbone.kind == "causal" else 1  # the prompt, or the decoder's start
    return [backbone.text.decode(answer[skipped:]) for answer in ids.tolist()]


@torch.no_grad()
def rank(model: Modular, rows: Sequence[Row], decoding: EvaluationOptions) -> list[str]:
    """The likeliest of each row's own candidates, by mean log-likelihood per token.

    Raises:
        InputError: a row has no candidates.
    """
    open_ended = [row.task for row in rows if not row.candidates]
    if open_ended:
        raise InputError(
            f"Task {open_ended[0]!r} has no closed set of answers to rank: use evaluation.method=generate."
        )
    if model.backbone.kind == "encoder":
        return predict(model, rows, decoding, max_output=0)
    pairs = [(place, text) for place, row in enumerate(rows) for text in row.candidates]
    written = {text: tuple(model.backbone.text.continuation(text)) for _, text in pairs}
    every = [
        Row(task=rows[place].task, input=rows[place].input, output=written[text], candidates=(), chosen=-1)
        for place, text in pairs
    ]
    best: dict[int, tuple[float, str]] = {}
    for (place, text), value in zip(pairs, _likelihoods(model, every, decoding), strict=True):
        if place not in best or value > best[place][0]:
            best[place] = (value, text)
    return [best[place][1] for place in range(len(rows))]


def _likelihoods(model: Modular, rows: Sequence[Row], decoding: EvaluationOptions) -> list[float]:
    found = [0.0] * len(rows)
    with evaluating(model):
        for places in longest_first([len(row.input) for row in rows], decoding.batch):
            chosen = [rows[place] for place in places]
            batch = collate(model.backbone, chosen).to(device_of(model.network))
            with mixing(model.inventory, model.router(batch.tasks)):
                written = model.backbone.model(input_ids=batch.tokens, attention_mask=batch.mask, labels=batch.labels)
            values = _mean_likelihood(written.logits, batch.labels, model.backbone.kind)
            for place, value in zip(places, values.tolist(), strict=True):
                found[place] = value
    return found


def _mean_likelihood(logits: Tensor, labels: Tensor | None, kind: str) -> Tensor:
    """logits [B, L, V], labels [B, L] -> [B]."""
    assert labels is not None
    if kind == "causal":
        logits, labels = logits[:, :-1], labels[:, 1:]
    loss = functional.cross_entropy(logits.float().mT, labels, ignore_index=IGNORED, reduction="none")
    return -loss.sum(-1) / (labels != IGNORED).sum(-1)


def answers(model: Modular, rows: Sequence[Row], decoding: EvaluationOptions, max_output: int) -> list[str]:
    """`predict` or `rank`, as `decoding.method` says."""
    if decoding.method == "rank":
        return rank(model, rows, decoding)
    return predict(model, rows, decoding, max_output)


def score(
    tasks: Mapping[str, Task], examples: Sequence[Example], predictions: Sequence[str]
) -> dict[str, dict[str, float]]:
    """For each task among the examples {metric: value}."""
    by_task: dict[str, tuple[list[str], list[Example]]] = {}
    for example, prediction in zip(examples, predictions, strict=True):
        own = by_task.setdefault(example.task, ([], []))
        own[0].append(prediction)
        own[1].append(example)
    return {name: {tasks[name].metric: tasks[name].score(*own)} for name, own in by_task.items()}
