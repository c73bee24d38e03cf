"""The time, memory and disk of a run that is made of smaller ones, out of the measured cost of one of each sort."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from polyray.cluster.preflight.costs import Cost
from polyray.cluster.preflight.forecast import Forecast, Start
from polyray.cluster.preflight.wording import seconds_text
from polyray.runs.job import Outline, Portion


@dataclass(frozen=True, kw_only=True)
class _Share:
    """Cost of a portion: that of each of its runs by the run's own amounts."""

    portion: Portion
    costs: tuple[Cost, ...]

    @property
    def seconds(self) -> list[float]:
        """Time of each run; each loads data and backbone anew."""
        return [cost.seconds(first=True) for cost in self.costs]

    def line(self) -> str:
        """Number, length and time of its runs."""
        first = self.costs[0]
        return (
            f"{len(self.costs)} x {self.portion.about}: {first.amounts.steps:,} steps of "
            f"{first.later.step / first.stride:.3g} s, {seconds_text(fmean(self.seconds))} each"
        )


def outlined(costs: Sequence[Cost], outline: Outline, start: Start, at_once: int, n_nodes: int) -> Forecast:
    """The cost of a run whose portions cost what their first runs did, one cost for each.

    Args:
        at_once: smaller runs, or pieces of scoring, at a time.
        n_nodes: nodes among which they are shared.
    """
    shares = [_share(outline, portion, cost) for portion, cost in zip(outline.portions, costs, strict=True)]
    runs = [(level, s) for share in shares for level, s in zip(share.portion.levels, share.seconds, strict=True)]
    at_once = max(1, min(at_once, len(runs)))
    training = sum(makespan((s for of, s in runs if of == level), at_once) for level in sorted({x for x, _ in runs}))
    likest = [share.costs[0] for share in shares if share.portion.scores] or [share.costs[0] for share in shares]
    one, setup = fmean(cost.one_scored for cost in likest), fmean(cost.later.setup for cost in likest)
    scoring = (outline.scored * one + outline.cells * setup) / at_once
    n_nodes = max(1, min(n_nodes, at_once))
    every = [cost for share in shares for cost in share.costs]
    return Forecast(
        runs=len(runs), at_once=at_once, at_once_on_a_node=-(-at_once // n_nodes), n_nodes=n_nodes,
        step=fmean(cost.later.step / cost.stride for cost in every), steps=round(fmean(x.amounts.steps for x in every)),
        trial=fmean(s for _, s in runs), seconds=start.ray + start.worker + training + scoring,
        memory=max(cost.memory for cost in costs), disk=sum(cost.disk for cost in every), left_out=outline.left_out,
        portions=(*(share.line() for share in shares), f"scoring: {seconds_text(scoring)}"),
    )  # fmt: skip


def _share(outline: Outline, portion: Portion, cost: Cost) -> _Share:
    workload = outline.job.workload
    assert workload is not None, "portions are of jobs that have one"
    return _Share(
        portion=portion,
        costs=tuple(replace(cost, amounts=workload.amounts(config, cost.stride)) for config in portion.configs),
    )


def makespan(seconds: Iterable[float], at_once: int) -> float:
    """Time until all are done, `at_once` at a time, the longest ones first."""
    ends = [0.0] * at_once
    for length in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + length)
    return max(ends)
