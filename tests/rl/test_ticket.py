"""Lottery tickets: sparse skills on the entries that a dense training changed most."""

import pytest
import torch
from policy_cases import frames_of, noise, plain_outputs, policy_of

from polyray.errors import InputError
from polyray.modules.tickets import ticket
from polyray.rl.ticket import rewound

DENSITY = 0.1


def test_a_ticket_is_the_largest_change_at_its_old_value() -> None:
    start = {"a/change.weight": torch.tensor([[[1.0, 0.5], [0.0, 2.0]]]), "a/change.bias": torch.zeros(1, 2)}
    trained = {"a/change.weight": torch.tensor([[[1.0, 3.5], [-1.0, 2.0]]]), "a/change.bias": torch.ones(1, 2)}
    sparse = {"a/support_weight": torch.tensor([[0, 3]]), "a/values.weight": torch.tensor([[7.0, 8.0]])}
    tensors = ticket(sparse, start, trained)  # changes 0, 3, -1, 0: entries 1 and 2, which were 0.5 and 0
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "a/support_weight": [[1, 2]], "a/values.weight": [[0.5, 0.0]],
    }  # fmt: skip


@pytest.mark.parametrize("init", [0.0, 1.0])
def test_rewound_skills_sit_on_the_largest_changes_with_their_old_values(init: float) -> None:
    start, trained = policy_of("dense", "polytropon", fresh=True, init=init), policy_of("dense", "polytropon")
    sparse = rewound(start, trained, DENSITY)
    for index in range(2):
        before, after = start.inventory.skill(index), trained.inventory.skill(index)
        skill = sparse.inventory.skill(index)
        for name, (support, *_) in ((name, tensor) for name, tensor in skill.items() if "support_" in name):
            dense = name.replace("support_", "change.")
            first, change = before[dense].flatten(), (after[dense] - before[dense]).flatten().abs()
            assert len(support) == max(1, round(DENSITY * len(change)))
            assert change[support].min() >= change.topk(len(support)).values.min()
            assert torch.equal(skill[name.replace("support_", "values.")][0], first[support])
            assert bool(first.any()) == bool(init)


def test_routing_and_backbone_of_a_ticket_are_those_from_before_the_training_which_stay_unchanged() -> None:
    start, trained = policy_of("dense", "polytropon", fresh=True), policy_of("dense", "polytropon")
    frames = frames_of([0, 1, 2], 2, 0)
    before, after = start(frames, noise()).logits, trained(frames, noise()).logits
    sparse = rewound(start, trained, DENSITY)
    assert torch.equal(start(frames, noise()).logits, before) and torch.equal(trained(frames, noise()).logits, after)
    assert sparse.spec.modules.kind == "sparse" and sparse.spec.routing == start.spec.routing
    for name, tensor in start.router.state_dict().items():
        assert torch.equal(sparse.router.state_dict()[name], tensor)
    for name, tensor in start.backbone_state().items():
        assert torch.equal(sparse.backbone_state()[name], tensor)
    assert torch.allclose(sparse(frames, noise()).logits, before, rtol=1e-9, atol=1e-9)
    assert torch.allclose(sparse(frames, noise()).logits, plain_outputs(sparse, frames).logits, rtol=1e-9, atol=1e-9)


def test_only_dense_skills_make_a_ticket() -> None:
    lora = policy_of("lora", "shared")
    with pytest.raises(InputError, match="these are lora"):
        rewound(lora, lora, DENSITY)
