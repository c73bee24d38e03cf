"""The tree-structured Parzen estimator: configurations that are like the good ones and unlike the others."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from polyray.sweeps.fields import Value
from polyray.sweeps.searchers.random_draws import RandomSearcher
from polyray.sweeps.searchers.searcher import Search, Trial, seed_of

if TYPE_CHECKING:
    from polyray.sweeps.searchers.study import Study

DRAWS = 10  # at most, in search of a configuration that no earlier trial has


class TpeSearcher:
    """Optuna's estimator (Bergstra et al. 2011; several goals: Ozaki et al. 2022).

    It models coordinates (`Field.axis`). A trial that runs counts as bad, so that those beside it look elsewhere; one
    that the scheduler stopped ranks behind all that ended, and counts only where there is one goal, because it did not
    take all its time; one that failed, or has a goal that is no finite number, does not count.
    """

    about: ClassVar[str] = "models which configurations score well (Optuna's tree-structured Parzen estimator)"
    learns: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("trials", "seed", "startup", "second_goal")

    def __init__(self, search: Search) -> None:
        self._search = search
        self._study: Study | None = None  # of the trials of the last question

    def ask(self, number: int, trials: Sequence[Trial]) -> dict[str, Value]:
        """The best of the estimator's draws; one at random until `startup` trials have goals."""
        if sum(_has_goals(trial) for trial in trials) < self._search.startup:
            return RandomSearcher(self._search).ask(number, trials)
        from polyray.sweeps.searchers.study import Study  # noqa: PLC0415  (loads Optuna, which takes half a second)

        study = self._study = self._study or Study(self._search)
        study.tell(trials)
        earlier = [trial.fields for trial in trials]
        for attempt in range(DRAWS):
            fields = study.draw(seed_of(self._search.seed, number, attempt))
            if fields not in earlier:
                break
        return fields


def _has_goals(trial: Trial) -> bool:
    return trial.state in ("done", "stopped") and bool(trial.goals) and all(map(math.isfinite, trial.goals or ()))
