"""An inventory on disk: skills, router and backbone come back; what does not fit is refused."""

import json
from pathlib import Path

import pytest
import torch
from training_cases import answer_task

from polyray.backbones import load_backbone
from polyray.errors import InputError
from polyray.modules.lora import LoraOptions
from polyray.modules.mix import Mix
from polyray.modules.options import SkillOptions
from polyray.routing import RoutingOptions
from polyray.routing.options import LearnedOptions
from polyray.skills.blending import recompute, same_tensors
from polyray.skills.card import BackboneCard
from polyray.skills.form import TaskForm
from polyray.skills.inventory import Provenance, load_inventory, save_inventory
from polyray.skills.inventory_card import CARD, FOLDER, ROUTER
from polyray.skills.lifting import lift
from polyray.skills.skill import load_skill
from polyray.skills.spec import InventorySpec
from polyray.training.model import Modular, build, load_model

SPEC = InventorySpec(
    modules=SkillOptions(options=LoraOptions(rank=2), sites=("ffn",)),
    routing=RoutingOptions(options=LearnedOptions(n_skills=3)),
)
FORMS = {name: TaskForm(prompt=f"[{name}] {{input}}", labels=("good", "bad")) for name in ("cola", "sst2")}


@pytest.fixture(scope="module")
def model() -> Modular:
    backbone = load_backbone("tiny-encoder")
    model = build(backbone, SPEC, [answer_task("cola"), answer_task("sst2")], torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in (*model.inventory.parameters(), *model.router.parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model


def _provenance(model: Modular, **fields: str) -> Provenance:
    backbone = model.backbone
    identity = {"name": backbone.name, "kind": backbone.kind, "fingerprint": backbone.fingerprint}
    card = BackboneCard(**{**identity, **fields})
    return Provenance(backbone=card, suite="jsonl", tasks=("cola", "sst2"), data={"cola": "f"}, seed=3, forms=FORMS)


@pytest.fixture
def folder(model: Modular, tmp_path: Path) -> Path:
    model.network.requires_grad_(False)
    model.inventory.requires_grad_(True)
    save_inventory(tmp_path / "skills", model, SPEC, _provenance(model), {"mean": 0.5})
    return tmp_path / "skills"


def test_an_inventory_comes_back_with_every_tensor_and_its_spec(model: Modular, folder: Path) -> None:
    loaded = load_inventory(folder)
    assert loaded.spec == SPEC
    assert (loaded.card.tasks, loaded.card.suite) == (("cola", "sst2"), "jsonl")
    back = load_model(loaded)
    for name, tensor in model.inventory.state_dict().items():
        assert torch.equal(back.inventory.state_dict()[name], tensor)
    for name, tensor in model.router.state_dict().items():
        assert torch.equal(back.router.state_dict()[name], tensor)
    assert not back.training
    assert not any(parameter.requires_grad for parameter in back.backbone.model.parameters())
    assert not (folder / FOLDER / "backbone.safetensors").exists()


def test_a_trained_backbone_travels_with_the_skills(model: Modular, tmp_path: Path) -> None:
    model.network.requires_grad_(True)
    name, parameter = next(iter(model.network.named_parameters()))
    before = parameter.detach().clone()
    try:
        with torch.no_grad():
            parameter.add_(1)
        save_inventory(tmp_path / "skills", model, SPEC, _provenance(model), {})
        back = load_model(load_inventory(tmp_path / "skills"))
        assert torch.equal(dict(back.network.named_parameters())[name], parameter)
    finally:
        with torch.no_grad():
            parameter.copy_(before)


def test_weights_of_another_backbone_are_refused(model: Modular, tmp_path: Path) -> None:
    save_inventory(tmp_path / "skills", model, SPEC, _provenance(model, fingerprint="b" * 64), {})
    with pytest.raises(InputError, match=r"trained on other weights than 'tiny-encoder' has here \(fingerprint bbbb"):
        load_model(load_inventory(tmp_path / "skills"))


def test_damage_and_newer_schemas_are_refused(folder: Path) -> None:
    file = folder / FOLDER / CARD
    text = file.read_text()
    file.write_text(json.dumps({**json.loads(text), "schema_version": 9}))
    with pytest.raises(InputError, match=r"inventory\.json has the schema version 9; .* reads versions up to 2"):
        load_inventory(folder)
    file.write_text(text)
    router = folder / FOLDER / ROUTER
    router.write_bytes(router.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"router\.safetensors was altered or cut short"):
        load_inventory(folder)
    with pytest.raises(InputError, match="holds no inventory of skills"):
        load_inventory(folder / "skill-0")


def test_a_router_that_cannot_mix_the_modules_is_refused() -> None:
    generator = torch.Generator().manual_seed(0)
    for routing, modules, message in (
        ("hyperformer", "dense", "routing.kind=hyperformer mixes modules.kind=lora; found dense"),
        ("token_moe", "sparse", "routing.kind=token_moe mixes token by token: modules.kind is one of lora, dense"),
    ):
        spec = InventorySpec(modules=SkillOptions(kind=modules, sites=("ffn",)), routing=RoutingOptions(kind=routing))
        with pytest.raises(InputError, match=message):
            build(load_backbone("tiny-encoder"), spec, [answer_task("cola")], generator)


def test_a_task_s_skill_is_lifted_out_and_is_what_the_model_computes(model: Modular, folder: Path) -> None:
    skill = lift(load_inventory(folder), "sst2", folder.parent / "sst2")
    mix = model.router.eval()(["sst2"])
    assert isinstance(mix, Mix)
    assert same_tensors(skill.tensors, model.inventory.blend(mix.weights[:, :, 0]))
    assert same_tensors(recompute(folder.parent / "sst2").tensors, load_skill(folder.parent / "sst2").tensors)
    assert (skill.card.tasks, skill.card.name, skill.card.data) == (("sst2",), "sst2", {})
    assert skill.card.forms == {"sst2": FORMS["sst2"]} and load_skill(folder / "skill-0").card.forms == {}
    with pytest.raises(InputError, match=r"No task is called 'sst'\. Did you mean 'sst2'\?"):
        lift(load_inventory(folder), "sst", folder.parent / "sst")
    assert not (folder.parent / "sst").exists()
