"""Contract of every kind of module on every kind of layer that it sits on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from modules_cases import (
    BATCH,
    CASES,
    CHANGES_OUTPUTS,
    LAYERS,
    SKILLS,
    Net,
    every_case,
    mix_of,
    net_with,
    seed,
)
from modules_slow import SLOW, Attention
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from polyray.errors import InputError, RunError
from polyray.modules.attach import attach, detach
from polyray.modules.kinds import MODULES
from polyray.modules.mix import Mix
from polyray.modules.prefix import PrefixOptions
from polyray.modules.site import mixing


def test_every_kind_has_a_definition_and_a_layer_here() -> None:
    assert set(MODULES) == set(SLOW) == {kind for kind, _ in CASES}


@every_case
def test_a_fresh_module_changes_nothing(kind: str, layer: str) -> None:
    net, inventory = net_with(kind, layer, fresh=True)
    x = LAYERS[layer].inputs(BATCH, seed(4))
    with mixing(inventory, mix_of("a row for each example")):
        attached = net(x)
    detach(net, inventory)
    if kind == "prefix":  # the exception: it takes a share of the attention
        assert not torch.allclose(attached, net(x), atol=1e-3)
    else:
        assert torch.allclose(attached, net(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("layer", ["linear", "conv1d", "conv2d", "gru"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_fresh_entries_are_as_wide_as_torch_draws_a_linear_layer(kind: str, layer: str) -> None:
    _, inventory = net_with(kind, layer, fresh=True, init=1.0)
    _, wider = net_with(kind, layer, fresh=True, init=2.0)
    matrices = {name: p for name, p in LAYERS[layer].layer().named_parameters() if p.dim() > 1}
    for index in range(SKILLS):
        skill, twice = inventory.skill(index), wider.skill(index)
        for name, parameter in matrices.items():
            entries = torch.cat(
                [t.flatten() for at, t in skill.items() if at.endswith(f"{name}") and "support" not in at]
            )
            bound = (6 if layer == "conv1d" else parameter[0].numel()) ** -0.5
            assert entries.abs().max() <= bound
            assert entries.numel() < 20 or entries.std() == pytest.approx(bound / 3**0.5, rel=0.3)
        assert all(torch.allclose(twice[at], 2 * tensor) for at, tensor in skill.items() if "support" not in at)
        assert all(not tensor.any() for at, tensor in skill.items() if "bias" in at)


@every_case
def test_a_one_hot_mix_equals_that_skill_alone(kind: str, layer: str) -> None:
    net, inventory = net_with(kind, layer)
    alone_net, alone = net_with(kind, layer, n_skills=1)
    x = LAYERS[layer].inputs(BATCH, seed(4))
    for index in range(SKILLS):
        alone.load_skill(0, inventory.skill(index))
        with mixing(inventory, torch.eye(SKILLS, dtype=torch.float64)[[index] * BATCH]):
            mixed = net(x)
        with mixing(alone, torch.ones(BATCH, 1, dtype=torch.float64)):
            assert torch.allclose(mixed, alone_net(x), rtol=0, atol=1e-12)


@every_case
def test_every_skill_gets_gradient(kind: str, layer: str) -> None:
    net, inventory = net_with(kind, layer, fresh=True)
    x = LAYERS[layer].inputs(BATCH, seed(4))
    before = [inventory.skill(index) for index in range(SKILLS)]
    optimizer = torch.optim.SGD(inventory.parameters(), lr=1.0)
    with mixing(inventory, mix_of("a row for each example")):
        net(x).square().sum().backward()
    optimizer.step()
    for index, old in enumerate(before):
        new = inventory.skill(index)
        for site in inventory.sites:
            assert any(not torch.equal(new[name], old[name]) for name in old if name.startswith(f"{site}/"))


@every_case
def test_take_off_save_put_on_is_bitwise_equal(kind: str, layer: str, tmp_path: Path) -> None:
    net, inventory = net_with(kind, layer)
    x = LAYERS[layer].inputs(BATCH, seed(4))
    mix = mix_of("unequal groups")
    with mixing(inventory, mix):
        before = net(x)
    taken = [inventory.skill(index) for index in range(SKILLS)]
    other_net, other = net_with(kind, layer, fresh=True)
    for index, tensors in enumerate(taken):
        save_file(tensors, tmp_path / f"{index}.safetensors")
        other.load_skill(index, load_file(tmp_path / f"{index}.safetensors"))
        put = other.skill(index)
        assert set(put) == set(tensors)
        assert all(torch.equal(put[name], tensors[name]) for name in tensors)
    with mixing(other, mix):
        assert torch.equal(other_net(x), before)


@every_case
def test_checkpointing_inside_the_block_changes_no_gradient(kind: str, layer: str) -> None:
    net, inventory = net_with(kind, layer)
    mix, x = mix_of("unequal groups"), LAYERS[layer].inputs(BATCH, seed(4))
    gradients = []
    for net.checkpointing in (False, True):
        inventory.zero_grad()
        with mixing(inventory, mix):
            net(x).square().sum().backward()
        gradients.append([p.grad.clone() for p in inventory.parameters() if p.grad is not None])
    assert gradients[0]
    for plain, checkpointed in zip(*gradients, strict=True):
        assert torch.equal(plain, checkpointed)


@every_case
def test_backward_through_a_checkpoint_after_the_block_fails_loudly(kind: str, layer: str) -> None:
    net, inventory = net_with(kind, layer)
    net.checkpointing = True
    with mixing(inventory, mix_of("unequal groups")):
        loss = net(LAYERS[layer].inputs(BATCH, seed(4))).square().sum()
    with pytest.raises(RunError, match=r"backward\(\) belongs inside"):
        loss.backward()


def test_blocks_over_one_inventory_cannot_be_nested() -> None:
    _, inventory = net_with("lora", "linear")
    mix = mix_of("blocks")
    with mixing(inventory, mix), pytest.raises(RunError, match="cannot be nested"), mixing(inventory, mix):
        pass
    with mixing(inventory, mix) as slot:  # the failed one closed the first block only as it ended
        assert slot.rows is mix.rows


def test_a_site_outside_a_block_fails_loudly() -> None:
    net, inventory = net_with("lora", "linear")
    with pytest.raises(RunError, match=r"No mix is in force at site 'sites\.0'"):
        net(LAYERS["linear"].inputs(BATCH, seed(4)))
    with pytest.raises(InputError, match="does not fit"), mixing(inventory, torch.ones(BATCH, SKILLS + 1)):
        pass
    with mixing(inventory, torch.ones(BATCH, SKILLS).double()):
        net(LAYERS["linear"].inputs(BATCH, seed(4)))


@pytest.mark.parametrize("kind", CHANGES_OUTPUTS)
def test_kinds_that_change_outputs_want_linear_layers(kind: str) -> None:
    with pytest.raises(InputError, match="found a Embedding"):
        net_with(kind, "embedding")


@pytest.mark.parametrize("layer", ["linear", "embedding"])
def test_a_prefix_wants_an_attention_module(layer: str) -> None:
    with pytest.raises(InputError, match="sits on attention modules"):
        net_with("prefix", layer)


class Blind(Attention):
    """Attention that takes an attention function and does not call it."""

    def forward(self, x: Tensor, **options: Any) -> Tensor:
        values: Tensor = self.v_proj(x)
        return values


class Closed(nn.Module):
    """Attention that takes no attention function."""

    def __init__(self) -> None:
        super().__init__()
        self.head_dim, self.k_proj = 4, nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        keys: Tensor = self.k_proj(x)
        return keys


def test_a_prefix_refuses_an_attention_that_it_cannot_join() -> None:
    options, x = PrefixOptions(length=2), torch.randn(2, 3, 8, dtype=torch.float64)
    with pytest.raises(InputError, match="modules of transformers that take an attention function.*Closed has k_proj"):
        attach(Net(Closed), ["sites.[01]"], "prefix", 1, options, seed(1))
    net = Net(lambda: Blind(8, 2, 2))
    inventory = attach(net, ["sites.[01]"], "prefix", 1, options, seed(1)).double()
    with mixing(inventory, torch.ones(2, 1).double()), pytest.raises(InputError, match=r"this Blind.*sdpa"):
        net(x)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # Dynamo reads it
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # Dynamo does it
@pytest.mark.parametrize("kind", MODULES)
def test_a_compiled_backbone_gives_the_same(kind: str) -> None:
    layer = next(layer for module, layer in CASES if module == kind)
    net, inventory = net_with(kind, layer)
    mix, x = mix_of("unequal groups"), LAYERS[layer].inputs(BATCH, seed(4))
    with mixing(inventory, mix):
        plain = net(x)
        torch.compiler.reset()
        assert torch.allclose(torch.compile(net, backend="eager")(x), plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "layer"), [(kind, layer) for layer in ("linear", "conv1d") for kind in LAYERS[layer].modules]
)
def test_autocast_runs_in_half_precision(kind: str, layer: str) -> None:
    net, inventory = net_with(kind, layer)
    net.float(), inventory.float()
    mix, x = mix_of("unequal groups"), LAYERS[layer].inputs(BATCH, seed(4)).float()
    with mixing(inventory, Mix(mix.weights.float(), mix.rows)):
        plain = net(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(x)
        half.float().sum().backward()
    assert half.dtype == torch.bfloat16
    assert (half - plain).norm() < 0.02 * plain.norm()
    assert {p.grad.dtype for p in inventory.parameters() if p.grad is not None} == {torch.float32}
