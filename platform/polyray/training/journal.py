"""The record of a training: metrics, progress, checkpoints, and its skills at the end."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch.utils.tensorboard import SummaryWriter

from polyray.analysis.allocation import analyse, features
from polyray.analysis.recovery import assignment_accuracy, recovery_ami
from polyray.files import write_file
from polyray.objectives.batches import Sampler
from polyray.progress import PROGRESS
from polyray.routing import Allocation
from polyray.skills.inventory import Provenance, load_inventory, save_inventory
from polyray.skills.spec import InventorySpec
from polyray.tasks import Suite
from polyray.training.checkpoint import latest_checkpoint, read_checkpoint, save_checkpoint
from polyray.training.data import mean_score, partition_tasks
from polyray.training.loop import Report, Training
from polyray.training.model import Modular
from polyray.training.optimizers import adam_tensors, load_adam
from polyray.training.worker import Worker

SKILLS = "skills"
METRICS = "metrics.jsonl"
RESULT = "trained.json"
ALLOCATION, ALLOCATION_NAMES = "allocation.safetensors", "allocation.json"


class Journal:
    """The record of a training in the run folder `out`."""

    def __init__(self, out: Path, worker: Worker, provenance: Provenance, spec: InventorySpec) -> None:
        self._out, self._worker, self._provenance, self._spec = out, worker, provenance, spec
        self._checkpoints = out / "checkpoints"
        self._started, self._tokens = time.monotonic(), 0
        self._events: SummaryWriter | None = None

    def restore(self, training: Training, sampler: Sampler) -> None:
        """Go on from the newest whole checkpoint, if any; lines of metrics after it are taken back."""
        path = latest_checkpoint(self._checkpoints)
        if self._worker.rank == 0:
            _keep_lines(self._out / METRICS, 0 if path is None else int(path.name.removeprefix("step-")))
        if path is None:
            return
        load_inventory(path / SKILLS).restore(training.model)
        tensors, state = read_checkpoint(path, ("training",))
        load_adam(training.adam, tensors["training"])
        rank = self._worker.rank
        training.noise.set_state(tensors["training"][f"noise/{rank}"])
        torch.set_rng_state(tensors["training"][f"torch/{rank}"])
        if f"cuda/{rank}" in tensors["training"]:
            torch.cuda.set_rng_state(tensors["training"][f"cuda/{rank}"])
        sampler.restore(state["sampler"])
        training.step = state["step"]

    def write(self, report: Report, model: Modular, worker: Worker) -> None:
        """One line of metrics and one of progress."""
        values: dict[str, Any] = {"step": report.step, "loss": report.loss, "lr": report.rates}
        self._tokens += report.tokens
        worker.report({"step": report.step, "loss": report.loss})
        if worker.rank:
            return
        allocation = model.router.allocation()
        if allocation is not None:
            values |= analyse(_array(allocation)).metrics()
        with (self._out / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        if self._events is None:
            self._events = SummaryWriter(str(self._out / "tensorboard"), purge_step=report.step)
        for name, value in values.items():
            if isinstance(value, float):
                self._events.add_scalar(name, value, report.step)
        self._events.flush()
        seconds = time.monotonic() - self._started
        speed = {"step": report.step, "loss": report.loss, "tokens_per_second": worker.world * self._tokens / seconds}
        with (self._out / PROGRESS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(speed) + "\n")

    def save(self, training: Training, sampler: Sampler, worker: Worker) -> None:
        """A checkpoint of everything that the next step depends on."""
        generators = {"noise": training.noise.get_state(), "torch": torch.get_rng_state()}
        if worker.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state()
        states = worker.gather(generators)
        if worker.rank:
            return
        tensors = adam_tensors(training.adam)
        tensors |= {f"{name}/{rank}": state for rank, named in enumerate(states) for name, state in named.items()}
        state = {"step": training.step, "sampler": sampler.state()}
        save_checkpoint(
            self._checkpoints, training.step, {"training": tensors}, state,
            lambda folder: save_inventory(folder / SKILLS, training.model, self._spec, self._provenance, {}),
        )  # fmt: skip

    def end(self, training: Training, scores: dict[str, dict[str, float]], more: Mapping[str, Any], truth: Any) -> None:
        """The skills and the result."""
        metrics: dict[str, Any] = {"mean": mean_score(scores), "tasks": scores, **more}
        allocation = training.model.router.allocation()
        if allocation is not None:
            probabilities = _array(allocation)
            metrics["allocation"] = analyse(probabilities).metrics()
            write_file(self._out / ALLOCATION, save({"probabilities": torch.from_numpy(probabilities)}))
            names = {"tasks": allocation.tasks, "sites": allocation.tables}
            write_file(self._out / ALLOCATION_NAMES, json.dumps(names))
            if truth is not None and probabilities.shape[2] > 1:
                metrics["recovery"] = recovery(probabilities, truth)
        save_inventory(self._out / SKILLS, training.model, self._spec, self._provenance, {"mean": metrics["mean"]})
        write_file(self._out / RESULT, json.dumps(metrics))


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


def _keep_lines(file: Path, step: int) -> None:
    if not file.exists():
        return
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    write_file(file, "".join(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step))
