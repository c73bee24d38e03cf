"""Skills on every family of backbones: attached, trained, saved, loaded again in another process, handed to PEFT."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from backbone_cases import CONFIGS, SEQ2SEQ, save_folder, tiny_backbone, tiny_model
from gathering import for_each
from torch import Tensor, nn
from training_cases import answer_task

from polyray.backbones import Backbone, load_backbone
from polyray.backbones.huggingface import cast_backbone
from polyray.modules.options import SkillOptions
from polyray.modules.site import mixing, without_skills
from polyray.objectives import OBJECTIVES, TextOptions, objective_for
from polyray.routing import RoutingOptions
from polyray.skills.inventory import Provenance, load_inventory, save_inventory
from polyray.skills.peft import export_peft
from polyray.skills.skill import load_skill
from polyray.skills.spec import InventorySpec
from polyray.tasks import TextAnswers
from polyray.training.model import Modular, build, load_model
from polyray.training.multitask import backbone_card

ANSWERS = ("w10", "w11", "w12")
TASK = replace(answer_task("colour"), labels=ANSWERS)
SPEC = InventorySpec(
    modules=SkillOptions.model_validate({"kind": "lora", "rank": 2, "alpha": 4.0}),
    routing=RoutingOptions.model_validate({"kind": "shared"}),
)
"""The default sites, attention; one skill, so that it can be handed to PEFT as it is."""
EXAMPLES = [
    TextAnswers(task="colour", input=" ".join(f"w{(3 * i + j) % 9}" for j in range(1 + i % 4)), outputs=(answer,))
    for i, answer in enumerate((*ANSWERS, ANSWERS[0]) * 2)
]
"""Eight texts of different lengths."""


def _model(backbone: Backbone) -> Modular:
    model = build(backbone, SPEC, [TASK], torch.Generator().manual_seed(0))
    backbone.freeze()
    return model.eval()


def _losses(model: Modular, size: int = len(EXAMPLES)) -> Tensor:
    """[8], computed in batches of `size`."""
    objective = OBJECTIVES[objective_for(model.backbone, [TASK]).name]
    with without_skills(model.inventory):
        rows = objective.encode(model.backbone, {"colour": TASK}, EXAMPLES, TextOptions(max_input=12, max_output=8))
    losses = []
    for start in range(0, len(rows), size):
        batch = objective.collate(model.backbone, rows[start : start + size])
        with mixing(model.inventory, model.router(batch.tasks)):
            losses.append(objective.loss(model, batch))
    return torch.cat(losses)


def _logits(network: nn.Module, family: str) -> Tensor:
    """Logits of eight rows of tokens, or their hidden states where the network is an encoder alone."""
    ids = torch.randint(4, 20, (8, 6), generator=torch.Generator().manual_seed(1))
    named = {"decoder_input_ids": ids.flip(1)} if family in SEQ2SEQ else {}
    with torch.no_grad():
        output: Any = network(input_ids=ids, attention_mask=torch.ones_like(ids), **named)
    states: Tensor = output["logits" if "logits" in output else "last_hidden_state"]
    return states


@for_each(family=[*CONFIGS])
def test_fresh_skills_on_the_default_sites_are_the_backbone(family: str) -> None:
    model = _model(tiny_backbone(family))
    assert model.inventory.sites
    with without_skills(model.inventory):
        plain = _logits(model.network, family)
    with mixing(model.inventory, torch.ones(8, 1)):
        assert torch.equal(_logits(model.network, family), plain)


def _gradient(model: Modular) -> Tensor:
    """Gradient of the mean loss with respect to all skills."""
    model.inventory.zero_grad()
    _losses(model).mean().backward()
    return torch.cat([p.grad.flatten() for p in _skills(model) if p.grad is not None])


@for_each(family=[*CONFIGS])
def test_skills_have_the_gradient_of_fp32_on_a_backbone_in_bf16(family: str) -> None:
    model = _model(tiny_backbone(family))
    with torch.no_grad():
        for seed, parameter in enumerate(_skills(model)):
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    exact = _gradient(model)
    cast_backbone(model.backbone, "bf16")
    rounded = _gradient(model)
    assert rounded.dtype == torch.float32 and {p.dtype for p in model.network.parameters()} == {torch.bfloat16}
    assert torch.cosine_similarity(rounded, exact, 0) > 0.99
    assert 0.9 < rounded.norm() / exact.norm() < 1.1


def _skills(model: Modular) -> list[nn.Parameter]:
    return list(model.inventory.parameters())


def _train(model: Modular) -> None:
    """Two steps, of which the second moves `down` too: `up` is zero when fresh."""
    adam = torch.optim.Adam(model.inventory.parameters(), lr=0.1)
    for _ in range(2):
        adam.zero_grad()
        objective = OBJECTIVES[objective_for(model.backbone, [TASK]).name]
        with without_skills(model.inventory):
            rows = objective.encode(model.backbone, {"colour": TASK}, EXAMPLES, TextOptions(max_input=12, max_output=8))
        batch = objective.collate(model.backbone, rows)
        with mixing(model.inventory, model.router(batch.tasks)):
            objective.loss(model, batch).mean().backward()
        adam.step()
    for parameter in model.inventory.parameters():  # every site, by row of the stack
        assert parameter.grad is not None and parameter.grad.flatten(1).any(1).all()


def _trained(family: str, folder: Path) -> list[float]:
    """Train on the family's folder, save the skills beside it; the losses of the eight texts."""
    save_folder(family, folder / "backbone")
    backbone = load_backbone(str(folder / "backbone"))
    model = _model(backbone)
    before = _losses(model)
    _train(model)
    together = _losses(model)
    assert not torch.allclose(together, before, rtol=1e-3)
    torch.testing.assert_close(_losses(model, 1), together, rtol=1e-4, atol=1e-5)
    provenance = Provenance(backbone=backbone_card(backbone), suite="toy", tasks=("colour",), data={}, seed=0)
    save_inventory(folder / "skills", model, SPEC, provenance, {})
    with mixing(model.inventory, torch.ones(8, 1)):
        ours = _logits(model.network, family)
    _hand_to_peft(family, backbone, folder, ours)
    return together.tolist()


def _hand_to_peft(family: str, backbone: Backbone, folder: Path, ours: Tensor) -> None:
    peft = pytest.importorskip("peft", reason="the comparison needs PEFT: pip install polyray[peft]")
    network = tiny_model(family, bare=not backbone.writes)
    network.load_state_dict(load_backbone(backbone.name).model.state_dict(), strict=False)
    export_peft(load_skill(folder / "skills" / "skill-0"), folder / "peft", network=network)
    theirs = _logits(peft.PeftModel.from_pretrained(network, folder / "peft").eval(), family)
    difference, size = (theirs - ours).abs().max(), ours.abs().max()
    assert difference < 1e-4 * size, f"PEFT differs by {difference:.1e}, logits are up to {size:.1e}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT asks
def test_every_family_trains_saves_loads_in_another_process_and_goes_to_peft(tmp_path: Path) -> None:
    wrong: dict[str, str] = {}
    expected = {}
    for family in CONFIGS:
        try:
            expected[family] = _trained(family, tmp_path / family)
        except AssertionError as error:
            wrong[family] = str(error)[:300]
    command = [sys.executable, __file__, str(tmp_path), *expected]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    for family, losses in json.loads(done.stdout.splitlines()[-1]).items():
        if losses != pytest.approx(expected[family], rel=1e-5):
            wrong[family] = f"{losses} in another process, {expected[family]} here"
    assert not wrong, "\n".join(f"{family}: {reason}" for family, reason in wrong.items())


if __name__ == "__main__":  # the other process
    out = Path(sys.argv[1])
    models = {family: load_model(load_inventory(out / family / "skills")) for family in sys.argv[2:]}
    print(json.dumps({family: _losses(model).tolist() for family, model in models.items()}))
