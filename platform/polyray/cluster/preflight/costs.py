"""The cost of a run of any length, out of the moments and the files of a short one."""

from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from polyray.cluster.preflight.stopwatch import Stopwatch
from polyray.runs.workload import Amounts


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Time of each stretch of a run.

    Attributes:
        setup: before the first step.
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
    """Cost of runs with one config, measured on two short ones in one process.

    Attributes:
        first: time of the first run. later: of the second one, which finds data and backbone there.
        scored_first, scored: examples or episodes that the first and the second run scored, of all tasks together.
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
            + self._one_scored * max(0, amounts.scored - self.scored)
        )

    @property
    def disk(self) -> float:
        """Bytes of a whole run's folder."""
        return self.files.total(self.amounts)

    @property
    def _one_scored(self) -> float:
        """Time of one more example or episode."""
        if self.scored > self.scored_first:
            return max(0.0, self.later.end - self.first.end) / (self.scored - self.scored_first)
        return self.later.end / max(1, self.scored)


def seconds_of(watch: Stopwatch, ended: float, *, validates: bool, usual: Seconds | None = None) -> Seconds:
    """The stretches of a short run which reported, validated and saved at its end.

    Language models look whether to stop before they validate, agents after they have reported.

    Args:
        ended: moment of its end.
        usual: of a longer run, for one of a single step, in which set-up and step cannot be told apart.
    """
    looks, (reported, reported_end), (saved, saved_end) = watch.looks, watch.reports[-1], watch.checkpoints[-1]
    gaps, validates_after = _gaps(watch), looks[-1] <= reported
    steps = gaps if validates_after or not validates else gaps[:-1]
    step = median(steps) if steps else usual.step if usual is not None else 0.0
    validation = 0.0
    if validates:
        validation = reported - looks[-1] if validates_after else max(0.0, gaps[-1] - step) if gaps else 0.0
    mixed = step if gaps or validates_after or usual is None else step + usual.validation + usual.report
    return Seconds(
        setup=max(0.0, looks[0] - watch.began - mixed), step=step, report=reported_end - reported,
        validation=validation, checkpoint=saved_end - saved, end=ended - saved_end,
    )  # fmt: skip


def interrupted_seconds(first: Seconds, watch: Stopwatch) -> Seconds:
    """The stretches of a run that was stopped on its way: its steps, and all else as in the first run, of one step."""
    gaps = _gaps(watch)
    step = median(gaps) if gaps else watch.looks[0] - watch.began
    return replace(first, step=step, setup=max(0.0, first.setup - step))


def _gaps(watch: Stopwatch) -> list[float]:
    """Times between looks, without those of reports and checkpoints."""
    busy = [*watch.reports, *watch.checkpoints]
    return [
        later - earlier - sum(end - begun for begun, end in busy if earlier <= begun < later)
        for earlier, later in pairwise(watch.looks)
    ]
