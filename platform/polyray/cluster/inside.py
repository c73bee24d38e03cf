"""Runs that stay inside the process that starts them, such as a trial of a sweep in its worker."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import torch

from polyray.errors import RunError
from polyray.runs.run import Run
from polyray.training.worker import Alone, Worker, own_device

Work = Callable[[Mapping[str, Any], Run, Worker], Mapping[str, Any]]


class OwnProcess:
    """The cluster of a run whose own process does what one process can do; the rest needs a Ray that is there."""

    inside = True

    def start(self) -> None:
        """Do nothing: the process is there."""


class OwnTraining:
    """A training in this process, which begins when its result is asked for; see `polyray.cluster.train.TrainingRun`.

    Args:
        work, recipe, run: as for `polyray.cluster.train.start_training`.
    """

    running = False

    def __init__(self, work: Work, recipe: Mapping[str, Any], run: Run) -> None:
        self._work, self._recipe, self._run = work, recipe, run

    def result(self) -> dict[str, Any]:
        """Train: the metrics of the end, as they come back from a worker process.

        Raises:
            InputError: the work found fault with the user's input.
            Interrupted: the user asked the run to stop.
            RunError: the loss is no longer a finite number.
        """
        torch.set_num_threads(1)  # as in a worker process
        try:
            metrics = self._work(self._recipe, self._run, Alone(torch.device(own_device())))
        except FloatingPointError as error:
            raise RunError(str(error)) from error
        plain: dict[str, Any] = json.loads(json.dumps(metrics))
        return plain
