"""Ray Train: a function on every worker of a group, restarted where a worker dies."""

import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol

import ray
import ray.train
import torch
import torch.distributed as dist
from pydantic import Field
from ray.exceptions import RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from polyray.cluster.group_storage import BEGUN, Mailbox, SharedFolder, StoredGroup, has_begun, stored_run
from polyray.cluster.inside import OwnTraining, Work
from polyray.cluster.orphans import OrphanCheck
from polyray.cluster.reported import ReportedLines
from polyray.cluster.tasks import enter_folder
from polyray.config import Section
from polyray.errors import InputError, Interrupted, PolyrayError, RunError
from polyray.runs.run import Run

PROBLEM, OUTCOME = "problem", "outcome"  # from the workers to the process that waits for them
PROBLEMS: Mapping[str, type[PolyrayError]] = {kind.__name__: kind for kind in (InputError, Interrupted, RunError)}


class WorkerOptions(Section):
    """The processes that train."""

    elastic: ClassVar[frozenset[str]] = frozenset({"n", "cpus", "restarts"})

    n: int = Field(1, ge=1)
    """Training workers, each with its share of a batch. A run may go on with another number, no longer exact to the
    byte."""
    cpus: int = Field(1, ge=1)
    """CPUs of a worker."""
    gpus: int = Field(0, ge=0)
    """GPUs of a worker."""
    restarts: int = Field(3, ge=0)
    """Times at most that training goes on by itself after a worker died."""

    def check_shares(self, batch: int) -> None:
        """Refuse a batch that the workers cannot share evenly.

        Raises:
            InputError: they cannot.
        """
        if batch % self.n:
            raise InputError(f"training.batch={batch} does not divide among workers.n={self.n}.")


@dataclass(frozen=True, kw_only=True)
class RayWorker:
    """One member of a group of Ray Train workers, from inside."""

    rank: int
    world: int
    device: torch.device

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model whose backward() averages gradients over the group (DDP); itself where it is alone.

        DDP orders its buckets anew after a first step, and the order decides how sums of three and more gradients are
        rounded: a resumed run would not go on exactly. Where DDP looks for unused parameters, it leaves them alone.
        """
        if self.world == 1:
            return model
        return DistributedDataParallel(model, find_unused_parameters=True)

    def mean(self, value: float) -> float:
        """The mean of a number over the group."""
        if self.world == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return float(total) / self.world

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Make every gradient its mean over the group, all in one exchange."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.world == 1 or not gradients:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, mean in zip(gradients, (flat / self.world).split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def gather(self, value: Any) -> list[Any]:
        """The objects of all members, by rank, at every member."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values


class TrainingRun(Protocol):
    """A training that was started."""

    @property
    def running(self) -> bool:
        """Whether it goes on in the background."""

    def result(self) -> dict[str, Any]:
        """Wait for the end: the metrics that the work returned on the first worker.

        Raises:
            InputError: the work found fault with the user's input.
            Interrupted: the user asked the run to stop.
            RunError: the work failed, or workers died more often than the group may be restarted.
        """


def start_training(work: Work, recipe: Mapping[str, Any], group: WorkerOptions, run: Run) -> TrainingRun:
    """Train with Ray Train in the background; or in this process, where that is the run's cluster and is enough.

    Args:
        work: a function of a module, called on every worker as work(recipe, run, worker); it returns the metrics of
            the end, of which those of the first worker count. It is sent by its name, so that Ray's controller need
            not import it.
        recipe: plain data for `work`.
        group: the workers.
        run: the run that they train for; its folder is on a disk that the workers share, or behind a URL.
    """
    if run.cluster.inside and group.n == 1 and not group.gpus:
        return OwnTraining(work, recipe, run)
    return RayTraining(work, recipe, group, run)


class RayTraining:
    """A Ray Train run in the background of this process; it goes on from its own checkpoints when a worker dies."""

    def __init__(self, work: Work, recipe: Mapping[str, Any], group: WorkerOptions, run: Run) -> None:
        folder = run.out.absolute() / "logs" / "train"
        folder.mkdir(parents=True, exist_ok=True)
        self._stored = StoredGroup(run, run.store) if run.store is not None else None
        self._mailbox: Mailbox = self._stored.mailbox if self._stored is not None else SharedFolder(folder)
        self._mailbox.clear_messages()  # of an earlier start
        loop = {
            "work": f"{work.__module__}:{work.__qualname__}",
            "recipe": dict(recipe),
            "out": str(run.out.absolute()),
            "stop": str(run.stop_file.absolute()),
            "logs": str(folder),
            "folder": os.getcwd(),
            "store": self._stored.address() if self._stored is not None else None,
        }
        # A Ray task and not a thread: what ends this process's session (Ctrl-C) ends it too; nothing waits for it.
        self._stop_file, self._is_given_up, self._lines = run.stop_file, False, ReportedLines(run)
        fit = ray.remote(num_cpus=0, max_retries=0)(_fit)
        self._end = fit.remote(loop, group, None if self._stored is not None else str(folder / "ray"))

    @property
    def running(self) -> bool:
        """Whether it has not ended yet; where it is to stop while its workers wait for room, it ends at once."""
        if self._stored is not None:
            self._stored.tick()
        self._lines.tell()
        if self._stop_file.exists() and not has_begun(self._mailbox):
            self._is_given_up = True
            ray.cancel(self._end, force=True)
            return False
        return not ray.wait([self._end], timeout=0)[0]

    def result(self) -> dict[str, Any]:
        """Wait for the end: the metrics; see `TrainingRun`.

        Raises:
            InputError, Interrupted, RunError: as there.
        """
        if self._is_given_up:
            raise Interrupted("Stopped before its workers had begun.")
        failure: RayError | None = None
        try:
            ray.get(self._end)
        except RayError as error:
            failure = error
        if self._stored is not None:
            self._stored.bring()
        self._lines.tell()
        problem = self._mailbox.message(PROBLEM)
        if problem is not None:
            fields = json.loads(problem)
            raise PROBLEMS.get(fields["error"], RunError)(fields["message"])
        outcome = self._mailbox.message(OUTCOME)
        if failure is not None or outcome is None:
            raise RunError(f"Training failed: {failure or 'no worker left its outcome'}") from failure
        metrics: dict[str, Any] = json.loads(outcome)
        return metrics


def _fit(loop: dict[str, Any], group: WorkerOptions, storage: str | None) -> None:
    """The whole run, from start to end.

    Args:
        storage: folder for Ray Train's own files, from which nothing is read again; None: one of this process's own.
    """
    with tempfile.TemporaryDirectory() as temporary:
        TorchTrainer(
            _enter,
            train_loop_config=loop,
            scaling_config=ScalingConfig(
                num_workers=group.n,
                use_gpu=group.gpus > 0,
                resources_per_worker={"CPU": group.cpus, **({"GPU": group.gpus} if group.gpus else {})},
            ),
            run_config=RunConfig(
                name="train",
                storage_path=storage or temporary,
                callbacks=[OrphanCheck()],  # type: ignore[list-item]  # declared for the public kind, takes all
                failure_config=FailureConfig(max_failures=group.restarts),
            ),
            torch_config=TorchConfig(backend="nccl" if group.gpus else "gloo"),
        ).fit()


def _enter(loop: dict[str, Any]) -> None:
    """The work, on one worker; errors that a restart cannot mend are written down instead of tried again."""
    torch.set_num_threads(1)  # Ray gives a worker one core unless told otherwise
    logging.getLogger("polyray").setLevel(logging.INFO)
    enter_folder(loop["folder"])
    context = ray.train.get_context()
    worker = RayWorker(rank=context.get_world_rank(), world=context.get_world_size(), device=get_device())
    if loop["store"] is not None:
        with stored_run(loop["store"], worker, _report) as (run, mailbox):
            _work(loop, run, worker, mailbox)
        return
    run = Run(Path(loop["out"]), rank=worker.rank, hooks=[_report], stop_file=Path(loop["stop"]))
    _work(loop, run, worker, SharedFolder(Path(loop["logs"])))


def _work(loop: Mapping[str, Any], run: Run, worker: RayWorker, mailbox: Mailbox) -> None:
    module, _, function = loop["work"].partition(":")
    if run.first:
        mailbox.post(BEGUN, "")
    try:
        metrics = vars(import_module(module))[function](loop["recipe"], run, worker)
        if run.first:
            run.publish()
    except (PolyrayError, FloatingPointError) as error:
        mailbox.post(PROBLEM, json.dumps({"error": type(error).__name__, "message": str(error)}))
        return
    if run.first:
        mailbox.post(OUTCOME, json.dumps(metrics))


def _report(line: Mapping[str, Any]) -> None:
    """Tell Ray Train (its dashboard, a surrounding Tune run) how it goes; every member calls it alike."""
    ray.train.report(dict(line))
