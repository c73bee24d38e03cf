"""Ray is found inside a trial, joined inside a submitted driver or by its address, and left running."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune
from ray.job_submission import JobStatus, JobSubmissionClient
from ray_cases import free_port, head

from polyray.cluster.session import RaySession
from polyray.cluster.tasks import run_tasks

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

DRIVER = """
import os
import sys
from pathlib import Path

import ray

from polyray.cluster.session import RaySession
from polyray.cluster.tasks import run_tasks


def work(piece):
    return {"node": ray.get_runtime_context().get_node_id(), "threads": os.environ["OMP_NUM_THREADS"]}


with RaySession(None, Path(sys.argv[1]) / "logs") as session:
    session.start()
    assert "_temp_dir" not in os.environ
    ((_, outcome),) = run_tasks(work, [1])
Path(sys.argv[1], "outcome.txt").write_text(f"{outcome['node']} {outcome['threads']} {ray.is_initialized()}")
"""


@pytest.fixture(scope="module")
def dashboard() -> int:
    return free_port()


@pytest.fixture(scope="module")
def address(dashboard: int) -> Iterator[str]:
    """The address of a running cluster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # its workers import this file
        with head(dashboard) as started:
            yield started


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A driver that writes down the node and threads of its task, and whether it is still connected at its end."""
    (tmp_path / "driver.py").write_text(DRIVER)
    return tmp_path / "driver.py"


def node(address: str) -> str:
    """The only node of the cluster, seen by this process, which joins it for a moment."""
    with RaySession(address, Path("unused")) as opened:
        opened.start()
        (only,) = ray.nodes()
    identity: str = only["NodeID"]
    return identity


def test_a_driver_joins_the_cluster_that_the_environment_names(address: str, script: Path) -> None:
    environment = {**os.environ, "RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled"}
    subprocess.run([sys.executable, str(script), str(script.parent)], check=True, env=environment)
    assert (script.parent / "outcome.txt").read_text() == f"{node(address)} 1 False"
    assert not (script.parent / "logs").exists()


def test_a_submitted_driver_joins_the_cluster_that_it_was_submitted_to(
    address: str, dashboard: int, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    client = JobSubmissionClient(f"http://127.0.0.1:{dashboard}")
    variables = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "2"}
    job = submitted(client, f"{sys.executable} {script} {script.parent}", {"env_vars": variables})
    while not (status := client.get_job_status(job)).is_terminal():
        time.sleep(0.5)
    assert status == JobStatus.SUCCEEDED, client.get_job_logs(job)
    assert (script.parent / "outcome.txt").read_text() == f"{node(address)} 2 False"


def submitted(client: JobSubmissionClient, entrypoint: str, runtime_env: dict[str, Any]) -> str:
    """The number of a job that is submitted as soon as the cluster takes jobs."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return client.submit_job(entrypoint=entrypoint, runtime_env=runtime_env)
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def inside(config: dict[str, Any]) -> None:
    """A trial that works as a run does."""
    with RaySession("nowhere:1", Path("unused")) as opened:
        opened.start()
        ((_, outcome),) = run_tasks(_double, [config["number"]])
    tune.report({"doubled": outcome["doubled"], "still_there": ray.is_initialized()})


def _double(number: int) -> dict[str, Any]:
    return {"doubled": 2 * number}


def test_a_trial_uses_the_ray_that_runs_it(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with RaySession(address, tmp_path / "logs") as opened:
        opened.start()
        trainable = tune.with_resources(inside, tune.PlacementGroupFactory([{"CPU": 1}, {"CPU": 1}]))
        space = {"number": tune.grid_search([1, 2])}
        storage = tune.RunConfig(storage_path=str(tmp_path / "trials"), verbose=0)
        results = tune.Tuner(trainable, param_space=space, run_config=storage).fit()
        metrics = [results[index].metrics or {} for index in range(2)]
        assert sorted(trial["doubled"] for trial in metrics) == [2, 4]
        assert all(trial["still_there"] for trial in metrics)
