"""The record of a training: metrics, progress, checkpoints, and its skills at the end."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polyray.analysis.allocation import analyse, features
from polyray.analysis.recovery import assignment_accuracy, recovery_ami
from polyray.routing import Allocation, module_of
from polyray.runs.allocation import save_allocation
from polyray.runs.run import Run
from polyray.runs.selection import Selection
from polyray.runs.state import load_state, save_state
from polyray.skills.inventory import Provenance, load_inventory, save_inventory
from polyray.skills.spec import InventorySpec
from polyray.tasks import Suite
from polyray.training.data import mean_score, partition_tasks
from polyray.training.loop import Report, Training
from polyray.training.members import member_state, restore_member
from polyray.training.model import Modular
from polyray.training.optimizers import adam_tensors, load_adam
from polyray.training.sampler import Sampler
from polyray.training.worker import Worker

SKILLS = "skills"
STATE = "training"  # in a checkpoint: optimiser, sampler, and for each member of the group its generators


class Journal:
    """The record of a multi-task training in `run`.

    Attributes:
        selection: the state that ends in the skills.
    """

    def __init__(
        self, run: Run, worker: Worker, provenance: Provenance, spec: InventorySpec, selection: Selection | None = None
    ) -> None:
        self._run, self._worker, self._provenance, self._spec = run, worker, provenance, spec
        self.selection = selection if selection is not None else Selection("last")
        self._started, self._tokens = time.monotonic(), 0

    def restore(self, training: Training, sampler: Sampler) -> None:
        """Go on from the newest whole checkpoint, if any; lines of metrics after it are taken back."""
        checkpoint = self._run.restored()
        if checkpoint is None:
            return
        folder = load_inventory(checkpoint / SKILLS)
        folder.restore(training.model)
        module_of(training.model.router).load_state_dict(folder.router_state())
        state = load_state(checkpoint / STATE)
        load_adam(training.adam, state["adam"])
        training.step, training.n_lost = state["step"], state["n_lost"]
        restore_member(training, self._worker, state["members"])
        sampler.restore(state["sampler"])
        if "selection" in state:
            self.selection.restore(state["selection"])

    def write(self, report: Report, model: Modular, validation: Mapping[str, Any] | None = None) -> None:
        """Report one line of metrics and one of progress.

        Args:
            validation: figures of the model on dev examples, where they are due.
        """
        metrics: dict[str, Any] = {"loss": report.loss, "lr": report.rates} if report.due else {}
        allocation = model.router.allocation() if self._run.first and report.due else None
        if allocation is not None:
            metrics |= analyse(_array(allocation)).metrics()
        if validation is not None:
            metrics["validation"] = dict(validation)
            self.selection.consider(report.step, validation, model)
        self._tokens += report.tokens
        speed = self._worker.world * self._tokens / (time.monotonic() - self._started)
        self._run.report(report.step, metrics, tokens_per_second=speed)

    def save(self, training: Training, sampler: Sampler) -> None:
        """Save a checkpoint of everything that the next step depends on."""
        state = {
            "step": training.step, "n_lost": training.n_lost, "sampler": sampler.state(),
            "adam": adam_tensors(training.adam), "members": self._worker.gather(member_state(training, self._worker)),
        }  # fmt: skip
        if self.selection.figures:
            state["selection"] = self.selection.state()

        def write(folder: Path) -> None:
            save_inventory(folder / SKILLS, training.model, self._spec, self._provenance, {})
            save_state(folder / STATE, state)

        self._run.checkpoint(training.step, write)

    @property
    def stop_requested(self) -> bool:
        """Whether the user asks the run to end."""
        return self._run.stop_requested

    def end(
        self, training: Training, scores: dict[str, dict[str, float]], more: Mapping[str, Any], truth: Any
    ) -> dict[str, Any]:
        """Write the skills and the allocation; the metrics of the run.

        Args:
            training: its model has the chosen state.
            scores: {task: {metric: value}}.
            more: further metrics.
            truth: the planted allocation, None where there is none.
        """
        metrics: dict[str, Any] = {"mean": mean_score(scores), "tasks": scores, **more}
        if self.selection.figures:
            metrics["validation"] = self.selection.figures
        allocation = training.model.router.allocation()
        if allocation is not None:
            probabilities = _array(allocation)
            metrics["allocation"] = analyse(probabilities).metrics()
            save_allocation(self._run.out, allocation.probabilities, allocation.tables, allocation.tasks)
            if truth is not None and probabilities.shape[2] > 1:
                metrics["recovery"] = recovery(probabilities, truth)
        save_inventory(self._run.out / SKILLS, training.model, self._spec, self._provenance, {"mean": metrics["mean"]})
        return metrics


def planted_allocation(suite: Suite) -> Any:
    """The true allocation [train tasks, latent skills] of planted tasks; None where nothing was planted."""
    if suite.allocation is None:
        return None
    tasks = partition_tasks(suite, "train")
    truth = np.zeros((len(tasks), 1 + max(skill for task in tasks for skill in suite.allocation[task])))
    for row, task in enumerate(tasks):
        truth[row, list(suite.allocation[task])] = 1
    return truth


def recovery(probabilities: Any, truth: Any) -> dict[str, float]:
    """Agreement of a learned allocation [sites, tasks, skills] with the planted one."""
    return {
        "ami": recovery_ami(features(probabilities), truth),
        "assignment_accuracy": assignment_accuracy(probabilities, truth),
    }


def _array(allocation: Allocation) -> Any:
    """[tables, tasks, skills] in double precision."""
    return allocation.probabilities.cpu().double().numpy()
