"""Inventories that were made wrong on purpose, with all sums right, are refused by loading and by `verify` alike."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from policy_cases import WORDS, policy_of
from safetensors.torch import load_file, save_file
from torch import Tensor
from training_cases import KNOWN, SUITE, spec, tiny_model

from polyray.errors import InputError
from polyray.files.disk import disk
from polyray.rl.policy_folder import load_policy, save_policy
from polyray.runs.sealed import seal
from polyray.skills.card import CARD, SEAL
from polyray.skills.fingerprint import fingerprint
from polyray.skills.inventory import Provenance, load_inventory, save_inventory
from polyray.skills.inventory_card import BACKBONE, FOLDER, ROUTER
from polyray.skills.inventory_card import CARD as INVENTORY
from polyray.skills.library import verify
from polyray.skills.skill import TENSORS
from polyray.skills.tensors import check_fit
from polyray.training.model import load_model
from polyray.training.multitask import backbone_card

Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three skills of a tiny encoder whose backbone was trained, too."""
    folder = tmp_path_factory.mktemp("strict") / "skills"
    model = tiny_model("tiny-encoder", [SUITE.tasks[name] for name in KNOWN])
    model.network.requires_grad_(True)
    provenance = Provenance(backbone=backbone_card(model.backbone), suite="toy", tasks=KNOWN, data={}, seed=0)
    save_inventory(folder, model, spec(), provenance, {})
    return folder


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Skills of an agent."""
    folder = tmp_path_factory.mktemp("strict") / "policy"
    save_policy(folder, policy_of("dense", "polytropon").float(), WORDS)
    return folder


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a card's fields; its own sum is right again."""
    fields = json.loads(file.read_text())
    fields.pop(SEAL)
    change(fields)
    file.write_text(seal(fields, SEAL))


def edit_tensors(folder: Path, file: str, change: Callable[[Tensors], object]) -> None:
    """Change tensors of a skill or an inventory; all sums and fingerprints are right again."""
    tensors = load_file(folder / file)
    change(tensors)
    save_file(tensors, folder / file)
    card = folder / (CARD if file == TENSORS else INVENTORY)
    edit(card, lambda fields: fields["sha256"].update({file: disk().digest(folder / file)}))
    if file == TENSORS:
        edit(card, lambda fields: fields.update(fingerprint=fingerprint(tensors)))
        number = int(folder.name.removeprefix("skill-"))
        edit(
            folder.parent / FOLDER / INVENTORY,
            lambda fields: fields["fingerprints"].__setitem__(number, fingerprint(tensors)),
        )


def first(tensors: Tensors, change: Callable[[Tensor], Tensor]) -> None:
    name = min(tensors)
    tensors[name] = change(tensors[name]).contiguous()


def in_card(**fields: Any) -> Callable[[Path], object]:
    """A change of the inventory's card."""
    return lambda folder: edit(folder / FOLDER / INVENTORY, lambda card: card.update(fields))


def in_skill(**fields: Any) -> Callable[[Path], object]:
    """A change of a skill's card."""
    return lambda folder: edit(folder / "skill-1" / CARD, lambda card: card.update(fields))


def in_tensors(inner: str, file: str, change: Callable[[Tensor], Tensor]) -> Callable[[Path], object]:
    """A change of the first tensor of a file."""
    return lambda folder: edit_tensors(folder / inner, file, lambda tensors: first(tensors, change))


def another_skill(folder: Path) -> None:
    """Put a copy of one skill in the place of another."""
    shutil.rmtree(folder / "skill-1")
    shutil.copytree(folder / "skill-0", folder / "skill-1")


WRONG: dict[str, Callable[[Path], object]] = {
    "no sums": in_card(sha256={}),
    "one skill of three": in_card(skills=["skill-0"]),
    "one skill of three, with its fingerprint": lambda folder: edit(
        folder / FOLDER / INVENTORY,
        lambda card: card.update(skills=card["skills"][:1], fingerprints=card["fingerprints"][:1]),
    ),
    "more fingerprints than skills": lambda folder: edit(
        folder / FOLDER / INVENTORY, lambda card: card["fingerprints"].append("f" * 64)
    ),
    "a skill twice": in_card(skills=["skill-0", "skill-0", "skill-0"]),
    "a skill outside": in_card(skills=["skill-0", "../skills/skill-1", "skill-2"]),
    "a file that is not listed": lambda folder: (folder / FOLDER / "more.safetensors").write_bytes(b"x"),
    "a listed file outside": lambda folder: edit(
        folder / FOLDER / INVENTORY, lambda card: card["sha256"].update({"../skill-0/card.json": "0"})
    ),
    "an absolute name": lambda folder: edit(
        folder / FOLDER / INVENTORY, lambda card: card["sha256"].update({"/etc/hostname": "0"})
    ),
    "a card that is gone": lambda folder: (folder / "skill-1" / CARD).unlink(),
    "another kind": in_skill(kind="ia3"),
    "other sites": in_skill(sites=["encoder"]),
    "another backbone": in_skill(backbone={"name": "other", "fingerprint": "f" * 64}),
    "another skill's folder": another_skill,
    "whole numbers": in_tensors("skill-1", TENSORS, lambda x: x.to(torch.int8)),
    "booleans": in_tensors("skill-1", TENSORS, lambda x: x.to(torch.bool)),
    "complex numbers": in_tensors("skill-1", TENSORS, lambda x: x.to(torch.complex64)),
    "NaN": in_tensors("skill-1", TENSORS, lambda x: x * torch.nan),
    "another shape": in_tensors("skill-1", TENSORS, lambda x: x.flatten()[:1]),
    "NaN in the router": in_tensors(FOLDER, ROUTER, lambda x: x * torch.nan),
    "a router of another shape": in_tensors(FOLDER, ROUTER, lambda x: x.flatten()[:1]),
}
WRONG_BACKBONE: dict[str, Callable[[Path], object]] = {  # `verify` has no backbone to compare language models' with
    "shape": in_tensors(FOLDER, BACKBONE, lambda x: x[:1]),
    "one number": in_tensors(FOLDER, BACKBONE, lambda x: x.flatten()[0]),
    "type": in_tensors(FOLDER, BACKBONE, lambda x: x.double()),
    "renamed": lambda folder: edit_tensors(folder / FOLDER, BACKBONE, lambda x: x.update(other=x.pop(min(x)))),
    "missing": lambda folder: edit_tensors(folder / FOLDER, BACKBONE, lambda x: x.pop(min(x))),
}


def is_refused(action: Callable[[], object]) -> bool:
    try:
        action()
    except InputError:
        return True
    return False


def test_what_is_wrong_is_refused_by_loading_and_by_verify(language: Path, agent: Path, tmp_path: Path) -> None:
    accepted = []
    for source, load in ((language, lambda x: load_model(load_inventory(x))), (agent, lambda x: load_policy(x, WORDS))):
        for name, change in {**WRONG, **WRONG_BACKBONE}.items():
            folder = tmp_path / "skills"
            shutil.copytree(source, folder)
            change(folder)
            if not is_refused(lambda: load(folder)):  # noqa: B023  # called at once
                accepted.append(f"{source.name}: loading takes {name}")
            if (name in WRONG or source is agent) and not is_refused(lambda: verify(folder)):  # noqa: B023
                accepted.append(f"{source.name}: verify takes {name}")
            shutil.rmtree(folder)
    assert not accepted, "\n".join(accepted)


def test_names_that_differ_are_told_by_the_side_that_has_them() -> None:
    one, two = {"up": torch.ones(1)}, {"up": torch.ones(1), "down": torch.ones(1)}
    with pytest.raises(InputError, match=r"^skill-1 does not fit: it lacks 'down' \(1 names differ\)"):
        check_fit(one, two, "skill-1")
    with pytest.raises(InputError, match=r"^skill-1 does not fit: it also holds 'down'"):
        check_fit(two, one, "skill-1")


def test_a_router_of_tokens_is_verified_as_far_as_it_can_be_without_a_backbone(tmp_path: Path) -> None:
    model = tiny_model("tiny-encoder", [SUITE.tasks[name] for name in KNOWN], spec("token_moe"))
    provenance = Provenance(backbone=backbone_card(model.backbone), suite="toy", tasks=KNOWN, data={}, seed=0)
    folder = tmp_path / "skills"
    save_inventory(folder, model, spec("token_moe"), provenance, {})
    verify(folder)
    WRONG["NaN in the router"](folder)
    with pytest.raises(InputError, match="not finite"):
        verify(folder)


def test_what_is_right_is_accepted(language: Path, agent: Path) -> None:
    assert len(verify(language)) == 3 and len(verify(agent)) == len(load_inventory(agent).card.skills)
    load_model(load_inventory(language))
    load_policy(agent, WORDS)
