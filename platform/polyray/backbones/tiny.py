"""Small seeded networks over bytes that need no download: for demos, tests and sweeps of everything else."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from polyray.backbones.backbone import Kind
from polyray.backbones.text import BOS, EOS, PAD, ByteText

if TYPE_CHECKING:  # each builder loads the classes of its own model: all of them take a second
    from transformers import PreTrainedModel

SEED = 0  # of every tiny backbone: a name means one set of weights
WIDTH, HEADS, LAYERS = 64, 4, 2


def tiny_seq2seq() -> "PreTrainedModel":
    """BART: 2 + 2 layers, width 64; initial weights large enough to learn quickly from nothing."""
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=ByteText.n_tokens, d_model=WIDTH, encoder_layers=LAYERS, decoder_layers=LAYERS,
        encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=2 * WIDTH,
        decoder_ffn_dim=2 * WIDTH, max_position_embeddings=512, dropout=0.0, attention_dropout=0.0,
        activation_dropout=0.0, init_std=0.1, pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS,
        decoder_start_token_id=BOS, forced_eos_token_id=None,
    )  # fmt: skip
    return BartForConditionalGeneration(config)


def tiny_causal() -> "PreTrainedModel":
    """LLaMA: 2 layers, width 64."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=ByteText.n_tokens, hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=HEADS, max_position_embeddings=1024, pad_token_id=PAD,
        eos_token_id=EOS, bos_token_id=BOS,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def tiny_encoder() -> "PreTrainedModel":
    """BERT: 2 layers, width 64."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=ByteText.n_tokens, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH, max_position_embeddings=512, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, pad_token_id=PAD,
    )  # fmt: skip
    return BertModel(config, add_pooling_layer=False)


TINY: dict[str, tuple[Kind, Callable[[], "PreTrainedModel"]]] = {
    "tiny-seq2seq": ("seq2seq", tiny_seq2seq),
    "tiny-causal": ("causal", tiny_causal),
    "tiny-encoder": ("encoder", tiny_encoder),
}


def build_tiny(name: str) -> "tuple[Kind, PreTrainedModel]":
    """Kind and network of a tiny backbone; the same weights in every process."""
    kind, build = TINY[name]
    with torch.random.fork_rng(devices=[]):  # transformers draws initial weights from the global generator
        torch.default_generator.manual_seed(SEED)
        return kind, build().eval()
