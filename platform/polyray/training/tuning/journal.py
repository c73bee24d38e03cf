"""The record of a training of one skill: metrics, progress, and checkpoints of each phase."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from polyray.runs.run import Run
from polyray.runs.selection import Selection
from polyray.runs.state import load_state, save_state
from polyray.training.batches import BatchSource
from polyray.training.loop import Report, Training
from polyray.training.members import member_state, restore_member
from polyray.training.optimizers import adam_tensors, load_adam, trained
from polyray.training.recipe import LoopOptions
from polyray.training.tuning.start import TuningStart
from polyray.training.tuning.tuning import Phase, Stage

STATE, MEMORY = "tuning", "memory"  # in a checkpoint: of the phase, and what was computed between phases


def restore_memory(start: TuningStart, run: Run) -> None:
    """Remember what was computed before the newest checkpoint of `run`, which is a phase of the whole run."""
    checkpoint = run.newest_checkpoint
    if checkpoint is not None:
        start.memory.update(load_state(checkpoint / MEMORY))


class PhaseJournal:
    """The record of one phase in `run`, which is that phase of the whole run.

    Attributes:
        steps: updates of the phase. before: those of earlier ones.
        selection: the state of the phase that it ends with.
    """

    def __init__(
        self, whole: Run, start: TuningStart, phase: Phase, stages: Sequence[Stage], selection: Selection
    ) -> None:
        """A record of the last of `stages`, before which the others were; `whole` is the run that they are phases of.

        A checkpoint of a phase takes the place of those of earlier ones, whose optimisers are of the whole network.
        """
        self.steps, self.selection = stages[-1].steps, selection
        self.before = sum(stage.steps for stage in stages[:-1])
        *self._earlier, run = [whole.phase(stage.name) for stage in stages]
        self._run, self._worker, self._start, self._phase = run, start.worker, start, phase
        self._trained = nn.ParameterList(trained(phase.adam))
        self._started, self._tokens = time.monotonic(), 0

    def restore(self, training: Training, data: BatchSource) -> None:
        """Go on from the newest whole checkpoint, if any; lines of metrics after it are taken back."""
        checkpoint = self._run.restored()
        if checkpoint is None:
            return
        state = load_state(checkpoint / STATE)
        self._phase.load_state(state["phase"])
        with torch.no_grad():
            for parameter, tensor in zip(self._trained, state["trained"], strict=True):
                parameter.copy_(tensor)
        self._phase.write()
        if state["step"] < self.steps:
            load_adam(training.adam, state["adam"])
        training.step, training.n_lost = state["step"], state["n_lost"]
        restore_member(training, self._worker, state["members"])
        data.sampler.restore(state["sampler"])
        if "selection" in state:
            self.selection.restore(state["selection"])

    def write(self, report: Report, validation: Mapping[str, Any] | None) -> None:
        """Report one line of metrics and one of progress."""
        metrics: dict[str, Any] = {"loss": report.loss, "lr": report.rates} if report.due else {}
        if validation is not None:
            metrics["validation"] = dict(validation)
            self.selection.consider(report.step, validation, self._trained)
        self._tokens += report.tokens
        speed = self._worker.world * self._tokens / (time.monotonic() - self._started)
        self._run.report(report.step, metrics, tokens_per_second=speed, done=self.before + report.step)

    def save(self, training: Training, data: BatchSource) -> None:
        """Save a checkpoint of everything that the next step depends on, those of later phases too."""
        state = {
            "step": training.step, "n_lost": training.n_lost, "sampler": data.sampler.state(),
            "trained": [parameter.detach() for parameter in self._trained],
            "adam": adam_tensors(training.adam) if training.step < self.steps else [],  # no step follows
            "phase": self._phase.state(), "members": self._worker.gather(member_state(training, self._worker)),
        }  # fmt: skip
        if self.selection.figures:
            state["selection"] = self.selection.state()

        def write(folder: Path) -> None:
            save_state(folder / STATE, state)
            save_state(folder / MEMORY, self._start.memory)

        self._run.checkpoint(training.step, write)
        for run in self._earlier:
            run.drop_checkpoints()

    def save_due(self, report: Report, options: LoopOptions) -> bool:
        """Whether a checkpoint is to be saved after this report."""
        every, save_every = options.report_every, options.save_every
        passed = report.step // save_every > (report.step - every) // save_every
        return report.step == self.steps or (report.due and passed)

    @property
    def stop_requested(self) -> bool:
        """Whether the user asks the run to end."""
        return self._run.stop_requested

    def end(self) -> None:
        """Give the network the chosen state; under `last` it has it."""
        self.selection.install(self._trained)
        self._phase.write()
