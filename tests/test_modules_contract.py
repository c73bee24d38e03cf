"""What every kind of module must do on every kind of layer that it sits on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from modules_slow import SLOW, Attention, first
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.utils.checkpoint import checkpoint

from polyray.errors import InputError, RunError
from polyray.modules.attach import Inventory, attach, detach
from polyray.modules.kinds import MODULES
from polyray.modules.mix import Mix, Rows, TokenMix
from polyray.modules.options import ModuleOptions
from polyray.modules.site import Site, mixing

BATCH, LENGTH, SKILLS = 6, 5, 3
PARAMETRIC, CHANGES_OUTPUTS = ("lora", "sparse", "dense"), ("bottleneck", "ia3")


@dataclass(frozen=True)
class Kind:
    """A kind of layer: how to make one, and inputs for a batch of it."""

    layer: Callable[[], nn.Module]
    inputs: Callable[[int, torch.Generator], Tensor]
    modules: tuple[str, ...] = PARAMETRIC


def _floats(*shape: int) -> Callable[[int, torch.Generator], Tensor]:
    return lambda batch, generator: torch.randn(batch, *shape, generator=generator, dtype=torch.float64)


LAYERS = {
    "linear": Kind(lambda: nn.Linear(6, 4), _floats(LENGTH, 6), PARAMETRIC + CHANGES_OUTPUTS),
    "linear without bias": Kind(lambda: nn.Linear(6, 4, bias=False), _floats(LENGTH, 6), PARAMETRIC + CHANGES_OUTPUTS),
    "linear, 2-D": Kind(lambda: nn.Linear(6, 4), _floats(6), PARAMETRIC + CHANGES_OUTPUTS),
    "linear, 4-D": Kind(lambda: nn.Linear(6, 4), _floats(2, 3, 6), PARAMETRIC + CHANGES_OUTPUTS),
    "embedding": Kind(lambda: nn.Embedding(9, 4), lambda n, g: torch.randint(9, (n, LENGTH), generator=g)),
    "embedding, 1-D": Kind(lambda: nn.Embedding(9, 4), lambda n, g: torch.randint(9, (n,), generator=g)),
    "conv2d": Kind(lambda: nn.Conv2d(2, 4, 3, padding=1, stride=2), _floats(2, 5, 5)),
    "conv2d in groups": Kind(lambda: nn.Conv2d(4, 4, 3, groups=2, bias=False), _floats(4, 5, 5)),
    "gru cell": Kind(lambda: nn.GRUCell(6, 4), _floats(6)),
    "lstm cell": Kind(lambda: nn.LSTMCell(6, 4), _floats(6)),
    "gru": Kind(lambda: nn.GRU(6, 4, batch_first=True, bidirectional=True), _floats(3, 6)),
    "lstm": Kind(lambda: nn.LSTM(6, 4, num_layers=2, batch_first=True), _floats(3, 6)),
    **{
        f"attention, {mask} mask": Kind(lambda mask=mask: Attention(8, 2, 2, mask), _floats(LENGTH, 8), ("prefix",))
        for mask in ("none", "bool", "float", "causal")
    },
    "attention, grouped": Kind(lambda: Attention(8, 4, 2, "causal", gqa=True), _floats(LENGTH, 8), ("prefix",)),
    "attention, repeated": Kind(lambda: Attention(8, 4, 2), _floats(LENGTH, 8), ("prefix",)),
}  # fmt: skip
CASES = [(module, layer) for layer, kind in LAYERS.items() for module in kind.modules]
PATHS: dict[str, tuple[list[int], int]] = {
    "a row for each example": ([0, 1, 2, 3, 4, 5], 6),
    "blocks": ([0, 0, 1, 1, 2, 2], 3),
    "unequal groups": ([1, 0, 1, 1, 2, 1], 3),
    "one row": ([0] * 6, 1),
    "a row that nobody uses": ([2, 0, 2, 0, 0, 2], 3),
}
every_case = pytest.mark.parametrize(("kind", "layer"), CASES)


class Net(nn.Module):
    """Two alike sites that read the same input."""

    def __init__(self, layer: Callable[[], nn.Module]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.sites = nn.ModuleList([layer(), layer()]).double()
        self.checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        if self.checkpointing:
            return torch.stack([first(_plain(checkpoint(site, x, use_reentrant=False))) for site in self.sites])
        return torch.stack([first(_plain(site(x))) for site in self.sites])


def _plain(output: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    """What recurrent layers over time give per step; of cells both states."""
    if isinstance(output, tuple) and output[0].dim() == 3:
        return output[0]
    return output


def _net(
    kind: str, layer: str, n_skills: int = SKILLS, fresh: bool = False, **options: object
) -> tuple[Net, Inventory]:
    net = Net(LAYERS[layer].layer)
    chosen = ModuleOptions(**{"rank": 2, "alpha": 3.0, "length": 2, "density": 0.3, **options})
    inventory = attach(net, ["sites.[01]"], kind, n_skills, chosen, _seed(1)).double()
    if not fresh:
        generator = _seed(2)
        with torch.no_grad():
            for parameter in inventory.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return net, inventory


def _seed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _mix(path: str, heads: int = 1, seed: int = 3) -> Mix:
    of, n_rows = PATHS[path]
    weights = torch.rand(2, heads, n_rows, SKILLS, generator=_seed(seed), dtype=torch.float64)
    return Mix(weights, Rows(of, n_rows, weights.device))


def _slowly(net: Net, inventory: Inventory, mix: Mix, x: Tensor) -> Tensor:
    """The definition, site by site and example by example; each example stands `len(x) / batch` times in `x`."""
    skills = [inventory.skill(index) for index in range(inventory.n_skills)]
    times, outputs = len(x) // len(mix.rows), []
    for place, site in enumerate(net.sites):
        name = inventory.sites[place]
        own = [{key.partition("/")[2]: t for key, t in skill.items() if key.startswith(f"{name}/")} for skill in skills]
        layer = site.layer if isinstance(site, Site) else site
        rows = [
            SLOW[inventory.kind](
                _Stepwise(layer) if isinstance(layer, nn.GRU | nn.LSTM) else layer,
                own, mix.weights[place, :, mix.rows.of[index // times]], x[index : index + 1], inventory.options,
            )
            for index in range(len(x))
        ]  # fmt: skip
        outputs.append(torch.cat(rows))
    return torch.stack(outputs)


class _Stepwise(nn.Module):
    """A recurrent layer under its own parameter names whose output is the states of every step."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        for name, parameter in layer.named_parameters():
            self.register_parameter(name, parameter)
        self._layer = (layer,)

    def forward(self, x: Tensor) -> Tensor:
        own = dict(self.named_parameters())
        return torch.func.functional_call(self._layer[0], own, (x,))[0]


def test_every_kind_has_a_definition_and_a_layer_here() -> None:
    assert set(MODULES) == set(SLOW) == {kind for kind, _ in CASES}


@every_case
def test_a_fresh_module_changes_nothing(kind: str, layer: str) -> None:
    net, inventory = _net(kind, layer, fresh=True)
    x = LAYERS[layer].inputs(BATCH, _seed(4))
    with mixing(inventory, _mix("a row for each example")):
        attached = net(x)
    detach(net, inventory)
    if kind == "prefix":  # the exception: it takes a share of the attention
        assert not torch.allclose(attached, net(x), atol=1e-3)
    else:
        assert torch.allclose(attached, net(x), rtol=0, atol=1e-12)


@every_case
def test_a_one_hot_mix_equals_that_skill_alone(kind: str, layer: str) -> None:
    net, inventory = _net(kind, layer)
    alone_net, alone = _net(kind, layer, n_skills=1)
    x = LAYERS[layer].inputs(BATCH, _seed(4))
    for index in range(SKILLS):
        alone.put_on(0, inventory.skill(index))
        with mixing(inventory, torch.eye(SKILLS, dtype=torch.float64)[[index] * BATCH]):
            mixed = net(x)
        with mixing(alone, torch.ones(BATCH, 1, dtype=torch.float64)):
            assert torch.allclose(mixed, alone_net(x), rtol=0, atol=1e-12)


@every_case
def test_every_skill_gets_gradient(kind: str, layer: str) -> None:
    net, inventory = _net(kind, layer, fresh=True)
    x = LAYERS[layer].inputs(BATCH, _seed(4))
    before = [inventory.skill(index) for index in range(SKILLS)]
    optimizer = torch.optim.SGD(inventory.parameters(), lr=1.0)
    with mixing(inventory, _mix("a row for each example")):
        net(x).square().sum().backward()
    optimizer.step()
    for index, old in enumerate(before):
        new = inventory.skill(index)
        for site in inventory.sites:
            assert any(not torch.equal(new[name], old[name]) for name in old if name.startswith(f"{site}/"))


@every_case
def test_take_off_save_put_on_is_bitwise_equal(kind: str, layer: str, tmp_path: Path) -> None:
    net, inventory = _net(kind, layer)
    x = LAYERS[layer].inputs(BATCH, _seed(4))
    mix = _mix("unequal groups")
    with mixing(inventory, mix):
        before = net(x)
    taken = [inventory.skill(index) for index in range(SKILLS)]
    other_net, other = _net(kind, layer, fresh=True)
    for index, tensors in enumerate(taken):
        save_file(tensors, tmp_path / f"{index}.safetensors")
        other.put_on(index, load_file(tmp_path / f"{index}.safetensors"))
        put = other.skill(index)
        assert set(put) == set(tensors)
        assert all(torch.equal(put[name], tensors[name]) for name in tensors)
    with mixing(other, mix):
        assert torch.equal(other_net(x), before)


@pytest.mark.parametrize("path", PATHS)
@every_case
def test_every_path_equals_the_definition_example_by_example(kind: str, layer: str, path: str) -> None:
    net, inventory = _net(kind, layer)
    mix, x = _mix(path), LAYERS[layer].inputs(BATCH, _seed(4))
    with mixing(inventory, mix):
        assert torch.allclose(net(x), _slowly(net, inventory, mix, x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("path", ["a row for each example", "unequal groups"])
@every_case
def test_beams_use_the_row_of_their_example(kind: str, layer: str, path: str) -> None:
    net, inventory = _net(kind, layer)
    mix, x = _mix(path), LAYERS[layer].inputs(2 * BATCH, _seed(4))
    with mixing(inventory, mix):
        assert torch.allclose(net(x), _slowly(net, inventory, mix, x), rtol=1e-10, atol=1e-10)
        with pytest.raises(InputError, match="a multiple"):
            net(x[: BATCH + 1])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("layer", ["linear", "linear without bias", "linear, 2-D", "gru cell", "conv2d"])
def test_heads_mix_their_own_part_of_the_features(layer: str, path: str) -> None:
    net, inventory = _net("lora", layer, n_splits=2)
    mix, x = _mix(path, heads=2), LAYERS[layer].inputs(BATCH, _seed(4))
    with mixing(inventory, mix):
        assert torch.allclose(net(x), _slowly(net, inventory, mix, x), rtol=1e-10, atol=1e-10)


def test_heads_must_divide_the_features() -> None:
    with pytest.raises(InputError, match="n_splits=2 does not divide a layer of 9 to 4"):
        _net("lora", "embedding", n_splits=2)


@pytest.mark.parametrize("kind", [kind for kind in MODULES if kind != "lora"])
def test_only_lora_has_heads(kind: str) -> None:
    layer = next(layer for module, layer in CASES if module == kind)
    with pytest.raises(InputError, match=r"needs modules\.kind=lora"):
        _net(kind, layer, n_splits=2)


@pytest.mark.parametrize("path", ["blocks", "unequal groups"])
@pytest.mark.parametrize(
    ("kind", "layer"), [case for case in CASES if case[1] not in ("linear, 4-D", "linear without bias")]
)
def test_gradients_of_skills_mix_and_input_are_those_of_the_output(kind: str, layer: str, path: str) -> None:
    net, inventory = _net(kind, layer)
    mix, x = _mix(path), LAYERS[layer].inputs(BATCH, _seed(4))
    weights = mix.weights.clone().requires_grad_()
    parameters = list(inventory.parameters())
    leaves = [weights, *parameters] + ([x.requires_grad_()] if x.is_floating_point() else [])

    def run(*_: Tensor) -> Tensor:
        with mixing(inventory, Mix(weights, mix.rows)):
            return net(x)

    assert gradcheck(run, leaves, fast_mode=True)


@pytest.mark.parametrize("few", [1, 2])
@pytest.mark.parametrize("path", PATHS)
def test_sparse_fixed_rows_give_bottlenecks_a_shorter_path_to_the_same(path: str, few: int) -> None:
    net, inventory = _net("bottleneck", "linear", n_skills=5)
    of, n_rows = PATHS[path]
    weights = torch.rand(2, 1, n_rows, 5, generator=_seed(3), dtype=torch.float64)
    weights = weights * (weights >= weights.topk(few).values[..., -1:])
    mix, x = Mix(weights, Rows(of, n_rows, weights.device)), LAYERS["linear"].inputs(2 * BATCH, _seed(4))
    with mixing(inventory, mix) as slot:
        assert slot.mixed["sites.0"][1].dim() == 3
        assert torch.allclose(net(x), _slowly(net, inventory, mix, x), rtol=1e-10, atol=1e-10)
    with mixing(inventory, Mix(weights.requires_grad_(), mix.rows)) as slot:
        assert slot.mixed["sites.0"][1].dim() == 2  # hard routing learns the weights of skills that are off too


@pytest.mark.parametrize("kind", ["lora", "dense", "bottleneck", "ia3"])
@pytest.mark.parametrize("layer", ["linear", "linear without bias", "linear, 2-D"])
def test_tokens_mix_for_themselves_from_the_largest_gates(kind: str, layer: str) -> None:
    net, inventory = _net(kind, layer)
    x = LAYERS[layer].inputs(BATCH, _seed(4))
    gates = {site: torch.randn(6, SKILLS, generator=_seed(5), dtype=torch.float64) for site in inventory.sites}
    with mixing(inventory, TokenMix(gates, 2)):
        found = net(x).flatten(1, -2)
    tokens = x.flatten(0, -2)
    for place, site in enumerate(inventory.sites):
        scores = tokens @ gates[site]
        scores[torch.arange(len(tokens)), scores.argmin(-1)] = -torch.inf
        every = [_outputs(net, inventory, place, skill, tokens) for skill in range(SKILLS)]
        wanted = (torch.stack(every, -1) * scores.softmax(-1).unsqueeze(1)).sum(-1)
        assert torch.allclose(found[place], wanted, rtol=1e-10, atol=1e-10)


def _outputs(net: Net, inventory: Inventory, place: int, skill: int, tokens: Tensor) -> Tensor:
    """[tokens, out] of one skill alone: a mixture of outputs is what token routing is defined as."""
    one_hot = torch.eye(SKILLS, dtype=torch.float64)[[skill] * len(tokens)]
    with mixing(inventory, one_hot):
        return net(tokens)[place]


@pytest.mark.parametrize("kind", ["sparse", "prefix"])
def test_kinds_without_a_token_path_say_so(kind: str) -> None:
    layer = next(layer for module, layer in CASES if module == kind)
    net, inventory = _net(kind, layer)
    gates = {
        site: torch.randn(LAYERS[layer].inputs(1, _seed(0)).shape[-1], SKILLS).double() for site in inventory.sites
    }
    with mixing(inventory, TokenMix(gates, 2)), pytest.raises(InputError, match="token_moe needs"):
        net(LAYERS[layer].inputs(BATCH, _seed(4)))


@every_case
def test_checkpointing_inside_the_block_changes_no_gradient(kind: str, layer: str) -> None:
    net, inventory = _net(kind, layer)
    mix, x = _mix("unequal groups"), LAYERS[layer].inputs(BATCH, _seed(4))
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
    net, inventory = _net(kind, layer)
    net.checkpointing = True
    with mixing(inventory, _mix("unequal groups")):
        loss = net(LAYERS[layer].inputs(BATCH, _seed(4))).square().sum()
    with pytest.raises(RunError, match=r"backward\(\) belongs inside"):
        loss.backward()


def test_blocks_over_one_inventory_cannot_be_nested() -> None:
    _, inventory = _net("lora", "linear")
    mix = _mix("blocks")
    with mixing(inventory, mix), pytest.raises(RunError, match="cannot be nested"), mixing(inventory, mix):
        pass
    with mixing(inventory, mix) as slot:  # the failed one closed the first block only as it ended
        assert slot.rows is mix.rows


def test_a_site_outside_a_block_fails_loudly() -> None:
    net, inventory = _net("lora", "linear")
    with pytest.raises(RunError, match=r"No mix is in force at site 'sites\.0'"):
        net(LAYERS["linear"].inputs(BATCH, _seed(4)))
    with pytest.raises(InputError, match="does not fit"), mixing(inventory, torch.ones(BATCH, SKILLS + 1)):
        pass
    with mixing(inventory, torch.ones(BATCH, SKILLS).double()):
        net(LAYERS["linear"].inputs(BATCH, _seed(4)))


@pytest.mark.parametrize("kind", CHANGES_OUTPUTS)
def test_kinds_that_change_outputs_want_linear_layers(kind: str) -> None:
    with pytest.raises(InputError, match="found a Embedding"):
        _net(kind, "embedding")


@pytest.mark.parametrize("layer", ["linear", "embedding"])
def test_a_prefix_wants_an_attention_module(layer: str) -> None:
    with pytest.raises(InputError, match="sits on attention modules"):
        _net("prefix", layer)


def test_a_prefix_refuses_an_attention_that_it_cannot_see() -> None:
    class Eager(Attention):
        def forward(self, x: Tensor) -> Tensor:
            return self.v_proj(x)

    net = Net(lambda: Eager(8, 2, 2))
    inventory = attach(net, ["sites.[01]"], "prefix", 1, ModuleOptions(length=2), _seed(1)).double()
    x = torch.randn(2, 3, 8, dtype=torch.float64)
    with mixing(inventory, torch.ones(2, 1).double()), pytest.raises(InputError, match=r"this Eager.*sdpa"):
        net(x)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # Dynamo reads it
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # Dynamo does it
@pytest.mark.parametrize("kind", MODULES)
def test_a_compiled_backbone_gives_the_same(kind: str) -> None:
    layer = next(layer for module, layer in CASES if module == kind)
    net, inventory = _net(kind, layer)
    mix, x = _mix("unequal groups"), LAYERS[layer].inputs(BATCH, _seed(4))
    with mixing(inventory, mix):
        plain = net(x)
        torch.compiler.reset()
        assert torch.allclose(torch.compile(net, backend="eager")(x), plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kind", "layer"), [(kind, "linear") for kind in LAYERS["linear"].modules])
def test_autocast_runs_in_half_precision(kind: str, layer: str) -> None:
    net, inventory = _net(kind, layer)
    net.float(), inventory.float()
    mix, x = _mix("unequal groups"), LAYERS[layer].inputs(BATCH, _seed(4)).float()
    with mixing(inventory, Mix(mix.weights.float(), mix.rows)):
        plain = net(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(x)
        half.float().sum().backward()
    assert half.dtype == torch.bfloat16
    assert (half - plain).norm() < 0.02 * plain.norm()
    assert all(parameter.grad.dtype == torch.float32 for parameter in inventory.parameters())


@pytest.mark.parametrize("length", [1, LENGTH])
@pytest.mark.parametrize("path", PATHS)
def test_sites_that_share_an_input_give_the_same_together_as_apart(path: str, length: int) -> None:
    mix, x = _mix(path), _floats(length, 6)(BATCH, _seed(4)).requires_grad_()
    results = []
    for shared, checkpointing in [([], False), (["q", "k", "v"], False), (["q", "k", "v"], True)]:
        net, inventory = _heads(shared)
        weights = mix.weights[:1].clone().requires_grad_()
        with mixing(inventory, Mix(weights, mix.rows)):
            y = checkpoint(net, x, use_reentrant=False) if checkpointing else net(x)
            gradients = torch.autograd.grad(y.square().sum(), [x, weights, *inventory.parameters()])
            again = net(x)  # the same tensor a second time
        results.append([y, again, *gradients])
    for one, together, checkpointed in zip(*results, strict=True):
        assert torch.allclose(one, together, rtol=1e-9, atol=1e-9)
        assert torch.allclose(one, checkpointed, rtol=1e-9, atol=1e-9)


class Heads(nn.Module):
    """Three sites under one parent that read one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({name: nn.Linear(6, 4) for name in ("q", "k", "v")})

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.attention[name](x) for name in ("q", "k", "v")], -1)


def _heads(shared: list[str]) -> tuple[Heads, Inventory]:
    torch.manual_seed(0)
    net = Heads().double()
    groups = [("attention", tuple(shared))] if shared else []
    inventory = attach(net, ["q", "k", "v"], "lora", SKILLS, ModuleOptions(rank=2), _seed(1), groups).double()
    assert len(inventory.shared) == len(groups)
    generator = _seed(2)
    with torch.no_grad():
        for parameter in inventory.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return net, inventory
