"""The agents' network and its skills equal slow versions of themselves."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import pytest
import torch
from policy_cases import (
    KINDS,
    LEVELS,
    N_WORDS,
    NETWORKS,
    ROUTINGS,
    TINY,
    alone,
    frames_of,
    noise,
    part,
    policy_of,
    slowly,
    spec_of,
)
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.kinds import MODULES
from polyray.rl import frames as frames_module
from polyray.rl.policy import Frames, Outputs, Policy, build_policy, parameter_groups
from polyray.routing import NewRow, RoutingOptions

CHANGING = [name for name, entry in MODULES.items() if entry.changes_weights]


@dataclass(frozen=True)
class Rates:
    lr: float = 1.0
    routing_lr: float = 2.0
    backbone_lr: float = 3.0


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_equals_its_slow_version_with_all_gradients(name: str) -> None:
    torch.manual_seed(0)
    net = Policy(NETWORKS[name], N_WORDS).double()
    frames = frames_of([0] * 4, 3, net.options.memory)
    outputs, slow = net(frames), slowly(net, frames)
    fast = [outputs.logits, outputs.values, *outputs.memory]
    generator = torch.Generator().manual_seed(2)
    weighed = [torch.rand(wanted.shape, generator=generator, dtype=torch.float64) for wanted in slow]
    parameters = list(net.parameters())
    gradients = [torch.autograd.grad(_dot(found, weighed), parameters) for found in (fast, slow)]
    for found, wanted in zip([*fast, *gradients[0]], [*slow, *gradients[1]], strict=True):
        assert torch.allclose(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["small", "paper"])
def test_levels_in_one_batch_equal_levels_one_by_one_with_weights_of_their_own(
    kind: str, routing: str, name: str
) -> None:
    policy = policy_of(kind, routing, NETWORKS[name])
    frames = frames_of([2, 0, 2, 1, 0, 2], 2, policy.options.memory)
    outputs = policy(frames, noise())
    for task in range(3):
        rows = [row for row, own in enumerate(frames.task.tolist()) if own == task]
        logits, values, hidden, cell = slowly(alone(policy, task), part(frames, rows))
        for found, wanted in [
            (outputs.logits, logits), (outputs.values, values), (outputs.memory[0], hidden), (outputs.memory[1], cell)
        ]:  # fmt: skip
            assert torch.allclose(found[rows], wanted, rtol=1e-9, atol=1e-9)


def test_a_collision_of_mission_keys_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of("dense", "polytropon")
    frames = frames_of([0, 0, 1, 1], 3, 0)
    wanted = policy(frames, noise())
    monkeypatch.setattr(frames_module, "_keys", lambda tokens: torch.zeros(len(tokens), dtype=torch.long))
    assert torch.allclose(policy(frames, noise()).logits, wanted.logits, rtol=1e-12, atol=1e-12)


def _dot(tensors: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    return torch.stack([(tensor * weight).sum() for tensor, weight in zip(tensors, weights, strict=True)]).sum()


def _tensors(outputs: Outputs) -> list[Tensor]:
    return [outputs.logits, outputs.values, *outputs.memory]


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("name", ["small", "paper"])
def test_a_folded_policy_says_what_the_policy_says_step_after_step(routing: str, name: str) -> None:
    policy = policy_of("dense", routing, NETWORKS[name])
    acting = policy.folded(noise())
    memory = policy.options.memory
    for step, tasks in enumerate([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [2, 0, 2, 1], [2, 2]]):
        frames = frames_of(tasks, 1, memory, step)
        found, wanted = acting(frames), policy(frames, noise())
        for one, two in zip(_tensors(found), _tensors(wanted), strict=True):
            assert torch.allclose(one, two, rtol=1e-9, atol=1e-9)
    assert not found.logits.requires_grad
    longer = frames_of([1, 2], 3, memory)
    assert torch.allclose(acting(longer).logits, policy(longer, noise()).logits, rtol=1e-9, atol=1e-9)


def test_with_the_same_noise_the_ratio_is_exactly_one() -> None:
    policy = policy_of("sparse", "polytropon").float()
    frames = frames_of([0, 0, 1, 1], 3, 0)
    first, again = (policy(frames, noise()).logits.log_softmax(-1) for _ in range(2))
    assert torch.equal((again - first).exp(), torch.ones_like(first))
    assert not torch.equal(policy(frames, torch.Generator().manual_seed(6)).logits.log_softmax(-1), first)


def test_a_level_has_the_same_noise_whoever_else_is_in_the_batch() -> None:
    policy = policy_of("dense", "polytropon")
    frames = frames_of([0, 1, 2], 2, 0)
    together, single = policy(frames, noise()), policy(part(frames, [2]), noise())
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
    assert torch.allclose(outputs.logits, slowly(alone(policy, 0), frames)[0], rtol=1e-12, atol=1e-12)
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
