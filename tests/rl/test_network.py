"""The readable network of agents, and the fast one that equals it."""

from collections.abc import Iterator, Mapping

import pytest
import torch
from policy_cases import KINDS, N_WORDS, NETWORKS, ROUTINGS, frames_of, noise, plain_outputs, policy_of, tensors_of
from torch import Tensor, nn

from polyray.rl.fast.missions import distinct_missions, longest
from polyray.rl.fast.network import RowwiseNetwork
from polyray.rl.fast.tiles import add_up
from polyray.rl.frames import Outputs
from polyray.rl.network import PolicyNetwork
from polyray.rl.options import SMALL


def differences(fast: Outputs, plain: Outputs, parameters: Mapping[str, nn.Parameter]) -> Iterator[str]:
    """Names of outputs and gradients in which two computations with the same parameters differ."""
    one, two = tensors_of(fast), tensors_of(plain)
    generator = torch.Generator().manual_seed(2)
    weights = {name: torch.rand(x.shape, generator=generator, dtype=torch.float64) for name, x in two.items()}
    for tensors in (one, two):
        total = torch.stack([(tensors[name] * weight).sum() for name, weight in weights.items()]).sum()
        gradients = torch.autograd.grad(total, list(parameters.values()), allow_unused=True, materialize_grads=True)
        tensors |= {f"gradient of {name}": gradient for name, gradient in zip(parameters, gradients, strict=True)}
    assert all(two[f"gradient of {name}"].any() for name in parameters if "words" in name)
    yield from (name for name in two if not torch.allclose(one[name], two[name], rtol=1e-9, atol=1e-9))


def test_the_fast_network_equals_the_readable_one_with_all_gradients_for_every_preset() -> None:
    wrong = []
    for preset, options in NETWORKS.items():
        torch.manual_seed(0)
        network = PolicyNetwork(options, N_WORDS).double()
        frames = frames_of([0] * 4, 3, options.memory)
        outputs = RowwiseNetwork(network)(frames), network(frames)
        wrong += [f"{preset}: {name}" for name in differences(*outputs, dict(network.named_parameters()))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("preset", ["small", "paper"])
def test_levels_in_one_batch_equal_the_readable_network_with_skills_mixed_layer_by_layer(preset: str) -> None:
    wrong = []
    for kind in KINDS:
        for routing in ROUTINGS:
            policy = policy_of(kind, routing, NETWORKS[preset])
            frames = frames_of([2, 0, 2, 1, 0, 2], 2, policy.options.memory)
            outputs = policy(frames, noise()), plain_outputs(policy, frames)
            wrong += [f"{kind}, {routing}: {name}" for name in differences(*outputs, dict(policy.named_parameters()))]
    assert not wrong, "\n".join(wrong)


def test_missions_are_told_apart_by_every_word_within_each_row() -> None:
    mission = torch.tensor([[[1, 2, 0], [1, 2, 0], [2, 1, 0]], [[1, 2, 0], [3, 0, 0], [1, 2, 0]]]).byte()
    tokens, index = distinct_missions(mission)
    assert tokens.shape == (2, 2, 2), "two missions of two words are the most in a row"
    assert torch.equal(tokens.flatten(0, 1)[index], mission.flatten(0, 1)[:, :2])
    assert index.tolist() == [0, 0, 1, 2, 3, 2]
    assert longest(torch.zeros(1, 3).byte()) == 1


def test_sums_of_table_rows_have_the_gradient_of_an_embedding_bag_in_tables_of_any_size() -> None:
    generator = torch.Generator().manual_seed(0)
    for entries in (100, 2**15 + 100):  # indices that fit into 16 bits, and those that do not
        table = torch.randn(entries, 2, generator=generator, dtype=torch.float64).requires_grad_()
        index = torch.randint(entries, (5000, 9), generator=generator, dtype=torch.int32)
        weight = torch.randn(5000, 2, generator=generator, dtype=torch.float64)
        fast, plain = add_up(table, index), table[index.long()].sum(1)
        (gradient,), (expected,) = (torch.autograd.grad((sums * weight).sum(), table) for sums in (fast, plain))
        assert torch.allclose(fast, plain) and torch.allclose(gradient, expected)


def test_an_episode_that_begins_remembers_nothing_of_the_last() -> None:
    options = NETWORKS["paper"]
    torch.manual_seed(0)
    network = PolicyNetwork(options, N_WORDS).double()
    frames = frames_of([0] * 4, 3, options.memory)
    frames.fresh[:] = torch.tensor([False, True, False])
    logits = {}
    for scale in (1, 2):
        frames.memory[0].mul_(scale)
        logits[scale] = network(frames).logits
    assert torch.equal(logits[1][:, 1:], logits[2][:, 1:])
    assert not torch.isclose(logits[1][:, 0], logits[2][:, 0]).any()


def test_linear_layers_begin_with_rows_of_length_one_and_no_bias() -> None:
    torch.manual_seed(0)
    layers: list[tuple[str, Tensor, Tensor]] = [
        (name, layer.weight, layer.bias)
        for options in NETWORKS.values()
        for name, layer in PolicyNetwork(options, N_WORDS).named_modules()
        if isinstance(layer, nn.Linear)
    ]
    wrong = [
        name
        for name, weight, bias in layers
        if bias.any() or not torch.allclose(weight.norm(dim=1), torch.ones(len(weight)))
    ]
    assert len(layers) > 20 and not wrong
    wide = PolicyNetwork(SMALL, N_WORDS).get_parameter("critic.0.weight")
    assert (wide * wide.shape[1] ** 0.5).abs().max() > 2.5, "normal draws have tails, which uniform ones have not"
