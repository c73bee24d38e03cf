"""Polytropon's LoRA against another implementation of it, PEFT's Poly."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM, T5Config

from polyray.modules.attach import attach
from polyray.modules.lora import LoraOptions
from polyray.modules.mix import Mix, Rows
from polyray.modules.site import mixing

peft = pytest.importorskip("peft", reason="the comparison needs PEFT: pip install polyray[peft]")
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT asks

TASKS, SKILLS, RANK = 3, 4, 2
SITES = ("q", "k", "v", "o", "wi")


def _backbone() -> torch.nn.Module:
    torch.manual_seed(0)
    numbers: dict[str, Any] = {"decoder_start_token_id": 0, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
    config = T5Config(
        vocab_size=30, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4, dropout_rate=0.1, **numbers
    )
    backbone: torch.nn.Module = AutoModelForSeq2SeqLM.from_config(config)
    return backbone.eval()


def _batch() -> dict[str, Tensor]:
    ids = torch.randint(2, 30, (5, 6), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[0, 4:] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.flip(1)}


@pytest.mark.parametrize("tasks", [[0, 1, 2, 0, 1], [2, 2, 2, 2, 2], [0, 0, 0, 2, 2]])
@pytest.mark.parametrize("n_splits", [1, 2])
def test_logits_and_gradients_equal_those_of_peft_poly(n_splits: int, tasks: list[int]) -> None:
    config = peft.PolyConfig(
        task_type="SEQ_2_SEQ_LM", target_modules=list(SITES), r=RANK, n_tasks=TASKS, n_skills=SKILLS, n_splits=n_splits
    )
    poly = peft.get_peft_model(_backbone(), config).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in poly.named_parameters():
            if "poly_" in name:  # logits too: their sigmoids are the mix in evaluation mode
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    theirs = poly(**_batch(), task_ids=torch.tensor(tasks))
    theirs.loss.backward()

    backbone = _backbone()
    options = LoraOptions(rank=RANK, alpha=1.0, n_splits=n_splits)
    inventory = attach(backbone, SITES, "lora", SKILLS, options, generator)
    layers = {site: poly.get_submodule(f"base_model.model.{site}") for site in inventory.sites}
    for skill in range(SKILLS):
        factors = {}
        for site, layer in layers.items():
            factors[f"{site}/down.weight"] = layer.poly_lora_A["default"][:, skill].mT
            factors[f"{site}/up.weight"] = layer.poly_lora_B["default"][:, skill]
        inventory.load_skill(skill, factors)
    logits = torch.stack([layer.poly_router["default"].module_logits for layer in layers.values()])
    cells = logits.view(len(layers), TASKS, n_splits, SKILLS).transpose(1, 2).sigmoid().detach()
    rows = sorted(set(tasks))
    weights = (cells / cells.sum(-1, keepdim=True))[:, :, rows]
    mix = Mix(weights, Rows([rows.index(task) for task in tasks], len(rows), weights.device))
    with mixing(inventory, mix):
        ours = backbone(**_batch())
        ours.loss.backward()

    torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-5, atol=1e-5)
    for site, layer in layers.items():
        stack, index = inventory.positions[site]
        down, up = (getattr(inventory.stacks[stack], name)["weight"].grad[index] for name in ("down", "up"))
        pairs = (down.mT, layer.poly_lora_A["default"].grad), (up, layer.poly_lora_B["default"].grad)
        for gradient, of_poly in pairs:
            assert (gradient - of_poly).norm() <= 1e-5 * of_poly.norm()
            assert of_poly.norm() > 0
