"""The cost of a run of any length, out of the moments and the files of a short one."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from statistics import fmean

from polyray.cluster.preflight.stopwatch import Stopwatch
from polyray.runs.workload import Amounts


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Time of each stretch of a run.

    Attributes:
        setup: before the first step, and between phases.
        step: between two looks whether to stop.
        report, validation, checkpoint: of one.
        end: after the last checkpoint: scoring, skills, the page.
    """

    setup: float
    step: float
    report: float = 0.0
    validation: float = 0.0
    checkpoint: float = 0.0
    end: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Files:
    """Bytes that a run leaves.

    Attributes:
        fixed: whatever its length.
        report: of one report, in all files.
        line: of one report, in metrics.jsonl, of which each checkpoint has a copy.
        checkpoint: of one, without metrics.
    """

    fixed: float
    report: float
    line: float
    checkpoint: float

    def total(self, amounts: Amounts) -> float:
        """Bytes of a run; of its checkpoints the newest two are there."""
        checkpoint = self.checkpoint + amounts.reports * self.line
        return self.fixed + amounts.reports * self.report + min(2, amounts.checkpoints) * checkpoint


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of runs with one config, measured on short ones in one process.

    Attributes:
        first: time of the first run. later: of those after it, which find data and backbone there.
        scored_first, scored: examples or episodes that the first and a later run scored, of all tasks together.
        stride: steps between two looks whether to stop.
        memory: peak of the process, in bytes.
        amounts: of the whole run.
    """

    first: Seconds
    later: Seconds
    scored_first: int
    scored: int
    files: Files
    stride: int
    memory: float
    amounts: Amounts

    def seconds(self, *, first: bool = False) -> float:
        """Time of a whole run; `first`: of the first one in its process."""
        amounts, later = self.amounts, self.later
        return (
            (self.first if first else later).setup
            + amounts.steps / self.stride * later.step
            + amounts.reports * later.report
            + amounts.validations * later.validation
            + amounts.checkpoints * later.checkpoint
            + later.end
            + self.one_scored * max(0, amounts.scored - self.scored)
        )

    @property
    def disk(self) -> float:
        """Bytes of a whole run's folder."""
        return self.files.total(self.amounts)

    @property
    def one_scored(self) -> float:
        """Time of one more example or episode."""
        if self.scored > self.scored_first:
            return max(0.0, self.later.end - self.first.end) / (self.scored - self.scored_first)
        return self.later.end / max(1, self.scored)


def seconds_of(watch: Stopwatch, ended: float, *, validates: bool, usual: Seconds | None = None) -> Seconds:
    """The stretches of a short run; each report came with a checkpoint, and with a validation if `validates`.

    Language models look whether to stop before they validate and report. Agents do it afterwards, and validate once, at
    their end.

    Args:
        ended: moment of its end.
        usual: of a longer run, for one of a single step, in which set-up and step cannot be told apart.
    """
    looks, reports, checkpoints = watch.looks, watch.reports, watch.checkpoints
    looks_first = looks[0] <= reports[0][0]
    before = [(max(look for look in looks if look <= begun), begun) for begun, _ in reports] if looks_first else []
    gaps, between = _gaps(watch, [*before, *reports, *checkpoints])
    steps = gaps[:-1] if validates and not looks_first else gaps
    step = fmean(steps) if steps else usual.step if usual is not None else 0.0
    report, validation = _mean_length(reports), 0.0
    if looks_first:
        report, validation = (report, _mean_length(before)) if validates else (report + _mean_length(before), 0.0)
    elif validates and gaps:
        validation = max(0.0, gaps[-1] - step)
    mixed = step if gaps or looks_first or usual is None else step + usual.validation + usual.report
    setup = max(0.0, looks[0] - watch.began - mixed) + sum(max(0.0, gap - step) for gap in between)
    return Seconds(
        setup=setup, step=step, report=report, validation=validation, checkpoint=_mean_length(checkpoints),
        end=ended - checkpoints[-1][1],
    )  # fmt: skip


def mean_seconds(runs: Sequence[Seconds]) -> Seconds:
    """The mean of each stretch over several runs."""
    return Seconds(**{field.name: fmean(vars(run)[field.name] for run in runs) for field in fields(Seconds)})


def interrupted_seconds(first: Seconds, watch: Stopwatch) -> Seconds:
    """The stretches of a run that was stopped after its second step: its steps, and all else as in the first."""
    gaps, between = _gaps(watch, [*watch.reports, *watch.checkpoints])
    step = fmean(gaps or between)
    return replace(first, step=step, setup=first.setup if first.step else max(0.0, first.setup - step))


def _gaps(watch: Stopwatch, busy: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Times between looks, without what lies in the `busy` stretches: within phases, and from one to the next."""
    within: list[float] = []
    between: list[float] = []
    for earlier, later in pairwise(watch.looks):
        gap = later - earlier - sum(end - begun for begun, end in busy if earlier <= begun < later)
        (between if any(earlier <= moment < later for moment in watch.changes) else within).append(gap)
    return within, between


def _mean_length(stretches: Sequence[tuple[float, float]]) -> float:
    return fmean(end - begun for begun, end in stretches)
