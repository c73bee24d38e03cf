"""Tiny models of many families, built from their configs, and a tokenizer of twenty words for all of them."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    BertConfig,
    BloomConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    FalconConfig,
    Gemma2Config,
    GemmaConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MarianConfig,
    MBartConfig,
    MistralConfig,
    MixtralConfig,
    ModernBertConfig,
    MPNetConfig,
    MT5Config,
    OlmoConfig,
    OPTConfig,
    PegasusConfig,
    Phi3Config,
    PhiConfig,
    PLBartConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    SmolLM3Config,
    T5Config,
    UMT5Config,
    XLMRobertaConfig,
)

from polyray.backbones.backbone import Backbone, Kind
from polyray.backbones.huggingface import in_memory
from polyray.backbones.pretrained_text import PretrainedText

LAYERS, WIDTH, POSITIONS = 2, 8, 32
WORDS = ["<pad>", "<s>", "</s>", "<unk>", *(f"w{number}" for number in range(16))]
SPECIAL: dict[str, Any] = {"vocab_size": len(WORDS), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
T5: dict[str, Any] = {
    "d_model": WIDTH, "d_kv": 4, "d_ff": 12, "num_layers": LAYERS, "num_heads": 2, "decoder_start_token_id": 0,
    **SPECIAL,
}  # fmt: skip
BART: dict[str, Any] = {
    "d_model": WIDTH, "encoder_layers": LAYERS, "decoder_layers": LAYERS, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 12, "decoder_ffn_dim": 12, "decoder_start_token_id": 2,
    "forced_eos_token_id": None, "max_position_embeddings": POSITIONS, **SPECIAL,
}  # fmt: skip
DEEP: dict[str, Any] = {
    "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 12,
    "max_position_embeddings": POSITIONS, **SPECIAL,
}  # fmt: skip
OFFSET: dict[str, Any] = {**DEEP, "max_position_embeddings": POSITIONS + 1}  # the first position is number 1
GROUPED: dict[str, Any] = {**DEEP, "num_key_value_heads": 1, "head_dim": 4}
RELATIVE: dict[str, Any] = {"relative_attention": True, "share_att_key": True, "pos_att_type": ["p2c", "c2p"]}
GPT: dict[str, Any] = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 2, "n_inner": 12, "n_positions": POSITIONS}

CONFIGS: dict[str, PreTrainedConfig] = {
    "t5": T5Config(**T5),
    "mt5": MT5Config(**T5),
    "umt5": UMT5Config(**T5),
    "bart": BartConfig(**BART),
    "mbart": MBartConfig(**BART),
    "plbart": PLBartConfig(**BART),
    "marian": MarianConfig(**BART),
    "pegasus": PegasusConfig(**BART),
    "bert": BertConfig(**DEEP),
    "roberta": RobertaConfig(**OFFSET),
    "xlm-roberta": XLMRobertaConfig(**OFFSET),
    "electra": ElectraConfig(embedding_size=4, **DEEP),
    "deberta-v2": DebertaV2Config(**RELATIVE, **DEEP),
    "modernbert": ModernBertConfig(**DEEP, cls_token_id=1, sep_token_id=2),
    "albert": AlbertConfig(embedding_size=4, **DEEP),
    "distilbert": DistilBertConfig(
        vocab_size=20, dim=WIDTH, n_layers=LAYERS, n_heads=2, hidden_dim=12, pad_token_id=0,
        max_position_embeddings=POSITIONS,
    ),
    "mpnet": MPNetConfig(**{**DEEP, "max_position_embeddings": POSITIONS + 2, "pad_token_id": 1}),
    "llama": LlamaConfig(**GROUPED),
    "mistral": MistralConfig(**GROUPED),
    "qwen2": Qwen2Config(**GROUPED),
    "qwen3": Qwen3Config(**GROUPED),
    "gemma": GemmaConfig(**GROUPED),
    "gemma2": Gemma2Config(**GROUPED),
    "olmo": OlmoConfig(**{**DEEP, "num_key_value_heads": 1}),
    "smollm3": SmolLM3Config(**{**DEEP, "num_key_value_heads": 1}),
    "mixtral": MixtralConfig(num_local_experts=2, **{**GROUPED, "intermediate_size": 16}),  # 16 bytes in bf16
    "phi": PhiConfig(**DEEP),
    "phi3": Phi3Config(**{**DEEP, "num_key_value_heads": 1}),
    "opt": OPTConfig(
        hidden_size=WIDTH, word_embed_proj_dim=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2, ffn_dim=12,
        max_position_embeddings=POSITIONS, **SPECIAL,
    ),
    "gpt2": GPT2Config(**GPT, **SPECIAL),
    "gptj": GPTJConfig(rotary_dim=4, **GPT, **SPECIAL),
    "gpt_neox": GPTNeoXConfig(**DEEP),
    "falcon": FalconConfig(hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2, ffn_hidden_size=12,
                           max_position_embeddings=POSITIONS, **SPECIAL),
    "bloom": BloomConfig(hidden_size=WIDTH, n_layer=LAYERS, n_head=2, **SPECIAL),
}  # fmt: skip
"""Family -> config; all absolute positions are made for POSITIONS tokens."""

T5_LIKE = ("t5", "mt5", "umt5")
SEQ2SEQ = ("t5", "mt5", "umt5", "bart", "mbart", "plbart", "marian", "pegasus")
ENCODERS = (
    "bert", "roberta", "xlm-roberta", "electra", "deberta-v2", "modernbert", "albert", "distilbert", "mpnet",
)  # fmt: skip
CAUSAL = tuple(family for family in CONFIGS if family not in (*SEQ2SEQ, *ENCODERS))
CLASSES: dict[str, Any] = {
    **dict.fromkeys(SEQ2SEQ, AutoModelForSeq2SeqLM),
    **dict.fromkeys(ENCODERS, AutoModelForMaskedLM),
    **dict.fromkeys(CAUSAL, AutoModelForCausalLM),
}


def tiny_model(family: str, bare: bool = False, seed: int = 0) -> PreTrainedModel:
    """A model with random weights, the same for one seed; bare: an encoder without its head."""
    torch.manual_seed(seed)
    build = AutoModel.from_config if bare else CLASSES[family].from_config
    model: PreTrainedModel = build(deepcopy(CONFIGS[family]))  # a model notes its type there
    model.eval()
    with torch.no_grad():  # initial weights of 0.02 would make all logits alike; T5's are larger
        for parameter in model.parameters():
            if parameter.dim() > 1 and family not in T5_LIKE:
                parameter.mul_(10)
    return model


def tiny_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """Words as tokens; </s> ends a text that an encoder reads, <s> begins each."""
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    template = partial(processors.TemplateProcessing, special_tokens=[("<s>", 1), ("</s>", 2)])
    tokenizer.post_processor = template(single="<s> $A" if family in CAUSAL else "<s> $A </s>")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def kind_of_family(family: str) -> Kind:
    """The kind of a family's backbones."""
    return "seq2seq" if family in SEQ2SEQ else "encoder" if family in ENCODERS else "causal"


def tiny_backbone(family: str) -> Backbone:
    """The tiny model of a family as a backbone, as it is loaded from a folder, but in memory."""
    kind = kind_of_family(family)
    model, text = tiny_model(family, bare=kind == "encoder"), PretrainedText(tiny_tokenizer(family), kind)
    return in_memory(family, kind, model, text)


def save_folder(family: str, folder: Path) -> None:
    """Write the tiny model of a family, with its head, and its tokenizer as transformers does."""
    tiny_model(family).save_pretrained(folder)
    tiny_tokenizer(family).save_pretrained(folder)
