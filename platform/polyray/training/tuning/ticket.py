"""Lottery-ticket sparse fine-tuning: train everything, keep the entries that changed most, rewind, train these."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from polyray.config import Section
from polyray.errors import InputError
from polyray.skills.skill import Skill
from polyray.sparsity import Budget
from polyray.training.tuning.parameters import MaskOptions
from polyray.training.tuning.phases import EntriesPhase, WholePhase
from polyray.training.tuning.selection import changed_most, changed_most_by, check_agreement
from polyray.training.tuning.skills import skill_of_delta
from polyray.training.tuning.start import TuningStart
from polyray.training.tuning.tuning import FULL, SPARSE, Phase, Stage


class LotteryTicketOptions(MaskOptions):
    """The choices of lottery-ticket sparse fine-tuning."""

    files: ClassVar[frozenset[str]] = frozenset({"ranking"})

    full_steps: int = Field(0, ge=0)
    """Updates of a first phase; 0: `training.steps`, as many as of a second one."""
    iterations: int = Field(1, ge=1)
    """Times that both phases are gone through; each selects its share of the entries."""
    ranking: str = ""
    """Folder of a skill by `method.kind=full` on the same backbone, whose changes take the place of the first phase."""

    def unread(self) -> Mapping[str, str]:
        """A ranking leaves nothing of the first phase to say."""
        by_ranking = dict.fromkeys(("full_steps", "iterations"), "ranking takes the place of the first phase")
        return {**super().unread(), **(by_ranking if self.ranking else {})}


class LotteryTicket:
    """Lottery-ticket sparse fine-tuning (Ansell et al. 2022, arXiv:2110.07560, section 3.1)."""

    about: ClassVar[str] = "the K entries that full fine-tuning changes most, trained from the start (LT-SFT)"
    Options: ClassVar[type[Section]] = LotteryTicketOptions
    changes_weights: ClassVar[bool] = True

    def __init__(self, options: LotteryTicketOptions, steps: int) -> None:
        self._options, self._steps = options, steps
        self._sparse: EntriesPhase | None = None

    def check(self, network: nn.Module, family: str) -> None:
        """Refuse budgets that the network cannot fill."""
        self._budgets(network)

    def plan(self) -> Sequence[Stage]:
        """Both phases of each iteration; with a ranking the last one alone."""
        sparse = Stage(name=SPARSE, steps=self._steps)
        if self._options.ranking:
            return (sparse,)
        stages = [Stage(name=FULL, steps=self._options.full_steps or self._steps), sparse]
        for number in range(2, self._options.iterations + 1):
            stages += [Stage(name=f"{stage.name}_{number}", steps=stage.steps) for stage in stages[:2]]
        return tuple(stages)

    def phases(self, start: TuningStart) -> Iterator[Phase]:
        """Full fine-tuning, then training of the selected entries; see `Tuning`."""
        names = self._options.eligible(start.network)
        chosen: dict[str, Tensor] = {}
        trained: dict[str, Any] = {}  # by the iteration before
        every_budget = self._budgets(start.network)
        for number, shared in enumerate(every_budget, start=1):
            if self._options.ranking:
                ranking = Path(self._options.ranking)
                chosen = start.once("entries", partial(changed_most_by, ranking, start, shared))
            else:
                yield WholePhase(start, names, self._options)
                chosen = start.once(f"entries_{number}", partial(_with_those, chosen, start, shared))
                start.reset()
            check_agreement(chosen, start.worker)
            self._sparse = EntriesPhase(start, chosen, self._options)
            if trained:
                self._sparse.go_on(trained)
            if number == len(every_budget):
                start.forget()
            yield self._sparse
            if number < len(every_budget):
                trained = start.once(f"trained_{number}", self._sparse.trained)
                start.reset()
                self._sparse.go_on(trained)

    def _budgets(self, network: nn.Module) -> list[Sequence[Budget]]:
        """The budgets of each iteration, whose entries sum to exactly K.

        Raises:
            InputError: there are fewer entries than iterations, or than are to be selected.
        """
        k, n = sum(budget.k for budget in self._options.budgets(network)), self._options.iterations
        if k < n:
            raise InputError(f"method.iterations={n} cannot share {k} entries: select more, or set it to {k} at most.")
        shares = [k * (number + 1) // n - k * number // n for number in range(n)]
        return [self._options.model_copy(update={"k": share}).budgets(network) for share in shares]

    def skill(self, start: TuningStart) -> Skill:
        """The changes of the K entries, and the heads."""
        assert self._sparse is not None  # all phases have ended
        return skill_of_delta(self._sparse.delta(), start.model)


def _with_those(chosen: Mapping[str, Tensor], start: TuningStart, shared: Sequence[Budget]) -> dict[str, Tensor]:
    """The chosen entries, and those that changed most beside them."""
    new = {name: indices.cpu() for name, indices in changed_most(start, shared, chosen).items()}
    joined = {name: torch.cat([chosen[name], new[name]]) if name in chosen else new[name] for name in new}
    return {name: indices.sort().values for name, indices in joined.items()}
