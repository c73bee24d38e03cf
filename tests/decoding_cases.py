"""Networks of one layer that answer together, and their next token without any cache, for tests of decoding."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)

from polyray.backbones import Backbone
from polyray.backbones.backbone import Kind
from polyray.backbones.text import ByteText

SPECIAL: dict[str, Any] = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2, "vocab_size": 24}
START: dict[str, Any] = {"decoder_start_token_id": 0}
INPUTS = ((5, 6, 7, 8, 9, 1), (11, 12, 1), (20, 3, 4, 4, 1))


def _t5() -> PreTrainedModel:
    config = T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, **SPECIAL, **START)
    return T5ForConditionalGeneration(config)


def _bart() -> PreTrainedModel:
    config = BartConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16, decoder_ffn_dim=16,
        encoder_attention_heads=2, decoder_attention_heads=2, decoder_start_token_id=2, forced_eos_token_id=None,
        max_position_embeddings=64, **SPECIAL,
    )  # fmt: skip
    return BartForConditionalGeneration(config)


def _llama() -> PreTrainedModel:
    config = LlamaConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, intermediate_size=16,
        **SPECIAL,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def _gpt2() -> PreTrainedModel:
    return GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=64, **SPECIAL))


FAMILIES: dict[str, tuple[Kind, Callable[[], PreTrainedModel]]] = {
    "t5": ("seq2seq", _t5), "bart": ("seq2seq", _bart), "llama": ("causal", _llama), "gpt2": ("causal", _gpt2),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class ToyMember:
    """A network of its own as a member."""

    backbone: Backbone
    in_force: Callable[[], AbstractContextManager[object]] = nullcontext


def toy(family: str, seed: int, scale: float = 8.0) -> Backbone:
    """A network over 24 tokens whose weights are large enough to prefer some."""
    kind, build = FAMILIES[family]
    torch.manual_seed(seed)
    model = build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale if parameter.dim() > 1 else 1.0)
    return Backbone(
        name=family, revision="", kind=kind, family=family, model=model, text=ByteText(), fingerprint=str(seed)
    )


@torch.no_grad()
def next_logits(backbone: Backbone, read: Sequence[int], written: Sequence[int]) -> Tensor:
    """Logits [V] of the token behind `written`, from a whole pass over one unpadded sequence."""
    arguments = {"input_ids": torch.tensor([list(read)]), "decoder_input_ids": torch.tensor([list(written)])}
    if backbone.continues:
        arguments = {"input_ids": torch.tensor([[*read, *written]])}
    logits: Tensor = backbone.model(**arguments, use_cache=False).logits[0, -1]
    return logits


def start_of(backbone: Backbone) -> list[int]:
    """The first tokens of what a network writes: of a decoder its start."""
    return [] if backbone.continues else [backbone.model.config.decoder_start_token_id]
