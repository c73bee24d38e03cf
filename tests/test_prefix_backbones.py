"""Prefixes inside the attention of real architectures: masks, grouped heads, caches and beams."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    BertConfig,
    LlamaConfig,
    PreTrainedConfig,
    T5Config,
)

from polyray.errors import InputError
from polyray.modules.attach import Inventory, attach, detach
from polyray.modules.mix import Mix, Rows
from polyray.modules.prefix import PrefixOptions
from polyray.modules.presets import site_patterns
from polyray.modules.site import mixing, without_skills

SPECIAL: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
STARTS_WITH_PADDING: dict[str, Any] = {"decoder_start_token_id": 0}
FAMILIES: dict[str, tuple[Any, PreTrainedConfig]] = {
    "t5": (AutoModelForSeq2SeqLM, T5Config(
        vocab_size=30, d_model=16, d_kv=6, d_ff=24, num_layers=2, num_heads=4,
        **SPECIAL, **STARTS_WITH_PADDING,
    )),
    "bart": (AutoModelForSeq2SeqLM, BartConfig(
        vocab_size=30, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=24, decoder_ffn_dim=24, decoder_start_token_id=2,
        forced_eos_token_id=None, **SPECIAL,
    )),
    "bert": (AutoModelForMaskedLM, BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
    )),
    "llama": (AutoModelForCausalLM, LlamaConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=24, **SPECIAL,
    )),
}  # fmt: skip
MIX = Mix(torch.tensor([[[[1.0, 0, 0], [0.2, 0.5, 0.3]]]]), Rows([1, 0, 1], 2, torch.device("cpu")))


def _backbone(family: str, implementation: str = "sdpa") -> tuple[Any, Inventory]:
    torch.manual_seed(0)
    kind, config = FAMILIES[family]
    backbone = kind.from_config(config, attn_implementation=implementation).eval()
    generator = torch.Generator().manual_seed(1)
    patterns = site_patterns(family, ["prefix"], backbone)
    inventory = attach(backbone, patterns, "prefix", 3, PrefixOptions(length=3), generator)
    with torch.no_grad():
        for parameter in inventory.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return backbone, inventory


def _inputs(family: str, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
    inputs = {"input_ids": ids, "attention_mask": mask}
    return inputs | ({"decoder_input_ids": ids[:, :4]} if family in ("t5", "bart") else {})


def _ids() -> Tensor:
    return torch.randint(3, 30, (3, 6), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("family", FAMILIES)
def test_padded_examples_together_equal_each_alone_without_padding(family: str) -> None:
    backbone, inventory = _backbone(family)
    ids, mask, lengths = _ids(), torch.ones(3, 6, dtype=torch.long), [6, 4, 5]
    for row, length in enumerate(lengths):
        mask[row, length:] = 0
    with torch.no_grad(), mixing(inventory, MIX):
        together = backbone(**_inputs(family, ids, mask)).logits
    for row, length in enumerate(lengths):
        alone = Mix(MIX.weights[:, :, [MIX.rows.row_of_example[row]]], Rows([0], 1, torch.device("cpu")))
        tokens, compared = ids[row : row + 1], slice(0, min(length, together.shape[1]))
        with torch.no_grad(), mixing(inventory, alone):
            expected = backbone(**_inputs(family, tokens[:, :length], torch.ones(1, length, dtype=torch.long))).logits
        assert torch.allclose(together[row, compared], expected[0, compared], atol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("family", ["t5", "bart", "llama"])
def test_generation_with_a_cache_equals_generation_without(family: str, beams: int) -> None:
    backbone, inventory = _backbone(family)
    named = {"max_new_tokens": 6, "min_new_tokens": 6, "num_beams": beams, "do_sample": False}
    with mixing(inventory, MIX):
        cached, fresh = (
            backbone.generate(input_ids=_ids(), attention_mask=torch.ones_like(_ids()), use_cache=use, **named)
            for use in (True, False)
        )
    assert torch.equal(cached, fresh)


@pytest.mark.parametrize("family", FAMILIES)
def test_eager_attention_is_refused_with_the_remedy(family: str) -> None:
    backbone, inventory = _backbone(family, "eager")
    inputs = _inputs(family, _ids(), torch.ones_like(_ids()))
    with mixing(inventory, MIX), pytest.raises(InputError, match='Load the backbone with attn_implementation="sdpa"'):
        backbone(**inputs)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_backbone_attends_as_before_once_its_prefix_is_not_used(family: str) -> None:
    backbone, inventory = _backbone(family)
    inputs = _inputs(family, _ids(), torch.ones_like(_ids()))
    implementation = backbone.config._attn_implementation
    with torch.no_grad():
        with mixing(inventory, MIX):
            backbone(**inputs)
        assert backbone.config._attn_implementation == implementation == "sdpa"
        with without_skills(inventory):
            without = backbone(**inputs).logits
        detach(backbone, inventory)
        assert torch.equal(without, backbone(**inputs).logits)
