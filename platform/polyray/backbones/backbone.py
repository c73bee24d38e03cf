"""A pretrained network, how it reads text, and what training it means."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import torch
from torch import Tensor, nn

from polyray.backbones.text import Text
from polyray.errors import InputError
from polyray.skills.card import BackboneDtype, FullBackbone

if TYPE_CHECKING:  # the models of transformers take a second to load, and agents have none
    from transformers import PreTrainedModel

Kind = Literal["seq2seq", "causal", "encoder"]


@dataclass(eq=False, kw_only=True)
class Backbone:
    """A network with its tokenizer.

    kind: seq2seq and causal write answers, an encoder chooses among given ones. family: the architecture
    (transformers' model_type), which names its sites. reach: tokens that it reads at most, with the answer where it
    continues the input; written_reach: tokens that a decoder of its own writes at most; 0 for no limit. pretrained:
    whether `name` is that of a checkpoint. dtype: number format of the weights; the fingerprint is of those in the
    file. original: loads the network as it was pretrained, where `model` was trained since. trimmed_from: the full
    network, where this one is a copy with fewer pieces. anchors: the answers' embeddings by their texts. untied: the
    embeddings that a masked language model decodes with, where they are not those that it reads with.
    """

    name: str
    revision: str
    kind: Kind
    family: str
    model: "PreTrainedModel"
    text: Text
    fingerprint: str
    reach: int = 0
    written_reach: int = 0
    pretrained: bool = False
    dtype: BackboneDtype = "fp32"
    original: "Callable[[], PreTrainedModel] | None" = None
    trimmed_from: FullBackbone | None = None
    anchors: dict[str, Tensor] = field(default_factory=dict)
    untied: Tensor | None = None

    @property
    def network(self) -> nn.Module:
        """The module that carries the skills."""
        return self.model

    @cached_property
    def embedder(self) -> "PreTrainedModel":
        """The network as it was pretrained; `model` itself unless it was trained since."""
        if self.original is None:
            return self.model
        network = self.original()
        network.requires_grad_(False)
        return network

    @property
    def width(self) -> int:
        """Features of its output at a token."""
        width: int = self.model.config.hidden_size
        return width

    @property
    def embeddings(self) -> Tensor:
        """Its input embeddings [V, E], which a masked language model's head shares."""
        return cast(Tensor, self.model.get_input_embeddings().weight)

    @property
    def decoder(self) -> Tensor:
        """Embeddings [V, E] that a masked language model's head decodes with: the input embeddings unless untied."""
        return self.embeddings if self.untied is None else self.untied

    def untie(self) -> None:
        """Let a masked language model decode with the input embeddings as they are now, whatever becomes of them."""
        self.untied = self.embeddings.detach().clone()

    @property
    def dropout(self) -> float:
        """Probability with which its own layers drop a feature of their output."""
        config = self.model.config.to_dict()
        return float(config.get("hidden_dropout_prob", config.get("dropout", 0.0)))

    @property
    def second_segment(self) -> int:
        """The segment (token type) of the second of two texts that it reads together; 0: it knows none."""
        n_segments: int = self.model.config.to_dict().get("type_vocab_size", 0)
        return self.text.second_segment if n_segments > 1 else 0

    @property
    def reader(self) -> nn.Module:
        """The part that reads an input, without a head: its encoder, where it has one of its own."""
        model: Any = self.model
        part: nn.Module = model.get_encoder() if self.kind == "seq2seq" else model.base_model
        return part

    @property
    def writes(self) -> bool:
        """Whether it can write a text, token by token."""
        return self.kind != "encoder"

    @property
    def continues(self) -> bool:
        """Whether it writes an answer as the continuation of the input, in one sequence of tokens with it."""
        return self.kind == "causal"

    @property
    def reads_both_ways(self) -> bool:
        """Whether its output at a token depends on the tokens before and behind it."""
        return self.kind == "encoder"

    def input_limit(self, max_input: int, max_output: int) -> int:
        """Tokens of an input at most, of which `max_input` are allowed; room for an answer that continues it is left.

        Raises:
            InputError: an answer of `max_output` tokens leaves no room.
        """
        if not self.reach:
            return max_input
        room = self.reach - (max_output if self.continues else 0)
        if room < 1:
            raise InputError(
                f"The backbone {self.name} reads {self.reach} tokens at most, input and answer together: "
                f"text.max_output={max_output} leaves none for the input. Set it lower."
            )
        return min(max_input, room)

    def output_limit(self, max_output: int) -> int:
        """Tokens of an answer at most, of which `max_output` are allowed."""
        return min(max_output, self.written_reach) if self.written_reach else max_output

    def answer_room(self, n_read: int) -> int | None:
        """Tokens that an answer to an input of `n_read` tokens may have; None for no limit."""
        room = self.reach - n_read if self.continues and self.reach else self.written_reach
        return room or None

    def decoder_tokens(self, labels: Tensor) -> Tensor:
        """The decoder's inputs under which a seq2seq backbone predicts `labels` [B, L], negative where none is."""
        prepare = getattr(self.model, "prepare_decoder_input_ids_from_labels", None)
        if prepare is not None:  # MBART begins with the last token, T5 with padding, ...
            tokens: Tensor = prepare(labels)
            return tokens
        config = self.model.config.to_dict()  # BlenderBot, M2M100 and NLLB have no such method
        shifted = torch.cat([labels.new_full((len(labels), 1), config["decoder_start_token_id"]), labels[:, :-1]], 1)
        return shifted.masked_fill(shifted < 0, config["pad_token_id"])

    def freeze(self) -> None:
        """Train none of the backbone's own parameters."""
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)


def device_of(model: nn.Module) -> torch.device:
    """Device of the first parameter of `model`."""
    return next(model.parameters()).device


class Switchable(Protocol):
    """A network with a training and an evaluation mode."""

    training: bool

    def train(self, mode: bool = True) -> Any:
        """Training mode, or evaluation mode."""

    def eval(self) -> Any:
        """Evaluation mode."""


@contextmanager
def evaluating(model: Switchable) -> Iterator[None]:
    """Evaluation mode in the block; after it the mode from before."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def longest_first(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Indices grouped in runs of `size` by falling length, so that a batch pads little."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    return [order[start : start + size] for start in range(0, len(order), size)]
