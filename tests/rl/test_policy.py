"""The agents' policy: routing noise, gradients, new levels, learning rates."""

from copy import deepcopy
from dataclasses import dataclass, replace

import pytest
import torch
from policy_cases import LEVELS, N_WORDS, ROUTINGS, TINY, frames_of, noise, policy_of, some_environments, spec_of
from torch import nn

from polyray.errors import InputError
from polyray.modules.kinds import MODULES
from polyray.modules.site import without_skills
from polyray.rl.frames import Frames
from polyray.rl.policy import build_policy, parameter_groups
from polyray.routing import NewRow, RoutingOptions

CHANGING = [name for name, entry in MODULES.items() if entry.changes_weights]


@dataclass(frozen=True)
class Rates:
    lr: float = 1.0
    routing_lr: float = 2.0
    backbone_lr: float = 3.0


def test_with_the_same_noise_the_ratio_is_exactly_one() -> None:
    policy = policy_of("sparse", "polytropon").float()
    frames = frames_of([0, 0, 1, 1], 3, 0)
    first, again = (policy(frames, noise()).logits.log_softmax(-1) for _ in range(2))
    assert torch.equal((again - first).exp(), torch.ones_like(first))
    assert not torch.equal(policy(frames, torch.Generator().manual_seed(6)).logits.log_softmax(-1), first)


def test_a_level_has_the_same_noise_whoever_else_is_in_the_batch() -> None:
    policy = policy_of("dense", "polytropon")
    frames = frames_of([0, 1, 2], 2, 0)
    together, single = policy(frames, noise()), policy(some_environments(frames, [2]), noise())
    assert torch.allclose(together.logits[2:], single.logits, rtol=1e-12, atol=1e-12)


def test_evaluation_draws_nothing() -> None:
    policy = policy_of("dense", "polytropon").eval()
    frames = frames_of([0, 1, 2], 2, 0)
    assert torch.equal(policy(frames).logits, policy(frames, noise()).logits)


def test_levels_that_share_all_skills_share_one_row_of_weights() -> None:
    assert policy_of("dense", "shared")._mix([0, 1, 2], None).rows.n_rows == 1
    assert policy_of("dense", "private")._mix([0, 1, 2], None).rows.n_rows == 3


def test_gradient_reaches_skills_routing_and_backbone() -> None:
    policy = policy_of("dense", "polytropon")
    outputs = policy(frames_of([0, 1, 2], 2, 0), noise())
    (outputs.logits.square().sum() + outputs.values.square().sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in policy.parameters())


def test_fresh_skills_change_nothing_and_every_one_gets_gradient() -> None:
    policy = policy_of("dense", "polytropon", fresh=True)
    frames = frames_of([0, 1, 2], 2, 0)
    outputs = policy(frames, noise())
    with without_skills(policy.inventory):
        assert torch.allclose(outputs.logits, policy.network(frames).logits, rtol=1e-12, atol=1e-12)
    (outputs.logits.square().sum() + outputs.values.square().sum()).backward()
    for name, parameter in policy.inventory.named_parameters():
        assert parameter.grad is not None and parameter.grad.flatten(3).any(-1).all(), name


def test_parameter_groups_have_the_three_speeds_and_no_weight_decay() -> None:
    policy = policy_of("dense", "polytropon")
    groups = {group["name"]: group for group in parameter_groups(policy, Rates())}
    assert [(name, group["lr"], group["weight_decay"]) for name, group in groups.items()] == [
        ("skills", 1, 0.0), ("routing", 2, 0.0), ("backbone", 3, 0.0),
    ]  # fmt: skip
    assert sum(len(group["params"]) for group in groups.values()) == len(list(policy.parameters()))


def test_a_backbone_without_a_rate_is_frozen() -> None:
    policy = policy_of("dense", "shared")
    groups = parameter_groups(policy, Rates(backbone_lr=0))
    assert [group["name"] for group in groups] == ["skills"]
    policy(frames_of([0, 1], 1, 0)).logits.sum().backward()
    assert all(parameter.grad is None for parameter in policy.network.parameters())


@pytest.mark.parametrize("routing", ROUTINGS)
def test_a_new_level_leaves_the_old_ones_bit_for_bit(routing: str) -> None:
    policy = policy_of("sparse", routing).eval()
    frames = frames_of([0, 1, 2], 2, 0)
    before = policy(frames)
    row = NewRow(skills=(2,)) if routing == "expert" else None
    policy.add_level("d", torch.Generator().manual_seed(3), row)
    after = policy(frames)
    assert torch.equal(before.logits, after.logits) and torch.equal(before.values, after.values)
    n_skills = {"shared": 1, "private": 4, "expert": 3, "polytropon": 2}[routing]
    assert policy.inventory.n_skills == policy.router.n_skills == n_skills
    assert torch.isfinite(policy(replace_task(frames, 3)).logits).all()


def replace_task(frames: Frames, task: int) -> Frames:
    return replace(frames, task=torch.full_like(frames.task, task))


def test_an_expert_policy_wants_the_row_of_a_new_level() -> None:
    with pytest.raises(InputError, match="needs the row of skills that the new task 'd' uses"):
        policy_of("dense", "expert").add_level("d", noise())


@pytest.mark.parametrize(
    ("kind", "routing", "message"),
    [
        ("bottleneck", "shared", f"Agents carry modules.kind={', '.join(CHANGING)}; found 'bottleneck'"),
        ("dense", "polytropon", "routing.sample must be 'task' or 'none', found 'example'"),
        ("dense", "hyperformer", "has no row of weights for a level"),
        ("dense", "token_moe", "has no row of weights for a level"),
    ],
)
def test_what_agents_cannot_use_is_refused(kind: str, routing: str, message: str) -> None:
    spec = spec_of(kind, RoutingOptions.model_validate({"kind": routing}))
    with pytest.raises(InputError, match=message):
        build_policy(TINY, LEVELS, spec, N_WORDS, 0)


def test_the_same_seed_builds_the_same_policy_and_copies_are_their_own() -> None:
    one, two = policy_of("lora", "polytropon", fresh=True), policy_of("lora", "polytropon", fresh=True)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    copy, frames = deepcopy(one), frames_of([0, 1], 1, 0)
    before = one(frames, noise()).logits
    nn.init.zeros_(copy.network.get_parameter("actor.2.layer.weight"))
    assert torch.equal(one(frames, noise()).logits, before) and not copy(frames, noise()).logits.any()
