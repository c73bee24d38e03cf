"""Tiny random networks of transformers in folders, for judges of responses."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "</s>"]
WORDS = [
    "the", "a", "hotel", "room", "has", "free", "wifi", "parking", "pool", "is", "not", "in", "its", "lobby", "yes",
    "no", "it", "does", "answer", "context", ":", ".", "what",
]  # fmt: skip
LABELS = {0: "contradiction", 1: "neutral", 2: "entailment"}
_SIZE: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def save_encoder(folder: Path, seed: int = 0) -> Path:
    """A BERT without a head."""
    return _save(BertModel(_bert(seed), add_pooling_layer=False), "[CLS] $A [SEP]", folder)


def save_classifier(folder: Path, labels: dict[int, str] | None = None, seed: int = 0) -> Path:
    """A BERT that classifies pairs."""
    labels = LABELS if labels is None else labels
    names = {"id2label": labels, "label2id": {label: number for number, label in labels.items()}}
    return _save(BertForSequenceClassification(_bert(seed, **names)), "[CLS] $A [SEP]", folder)


def save_reader(folder: Path, seed: int = 0) -> Path:
    """A BERT that finds answers."""
    return _save(BertForQuestionAnswering(_bert(seed)), "[CLS] $A [SEP]", folder)


def save_writer(folder: Path, seed: int = 0) -> Path:
    """A T5 that writes."""
    torch.manual_seed(seed)
    size: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2}
    size |= {"pad_token_id": 0, "eos_token_id": 4, "decoder_start_token_id": 0}
    config = T5Config(vocab_size=len(SPECIAL) + len(WORDS), **size)
    return _save(T5ForConditionalGeneration(config), "$A </s>", folder)


def _bert(seed: int, **options: Any) -> BertConfig:
    torch.manual_seed(seed)
    return BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS), max_position_embeddings=64, initializer_range=0.5, **_SIZE, **options
    )


def _save(network: PreTrainedModel, template: str, folder: Path) -> Path:
    network.eval().save_pretrained(folder)
    _tokenizer(template).save_pretrained(folder)
    return folder


def _tokenizer(template: str) -> PreTrainedTokenizerFast:
    """Words and punctuation in lower case as tokens."""
    numbers = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [(name, numbers[name]) for name in ("[CLS]", "[SEP]", "</s>")]
    pair = f"{template} $B:1 [SEP]:1"
    tokenizer.post_processor = processors.TemplateProcessing(single=template, pair=pair, special_tokens=special)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    names |= {"eos_token": "</s>"} if "</s>" in template else {"cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **names)
