"""Sparse deltas: saved and checked like any skill, composed by addition, and gone without a trace."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.changes import SparseChange
from polyray.skills.card import BackboneCard
from polyray.skills.composition import SparseSkills, compose, sparse_skills
from polyray.skills.delta import fold
from polyray.skills.fingerprint import fingerprint
from polyray.skills.library import verify
from polyray.skills.skill import TENSORS, Skill, load_skill, save_skill
from polyray.skills.sparse_delta import SparseDelta, check_entries, sparse_delta, sparse_skill

INT32, INT64 = torch.int32, torch.int64


class Net(nn.Module):
    """An embedding, a layer, and a head that is tied to the embedding."""

    def __init__(self, n_words: int = 9) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.words, self.inner, self.head = nn.Embedding(n_words, 4), nn.Linear(4, 4), nn.Linear(4, n_words)
        self.head.weight = self.words.weight
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))


def change(shape: tuple[int, ...], indices: list[int], values: list[float], dtype: torch.dtype = INT32) -> SparseChange:
    return SparseChange(shape=shape, support=torch.tensor(indices, dtype=dtype), values=torch.tensor(values))


def drawn(seed: int, **heads: Tensor) -> SparseDelta:
    """A change of 12 entries of the embedding and 6 of the layer, which overlaps with those of other seeds."""
    generator = torch.Generator().manual_seed(seed)
    changes = {}
    for name, shape, k, dtype in (("words.weight", (9, 4), 12, INT32), ("inner.weight", (4, 4), 6, INT64)):
        support = torch.randperm(shape[0] * shape[1], generator=generator)[:k].sort().values.to(dtype)
        changes[name] = SparseChange(values=torch.randn(k, generator=generator), support=support, shape=shape)
    return SparseDelta(changes=changes, heads=heads)


def bits(network: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether all tensors have the same bits; -0 is not 0."""
    return fingerprint(first) == fingerprint(second)


def dense_sum(start: Tensor, name: str, weights: Mapping[str, float], deltas: Mapping[str, SparseDelta]) -> Tensor:
    """A parameter with the deltas added to it as whole matrices in fp64, rounded at the end."""
    total = start.double()
    for skill, weight in weights.items():
        total = total + weight * deltas[skill].changes[name].dense().double()
    return total.to(start.dtype)


def test_a_thousand_random_cycles_in_fp32_and_bf16_leave_every_bit_as_it_was() -> None:
    network, dice = Net(), random.Random(0)
    network.inner.to(torch.bfloat16)
    with torch.no_grad():
        network.words.weight[0] = -0.0
    deltas = {name: drawn(seed, **{"inner.bias": torch.full((4,), float(seed))}) for seed, name in enumerate("abc")}
    skills, start = SparseSkills(network, deltas), bits(network)
    for cycle in range(1000):
        weights = {name: dice.uniform(-2, 2) for name in dice.sample("abc", dice.randint(0, 3))}
        with skills.using(weights, heads=dice.choice(["", *weights])):
            if cycle % 100 == 0:
                for name in ("words.weight", "inner.weight"):
                    expected = dense_sum(start[name], name, weights, deltas)
                    torch.testing.assert_close(network.get_parameter(name).detach(), expected, rtol=2e-6, atol=1e-6)
            if cycle % 10 == 0:
                with skills.using({"a": 1e30, "b": -1e30}):
                    pass
        assert cycle % 100 or same(bits(network), start)
    assert same(bits(network), start)


def test_entries_of_half_precision_are_rounded_once_after_the_sum() -> None:
    network = Net().to(torch.bfloat16)
    with torch.no_grad():
        network.inner.weight.fill_(256.0)
    small = SparseDelta(changes={"inner.weight": change((4, 4), [0, 5], [0.75, 0.75])})
    with SparseSkills(network, {"a": small, "b": small}).using({"a": 1.0, "b": 1.0}):
        assert network.inner.weight.flatten()[[0, 1, 5]].tolist() == [258.0, 256.0, 258.0]  # bf16 has 256 and 258


def test_an_error_in_the_block_or_a_step_in_it_changes_nothing_afterwards() -> None:
    network = Net()
    skills, start = SparseSkills(network, {"a": drawn(0)}), bits(network)
    support = skills.deltas["a"].changes["words.weight"].support

    def diverge() -> None:
        with skills.using({"a": 1.0}), torch.no_grad():
            network.words.weight.view(-1)[support] = float("nan")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        diverge()
    assert same(bits(network), start)


def test_gradients_of_a_block_are_those_of_the_network_with_the_delta_in_it() -> None:
    network, folded, delta = Net(), Net(), drawn(1)
    fold(skill_of(delta), folded)
    ids = torch.tensor([1, 2, 8])
    for net, skills in ((network, SparseSkills(network, {"a": delta})), (folded, None)):
        with skills.using({"a": 1.0}) if skills else torch.enable_grad():
            net.head(net.inner(net.words(ids)).tanh()).square().sum().backward()
    for one, other in zip(network.parameters(), folded.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        torch.testing.assert_close(one.grad, other.grad)


def test_heads_are_replaced_only_where_they_are_asked_for() -> None:
    network = Net()
    skills = SparseSkills(network, {"a": drawn(0, **{"head.bias": torch.arange(9.0)}), "b": drawn(1)})
    with skills.using({"a": 0.5}):
        assert torch.equal(network.head.bias, Net().head.bias)
    with skills.using({"b": 1.0}, heads="a"):
        assert network.head.bias.tolist() == list(range(9))
    assert torch.equal(network.head.bias, Net().head.bias)


def test_a_composition_is_the_weighted_sum_of_its_deltas() -> None:
    one = SparseDelta(changes={"a": change((3, 2), [0, 4], [1.0, 2.0])}, heads={"x": torch.ones(2)})
    two = SparseDelta(changes={"a": change((3, 2), [1, 4], [5.0, 7.0], INT64), "b": change((2,), [1], [3.0])})
    total = compose([(one, 2.0), (two, -1.0), (two, 0.5)])
    assert {name: c.dense().tolist() for name, c in total.changes.items()} == {
        "a": [[2.0, -2.5], [0.0, 0.0], [0.5, 0.0]], "b": [0.0, -1.5],
    }  # fmt: skip
    assert total.changes["a"].support.tolist() == [0, 1, 4] and list(total.heads) == ["x"] and total.n_entries == 4
    with pytest.raises(InputError, match="Two of the sparse deltas have the head 'x'"):
        compose([(one, 1.0), (one, 1.0)])
    with pytest.raises(InputError, match=r"different networks: a is \(2, 2\) and \(3, 2\)"):
        compose([(one, 1.0), (SparseDelta(changes={"a": change((2, 2), [0], [1.0])}), 1.0)])


def skill_of(delta: SparseDelta) -> Skill:
    card = BackboneCard(name="net", fingerprint=fingerprint(Net().state_dict()))
    return sparse_skill(delta, name="hausa", backbone=card, tasks=["ner"])


def test_a_sparse_delta_is_saved_and_verified_like_any_skill(tmp_path: Path) -> None:
    delta = drawn(0, **{"head.bias": torch.arange(9.0)})
    save_skill(skill_of(delta), tmp_path / "hausa")
    (card,) = verify(tmp_path).values()
    assert (card.kind, card.sites, card.options) == ("sparse_delta", ("words", "inner"), {"entries": 18})
    loaded = load_skill(tmp_path / "hausa")
    again = sparse_delta(loaded)
    for name, before in delta.changes.items():
        after = again.changes[name]
        assert torch.equal(after.support, before.support) and after.support.dtype == before.support.dtype
        assert same({"values": after.values}, {"values": before.values}) and after.shape == before.shape
    assert same(again.heads, delta.heads)
    network, folded, start = Net(), Net(), bits(Net())
    skills = sparse_skills(network, {"hausa": loaded}, fingerprint(network.state_dict()))
    fold(loaded, folded)
    with skills.using({"hausa": 1.0}):
        assert same(bits(network), bits(folded)) and not same(bits(network), start)


def test_deltas_that_do_not_fit_are_refused_with_the_parameter() -> None:
    def on(parameter: str, shape: tuple[int, ...], **changes: SparseChange) -> Callable[[], object]:
        delta = SparseDelta(changes={parameter: change(shape, [0], [1.0]), **changes})
        return lambda: SparseSkills(Net(), {"x": delta})

    def entries(indices: list[int], values: list[float]) -> Callable[[], object]:
        return lambda: check_entries(SparseDelta(changes={"a": change((2, 3), indices, values)}), "FILE")

    def use(weights: Mapping[str, float], heads: str = "") -> Callable[[], object]:
        return lambda: skills.using(weights, heads).__enter__()

    deltas = {"hausa": drawn(0, absent=torch.ones(1)), "b": drawn(0, **{"head.bias": torch.ones(2)})}
    skills = SparseSkills(Net(), deltas)
    skill = skill_of(drawn(0))
    lacking = {name: tensor for name, tensor in skill.tensors.items() if name != "words.weight/values"}
    refused: dict[str, Callable[[], object]] = {
        "words.weight of the shape [7, 4]; the network's is [9, 4]: it has another vocab": on("words.weight", (7, 4)),
        "inner.weight of the shape [7, 4]; the network's is [4, 4]: it is another network": on("inner.weight", (7, 4)),
        "changes 'iner.weight', which the network lacks. Did you mean 'inner.weight'?": on("iner.weight", (4, 4)),
        "changes words.weight and head.weight, which are one weight of this network": on(
            "head.weight", (9, 4), **{"words.weight": change((9, 4), [0], [1.0])}
        ),
        "FILE: a: the index 6 is outside of the 6 entries of the shape [2, 3]": entries([2, 6], [1.0, 1.0]),
        "FILE: a: the index -1 is outside": entries([-1, 2], [1.0, 1.0]),
        "FILE: a: the index 1 follows 4; indices must ascend, none twice": entries([0, 4, 1], [1.0, 1.0, 1.0]),
        "FILE: a: the index 4 follows 4; indices must ascend": entries([4, 4], [1.0, 1.0]),
        "FILE: a has 2 indices and 1 values": entries([0, 1], [1.0]),
        "No sparse skill is called 'hausaa'. Did you mean 'hausa'?": use({"hausaa": 1.0}),
        "The weight of the skill 'hausa' is nan": use({"hausa": float("nan")}),
        "absent [1] of the skill 'hausa' does not fit: the network has no": use({}, "hausa"),
        "head.bias [2] of the skill 'b' does not fit: the network's is [9]": use({}, "b"),
        "'hausa' was trained on the backbone 'net'": lambda: sparse_skills(Net(), {"hausa": skill}, "0" * 64),
        "'words.weight' lacks indices, values or shape": lambda: sparse_delta(Skill(card=skill.card, tensors=lacking)),
        "is made of lora modules": lambda: sparse_delta(
            Skill(card=skill.card.model_copy(update={"kind": "lora"}), tensors={})
        ),
        "also holds 'words.weight/mask'": lambda: sparse_delta(
            Skill(card=skill.card, tensors={**skill.tensors, "words.weight/mask": torch.ones(1)})
        ),
    }  # fmt: skip
    wrong = []
    for message, attempt in refused.items():
        try:
            attempt()
            wrong.append(f"not refused: {message}")
        except InputError as error:
            wrong += [] if message in str(error) else [f"{message} <> {error}"]
    assert not wrong, "\n".join(wrong)


def test_a_file_with_wrong_indices_and_right_sums_is_refused_when_it_is_read(tmp_path: Path) -> None:
    delta = drawn(0)
    skill = skill_of(delta)
    tensors = {**skill.tensors, "words.weight/indices": delta.changes["words.weight"].support.flip(0)}
    save_skill(Skill(card=skill.card, tensors=tensors), tmp_path / "x")
    with pytest.raises(InputError, match=r"'hausa': words\.weight: the index \d+ follows \d+"):
        sparse_delta(load_skill(tmp_path / "x"))
    (tmp_path / "x" / TENSORS).write_bytes((tmp_path / "x" / TENSORS).read_bytes()[:-3])
    with pytest.raises(InputError, match="altered or cut short"):
        load_skill(tmp_path / "x")
