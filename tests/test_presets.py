"""Presets of sites against tiny models of every family, built from their configs; and sites by structure."""

from functools import cache

import pytest
import torch
from backbone_cases import CONFIGS, LAYERS, SEQ2SEQ, WIDTH, tiny_model
from gathering import for_cases, for_each
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM, MambaConfig
from transformers.pytorch_utils import Conv1D

from polyray.errors import InputError
from polyray.modules.attach import attach, detach
from polyray.modules.kinds import MODULES
from polyray.modules.layers import linear_widths
from polyray.modules.matching import match
from polyray.modules.presets import PRESETS, site_patterns
from polyray.modules.site import mixing
from polyray.modules.structure import presets_by_structure

JOINT = ("phi3", "gpt2", "gpt_neox", "falcon", "bloom", "modernbert")
"""Families whose queries, keys and values are one layer's output."""
PRESET_CASES = [
    (family, preset) for family, presets in PRESETS.items() for preset, patterns in presets.items() if patterns
]


@cache
def _model(family: str) -> nn.Module:
    return tiny_model(family).requires_grad_(False)


def _sites(family: str, preset: str) -> list[str]:
    return match(_model(family), site_patterns(family, [preset], _model(family)))


def _linears(family: str) -> set[str]:
    """Every linear layer inside the stack of blocks, found by type and not by name."""
    return {
        name
        for name, layer in _model(family).named_modules()
        if isinstance(layer, nn.Linear | Conv1D) and any(word.isdigit() for word in name.split("."))
    }


def test_every_family_of_the_tables_is_tried_here() -> None:
    assert set(CONFIGS) == {*PRESETS, "mixtral"}
    for family, config in CONFIGS.items():
        assert config.model_type == family


@for_each(family=[*PRESETS])
def test_all_means_every_linear_layer_of_the_blocks(family: str) -> None:
    shared = {name for name in _linears(family) if family == "deberta-v2" and name.endswith(("query_proj", "key_proj"))}
    assert set(_sites(family, "all")) == _linears(family) - shared


@for_each(family=[*PRESETS])
def test_attention_and_ffn_divide_all(family: str) -> None:
    attention, ffn = set(_sites(family, "attention")), set(_sites(family, "ffn"))
    assert not attention & ffn
    blocks = 2 * LAYERS if family in SEQ2SEQ else LAYERS
    crossing = LAYERS if family in SEQ2SEQ else 0
    blocks = 1 if family == "albert" else blocks  # its layers share their weights
    assert len(attention) == (2 if family in (*JOINT, "deberta-v2") else 4) * (blocks + crossing)


@for_each(family=[*PRESETS])
def test_bottlenecks_sit_on_the_last_layer_of_each_sublayer(family: str) -> None:
    blocks = 2 * LAYERS if family in SEQ2SEQ else 1 if family == "albert" else LAYERS
    sublayers = blocks * 2 + (LAYERS if family in SEQ2SEQ else 0)
    houlsby, pfeiffer = _sites(family, "houlsby"), _sites(family, "pfeiffer")
    assert (len(houlsby), len(pfeiffer)) == (sublayers, blocks)
    assert set(pfeiffer) < set(houlsby) <= set(_sites(family, "all"))
    assert set(pfeiffer) <= set(_sites(family, "ffn"))
    for site in houlsby:  # back at the width of the residual stream
        assert (linear_widths(_model(family).get_submodule(site)) or (0, 0))[1] == WIDTH


@for_each(family=[family for family, preset in PRESET_CASES if preset == "ia3"])
def test_ia3_rescales_two_layers_of_each_attention_and_one_of_each_ffn(family: str) -> None:
    blocks = 2 * LAYERS if family in SEQ2SEQ else 1 if family == "albert" else LAYERS
    sites = set(_sites(family, "ia3"))
    assert len(sites & set(_sites(family, "attention"))) == 2 * (blocks + (LAYERS if family in SEQ2SEQ else 0))
    assert len(sites & set(_sites(family, "ffn"))) == blocks


def test_ia3_picks_wi_of_a_plain_t5_and_the_linear_half_of_a_gated_one() -> None:
    assert {site.rpartition(".")[2] for site in _sites("t5", "ia3")} == {"k", "v", "wi"}
    assert {site.rpartition(".")[2] for site in _sites("mt5", "ia3")} == {"k", "v", "wi_1"}


@for_cases([{"family": family, "preset": preset} for family, preset in PRESET_CASES])
def test_modules_of_the_kind_that_a_preset_is_for_run_there(family: str, preset: str) -> None:
    kind = {"houlsby": "bottleneck", "pfeiffer": "bottleneck", "ia3": "ia3", "prefix": "prefix"}.get(preset, "lora")
    before = _run(family)  # without a gradient: the backbone is frozen
    generator = torch.Generator().manual_seed(0)
    patterns = site_patterns(family, [preset], _model(family))
    inventory = attach(_model(family), patterns, kind, 2, MODULES[kind].Options(), generator)
    try:
        with torch.no_grad():
            for parameter in inventory.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.5)
        with mixing(inventory, torch.full((2, 2), 0.5)):
            after = _run(family)
            after.square().sum().backward()
        learning = [p.grad.flatten(1).any(1) for p in inventory.parameters() if p.grad is not None]
        assert all(map(torch.all, learning))  # at every site: none is passed by
        after = after.detach()
    finally:
        detach(_model(family), inventory)
    assert after.shape == before.shape
    assert not torch.allclose(after, before, atol=1e-6)
    assert torch.equal(_run(family), before)


def _run(family: str) -> torch.Tensor:
    ids = torch.tensor([[5, 6, 7, 8, 2], [9, 10, 11, 2, 0]])
    named = {"decoder_input_ids": ids} if family in SEQ2SEQ else {}
    logits: torch.Tensor = _model(family)(input_ids=ids, attention_mask=(ids != 0).long(), **named).logits
    return logits


@for_each(family=[family for family in CONFIGS if family != "deberta-v2"])
def test_names_and_shapes_alone_give_the_sites_of_the_presets(family: str) -> None:
    by_structure = presets_by_structure(_model(family))
    for preset in PRESETS.get(family, {}):
        if preset != "prefix" or PRESETS[family]["prefix"]:  # only a forward pass shows how a module attends
            assert set(by_structure[preset]) == set(_sites(family, preset) if PRESETS[family][preset] else ()), preset


def test_experts_in_one_tensor_leave_attention_alone() -> None:
    attention = _sites("mixtral", "attention")
    assert attention == [
        f"model.layers.{block}.self_attn.{name}_proj" for block in range(LAYERS) for name in ("q", "k", "v", "o")
    ]
    assert _sites("mixtral", "all") == attention
    with pytest.raises(InputError, match=r"this backbone \(mixtral\) has no such layers"):
        _sites("mixtral", "ffn")


class Odd(nn.Module):
    """A decoder of nobody's: a joint projection, a gate of experts and a convolution beside the usual."""

    def __init__(self) -> None:
        super().__init__()
        block = {
            "SelfAttn": nn.ModuleDict({"mix_attn": nn.Linear(8, 24), "back": nn.Linear(8, 8)}),
            "router": nn.Linear(8, 4), "wide": nn.Linear(8, 20), "narrow": nn.Linear(20, 8), "conv": nn.Conv1d(8, 8, 3),
            "norm": nn.LayerNorm(8),
        }  # fmt: skip
        self.embed = nn.Embedding(20, 8)
        self.blocks = nn.ModuleList([nn.ModuleDict(block)])
        self.head = nn.Linear(8, 20)


def test_a_backbone_that_nobody_has_seen_is_read_by_its_shapes() -> None:
    parts = presets_by_structure(Odd())
    attention, ffn = ("blocks.0.SelfAttn.mix_attn", "blocks.0.SelfAttn.back"), ("blocks.0.wide", "blocks.0.narrow")
    assert parts == {
        "attention": attention, "ffn": ffn, "all": (*attention, *ffn), "houlsby": (attention[1], ffn[1]),
        "pfeiffer": ffn[1:], "ia3": (), "prefix": (),
    }  # fmt: skip


def test_a_backbone_without_attention_lists_its_own_layers() -> None:
    config = MambaConfig(vocab_size=20, hidden_size=8, num_hidden_layers=2, state_size=2)
    mamba = AutoModelForCausalLM.from_config(config)
    with pytest.raises(InputError, match=r"backbone \(mamba\).*: backbone\.embeddings, .*layers\.\*\.mixer\.in_proj,"):
        site_patterns("mamba", ["attention"], mamba)
    with pytest.raises(InputError, match=r"pattern 'inproj'\. Did you mean 'in_proj'\? .*mixer\.in_proj"):
        match(mamba, ["inproj"])


def test_patterns_pass_unchanged_and_repetitions_fall_together() -> None:
    assert site_patterns("gpt2", ["*.c_attn", "lm_head"], Odd()) == ("*.c_attn", "lm_head")
    assert site_patterns("bert", ["attention", "mine", "all"], Odd())[:5] == (*PRESETS["bert"]["attention"], "mine")


def test_a_part_that_a_family_lacks_is_refused() -> None:
    with pytest.raises(InputError, match=r"modules\.sites='ia3': this backbone \(phi3\).*self_attn\.qkv_proj"):
        _sites("phi3", "ia3")


def test_heads_and_embeddings_are_in_no_part() -> None:
    model = AutoModel.from_config(CONFIGS["electra"])
    assert not any("embeddings" in site for site in match(model, site_patterns("electra", ["all"], model)))
