"""Skills of several inventories on one layer, and MAD-X's invertible adapters."""

from itertools import product

import pytest
import torch
from modules_cases import BATCH, BEHIND, LAYERS, LENGTH, PARAMETRIC, SIZES, SKILLS, Net, mix_of, net_with, seed, slowly
from modules_slow import SLOW
from torch import Tensor, nn

from polyray.errors import InputError, RunError
from polyray.modules.attach import Inventory, attach, detach
from polyray.modules.inversion import inverted
from polyray.modules.kinds import MODULES
from polyray.modules.mad_x import MadXOptions
from polyray.modules.mix import Mix, Rows
from polyray.modules.site import Site, mixing, without_skills


def close(first: Tensor, second: Tensor) -> bool:
    """Whether they are equal but for rounding in fp64."""
    return torch.allclose(first, second, rtol=0, atol=1e-10)


def site_of(net: nn.Module, name: str) -> Site:
    site = net.get_submodule(name)
    assert isinstance(site, Site)
    return site


def on_top(net: Net, kind: str, number: int = 5) -> Inventory:
    """Another inventory on the sites of `net`, of random tensors."""
    options = MODULES[kind].Options(
        **{name: x for name, x in SIZES.items() if name in MODULES[kind].Options.model_fields}
    )
    inventory = attach(net, ["sites.[01]"], kind, 2, options, seed(number), on_top=True).double()
    with torch.no_grad():
        for parameter in inventory.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=seed(number), dtype=torch.float64))
    return inventory


def other_mix() -> Mix:
    """A mix of two skills whose rows group the examples otherwise than `mix_of` does."""
    weights = torch.rand(2, 1, 2, 2, generator=seed(6), dtype=torch.float64)
    return Mix(weights, Rows([0, 1, 1, 0, 0, 1], 2, weights.device))


class Fixed(nn.Module):
    """Stand-in for a layer with the skills of another inventory: its outputs on the batch, by the definition."""

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs


def expected(net: Net, lower: Inventory, upper: Inventory, x: Tensor) -> Tensor:
    """Both inventories by the definition: changes of weights first, added up; the others in their order."""
    mixes = {id(lower): mix_of("unequal groups"), id(upper): other_mix()}
    order = sorted((lower, upper), key=lambda inventory: not inventory.entry.changes_weights)
    below = slowly(net, order[0], mixes[id(order[0])], x)
    if order[1].entry.changes_weights:  # of a layer that is linear in its weights
        bare = torch.stack([site_of(net, f"sites.{n}").layer(x) for n in range(2)])
        return below + slowly(net, order[1], mixes[id(order[1])], x) - bare
    second, mix, outputs = order[1], mixes[id(order[1])], []
    skills = [second.skill(index) for index in range(second.n_skills)]
    for site, name in enumerate(second.sites):
        tensors = [
            {key.partition("/")[2]: t for key, t in skill.items() if key.startswith(f"{name}/")} for skill in skills
        ]
        rows = []
        for example in range(len(x)):
            weights = mix.weights[site][:, mix.rows.row_of_example[example]]
            layer = Fixed(below[site][example : example + 1])
            rows.append(SLOW[second.kind](layer, tensors, weights, x[example : example + 1], second.options))
        outputs.append(torch.cat(rows))
    return torch.stack(outputs)


def test_skills_of_any_kinds_on_one_layer_are_composed_in_their_order() -> None:
    pairs = [("linear", *pair) for pair in product(PARAMETRIC + BEHIND, repeat=2)]
    pairs += [(layer, *pair) for layer in ("conv1d", "embedding") for pair in product(("lora", "dense"), repeat=2)]
    wrong = []
    for layer, below, above in pairs:
        net, lower = net_with(below, layer)
        upper, x = on_top(net, above), LAYERS[layer].inputs(BATCH, seed(4))
        with mixing(lower, mix_of("unequal groups")), mixing(upper, other_mix()):
            output = net(x)
        wrong += [] if close(output, expected(net, lower, upper, x)) else [(layer, below, above)]
    assert not wrong


def test_two_changes_of_recurrent_weights_are_those_of_one_with_both() -> None:
    net, lower = net_with("dense", "gru", n_skills=1)
    upper, x = on_top(net, "lora"), LAYERS["gru"].inputs(BATCH, seed(4))
    ones = torch.ones(BATCH, 1, dtype=torch.float64)
    with mixing(lower, ones), mixing(upper, other_mix()):
        both = net(x)
    detach(net, lower)
    with torch.no_grad():
        for name in lower.sites:
            for key, change in lower.skill(0).items():
                if key.startswith(f"{name}/"):
                    net.get_parameter(f"{name}.layer.{key.rpartition('.')[2]}").add_(change[0])
    with mixing(upper, other_mix()):
        assert close(net(x), both)


def test_taking_one_inventory_off_leaves_the_other_and_leaving_one_out_does_too() -> None:
    x, mix = LAYERS["linear"].inputs(BATCH, seed(4)), mix_of("unequal groups")
    for first, second in ((0, 1), (1, 0)):
        net, lower = net_with("lora", "linear")
        bare = [site_of(net, f"sites.{n}").layer for n in range(2)]
        with mixing(lower, mix):
            alone = net(x)
        inventories = [lower, on_top(net, "bottleneck")]
        with without_skills(inventories[1]), mixing(lower, mix):
            assert torch.equal(net(x), alone)
        detach(net, inventories[first])
        with mixing(inventories[second], (mix, other_mix())[second]):
            assert torch.equal(net(x), alone) is (second == 0)
        detach(net, inventories[second])
        assert [*net.sites] == bare


def test_a_skill_that_is_kept_in_force_needs_no_block_and_stays_below() -> None:
    net, lower = net_with("bottleneck", "linear", n_skills=1)
    x = LAYERS["linear"].inputs(BATCH, seed(4))
    with mixing(lower, torch.ones(BATCH, 1, dtype=torch.float64)):
        alone = net(x)
    lower.keep_in_force()
    assert close(net(x), alone)
    with pytest.raises(RunError, match="cannot be nested"), mixing(lower, torch.ones(BATCH, 1)):
        pass
    upper = on_top(net, "lora")
    with mixing(upper, other_mix()):
        net(x).sum().backward()
        below = net(x)
    assert all(p.grad is not None for p in upper.parameters()) and all(p.grad is None for p in lower.parameters())
    fresh = upper.fresh(2, seed(8)).double()
    fresh.install(net)  # in the place of `upper`
    with mixing(fresh, other_mix()):
        assert close(net(x), alone) and not torch.equal(net(x), below)
    assert [len(site.occupants) for site in net.sites if isinstance(site, Site)] == [2, 2]
    with pytest.raises(InputError, match="the inventory has 2"):
        fresh.keep_in_force()


def test_what_cannot_share_a_layer_is_refused_and_nothing_changes() -> None:
    net, _ = net_with("prefix", "attention, none mask")
    before = [*net.sites]
    with pytest.raises(InputError, match="prefix modules cannot share the layer"):
        on_top(net, "prefix")
    assert [*net.sites] == before
    net, _ = net_with("lora", "linear")
    with pytest.raises(InputError, match="carries skills already: detach them first, or attach with on_top=True"):
        attach(net, ["sites.0"], "lora", 1, MODULES["lora"].Options(), seed(0))


def embeddings() -> tuple[nn.Sequential, Inventory]:
    """A layer norm with three invertible adapters of random tensors."""
    net = nn.Sequential(nn.LayerNorm(6)).double()
    inventory = attach(net, ["0"], "mad_x", SKILLS, MadXOptions(reduction=2), seed(1)).double()
    with torch.no_grad():
        for parameter in inventory.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=seed(2), dtype=torch.float64))
    return net, inventory


def test_an_invertible_adapter_is_its_definition_and_is_undone_by_its_inverse() -> None:
    net, inventory = embeddings()
    x = torch.randn(BATCH, LENGTH, 6, generator=seed(4), dtype=torch.float64)
    mix = mix_of("unequal groups")
    mix = Mix(mix.weights[:1], mix.rows)
    skills = [{k.partition("/")[2]: t for k, t in inventory.skill(s).items()} for s in range(SKILLS)]
    assert inventory.skill(0)["0/adapter.first.down"].shape == (1, 3, 3)  # half of the width to width / reduction
    with mixing(inventory, mix):
        coupled, norm = net(x), site_of(net, "0").layer(x)
        slow = [
            SLOW["mad_x"](site_of(net, "0").layer, skills, mix.weights[0][:, row], x[n : n + 1], inventory.options)
            for n, row in enumerate(mix.rows.row_of_example)
        ]
        assert close(coupled, torch.cat(slow)) and not torch.allclose(coupled, norm)
        examples = torch.tensor([5, 0, 3])
        assert close(inverted(net, coupled[examples, 2], examples, BATCH), norm[examples, 2])
        with pytest.raises(InputError, match=r"adapter at '0' is 6 wide; tokens are predicted from 4 features"):
            inverted(net, coupled[examples, 2, :4], examples, BATCH)
    with without_skills(inventory):
        assert torch.equal(inverted(net, coupled[:, 0], torch.arange(BATCH), BATCH), coupled[:, 0])


def test_a_fresh_invertible_adapter_changes_nothing_and_wants_one_norm_of_even_width() -> None:
    net = nn.Sequential(nn.LayerNorm(6), nn.LayerNorm(6), nn.LayerNorm(5), nn.Embedding(3, 4))
    x = torch.randn(2, 3, 6)
    before = net[0](x)
    inventory = attach(net, ["0"], "mad_x", 1, MadXOptions(), seed(0))
    with mixing(inventory, torch.ones(2, 1)):
        assert torch.equal(net[0](x), before)
    for sites, layers in ((["[01]"], "2 x LayerNorm"), (["2"], "1 x LayerNorm"), (["3"], "1 x Embedding")):
        with pytest.raises(InputError, match=f"of an even width, found {layers}"):
            attach(net, sites, "mad_x", 1, MadXOptions(), seed(0), on_top=True)


def test_a_skill_in_force_follows_the_backbone_to_another_device() -> None:
    for kind in BEHIND:
        net, inventory = net_with(kind, "linear", n_skills=1)
        inventory.keep_in_force()
        net.to("meta")
        assert net(LAYERS["linear"].inputs(BATCH, seed(4)).to("meta")).device.type == "meta"
