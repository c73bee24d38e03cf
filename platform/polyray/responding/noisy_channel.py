"""Noisy channel re-ranking: candidates of the main network, weighed by a channel and a language model."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field

from polyray.backbones.backbone import device_of
from polyray.config import Section
from polyray.decoding.generation import Continuation, continuations, drawing, inputs_of
from polyray.decoding.noisy_channel import noisy_channel, ranked
from polyray.errors import InputError
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.objectives.dialogue import CHATS
from polyray.objectives.objective import in_batches
from polyray.responding.dexperts import WRITES
from polyray.responding.members import NetworkMember
from polyray.responding.system import Ensemble, Response
from polyray.tasks import DialogueExample, Task
from polyray.tasks.dialogue.channel import of_channel, of_language_model
from polyray.training.evaluation import log_likelihoods

CHANNEL, LANGUAGE = "channel", "language_model"
MARKUP = 16  # tokens at most that a chat template puts around a response


class NoisyChannelOptions(Section):
    """The two networks that weigh candidates, and their weights."""

    files = frozenset({"channel", "language_model"})

    channel: str = ""
    """Folder of a skill or of a network that writes the knowledge, given the dialogue with its response: trained with
    tasks.target=knowledge (needed)."""
    language_model: str = ""
    """Folder of a skill or of a network that writes the response without knowledge: trained with
    tasks.target=ungrounded (needed)."""
    channel_weight: float = Field(0.5, ge=0)
    """Weight of log p(knowledge | dialogue, response)."""
    language_model_weight: float = Field(0.2, ge=0)
    """Weight of log p(response | dialogue)."""
    max_knowledge: int = Field(128, ge=1)
    """Tokens of the knowledge that the channel is asked for at most, its first ones."""


class NoisyChannel:
    """The best of the main network's beams, by all three networks."""

    about: ClassVar[str] = "the best of the beams by a channel and a language model, too (noisy channel)"
    Options: ClassVar[type[Section]] = NoisyChannelOptions
    unread: ClassVar[Mapping[str, str]] = WRITES
    dialogue: ClassVar[bool] = True

    def __init__(self, options: NoisyChannelOptions) -> None:
        self._options = options

    def helpers(self) -> Mapping[str, str]:
        """Channel and language model."""
        return {CHANNEL: self._options.channel, LANGUAGE: self._options.language_model}

    def check(self, evaluation: EvaluationOptions, tasks: Sequence[Task]) -> None:
        """Refuse a system without its networks, or with nothing to choose among."""
        missing = [name for name, path in self.helpers().items() if not path]
        if missing:
            raise InputError(f"system.kind=noisy_channel needs system.{missing[0]}=FOLDER, of a skill or a network.")
        if any(task.objective == CHATS.name for task in tasks):
            raise InputError("A noisy channel weighs one response of a dialogue: set tasks.targets=each or last.")
        if evaluation.beams < 2:
            raise InputError("system.kind=noisy_channel chooses among beams: set evaluation.beams=10, or another 2+.")

    def respond(self, ensemble: Ensemble, examples: Sequence[DialogueExample]) -> tuple[list[Response], int]:
        """For each example the candidate with the highest score; all candidates with theirs are its details."""
        data = ensemble.encode(examples)
        candidates = _candidates(ensemble, data.rows)
        asked = [(x, text) for x, some in zip(examples, candidates, strict=True) for text, _ in some]
        scores = {
            "direct": torch.tensor([score for some in candidates for _, score in some]),
            CHANNEL: self._channel(ensemble, asked), LANGUAGE: _language(ensemble, asked),
        }  # fmt: skip
        scores["score"] = noisy_channel(
            *scores.values(), channel_weight=self._options.channel_weight,
            language_weight=self._options.language_model_weight,
        )  # fmt: skip
        columns = {name: iter(values.tolist()) for name, values in scores.items()}
        responses = []
        for some in candidates:
            rows = [{"text": text, **{name: next(values) for name, values in columns.items()}} for text, _ in some]
            order = ranked([row["score"] for row in rows])
            responses.append(Response(text=rows[order[0]]["text"], details={"candidates": [rows[i] for i in order]}))
        return responses, sum(row.cut for row in data.rows)

    def _channel(self, ensemble: Ensemble, asked: Sequence[tuple[DialogueExample, str]]) -> torch.Tensor:
        """Log p(knowledge | dialogue, response) [C] of each candidate; 0 where there is no knowledge."""
        indices = [index for index, (example, _) in enumerate(asked) if example.knowledge]
        lengths = {"max_output": self._options.max_knowledge}
        values = torch.zeros(len(asked))
        values[indices] = _log_likelihoods(
            ensemble, ensemble.members[CHANNEL], [of_channel(*asked[index]) for index in indices], lengths
        )
        return values


def _candidates(ensemble: Ensemble, rows: Sequence[Any]) -> list[list[tuple[str, float]]]:
    """The beams of each row as texts with their scores."""
    options, main = ensemble.evaluation, ensemble.main
    backbone = main.backbone
    limit = backbone.output_limit(ensemble.text.max_output)

    def search(batch: Sequence[Any]) -> list[list[Continuation]]:
        inputs = inputs_of(backbone, [row.input for row in batch])
        return continuations(backbone, inputs, options, limit, n_best=options.beams)

    with main.in_force(), drawing(options, device_of(backbone.network)):
        beams = in_batches(main.network, rows, options.batch, search)
    return [[(backbone.text.decode(each.tokens), each.score) for each in of_row] for of_row in beams]


def _language(ensemble: Ensemble, asked: Sequence[tuple[DialogueExample, str]]) -> torch.Tensor:
    """Log p(response | dialogue) [C] of each candidate."""
    examples = [of_language_model(example, response) for example, response in asked]
    text = ensemble.main.backbone.text
    longest = max(len(text.continuation(response)) for _, response in asked)  # texts are read as other tokens again
    return _log_likelihoods(ensemble, ensemble.members[LANGUAGE], examples, {"max_output": longest + MARKUP})


def _log_likelihoods(
    ensemble: Ensemble, member: NetworkMember, examples: Sequence[DialogueExample], lengths: Mapping[str, int]
) -> torch.Tensor:
    """Log-likelihood [C] of each example's target; what is longer than `lengths` is cut."""
    text: TextOptions = ensemble.text.model_copy(update={"too_long": "truncate", **lengths})
    data = ensemble.encode(examples, text)
    with member.in_force():
        return torch.tensor(log_likelihoods(member.network, data, ensemble.evaluation.batch))
