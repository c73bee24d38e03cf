"""Agents turned sparse, saved and loaded."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from policy_cases import NETWORKS, WORDS, frames_of, noise, plain_outputs, policy_of

from polyray.errors import InputError
from polyray.rl.policy_folder import load_policy, save_policy
from polyray.rl.ticket import to_sparse
from polyray.routing import NewRow


def test_a_ticket_keeps_the_largest_changes_and_rewinds_them() -> None:
    dense = policy_of("dense", "polytropon")
    frames = frames_of([0, 1, 2], 2, 0)
    before = dense(frames, noise()).logits
    sparse = to_sparse(dense, 0.1)
    for index in range(2):
        old, new = dense.inventory.skill(index), sparse.inventory.skill(index)
        for name, support in ((name, tensor[0]) for name, tensor in new.items() if "support_" in name):
            change = old[name.replace("support_", "change.")].flatten().abs()
            rest = torch.ones_like(change, dtype=torch.bool)
            rest[support] = False
            assert len(support) == max(1, round(0.1 * len(change)))
            assert change[support].min() >= change[rest].max()
            assert not new[name.replace("support_", "values.")].any()
    assert sparse.spec.modules.kind == "sparse" and torch.equal(dense(frames, noise()).logits, before)
    assert torch.allclose(sparse(frames, noise()).logits, plain_outputs(sparse, frames).logits, rtol=1e-9, atol=1e-9)


def test_a_ticket_rewinds_to_the_skills_before_training() -> None:
    fresh, trained = policy_of("dense", "polytropon", fresh=True, init=1.0), policy_of("dense", "polytropon")
    before = [fresh.inventory.skill(index) for index in range(2)]
    sparse = to_sparse(trained, 0.1, before)
    for index in range(2):
        now, new = trained.inventory.skill(index), sparse.inventory.skill(index)
        for name, support in ((name, tensor[0]) for name, tensor in new.items() if "support_" in name):
            first = before[index][name.replace("support_", "change.")].flatten()
            change = (now[name.replace("support_", "change.")].flatten() - first).abs()
            assert set(support.tolist()) == set(change.topk(len(support)).indices.tolist())
            assert torch.equal(new[name.replace("support_", "values.")][0], first[support])
            assert first.any()


def test_only_dense_skills_make_a_ticket() -> None:
    with pytest.raises(InputError, match="these are lora"):
        to_sparse(policy_of("lora", "shared"), 0.1)


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
