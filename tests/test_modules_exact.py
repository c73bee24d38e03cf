"""Every path through a module equals its definition, worked one example and one skill at a time."""

import pytest
import torch
from gathering import for_cases, for_each
from modules_cases import (
    BATCH,
    CASES,
    LAYERS,
    PARAMETRIC,
    PATHS,
    SKILLS,
    Net,
    every_case_by,
    mix_of,
    net_with,
    seed,
    slowly,
)
from modules_slow import first
from torch import Tensor
from torch.autograd import gradcheck

from polyray.errors import InputError
from polyray.modules.attach import Inventory
from polyray.modules.kinds import MODULES
from polyray.modules.layers import runner
from polyray.modules.mix import Mix, Rows, TokenMix
from polyray.modules.rowwise import row_by_row
from polyray.modules.site import mixing


@every_case_by(*PATHS)
def test_every_path_equals_the_definition_example_by_example(kind: str, layer: str, path: str) -> None:
    net, inventory = net_with(kind, layer)
    mix, x = mix_of(path), LAYERS[layer].inputs(BATCH, seed(4))
    with mixing(inventory, mix):
        expected = slowly(net, inventory, mix, x)
        assert torch.allclose(net(x), expected, rtol=1e-10, atol=1e-10)
        with torch.no_grad():  # what was mixed may be kept from the first call to the second
            assert torch.allclose(net(x), expected, rtol=1e-10, atol=1e-10)
            assert torch.allclose(net(x), expected, rtol=1e-10, atol=1e-10)


@every_case_by("a row for each example", "unequal groups")
def test_beams_use_the_row_of_their_example(kind: str, layer: str, path: str) -> None:
    net, inventory = net_with(kind, layer)
    mix, x = mix_of(path), LAYERS[layer].inputs(2 * BATCH, seed(4))
    with mixing(inventory, mix):
        assert torch.allclose(net(x), slowly(net, inventory, mix, x), rtol=1e-10, atol=1e-10)
        with pytest.raises(InputError, match="a multiple"):
            net(x[: BATCH + 1])


@for_each(layer=["linear", "linear without bias", "linear, 2-D", "conv1d", "gru cell", "conv2d"], path=[*PATHS])
def test_heads_mix_their_own_part_of_the_features(layer: str, path: str) -> None:
    net, inventory = net_with("lora", layer, n_splits=2)
    mix, x = mix_of(path, heads=2), LAYERS[layer].inputs(BATCH, seed(4))
    with mixing(inventory, mix):
        assert torch.allclose(net(x), slowly(net, inventory, mix, x), rtol=1e-10, atol=1e-10)


FAST = [name for name, kind in LAYERS.items() if kind.modules[0] in PARAMETRIC and name not in ("gru", "lstm")]


@for_each(name=FAST, path=[*PATHS])
def test_all_rows_in_one_product_equal_one_row_after_the_other(name: str, path: str) -> None:
    layer, x = LAYERS[name].layer().double(), LAYERS[name].inputs(BATCH, seed(4))
    of, n_rows = PATHS[path]
    rows = Rows(of, n_rows, x.device)
    updates = {
        key: torch.randn(n_rows, *p.shape, generator=seed(5), dtype=torch.float64).requires_grad_()
        for key, p in layer.named_parameters()
    }
    results = []
    for run in (runner(layer), row_by_row):
        outputs = first(run(layer, updates, rows, x))
        results.append([outputs, *torch.autograd.grad(outputs.sin().sum(), list(updates.values()))])
    for fast, plain in zip(*results, strict=True):
        assert torch.allclose(fast, plain, rtol=1e-10, atol=1e-12)


def test_heads_must_divide_the_features() -> None:
    with pytest.raises(InputError, match="n_splits=2 does not divide a layer of 9 to 4"):
        net_with("lora", "embedding", n_splits=2)


def test_only_lora_has_heads() -> None:
    assert [kind for kind, stack in MODULES.items() if "n_splits" in stack.Options.model_fields] == ["lora"]


@for_cases(
    [
        {"kind": kind, "layer": layer, "path": path}
        for kind, layer in CASES
        if layer not in ("linear, 4-D", "linear without bias")
        for path in ("blocks", "unequal groups")
    ]
)
def test_gradients_of_skills_mix_and_input_are_those_of_the_output(kind: str, layer: str, path: str) -> None:
    net, inventory = net_with(kind, layer)
    mix, x = mix_of(path), LAYERS[layer].inputs(BATCH, seed(4))
    weights = mix.weights.clone().requires_grad_()
    parameters = list(inventory.parameters())
    leaves = [weights, *parameters] + ([x.requires_grad_()] if x.is_floating_point() else [])

    def run(*_: Tensor) -> Tensor:
        with mixing(inventory, Mix(weights, mix.rows)):
            output: Tensor = net(x)
            return output

    assert gradcheck(run, leaves, fast_mode=True)


@for_each(path=[*PATHS], few=[1, 2])
def test_sparse_fixed_rows_give_bottlenecks_a_shorter_path_to_the_same(path: str, few: int) -> None:
    net, inventory = net_with("bottleneck", "linear", n_skills=5)
    of, n_rows = PATHS[path]
    weights = torch.rand(2, 1, n_rows, 5, generator=seed(3), dtype=torch.float64)
    weights = weights * (weights >= weights.topk(few).values[..., -1:])
    mix, x = Mix(weights, Rows(of, n_rows, weights.device)), LAYERS["linear"].inputs(2 * BATCH, seed(4))
    with mixing(inventory, mix) as slot:
        assert slot.mixed["sites.0"][2].down.dim() == 3
        assert torch.allclose(net(x), slowly(net, inventory, mix, x), rtol=1e-10, atol=1e-10)
    with mixing(inventory, Mix(weights.requires_grad_(), mix.rows)) as slot:
        assert slot.mixed["sites.0"][2].down.dim() == 2  # hard routing learns the weights of skills that are off too


@for_each(kind=["lora", "dense", "bottleneck", "ia3"], layer=["linear", "linear without bias", "linear, 2-D", "conv1d"])
def test_tokens_mix_for_themselves_from_the_largest_gates(kind: str, layer: str) -> None:
    net, inventory = net_with(kind, layer)
    x = LAYERS[layer].inputs(BATCH, seed(4))
    gates = {site: torch.randn(6, SKILLS, generator=seed(5), dtype=torch.float64) for site in inventory.sites}
    with mixing(inventory, TokenMix(gates, 2)):
        mixed = net(x).flatten(1, -2)
    tokens = x.flatten(0, -2)
    for position, site in enumerate(inventory.sites):
        scores = tokens @ gates[site]
        scores[torch.arange(len(tokens)), scores.argmin(-1)] = -torch.inf
        every = [_outputs(net, inventory, position, skill, tokens) for skill in range(SKILLS)]
        expected = (torch.stack(every, -1) * scores.softmax(-1).unsqueeze(1)).sum(-1)
        assert torch.allclose(mixed[position], expected, rtol=1e-10, atol=1e-10)


def _outputs(net: Net, inventory: Inventory, position: int, skill: int, tokens: Tensor) -> Tensor:
    """[tokens, out] of one skill alone: a mixture of outputs is what token routing is defined as."""
    one_hot = torch.eye(SKILLS, dtype=torch.float64)[[skill] * len(tokens)]
    with mixing(inventory, one_hot):
        output: Tensor = net(tokens)[position]
        return output


@pytest.mark.parametrize("kind", ["sparse", "prefix"])
def test_kinds_without_a_token_path_say_so(kind: str) -> None:
    layer = next(layer for module, layer in CASES if module == kind)
    _, inventory = net_with(kind, layer)
    gates = {site: torch.randn(LAYERS[layer].inputs(1, seed(0)).shape[-1], SKILLS).double() for site in inventory.sites}
    with pytest.raises(InputError, match="token_moe needs"), mixing(inventory, TokenMix(gates, 2)):
        pass
