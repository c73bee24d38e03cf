"""Agents saved and loaded."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from policy_cases import NETWORKS, WORDS, frames_of, policy_of

from polyray.errors import InputError
from polyray.rl.policy_folder import load_policy, save_policy
from polyray.routing import NewRow


@pytest.mark.parametrize(("kind", "routing"), [("sparse", "polytropon"), ("dense", "private"), ("lora", "expert")])
def test_a_saved_policy_comes_back_byte_for_byte(kind: str, routing: str, tmp_path: Path) -> None:
    policy = policy_of(kind, routing, NETWORKS["paper, batch norm"]).float()
    policy.add_level("d", torch.Generator().manual_seed(3), NewRow(skills=(0, 1)) if routing == "expert" else None)
    save_policy(tmp_path / "one", policy, WORDS)
    loaded = load_policy(tmp_path / "one", WORDS)
    save_policy(tmp_path / "two", loaded, WORDS)
    names = {file.relative_to(tmp_path / "one") for file in (tmp_path / "one").rglob("*") if file.is_file()}
    assert len(names) == 3 + 2 * policy.inventory.n_skills  # router, backbone, card; tensors and a card for each skill
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)
    frames = replace(frames_of([0, 1, 2, 3], 2, 3), memory=(torch.zeros(4, 3), torch.zeros(4, 3)))
    assert torch.equal(policy.eval()(frames).logits, loaded(frames).logits)


def test_a_policy_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    policy = policy_of("dense", "shared")
    save_policy(tmp_path / "policy", policy, WORDS)
    with pytest.raises(InputError, match="its word 2 is 'b', this one's 'ball'"):
        load_policy(tmp_path / "policy", (*WORDS[:2], "ball", *WORDS[3:]))
    with pytest.raises(InputError, match="it has 9 words, this one 10"):
        load_policy(tmp_path / "policy", (*WORDS, "z"))
    with pytest.raises(InputError, match="reads 9 words, found a vocabulary of 10"):
        save_policy(tmp_path / "policy", policy, (*WORDS, "z"))


def test_a_damaged_or_missing_policy_is_refused(tmp_path: Path) -> None:
    save_policy(tmp_path / "policy", policy_of("dense", "shared"), WORDS)
    (tmp_path / "policy" / "inventory" / "backbone.safetensors").write_bytes(b"?")
    with pytest.raises(InputError, match=r"backbone\.safetensors was altered or cut short"):
        load_policy(tmp_path / "policy", WORDS)
    with pytest.raises(InputError, match="holds no inventory of skills"):
        load_policy(tmp_path, WORDS)
