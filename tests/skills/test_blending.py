"""A blended skill is computed again, bit for bit, from the parents and weights on its card."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.attach import Inventory, attach
from polyray.modules.grouping import weighted_sum
from polyray.modules.kinds import MODULES
from polyray.skills.blending import parents_of, parents_resolve, recompute, same_tensors
from polyray.skills.card import BackboneCard, Card
from polyray.skills.skill import Skill, load_skill, save_skill

BACKBONE = BackboneCard(name="net", fingerprint="a" * 64)
SKILLS = 3


def _inventory(kind: str, **options: int) -> Inventory:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4))
    generator = torch.Generator().manual_seed(1)
    inventory = attach(net, ["0", "2"], kind, SKILLS, MODULES[kind].Options(**options), generator)
    with torch.no_grad():
        for parameter in inventory.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return inventory


def _card(name: str, inventory: Inventory) -> Card:
    options = inventory.options.model_dump()
    return Card(name=name, kind=inventory.kind, backbone=BACKBONE, sites=inventory.sites, options=options)


def _library(folder: Path, inventory: Inventory) -> list[Path]:
    folders = [folder / f"skill-{index}" for index in range(SKILLS)]
    for index, path in enumerate(folders):
        save_skill(Skill(card=_card(path.name, inventory), tensors=inventory.skill(index)), path)
    return folders


def _blended(library: Path, folder: Path, inventory: Inventory, weights: Tensor, **heads: Tensor) -> Path:
    parents = parents_of(_library(library, inventory), weights, folder)
    card = _card("blend", inventory).model_copy(update={"parents": parents})
    save_skill(Skill(card=card, tensors={**inventory.blend(weights), **heads}), folder)
    return folder


@pytest.mark.parametrize(("kind", "options", "heads"), [("lora", {"n_splits": 2, "rank": 2}, 2), ("dense", {}, 1)])
def test_a_blended_skill_is_recomputed_bit_for_bit_from_its_card(
    kind: str, options: dict[str, int], heads: int, tmp_path: Path
) -> None:
    inventory = _inventory(kind, **options)
    weights = torch.rand(2, heads, SKILLS, generator=torch.Generator().manual_seed(2))  # they differ by site
    folder = _blended(tmp_path / "run" / "skills", tmp_path / "adapted" / "blend", inventory, weights)
    skill, again = load_skill(folder), recompute(folder)
    assert same_tensors(skill.tensors, again.tensors)
    assert [parent.path for parent in skill.card.parents] == [f"../../run/skills/skill-{n}" for n in range(SKILLS)]
    assert torch.equal(torch.tensor([parent.weights for parent in skill.card.parents]), weights.permute(2, 0, 1))
    assert not same_tensors(skill.tensors, inventory.skill(0))


def test_weights_that_are_the_same_at_every_site_stand_once_on_the_card(tmp_path: Path) -> None:
    inventory = _inventory("lora", rank=2)
    weights = torch.tensor([0.25, 0.5, 0.25]).view(1, 1, 3).expand(2, 1, 3)
    folder = _blended(tmp_path, tmp_path / "blend", inventory, weights)
    assert [parent.weights for parent in load_skill(folder).card.parents] == [((0.25,),), ((0.5,),), ((0.25,),)]
    assert same_tensors(load_skill(folder).tensors, recompute(folder).tensors)


def test_heads_are_taken_over_as_they_are(tmp_path: Path) -> None:
    inventory = _inventory("lora", rank=2)
    head = {"heads/ner/weight": torch.randn(3, 4)}
    folder = _blended(tmp_path, tmp_path / "blend", inventory, torch.full((1, 1, SKILLS), 1 / 3), **head)
    assert torch.equal(recompute(folder).heads["ner/weight"], head["heads/ner/weight"])


def test_a_parent_that_moved_is_known_by_its_fingerprint_in_a_library(tmp_path: Path) -> None:
    inventory = _inventory("lora", rank=2)
    folder = _blended(tmp_path / "old", tmp_path / "blend", inventory, torch.rand(2, 1, SKILLS))
    shutil.move(tmp_path / "old", tmp_path / "new")
    card = load_skill(folder).card
    assert parents_resolve(folder, card) == ["skill-0", "skill-1", "skill-2"]
    with pytest.raises(InputError, match=r"The parent 'skill-0' .* is neither at .*old/skill-0 nor in a library"):
        recompute(folder)
    assert same_tensors(recompute(folder, [tmp_path / "new"]).tensors, load_skill(folder).tensors)


def test_a_parent_with_other_tensors_is_not_taken_for_the_one_that_was(tmp_path: Path) -> None:
    inventory = _inventory("lora", rank=2)
    folder = _blended(tmp_path, tmp_path / "blend", inventory, torch.rand(2, 1, SKILLS))
    save_skill(Skill(card=_card("skill-1", inventory), tensors=inventory.skill(0)), tmp_path / "skill-1")
    assert parents_resolve(folder, load_skill(folder).card) == ["skill-1"]
    with pytest.raises(InputError, match=r"The parent 'skill-1'"):
        recompute(folder)


def test_a_skill_without_parents_cannot_be_computed_again(tmp_path: Path) -> None:
    _library(tmp_path, _inventory("lora", rank=2))
    with pytest.raises(InputError, match=r"names no parents: the skill 'skill-0' is no sum of others"):
        recompute(tmp_path / "skill-0")


def test_a_weighted_sum_is_that_of_every_tensor_at_its_site() -> None:
    first, second = ({"a/w": torch.full((1, 2), x), "b/w": torch.full((1, 2), 10 * x)} for x in (1.0, 2.0))
    weights = torch.tensor([[[1.0, 0.5]], [[0.0, 2.0]]])  # [sites, heads, skills]
    blended = weighted_sum([first, second], ["a", "b"], weights)
    assert blended["a/w"].tolist() == [[2.0, 2.0]] and blended["b/w"].tolist() == [[40.0, 40.0]]
