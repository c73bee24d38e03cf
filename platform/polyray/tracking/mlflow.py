"""MLflow: runs of an experiment, in a local database or on a tracking server; trials are children of their sweep."""

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from polyray.config import Section
from polyray.files import make_folders, write_file
from polyray.runs.result import Status
from polyray.tracking.tracker import Opening

STATUSES: Mapping[Status, str] = {"done": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
LARGEST = 1000, 100, 6000  # metrics and parameters of a request, characters of a parameter: MLflow's own limits
PARENT = "mlflow-sweep.json"  # in the store of a sweep: the MLflow run that its trials are children of
REFUSED = re.compile(r"[^\w\-. /:]")  # characters that MLflow's names may not have


class MlflowOptions(Section):
    """Database or server in which MLflow keeps runs."""

    uri: str = ""
    """Tracking URI, such as http://host:5000 or sqlite:///runs/mlflow.db. Empty: that of MLFLOW_TRACKING_URI, else
    tracking/mlflow.db in the folder of the run or sweep."""


class MlflowTracker:
    """A run of MLflow, in a local database or on a tracking server."""

    Options: ClassVar[type[Section]] = MlflowOptions
    package: ClassVar[str] = "mlflow"
    install: ClassVar[str] = "'polyray[tracking]'"

    def __init__(self, options: MlflowOptions) -> None:
        self._options = options
        self._client: Any = None
        self._run, self._parent = "", ""

    @staticmethod
    def environment(store: Path) -> dict[str, str]:
        """Short waits: by default MLflow tries for minutes; no report of use to its makers."""
        return {
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def start(self, opening: Opening, identifier: str | None) -> str:
        """Begin a run of the experiment called as the project, or go on with one."""
        from mlflow import MlflowClient  # seconds of imports

        uri = self._options.uri or os.environ.get("MLFLOW_TRACKING_URI") or _local(Path(opening.store))
        self._client = MlflowClient(tracking_uri=uri)
        if identifier is not None:
            self._client.update_run(identifier, status="RUNNING")
            self._run = identifier
            self._parent = self._client.get_run(identifier).data.tags.get("mlflow.parentRunId", "")
            return identifier
        experiment = self._experiment(opening)
        tags = dict(opening.tags)
        if opening.group:
            self._parent = tags["mlflow.parentRunId"] = self._sweep(experiment, opening)
        self._run = str(self._client.create_run(experiment, run_name=opening.name, tags=tags).info.run_id)
        self._describe(opening.parameters)
        return self._run

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of a step."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        values = [Metric(REFUSED.sub("_", name), value, now, step) for name, value in metrics.items()]
        for first in range(0, len(values), LARGEST[0]):
            self._client.log_batch(self._run, metrics=values[first : first + LARGEST[0]])

    def finish(self, status: Status, step: int, metrics: Mapping[str, float]) -> None:
        """End the run; the sweep has lasted at least until now."""
        self.log(step, metrics)
        self._client.set_terminated(self._run, STATUSES[status])
        if self._parent:
            self._client.set_terminated(self._parent)

    def _experiment(self, opening: Opening) -> str:
        """Identifier of the experiment, which is made if it is not there."""
        experiment = self._client.get_experiment_by_name(opening.project)
        if experiment is not None:
            return str(experiment.experiment_id)
        return str(self._client.create_experiment(opening.project))

    def _sweep(self, experiment: str, opening: Opening) -> str:
        """Identifier of the run that stands for the sweep; it is made for the first trial and kept in the store."""
        file = Path(opening.store) / PARENT
        if file.exists():
            return str(json.loads(file.read_text(encoding="utf-8"))["run"])
        parent = str(self._client.create_run(experiment, run_name=opening.group).info.run_id)
        make_folders(file.parent)
        write_file(file, json.dumps({"run": parent}))
        return parent

    def _describe(self, parameters: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        _, at_once, characters = LARGEST
        values = [Param(REFUSED.sub("_", name), str(value)[:characters]) for name, value in parameters.items()]
        for first in range(0, len(values), at_once):
            self._client.log_batch(self._run, params=values[first : first + at_once])


def _local(store: Path) -> str:
    make_folders(store)
    return f"sqlite:///{store / 'mlflow.db'}"
