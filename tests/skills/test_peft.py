"""LoRA skills in and out of PEFT: the same logits on both sides."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from backbone_cases import save_folder, tiny_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM, AutoModelForSeq2SeqLM, BertConfig, T5Config

from polyray.backbones import load_backbone
from polyray.backbones.skeleton import load_skeleton
from polyray.cli.app import main
from polyray.errors import InputError
from polyray.modules.attach import Inventory, attach
from polyray.modules.lora import LoraOptions
from polyray.modules.mix import Mix, Rows
from polyray.modules.presets import site_patterns
from polyray.modules.site import mixing
from polyray.skills.card import BackboneCard, Card
from polyray.skills.peft import CONFIG, WEIGHTS, export_peft, import_peft
from polyray.skills.peft_config import DEFAULTS
from polyray.skills.skill import Skill, save_skill
from polyray.training.multitask import backbone_card

peft = pytest.importorskip("peft", reason="the comparison needs PEFT: pip install polyray[peft]")
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT asks

BACKBONE = BackboneCard(name="tiny", fingerprint="a" * 64)
SKILLS = 3


def _backbone(family: str) -> nn.Module:
    torch.manual_seed(0)
    if family == "t5":
        numbers: dict[str, Any] = {"decoder_start_token_id": 0, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
        t5 = T5Config(vocab_size=30, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4, **numbers)
        backbone: nn.Module = AutoModelForSeq2SeqLM.from_config(t5)
    else:
        bert = BertConfig(
            vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24
        )
        backbone = AutoModelForMaskedLM.from_config(bert)
    return backbone.eval()


def _logits(model: nn.Module) -> Tensor:
    ids = torch.randint(2, 30, (4, 6), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits: Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids.flip(1)).logits
    return logits


def _inventory(family: str, n_skills: int = SKILLS, **options: Any) -> tuple[nn.Module, Inventory]:
    backbone, generator = _backbone(family), torch.Generator().manual_seed(2)
    chosen = LoraOptions(**{"rank": 2, "alpha": 3.0, **options})
    inventory = attach(backbone, site_patterns(family, ["all"], backbone), "lora", n_skills, chosen, generator)
    with torch.no_grad():
        for parameter in inventory.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return backbone, inventory


def _skill(inventory: Inventory, tensors: dict[str, Tensor]) -> Skill:
    options = inventory.options.model_dump()
    card = Card(name="cola", kind=inventory.kind, backbone=BACKBONE, sites=inventory.sites, options=options)
    return Skill(card=card, tensors=tensors)


def _peft_logits(family: str, folder: Path) -> Tensor:
    return _logits(peft.PeftModel.from_pretrained(_backbone(family), folder).eval())


@pytest.mark.parametrize("task_type", [None, "own"])
@pytest.mark.parametrize("n_splits", [1, 2])
@pytest.mark.parametrize("family", ["t5", "bert"])
def test_an_exported_skill_gives_the_same_logits_in_peft(
    family: str, n_splits: int, task_type: str | None, tmp_path: Path
) -> None:
    backbone, inventory = _inventory(family, n_splits=n_splits)
    of_family = {"t5": "SEQ_2_SEQ_LM", "bert": "FEATURE_EXTRACTION"}[family]
    export_peft(_skill(inventory, inventory.skill(1)), tmp_path / "out", task_type=of_family if task_type else None)
    with mixing(inventory, torch.eye(SKILLS)[[1] * 4]):
        ours = _logits(backbone)
    assert (_peft_logits(family, tmp_path / "out") - ours).abs().max() < 1e-5 * ours.abs().max()
    plain = _logits(_backbone(family))
    assert (ours - plain).abs().max() > 0.1 * plain.abs().max()


@pytest.mark.parametrize("n_splits", [1, 2])
def test_the_blend_of_a_task_s_mix_becomes_an_ordinary_lora(n_splits: int, tmp_path: Path) -> None:
    backbone, inventory = _inventory("t5", n_splits=n_splits)
    weights = torch.rand(len(inventory.sites), n_splits, 1, SKILLS, generator=torch.Generator().manual_seed(3))
    with mixing(inventory, Mix(weights, Rows([0] * 4, 1, weights.device))):
        ours = _logits(backbone)
    export_peft(_skill(inventory, inventory.blend(weights[:, :, 0])), tmp_path / "out")
    assert (_peft_logits("t5", tmp_path / "out") - ours).abs().max() < 1e-5 * ours.abs().max()


@pytest.mark.parametrize("use_rslora", [False, True])
@pytest.mark.parametrize(("family", "task_type"), [("t5", "SEQ_2_SEQ_LM"), ("t5", None), ("bert", None)])
def test_an_imported_adapter_gives_peft_s_logits(
    family: str, task_type: str | None, use_rslora: bool, tmp_path: Path
) -> None:
    config = peft.LoraConfig(
        task_type=task_type, target_modules=["q", "v", "query", "wo"], r=4, lora_alpha=6, use_rslora=use_rslora
    )
    model = peft.get_peft_model(_backbone(family), config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))
    model.save_pretrained(tmp_path)
    skill = import_peft(tmp_path, name="theirs", backbone=BACKBONE, tasks=("glue-cola",))
    assert (skill.card.kind, skill.card.name, skill.card.tasks) == ("lora", "theirs", ("glue-cola",))

    backbone, generator = _backbone(family), torch.Generator()
    options = LoraOptions(rank=int(skill.card.options["rank"]), alpha=skill.card.options["alpha"])
    inventory = attach(backbone, skill.card.sites, "lora", 1, options, generator)
    assert set(inventory.sites) == set(skill.card.sites)
    inventory.load_skill(0, skill.tensors)
    with mixing(inventory, torch.ones(4, 1)):
        ours = _logits(backbone)
    theirs = _logits(model)
    assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


def test_out_and_in_again_is_bitwise_equal(tmp_path: Path) -> None:
    _, inventory = _inventory("t5", alpha=1.5)
    skill = _skill(inventory, inventory.skill(0))
    export_peft(skill, tmp_path / "out")
    back = import_peft(tmp_path / "out", name="cola", backbone=BACKBONE)
    assert set(back.card.sites) == set(skill.card.sites)
    assert (back.card.options["rank"], back.card.options["alpha"]) == (2, 1.5)
    assert set(back.tensors) == set(skill.tensors)
    assert all(torch.equal(back.tensors[name], skill.tensors[name]) for name in skill.tensors)


def test_blocks_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = _adapter(tmp_path, {f"h.{block}.q": (torch.ones(2, 4), torch.ones(3, 2)) for block in reversed(range(12))})
    expected = tuple(f"h.{block}.q" for block in range(12))
    assert import_peft(folder, name="x", backbone=BACKBONE).card.sites == expected


def _adapter(folder: Path, factors: dict[str, tuple[Tensor, Tensor]] | None = None, **config: Any) -> Path:
    """An adapter's folder as PEFT writes it."""
    factors = factors or {"q": (torch.ones(2, 4), torch.ones(3, 2))}
    fields = json.loads(json.dumps(peft.LoraConfig(r=2, lora_alpha=2, target_modules=["q"]).to_dict(), default=list))
    (folder / CONFIG).write_text(json.dumps({**fields, "peft_type": "LORA", **config}))
    named: dict[str, Tensor] = {}
    for site, (down, up) in factors.items():
        named |= {f"base_model.model.{site}.lora_A.weight": down, f"base_model.model.{site}.lora_B.weight": up}
    save_file(named, folder / WEIGHTS)
    return folder


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"use_dora": True}, "use_dora=True is something that a skill cannot hold"),
        ({"rank_pattern": {"q": 4}}, "rank_pattern="),
        ({"alpha_pattern": {"q": 4}}, "alpha_pattern="),
        ({"modules_to_save": ["classifier"]}, "modules_to_save="),
        ({"lora_bias": True}, "lora_bias=True"),
        ({"layer_replication": [[0, 2]]}, "layer_replication="),
        ({"trainable_token_indices": [1]}, "trainable_token_indices="),
        ({"something_of_tomorrow": {"on": 1}}, "something_of_tomorrow="),
        ({"bias": "lora_only"}, "bias='lora_only'"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa' changed the backbone's weights"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3'; only 'LORA'"),
        ({"r": "two"}, "r='two'; expected a whole number from 1"),
        ({"r": 0}, "r=0; expected a whole number from 1"),
        ({"r": True}, "r=True; expected a whole number"),
        ({"lora_alpha": float("nan")}, "the number NaN is not finite"),
        ({"lora_alpha": float("inf")}, "the number Infinity is not finite"),
        ({"lora_alpha": 10**400}, "lora_alpha=1000*; expected a finite number above 0"),
        ({"lora_alpha": -1}, "lora_alpha=-1; expected a finite number above 0"),
        ({"lora_alpha": True}, "lora_alpha=True; expected a finite number"),
        ({"use_rslora": "no"}, "use_rslora='no'; expected true or false"),
        ({"fan_in_fan_out": 1}, "fan_in_fan_out=1; expected true or false"),
        ({"r": 3}, r"lora_A of q has the shape \[2, 4\], not the rank r=3"),
    ],
)
def test_what_a_skill_cannot_hold_is_refused(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        import_peft(_adapter(tmp_path, **config), name="x", backbone=BACKBONE)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("shared.lora_embedding_A", torch.ones(2, 4), r"lora_embedding_A \[2, 4\] is no LoRA factor of a linear layer"),
        ("lm_head.base_layer.weight", torch.ones(2, 4), "leave lm_head and embeddings out of PEFT's target_modules"),
        ("q.lora_A.weight", torch.ones(2, 4).long(), r"torch.int64\) holds something else than finite floating-point"),
        ("q.lora_A.weight", torch.ones(2, 4).bool(), r"torch.bool\) holds something else than finite floating-point"),
        ("q.lora_A.weight", torch.full((2, 4), torch.nan), "something else than finite floating-point numbers"),
        ("q.lora_A.weight", torch.ones(2, 4, 1, 1), r"\[2, 4, 1, 1\] is no LoRA factor of a linear layer"),
        ("k.lora_A.weight", torch.ones(2, 4), "k has no lora_B"),
        ("q.lora_B.weight", torch.ones(3, 5), r"lora_B of q has the shape \[3, 5\]"),
    ],
)
def test_odd_tensors_are_refused(name: str, tensor: Tensor, message: str, tmp_path: Path) -> None:
    folder = _adapter(tmp_path)
    save_file({**load_file(folder / WEIGHTS), f"base_model.model.{name}": tensor}, folder / WEIGHTS)
    with pytest.raises(InputError, match=message):
        import_peft(folder, name="x", backbone=BACKBONE)


def test_files_that_are_missing_or_damaged_are_named(tmp_path: Path) -> None:
    def fails(message: str) -> None:
        with pytest.raises(InputError, match=message):
            import_peft(tmp_path, name="x", backbone=BACKBONE)

    fails(r"holds no PEFT adapter: Cannot read .*adapter_config\.json")
    (tmp_path / CONFIG).write_text('{"r":\n 2,')
    fails(r"adapter_config\.json:2: not valid JSON")
    (tmp_path / CONFIG).write_text('{"peft_type": "LORA", "r": 2,\n "r": 4}')
    fails(r"adapter_config\.json:2: the key 'r' stands twice in one object, here and in line 1")
    (tmp_path / CONFIG).write_text("[]")
    fails("expected a JSON object, found list")
    _adapter(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"cut")
    fails(r"Cannot read .*adapter_model\.safetensors")
    (tmp_path / WEIGHTS).rename(tmp_path / "adapter_model.bin")
    fails("is a pickle, which may run code")


def test_what_peft_cannot_hold_is_refused(tmp_path: Path) -> None:
    _, inventory = _inventory("bert")
    skill = _skill(inventory, inventory.skill(0))
    with pytest.raises(InputError, match=r"No PEFT task type is called 'SEQ2SEQ_LM'\. Did you mean 'SEQ_2_SEQ_LM'\?"):
        export_peft(skill, tmp_path / "out", task_type="SEQ2SEQ_LM")
    dense = Skill(card=skill.card.model_copy(update={"kind": "dense"}), tensors=skill.tensors)
    with pytest.raises(InputError, match=r"modules\.kind=dense; PEFT's LoRA takes"):
        export_peft(dense, tmp_path / "out")
    recurrent = Skill(card=skill.card, tensors={**skill.tensors, "gru/down.weight_ih_l0": torch.ones(1)})
    with pytest.raises(InputError, match=r"also holds 'gru/down\.weight_ih_l0'"):
        export_peft(recurrent, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_what_a_config_leaves_out_has_pefts_own_defaults() -> None:
    config = peft.LoraConfig()
    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS


def _next_tokens(model: Any) -> Tensor:
    ids = torch.randint(4, 20, (4, 6), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits: Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return logits


def test_skills_on_gpt2_go_out_and_in_with_the_same_logits(tmp_path: Path) -> None:
    backbone, generator = tiny_model("gpt2"), torch.Generator().manual_seed(2)
    sites = site_patterns("gpt2", ["all"], backbone)
    inventory = attach(backbone, sites, "lora", 1, LoraOptions(rank=2, alpha=3.0), generator)
    with torch.no_grad():
        for parameter in inventory.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    with mixing(inventory, torch.ones(4, 1)):
        ours = _next_tokens(backbone)
    skill = _skill(inventory, inventory.skill(0))
    with pytest.raises(InputError, match=r"The backbone has no layer 'transformer\.h\.0\.attn\.c_attn', on which"):
        export_peft(skill, tmp_path / "out", network=_backbone("bert"))
    export_peft(skill, str(tmp_path / "out"), network=tiny_model("gpt2"))
    assert json.loads((tmp_path / "out" / CONFIG).read_text())["fan_in_fan_out"] is True
    theirs = _next_tokens(peft.PeftModel.from_pretrained(tiny_model("gpt2"), tmp_path / "out").eval())
    assert (ours - theirs).abs().max() < 1e-5 * ours.abs().max()
    back = import_peft(str(tmp_path / "out"), name="back", backbone=BACKBONE, network=tiny_model("gpt2"))
    assert set(back.card.sites) == set(skill.card.sites)
    assert all(torch.equal(back.tensors[name], skill.tensors[name]) for name in skill.tensors)


def test_the_command_exports_a_skill_on_gpt2_as_peft_needs_it_from_the_backbones_config_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_folder("gpt2", tmp_path / "gpt2")
    backbone, generator = load_backbone(str(tmp_path / "gpt2"), dtype="bf16"), torch.Generator().manual_seed(2)
    sites = site_patterns("gpt2", ["attention"], backbone.network)
    inventory = attach(backbone.network, sites, "lora", 1, LoraOptions(rank=2, alpha=3.0), generator)
    with torch.no_grad():
        for parameter in inventory.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    with mixing(inventory, torch.ones(4, 1)):
        ours = _next_tokens(backbone.network).float()
    skill = _skill(inventory, inventory.skill(0))
    card = skill.card.model_copy(update={"backbone": backbone_card(backbone)})
    save_skill(Skill(card=card, tensors=skill.tensors), tmp_path / "skill")
    (tmp_path / "gpt2" / "model.safetensors").rename(tmp_path / "model.safetensors")  # the weights are not read
    assert _exported(tmp_path / "skill", tmp_path / "peft")["fan_in_fan_out"] is True
    (tmp_path / "model.safetensors").rename(tmp_path / "gpt2" / "model.safetensors")
    for dtype, tolerance in (("bf16", 0.02), ("fp32", 0.05)):  # PEFT multiplies its factors in fp32
        network = load_backbone(str(tmp_path / "gpt2"), dtype=dtype).model  # type: ignore[arg-type]
        theirs = _next_tokens(peft.PeftModel.from_pretrained(network, tmp_path / "peft").eval()).float()
        assert (ours - theirs).abs().max() < tolerance * ours.abs().max()
    capsys.readouterr()
    (tmp_path / "gpt2").rename(tmp_path / "moved")
    load_skeleton.cache_clear()
    assert "fan_in_fan_out" not in _exported(tmp_path / "skill", tmp_path / "again")
    assert "fan_in_fan_out is left out of the adapter's config" in capsys.readouterr().err


def _exported(skill: Path, out: Path) -> dict[str, Any]:
    """The config of an adapter that the command wrote."""
    with pytest.raises(SystemExit) as caught:
        main(["skills", "export", str(skill), str(out), "--to", "peft"])
    assert not caught.value.code
    config: dict[str, Any] = json.loads((out / CONFIG).read_text())
    return config


def test_an_adapter_of_a_model_with_a_head_fits_the_encoder_alone_and_the_other_way_round(tmp_path: Path) -> None:
    for bare, prefix in ((False, ""), (True, "bert.")):
        network = tiny_model("bert", bare=not bare)
        model = peft.get_peft_model(tiny_model("bert", bare), peft.LoraConfig(target_modules=["query"], r=2))
        model.save_pretrained(tmp_path)
        skill = import_peft(tmp_path, name="x", backbone=BACKBONE, network=network)
        assert skill.card.sites == tuple(f"{prefix}encoder.layer.{block}.attention.self.query" for block in range(2))
    with pytest.raises(InputError, match=r"no layer 'encoder\.layer\.0\..*: shared, .*SelfAttention\.q,"):
        import_peft(tmp_path, name="x", backbone=BACKBONE, network=_backbone("t5"))
    _adapter(tmp_path, {"encoder.layer.0.attention.self.query": (torch.ones(2, 5), torch.ones(8, 2))})
    with pytest.raises(InputError, match=r"the shape \[2, 5\]; the backbone's layer has 8 inputs and 8 outputs"):
        import_peft(tmp_path, name="x", backbone=BACKBONE, network=network)


def test_an_exported_config_is_that_of_a_plain_lora_for_use(tmp_path: Path) -> None:
    _, inventory = _inventory("bert", n_skills=1)
    card = Card(name="x", kind="lora", backbone=BACKBONE, sites=inventory.sites, options=inventory.options.model_dump())
    export_peft(Skill(card=card, tensors=inventory.skill(0)), tmp_path / "peft", task_type="TOKEN_CLS")
    config = json.loads((tmp_path / "peft" / CONFIG).read_text())
    assert config == {
        "peft_type": "LORA", "task_type": "TOKEN_CLS", "base_model_name_or_path": "tiny", "revision": None,
        "inference_mode": True, "r": 2, "lora_alpha": 3, "lora_dropout": 0.0, "bias": "none",
        "target_modules": list(inventory.sites),
    }  # fmt: skip
