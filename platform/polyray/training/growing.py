"""Sparse fine-tuning whose entries are exchanged while they are trained: some are dropped, others grow.

SpIEL-AG (Ansell et al. 2024, arXiv:2401.16405, section 3.2). In the first `accumulate` of every `every` steps gradients
of as many candidates as there are entries are accumulated, those with the largest |gradient| in the first batch. Then
the share `replaced` * (1 - step / steps) of the entries, those that changed least, is dropped for the candidates with
the largest |accumulated gradient|; the first time all of them are, which were drawn at random. Dropped entries have
their values from the start again, new ones begin there with the candidates' mean gradient and mean squared gradient as
Adam's moments. Each parameter keeps its number of entries.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from polyray.config import Section
from polyray.sparsity import keep_largest
from polyray.sparsity.largest import index_type
from polyray.training.candidates import Candidates
from polyray.training.entries import ChosenEntries

MOMENTS = ("exp_avg", "exp_avg_sq")  # names of Adam's in torch


class GrowthOptions(Section):
    """The exchange of entries."""

    every: int = Field(20, ge=1)
    """Updates from one exchange of entries to the next."""
    accumulate: int = Field(5, ge=1)
    """Updates over which gradients of candidates are accumulated, at most `every`."""
    replaced: float = Field(0.2, ge=0, le=1)
    """Share of the entries that is exchanged; it falls linearly to 0."""


class GrowingEntries:
    """Chosen entries with an optimiser, some of which are exchanged for others as the training goes on.

    Attributes:
        indices: of all entries [K], as fp64 numbers, so that they are saved and restored like trained parameters.
    """

    def __init__(
        self, chosen: ChosenEntries, adam: torch.optim.Optimizer, options: GrowthOptions, steps: int,
        gather: Callable[[Any], list[Any]] = lambda value: [value],
    ) -> None:  # fmt: skip
        """Exchange entries of `chosen` after steps of `adam`, whose first group they are in.

        Args:
            steps: updates of the whole training.
            gather: the objects of all workers, which train together, by rank.
        """
        self._chosen, self._adam, self._options, self._steps, self._gather = chosen, adam, options, steps, gather
        self.indices = nn.Parameter(self._current())
        self._step = 0
        self._candidates = [Candidates.none(slot.indices) for slot in chosen.slots]
        adam.param_groups[0]["params"].append(self.indices)  # without a gradient no step changes it
        adam.register_step_post_hook(lambda optimizer, arguments, named: self._after_step())

    def _current(self) -> Tensor:
        return torch.cat([slot.indices for slot in self._chosen.slots]).double()

    @property
    def _accumulates(self) -> bool:
        return self._step % self._options.every < self._options.accumulate

    def watch(self, number: int, gradient: Tensor) -> None:
        """Take the candidates of a parameter, or their gradients, from its whole gradient; see `ChosenEntries`."""
        if self._accumulates:
            slot = self._chosen.slots[number]
            self._candidates[number].look(gradient, len(slot.indices))

    def before_step(self) -> None:
        """Average the gradients of candidates over workers, in one exchange, and accumulate them."""
        if not self._accumulates:
            return
        for candidates, of_workers in zip(
            self._candidates, zip(*self._gather([c.current() for c in self._candidates]), strict=True), strict=True
        ):
            candidates.accumulate(of_workers)

    def _after_step(self) -> None:
        self._step += 1
        options = self._options
        if self._step < options.accumulate or (self._step - options.accumulate) % options.every:
            return
        first = self._step == options.accumulate
        share = 1.0 if first else options.replaced * (1 - self._step / self._steps)
        with torch.no_grad():
            for number in range(len(self._chosen.slots)):
                self._exchange(number, share)
            self._chosen.write()
            self.indices.copy_(self._current())
        self._candidates = [Candidates.none(slot.indices) for slot in self._chosen.slots]

    def _exchange(self, number: int, share: float) -> None:
        """Drop a share of a parameter's entries and let candidates grow."""
        chosen, candidates, slot = self._chosen, self._candidates[number], self._chosen.slots[number]
        values = chosen.values.detach()[slot.span].clone()
        change = (values - chosen.start[slot.span]).abs()
        dropped = ~keep_largest(change, len(change) - int(share * len(change)))
        growing = candidates.largest(slot.indices[~dropped], int(dropped.sum()))
        dropped &= ~torch.isin(slot.indices, candidates.indices[growing])  # a candidate that is an entry stays one
        growing = growing[~torch.isin(candidates.indices[growing], slot.indices)]
        least = dropped.nonzero().flatten()
        stays = torch.ones_like(dropped)
        stays[least[change[least].argsort(stable=True)[: len(growing)]]] = False
        joined = torch.cat([slot.indices[stays], candidates.indices[growing].to(slot.indices.dtype)])
        order = joined.argsort()
        chosen.exchange(number, joined[order])
        values = torch.cat([values[stays], chosen.start.new_zeros(len(growing))])[order]
        is_new = order >= len(joined) - len(growing)
        chosen.values[slot.span] = torch.where(is_new, chosen.start[slot.span], values)
        for name, moment in zip(MOMENTS, candidates.moments(growing), strict=True):
            state = self._adam.state[chosen.values][name][slot.span]
            state.copy_(torch.cat([state[stays], moment.to(state.dtype)])[order])

    @torch.no_grad()
    def write(self) -> None:
        """Bring `indices` and the entries' values, which were restored, into the network."""
        values = self._chosen.values.detach().clone()
        for number, slot in enumerate(self._chosen.slots):
            restored = self.indices.detach()[slot.span].to(index_type(slot.parameter.numel()))
            if not torch.equal(restored, slot.indices):
                self._chosen.exchange(number, restored)
        self._chosen.values.copy_(values)
        self._chosen.write()

    def state(self) -> dict[str, Any]:
        """State beside indices, values and optimiser, for `load_state`."""
        return {"step": self._step, "candidates": [candidates.state() for candidates in self._candidates]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._step = state["step"]
        for candidates, saved in zip(self._candidates, state["candidates"], strict=True):
            candidates.load_state(saved)
