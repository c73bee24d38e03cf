"""Training of chosen entries: the same as masked training of everything, for the price of the entries."""

from pathlib import Path

import pytest
import torch
from gathering import for_cases
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.runs.state import load_state, save_state
from polyray.skills.composition import SparseSkills
from polyray.skills.fingerprint import fingerprint
from polyray.sparsity import Distances, largest
from polyray.training import aside
from polyray.training import pull as pulling
from polyray.training.entries import ChosenEntries
from polyray.training.masked import mask_gradients, masks_of
from polyray.training.optimizers import OptimizerOptions, adam_tensors, load_adam, sparse_optimizer
from polyray.training.pull import pull

RATE, STEPS, ACCUMULATE, CLIP, N_WORDS = 1e-2, 40, 2, 0.5, 30


class Tagger(nn.Module):
    """An embedding with padding, a layer, a normalisation, and an output layer, which may be the embedding."""

    def __init__(self, tied: bool = False, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.positions = nn.Embedding(N_WORDS, 8, padding_idx=0), nn.Embedding(6, 8)
        self.norm, self.inner, self.unused = nn.LayerNorm(8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.output, self.head = nn.Linear(8, N_WORDS, bias=False), nn.Linear(8, 3)
        if tied:
            self.output.weight = self.words.weight
        self.to(dtype)

    def loss(self, ids: Tensor) -> Tensor:
        hidden = self.inner(self.norm(self.words(ids) + self.positions(torch.arange(ids.shape[1])))).tanh()
        tags = self.head(hidden).flatten(0, 1)
        loss: Tensor = nn.functional.cross_entropy(self.output(hidden).flatten(0, 1).float(), ids.flatten())
        return loss + nn.functional.cross_entropy(tags.float(), ids.flatten() % 3)


def batch(number: int) -> Tensor:
    return torch.randint(0, N_WORDS, (4, 6), generator=torch.Generator().manual_seed(number)) // 2 * 2


HEAD = ["head.weight", "head.bias"]
SPARSE = ["words.weight", "positions.weight", "inner.weight", "inner.bias", "unused.weight", "output.weight"]


def chosen_of(network: Tagger, k: int = 60) -> dict[str, Tensor]:
    """Entries drawn at random, among them none of `unused`."""
    names = [name for name, _ in network.named_parameters() if name in SPARSE]
    generator = torch.Generator().manual_seed(1)
    scores = {name: torch.rand(network.get_parameter(name).shape, generator=generator) for name in names}
    scores["unused.weight"].zero_()
    return largest(Distances(scores), k)


def backward(network: Tagger, step: int) -> None:
    for number in range(ACCUMULATE):
        (network.loss(batch(ACCUMULATE * step + number)) / ACCUMULATE).backward()


def masked_training(network: Tagger, entries: dict[str, Tensor], l1: float) -> None:
    """Train all of `network` under masks."""
    start = [parameter.detach().clone() for parameter in network.parameters()]
    masks, parameters = masks_of(network, entries), list(network.parameters())
    adam = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
    for step in range(STEPS):
        backward(network, step)
        if l1:
            pull(parameters, start, l1)
        mask_gradients(network, masks, HEAD)
        nn.utils.clip_grad_norm_(parameters, CLIP)
        adam.step()
        adam.zero_grad()


def steps(chosen: ChosenEntries, adam: torch.optim.AdamW, first: int, last: int, l1: float = 0.0) -> None:
    """Some steps of training the chosen entries, and the head whole."""
    dense, head = list(chosen.dense.values()), [p.detach().clone() for p in Tagger().head.parameters()]
    for step in range(first, last):
        backward(chosen.network, step)  # type: ignore[arg-type]
        if l1:
            pull([chosen.values, *dense], [chosen.start, *head], l1)
        nn.utils.clip_grad_norm_([chosen.values, *dense], CLIP)
        adam.step()
        adam.zero_grad()


OPTIONS = OptimizerOptions(lr=RATE, weight_decay=0.0)


@for_cases([{"tied": False, "l1": 0.0}, {"tied": True, "l1": 1e-2}])
def test_training_chosen_entries_equals_masked_training_of_everything(tied: bool, l1: float) -> None:
    plain, network, start = Tagger(tied), Tagger(tied), Tagger(tied)
    entries = chosen_of(network)
    masked_training(plain, entries, l1)
    chosen = ChosenEntries(network, entries, HEAD)
    with chosen.installed():
        adam = sparse_optimizer(chosen, OPTIONS)
        steps(chosen, adam, 0, STEPS, l1)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter, plain.get_parameter(name), rtol=0, atol=1e-6)
    moved = {name: p.detach() - start.get_parameter(name).detach() for name, p in network.named_parameters()}
    n_moved = {name: int((change != 0).sum()) for name, change in moved.items() if name not in HEAD}
    masks = masks_of(network, entries)
    assert all(not change[~masks[name]].any() for name, change in moved.items() if name in masks)
    assert sum(n_moved.values()) > 40 and not any(n_moved[name] for name in n_moved if name not in masks)
    assert max(float(change.abs().max()) for change in moved.values()) > 0.05
    states = [tensor.numel() for state in adam_tensors(adam) for name, tensor in state.items() if name != "step"]
    assert sum(states) == 2 * (60 + 8 * 3 + 3)


def test_whole_gradients_do_not_outlive_their_gathering_and_the_network_is_left_as_it_was() -> None:
    network = Tagger()
    network.norm.requires_grad_(False)
    asked = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    chosen = ChosenEntries(network, chosen_of(network), HEAD)
    alive: list[int] = []
    with chosen.installed():
        for slot in chosen.slots:
            slot.parameter.register_post_accumulate_grad_hook(
                lambda _: alive.append(sum(s.parameter.grad is not None for s in chosen.slots))
            )
        network.loss(batch(0)).backward()
        assert [module.sparse for module in (network.words, network.positions)] == [True, True]
        assert chosen.values.grad is not None and chosen.values.grad.shape == (60,)
        assert {n for n, p in network.named_parameters() if p.requires_grad} == {
            *chosen.dense,
            *(s.name for s in chosen.slots),
        }
        assert network.unused.weight.grad is None and network.norm.weight.grad is None
    assert len(alive) == len(chosen.slots) and not any(alive)
    assert {name: parameter.requires_grad for name, parameter in network.named_parameters()} == asked
    assert not network.words.sparse
    network.loss(batch(0)).backward()
    assert network.words.weight.grad is not None and network.words.weight.grad.shape == (N_WORDS, 8)


def test_the_pull_is_the_gradient_of_the_l1_distance_in_blocks_of_any_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "BLOCK", 7)
    generator = torch.Generator().manual_seed(0)
    parameters = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((5, 4), (9,), (), (0, 3))]
    parameters.append(nn.Parameter(parameters[0].detach().T))
    start = [p.detach() + torch.randint(-1, 2, p.shape, generator=generator) for p in parameters]
    parameters[1].grad = torch.ones(9)
    pull(parameters, start, 0.5)
    for index, (parameter, before) in enumerate(zip(parameters, start, strict=True)):
        (expected,) = torch.autograd.grad(0.5 * (parameter - before).abs().sum(), parameter)
        assert parameter.grad is not None and torch.equal(parameter.grad, expected + (index == 1))


def test_weight_decay_changes_chosen_entries_only() -> None:
    network, start = Tagger(), Tagger()
    chosen = ChosenEntries(network, chosen_of(network))
    with chosen.installed():
        steps(chosen, sparse_optimizer(chosen, OptimizerOptions(lr=RATE, weight_decay=0.5)), 0, 2)
    changed = {
        name: (p != start.get_parameter(name)).flatten().nonzero().flatten() for name, p in network.named_parameters()
    }
    assert sum(map(len, changed.values())) == 60
    assert all(torch.equal(changed[slot.name], slot.indices.long()) for slot in chosen.slots)


def test_a_resumed_training_ends_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "SMALL", 40)  # the start lies in a file
    for dtype in (torch.float32, torch.bfloat16):
        whole, stopped = Tagger(dtype=dtype), Tagger(dtype=dtype)
        entries = chosen_of(whole)
        straight = ChosenEntries(whole, entries, HEAD)
        with straight.installed():
            steps(straight, sparse_optimizer(straight, OPTIONS), 0, 6)
        first = ChosenEntries(stopped, entries, HEAD)
        with first.installed():
            adam = sparse_optimizer(first, OPTIONS)
            steps(first, adam, 0, 3)
            save_state(tmp_path / "state", {"entries": first.state(), "adam": adam_tensors(adam)})
        fresh = Tagger(dtype=dtype)
        second, state = ChosenEntries(fresh, entries, HEAD), load_state(tmp_path / "state")
        with second.installed():
            adam = sparse_optimizer(second, OPTIONS)
            second.load_state(state["entries"])
            load_adam(adam, state["adam"])
            assert fingerprint(fresh.state_dict()) == fingerprint(stopped.state_dict())
            steps(second, adam, 3, 6)
        assert fingerprint(fresh.state_dict()) == fingerprint(whole.state_dict())
        pairs = [(slot, Tagger(dtype=dtype).get_parameter(slot.name)) for slot in second.slots]
        assert torch.equal(second.start, torch.cat([p.detach().view(-1)[slot.indices] for slot, p in pairs]).float())
        assert fingerprint(second.delta().heads) == fingerprint(straight.delta().heads)
        other = ChosenEntries(Tagger(dtype=dtype), chosen_of(fresh, 59), HEAD)
        with pytest.raises(InputError, match="of other entries"):
            other.load_state(state["entries"])


def test_the_delta_of_a_training_makes_the_start_into_its_end() -> None:
    network = Tagger()
    chosen = ChosenEntries(network, chosen_of(network), HEAD)
    with chosen.installed():
        steps(chosen, sparse_optimizer(chosen, OPTIONS), 0, 3)
    delta, start = chosen.delta(), Tagger()
    assert delta.n_entries == 60 and list(delta.heads) == HEAD
    with SparseSkills(start, {"task": delta}).using({"task": 1.0}, heads="task"):
        for name, parameter in start.named_parameters():
            torch.testing.assert_close(parameter, network.get_parameter(name), rtol=0, atol=1e-7)


def test_entries_that_cannot_be_trained_are_refused() -> None:
    network = Tagger()
    index = torch.tensor([0])
    with pytest.raises(InputError, match="No entry is chosen"):
        ChosenEntries(network, {"words.weight": index[:0]})
    with pytest.raises(InputError, match="head.bias is to be trained whole and in some entries only"):
        ChosenEntries(network, {"head.bias": index}, HEAD)
    network.inner.weight = nn.Parameter(network.inner.weight.detach().T)
    with pytest.raises(InputError, match=r"inner\.weight is quantised or not contiguous"):
        ChosenEntries(network, {"inner.weight": index})
