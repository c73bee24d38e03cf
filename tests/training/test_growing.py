"""Entries that are exchanged while they are trained: the same as an obvious version with whole tensors."""

import torch
from test_entries import HEAD, Tagger, batch, chosen_of
from torch import Tensor, nn

from polyray.training.entries import ChosenEntries
from polyray.training.growing import GrowingEntries, GrowthOptions
from polyray.training.optimizers import OptimizerOptions, sparse_optimizer

RATE, STEPS = 1e-2, 7
OPTIONS = GrowthOptions(every=3, accumulate=2, replaced=0.5)


def grown(steps: int) -> tuple[Tagger, ChosenEntries]:
    """A network after some steps of a training of STEPS."""
    network = Tagger()
    chosen = ChosenEntries(network, chosen_of(network), HEAD)
    adam = sparse_optimizer(chosen, OptimizerOptions(lr=RATE, weight_decay=0.0))
    growing = GrowingEntries(chosen, adam, OPTIONS, STEPS)
    with chosen.installed(growing.watch):
        for step in range(steps):
            network.loss(batch(step)).backward()
            growing.before_step()
            adam.step()
            adam.zero_grad()
    return network, chosen


class Plain:
    """One parameter of a training that exchanges entries, with whole gradients, moments and masks."""

    sparse = False  # whether only entries with a gradient are candidates, as in the rows of an embedding

    def __init__(self, parameter: nn.Parameter, indices: Tensor) -> None:
        self.parameter, self.start = parameter, parameter.detach().clone()
        self.active = torch.zeros(parameter.numel(), dtype=torch.bool)
        self.active[indices.long()] = True
        self.first, self.second, self.sums, self.squares = (torch.zeros(parameter.numel()) for _ in range(4))
        self.candidates: list[int] = []

    def accumulate(self, gradient: Tensor, first: bool) -> None:
        """Candidates are the largest of the first gradient."""
        if first:
            order = gradient.abs().argsort(descending=True, stable=True)[: int(self.active.sum())].tolist()
            self.candidates = sorted(index for index in order if not self.sparse or gradient[index] != 0)
            self.sums.zero_()
            self.squares.zero_()
        self.sums += gradient
        self.squares += gradient**2

    def step(self, gradient: Tensor, number: int) -> None:
        """Adam's update of the active entries."""
        self.first.lerp_(gradient, 0.1)
        self.second.lerp_(gradient**2, 0.001)
        mean, square = self.first / (1 - 0.9**number), self.second / (1 - 0.999**number)
        change = RATE * mean / (square.sqrt() + 1e-8)
        self.parameter.data.view(-1).sub_(change * self.active)

    def exchange(self, share: float, n_accumulated: int) -> None:
        """Drop the entries that changed least for the candidates with the largest sums."""
        flat, start = self.parameter.data.view(-1), self.start.view(-1)
        active = self.active.nonzero().flatten().tolist()
        by_change = sorted(active, key=lambda index: (abs(float(flat[index] - start[index])), -index))
        dropped = by_change[: len(active) - (len(active) - int(share * len(active)))]
        free = [index for index in self.candidates if index not in active or index in dropped]
        incoming = sorted(free, key=lambda index: (-abs(float(self.sums[index])), index))[: len(dropped)]
        new = [index for index in incoming if index not in dropped]
        leaving = sorted(
            (i for i in dropped if i not in incoming), key=lambda i: (abs(float(flat[i] - start[i])), i)
        )[: len(new)]  # fmt: skip
        for index in leaving:
            self.active[index], flat[index] = False, start[index]
        for index in new:
            self.active[index] = True
            self.first[index] = self.sums[index] / n_accumulated
            self.second[index] = self.squares[index] / n_accumulated


def plainly(steps: int) -> tuple[Tagger, dict[str, Plain]]:
    """The same training in the obvious way."""
    network = Tagger()
    entries = {name: indices for name, indices in chosen_of(network).items() if len(indices)}
    plain = {name: Plain(network.get_parameter(name), indices) for name, indices in entries.items()}
    for name, entry in plain.items():
        entry.sparse = name in ("words.weight", "positions.weight")
    heads = [network.get_parameter(name) for name in HEAD]
    adam = torch.optim.AdamW(heads, lr=RATE, weight_decay=0.0)
    for step in range(steps):
        network.zero_grad()
        network.loss(batch(step)).backward()
        for entry in plain.values():
            assert entry.parameter.grad is not None
            gradient = entry.parameter.grad.flatten()
            if step % OPTIONS.every < OPTIONS.accumulate:
                entry.accumulate(gradient, step % OPTIONS.every == 0)
            entry.step(gradient * entry.active, step + 1)
        adam.step()
        done = step + 1
        if done % OPTIONS.every == OPTIONS.accumulate:
            share = 1.0 if done == OPTIONS.accumulate else OPTIONS.replaced * (1 - done / STEPS)
            for entry in plain.values():
                entry.exchange(share, OPTIONS.accumulate)
    return network, plain


def test_growing_entries_are_those_of_the_obvious_version() -> None:
    for steps in (2, STEPS):
        network, chosen = grown(steps)
        plain, parts = plainly(steps)
        for slot in chosen.slots:
            expected = parts[slot.name].active.nonzero().flatten().tolist()
            assert slot.indices.tolist() == expected, (steps, slot.name)
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(parameter, plain.get_parameter(name), rtol=0, atol=1e-6)
    drawn = {name: set(indices.tolist()) for name, indices in chosen_of(network).items()}
    n_stayed = sum(len(drawn[slot.name] & set(slot.indices.tolist())) for slot in chosen.slots)
    assert sum(len(slot.indices) for slot in chosen.slots) == 60 and n_stayed < 40
    start = dict(Tagger().named_parameters())
    for slot in chosen.slots:
        changed = (slot.parameter != start[slot.name]).flatten().nonzero().flatten().tolist()
        assert set(changed) <= set(slot.indices.tolist())
