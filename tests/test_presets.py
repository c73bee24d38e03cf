"""Presets of sites against tiny models of every family, built from their configs."""

from functools import cache
from typing import Any

import pytest
import torch
from gathering import for_cases, for_each
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    GemmaConfig,
    LlamaConfig,
    MBartConfig,
    MistralConfig,
    MPNetConfig,
    MT5Config,
    Phi3Config,
    PLBartConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    T5Config,
    UMT5Config,
    XLMRobertaConfig,
)

from polyray.errors import InputError
from polyray.modules.attach import attach, detach
from polyray.modules.kinds import MODULES
from polyray.modules.matching import match
from polyray.modules.presets import PRESETS, site_patterns
from polyray.modules.site import mixing

LAYERS = 2
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
T5: dict[str, Any] = {
    "d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": LAYERS, "num_heads": 2, "decoder_start_token_id": 0, **SPECIAL,
}  # fmt: skip
BART: dict[str, Any] = {
    "d_model": 8, "encoder_layers": LAYERS, "decoder_layers": LAYERS, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 12, "decoder_ffn_dim": 12, "decoder_start_token_id": 2, **SPECIAL,
}  # fmt: skip
DEEP: dict[str, Any] = {
    "hidden_size": 8, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 12, **SPECIAL,
}  # fmt: skip
GROUPED: dict[str, Any] = {**DEEP, "num_key_value_heads": 1, "head_dim": 4}

CONFIGS: dict[str, PreTrainedConfig] = {
    "t5": T5Config(vocab_size=20, **T5),
    "mt5": MT5Config(vocab_size=20, **T5),
    "umt5": UMT5Config(vocab_size=20, **T5),
    "bart": BartConfig(vocab_size=20, **BART),
    "mbart": MBartConfig(vocab_size=20, **BART),
    "plbart": PLBartConfig(vocab_size=20, **BART),
    "bert": BertConfig(vocab_size=20, **DEEP),
    "roberta": RobertaConfig(vocab_size=20, **DEEP),
    "xlm-roberta": XLMRobertaConfig(vocab_size=20, **DEEP),
    "electra": ElectraConfig(vocab_size=20, embedding_size=4, **DEEP),
    "distilbert": DistilBertConfig(vocab_size=20, dim=8, n_layers=LAYERS, n_heads=2, hidden_dim=12, pad_token_id=0),
    "mpnet": MPNetConfig(vocab_size=20, **DEEP),
    "llama": LlamaConfig(vocab_size=20, **GROUPED),
    "mistral": MistralConfig(vocab_size=20, **GROUPED),
    "qwen2": Qwen2Config(vocab_size=20, **GROUPED),
    "qwen3": Qwen3Config(vocab_size=20, **GROUPED),
    "gemma": GemmaConfig(vocab_size=20, **GROUPED),
    "phi3": Phi3Config(vocab_size=20, **{**DEEP, "num_key_value_heads": 1}),
}
SEQ2SEQ = ("t5", "mt5", "umt5", "bart", "mbart", "plbart")
CAUSAL = ("llama", "mistral", "qwen2", "qwen3", "gemma", "phi3")
PARTS = [(family, part) for family, parts in PRESETS.items() for part, patterns in parts.items() if patterns]


@cache
def _model(family: str) -> nn.Module:
    kind: Any = (
        AutoModelForSeq2SeqLM
        if family in SEQ2SEQ
        else AutoModelForCausalLM
        if family in CAUSAL
        else AutoModelForMaskedLM
    )
    implementation = "eager" if family == "mpnet" else "sdpa"
    model: nn.Module = kind.from_config(CONFIGS[family], attn_implementation=implementation).eval()
    return model


def _sites(family: str, part: str) -> list[str]:
    return match(_model(family), site_patterns(family, [part]))


def _linears(family: str) -> set[str]:
    """Every linear layer inside the stack of blocks, found by type and not by name."""
    return {
        name
        for name, layer in _model(family).named_modules()
        if isinstance(layer, nn.Linear) and any(word.isdigit() for word in name.split("."))
    }


def test_every_family_of_the_tables_is_tried_here() -> None:
    assert set(CONFIGS) == set(PRESETS)
    for family, config in CONFIGS.items():
        assert config.model_type == family


@for_each(family=[*PRESETS])
def test_all_means_every_linear_layer_of_the_blocks(family: str) -> None:
    assert set(_sites(family, "all")) == _linears(family)


@for_each(family=[*PRESETS])
def test_attention_and_ffn_divide_all(family: str) -> None:
    attention, ffn = set(_sites(family, "attention")), set(_sites(family, "ffn"))
    assert not attention & ffn
    blocks = 2 * LAYERS if family in SEQ2SEQ else LAYERS
    crossing = LAYERS if family in SEQ2SEQ else 0
    per_attention = 2 if family == "phi3" else 4
    assert len(attention) == per_attention * (blocks + crossing)


@for_each(family=[*PRESETS])
def test_bottlenecks_sit_on_the_last_layer_of_each_sublayer(family: str) -> None:
    blocks = 2 * LAYERS if family in SEQ2SEQ else LAYERS
    sublayers = blocks * 2 + (LAYERS if family in SEQ2SEQ else 0)
    houlsby, pfeiffer = _sites(family, "houlsby"), _sites(family, "pfeiffer")
    assert (len(houlsby), len(pfeiffer)) == (sublayers, blocks)
    assert set(pfeiffer) < set(houlsby) <= set(_sites(family, "all"))
    assert set(pfeiffer) <= set(_sites(family, "ffn"))
    for site in houlsby:  # back at the width of the residual stream
        assert _model(family).get_submodule(site).out_features == 8


@for_each(family=[family for family, part in PARTS if part == "ia3"])
def test_ia3_rescales_two_layers_of_each_attention_and_one_of_each_ffn(family: str) -> None:
    blocks = 2 * LAYERS if family in SEQ2SEQ else LAYERS
    sites = set(_sites(family, "ia3"))
    assert len(sites & set(_sites(family, "attention"))) == 2 * (blocks + (LAYERS if family in SEQ2SEQ else 0))
    assert len(sites & set(_sites(family, "ffn"))) == blocks


def test_ia3_picks_wi_of_a_plain_t5_and_the_linear_half_of_a_gated_one() -> None:
    assert {site.rpartition(".")[2] for site in _sites("t5", "ia3")} == {"k", "v", "wi"}
    assert {site.rpartition(".")[2] for site in _sites("mt5", "ia3")} == {"k", "v", "wi_1"}


@for_cases([{"family": family, "part": part} for family, part in PARTS])
def test_modules_of_the_kind_that_a_part_is_for_run_there(family: str, part: str) -> None:
    kind = {"houlsby": "bottleneck", "pfeiffer": "bottleneck", "ia3": "ia3", "prefix": "prefix"}.get(part, "lora")
    before = _run(family)
    generator = torch.Generator().manual_seed(0)
    inventory = attach(_model(family), site_patterns(family, [part]), kind, 2, MODULES[kind].Options(), generator)
    try:
        with torch.no_grad():
            for parameter in inventory.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.5)
        with mixing(inventory, torch.full((2, 2), 0.5)):
            after = _run(family)
    finally:
        detach(_model(family), inventory)
    assert after.shape == before.shape
    assert not torch.allclose(after, before, atol=1e-6)
    assert torch.equal(_run(family), before)


def _run(family: str) -> torch.Tensor:
    ids = torch.tensor([[5, 6, 7, 8, 2], [9, 10, 11, 2, 0]])
    named = {"decoder_input_ids": ids} if family in SEQ2SEQ else {}
    with torch.no_grad():
        logits: torch.Tensor = _model(family)(input_ids=ids, attention_mask=(ids != 0).long(), **named).logits
    return logits


def test_patterns_pass_unchanged_and_repetitions_fall_together() -> None:
    assert site_patterns("gpt2", ["*.c_attn", "lm_head"]) == ("*.c_attn", "lm_head")
    assert site_patterns("bert", ["attention", "mine", "all"])[:5] == (*PRESETS["bert"]["attention"], "mine")


def test_a_preset_for_an_unknown_family_lists_the_families() -> None:
    with pytest.raises(InputError, match=r"bart, bert, .*For 'gpt2' give patterns"):
        site_patterns("gpt2", ["attention"])


def test_a_part_that_a_family_lacks_is_refused() -> None:
    with pytest.raises(InputError, match=r"phi3 backbone has no sites for modules\.sites='ia3'"):
        site_patterns("phi3", ["ia3"])


def test_heads_and_embeddings_are_in_no_part() -> None:
    model = AutoModel.from_config(CONFIGS["electra"])
    assert not any("embeddings" in site for site in match(model, site_patterns("electra", ["all"])))
