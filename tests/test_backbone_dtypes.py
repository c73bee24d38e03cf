"""Frozen backbones in bf16: half the bytes, one fingerprint, outputs and gradients near those of fp32."""

from pathlib import Path
from typing import Any

import pytest
import torch
from backbone_cases import save_folder, tiny_model, tiny_tokenizer
from gathering import for_cases, for_each
from job_cases import TINY_SUITE
from torch import Tensor, nn
from training_cases import KNOWN, SUITE, answers, rows_of, spec, train_alone, write_colours
from training_cases import tiny_model as modular
from transformers.pytorch_utils import Conv1D

from polyray.backbones import load_backbone, precision
from polyray.backbones.huggingface import cast_backbone
from polyray.backbones.precision import DtypeChoice, SkillsDtype
from polyray.config import load_config
from polyray.errors import InputError
from polyray.jobs import polytropon
from polyray.modules.fast import rowwise as fast
from polyray.modules.kinds import MODULES
from polyray.modules.mix import Rows
from polyray.modules.site import mixing
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.skills.inventory import Provenance, load_inventory, save_inventory
from polyray.skills.skill import load_card
from polyray.training.checking import check_fit
from polyray.training.evaluation import predictions
from polyray.training.fewshot import adapt_one
from polyray.training.methods import check_methods
from polyray.training.model import Modular, load_model
from polyray.training.multitask import backbone_card
from polyray.training.pieces import AdaptationRecipe, Piece
from polyray.training.prediction import Predictor
from polyray.training.recipe import TrainingRecipe

SITES = {"bottleneck": "pfeiffer", "ia3": "ia3", "prefix": "prefix"}
TRAINING = (
    "backbone=tiny-causal", "backbone_dtype=bf16", "training.steps=2", "training.batch=2", "training.report_every=1",
    "routing.n_skills=2", "modules.rank=2", "evaluation.max_examples=1", "text.max_output=8",
)  # fmt: skip


def n_bytes(network: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in network.parameters())


def test_a_file_has_one_fingerprint_in_every_format_and_bf16_takes_half_the_bytes(tmp_path: Path) -> None:
    save_folder("llama", tmp_path / "fp32")
    tiny_model("llama").bfloat16().save_pretrained(tmp_path / "bf16")
    tiny_tokenizer("llama").save_pretrained(tmp_path / "bf16")
    fingerprints = set()
    pairs: tuple[tuple[str, DtypeChoice], ...] = (("fp32", "bf16"), ("bf16", "auto"))
    for stored, other in pairs:
        exact, rounded = load_backbone(str(tmp_path / stored)), load_backbone(str(tmp_path / stored), dtype=other)
        assert (exact.dtype, rounded.dtype) == ("fp32", "bf16")
        assert exact.fingerprint == rounded.fingerprint
        fingerprints.add(exact.fingerprint)
        assert 2 * n_bytes(rounded.network) == n_bytes(exact.network)
        for parameter, same in zip(rounded.network.parameters(), exact.network.parameters(), strict=True):
            assert torch.equal(parameter, same.bfloat16())
    assert len(fingerprints) == 2  # they hold other numbers
    assert load_backbone(str(tmp_path / "fp32"), dtype="auto").dtype == "fp32"


def test_a_file_in_fp16_or_quantised_already_is_refused_where_its_format_cannot_be_kept(tmp_path: Path) -> None:
    tiny_model("opt").half().save_pretrained(tmp_path)
    tiny_tokenizer("opt").save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"are float16, which backbone_dtype=auto does not take.*bf16 or fp32"):
        load_backbone(str(tmp_path), dtype="auto")
    assert load_backbone(str(tmp_path), dtype="bf16").dtype == "bf16"
    config = tmp_path / "config.json"
    config.write_text(
        config.read_text().replace("{", '{"quantization_config": {"quant_method": "gptq", "bits": 4},', 1)
    )
    with pytest.raises(InputError, match="holds quantised weights. Give the model that they were made from"):
        load_backbone(str(tmp_path))


def _with_skills(kind: str, backbone: str, routing: str = "polytropon", **options: Any) -> Modular:
    sites = SITES.get(kind, "attention")
    model = modular(
        backbone, [SUITE.tasks[name] for name in KNOWN], spec(routing, kind=kind, sites=(sites,), **options)
    )
    with torch.no_grad():
        for seed, parameter in enumerate(model.inventory.parameters()):
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    return model


def loss_and_gradient(model: Modular, text: TextOptions | None = None) -> tuple[Tensor, Tensor]:
    model.zero_grad()
    data = rows_of(model, SUITE, [*answers(KNOWN[0]), *answers(KNOWN[1], 4)], text)
    batch = data.objective.collate(model.backbone, data.rows)
    with mixing(model.inventory, model.router(batch.tasks)):
        losses = data.objective.loss(model, batch)
        losses.mean().backward()
    parameters = (*model.inventory.parameters(), *model.router.parameters())
    return losses.detach(), torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


def _near(kind: str, backbone: str, routing: str = "polytropon", least: float = 0.999) -> None:
    """Compare a step in bf16, its activations recomputed, with one in fp32; `least`: cosine of their gradients."""
    model = _with_skills(kind, backbone, routing)
    losses, gradient = loss_and_gradient(model)
    cast_backbone(model.backbone, "bf16")
    model.backbone.model.activation_checkpointing_enable({"use_reentrant": False})
    model.network.train()  # else nothing is recomputed; the tiny backbones have no dropout
    rounded, rounded_gradient = loss_and_gradient(model)
    torch.testing.assert_close(rounded, losses, rtol=0.01, atol=0.0)
    assert rounded.dtype == rounded_gradient.dtype == torch.float32
    assert torch.cosine_similarity(rounded_gradient, gradient, 0) > least
    answered = rows_of(model, SUITE, answers(KNOWN[0], 1))
    assert len(predictions(model.eval(), answered, EvaluationOptions(beams=2), 2)) == 1


@for_cases([
    *({"kind": kind, "backbone": "tiny-causal"} for kind in MODULES),
    {"kind": "lora", "backbone": "tiny-seq2seq"}, {"kind": "prefix", "backbone": "tiny-seq2seq"},
    {"kind": "lora", "backbone": "tiny-encoder"}, {"kind": "sparse", "backbone": "tiny-encoder"},
])  # fmt: skip
def test_every_kind_of_module_has_in_bf16_theloss_and_gradient_of_fp32_and_writes(kind: str, backbone: str) -> None:
    _near(kind, backbone)


@for_each(kind=[kind for kind, entry in MODULES.items() if entry.by_token])
def test_tokens_are_mixed_in_bf16_as_in_fp32(kind: str) -> None:
    _near(kind, "tiny-causal", "token_moe", least=0.95)  # rounding lets a few tokens choose another skill


@for_each(transposed=[False, True])
def test_a_change_smaller_than_the_steps_of_a_bf16_weight_is_not_rounded_away(transposed: bool) -> None:
    """Weights 1 and -1 cancel each other: only the changes of 1/1024 are left, and 1 + 1/1024 is 1 in bf16."""
    layer: Any = Conv1D(1, 2) if transposed else nn.Linear(2, 1)
    layer.requires_grad_(False).bfloat16()
    layer.weight.copy_(torch.tensor([1.0, -1.0]).view_as(layer.weight))
    layer.bias.zero_()
    x = torch.ones(2, 3, 2, dtype=torch.bfloat16)
    change = torch.tensor([1.0, 1.0, -1.0, 0.0]).view(2, *layer.weight.shape) / 1024
    y = (fast.conv1d if transposed else fast.linear)(layer, {"weight": change}, Rows([0, 1], 2, x.device), x)
    assert y.tolist() == [[[2 / 1024]] * 3, [[-1 / 1024]] * 3]


def test_training_adapting_scoring_and_predicting_keep_the_format_that_the_card_names(tmp_path: Path) -> None:
    suite = write_colours(tmp_path / "data")
    metrics = train_alone(tmp_path, load_config(TrainingRecipe, overrides=[*TRAINING, *suite]))
    assert 0 <= metrics["mean"] <= 1
    inventory = load_inventory(tmp_path / "skills")
    assert inventory.card.backbone.dtype == "bf16"
    model, exact = load_model(inventory), load_model(inventory, "fp32")
    assert (model.backbone.dtype, exact.backbone.dtype) == ("bf16", "fp32")
    assert {p.dtype for p in model.network.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in (*model.inventory.parameters(), *model.router.parameters())} == {torch.float32}
    choices: tuple[tuple[SkillsDtype, str], ...] = (("card", "bf16"), ("fp32", "fp32"))
    for chosen, expected in choices:
        predictor = Predictor.load(tmp_path / "skills", "known", backbone_dtype=chosen)
        assert predictor.model.backbone.dtype == expected
        few = ("adapt.steps=1", "adapt.looks=1", "adapt.batch=2", "evaluation.max_examples=1", "text.max_output=8")
        overrides = [*suite, *few, f"skills={tmp_path / 'skills'}", f"backbone_dtype={chosen}"]
        recipe = load_config(AdaptationRecipe, overrides=overrides)
        piece = Piece(recipe=recipe, out=tmp_path / chosen, task="new", seed=0, method="skills")
        adapt_one(piece)
        assert load_card(piece.skill_folder).backbone.dtype == expected


REFUSED: list[dict[str, Any]] = [
    {
        "more": ["backbone_dtype=bf16", "training.backbone_lr=1e-3"],
        "message": "is for a frozen backbone: weights of few",
    },
    {"more": ["backbone_dtype=nf4"], "message": "backbone_dtype=nf4 needs bitsandbytes and accelerate, not installed"},
]


@for_cases(REFUSED)
def test_a_format_that_cannot_be_is_refused_before_anything_starts(
    more: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "find_spec", lambda library: None)
    with pytest.raises(InputError, match=message):
        polytropon.check(load_config(polytropon.Config, overrides=[*TINY_SUITE, *more]))


def test_formats_that_the_skills_or_the_backbone_cannot_have_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "find_spec", lambda library: object())
    with pytest.raises(InputError, match="tiny-causal has none: choose fp32 or bf16"):
        load_backbone("tiny-causal", dtype="nf4")
    with pytest.raises(InputError, match="training.strategy=fsdp shards no weights of backbone_dtype=int8"):
        polytropon.check(
            load_config(polytropon.Config, overrides=[*TINY_SUITE, "backbone_dtype=int8", "training.strategy=fsdp"])
        )
    with pytest.raises(InputError, match="modules.kind=sparse adds to the weights of its layers, which are quantised"):
        check_fit("some/model", "int8", spec(kind="sparse"), [])
    with pytest.raises(InputError, match="full trains the backbone, and backbone_dtype=bf16 is for a frozen one"):
        check_methods(("full",), "polytropon", "bf16")
    model = _with_skills("lora", "tiny-encoder")
    model.network.requires_grad_(True)
    provenance = Provenance(backbone=backbone_card(model.backbone), suite="toy", tasks=KNOWN, data={}, seed=0)
    save_inventory(tmp_path, model, spec(sites=("attention",)), provenance, {})
    with pytest.raises(InputError, match="is for a frozen backbone; the one under these skills was trained"):
        load_model(load_inventory(tmp_path), "bf16")
