"""Ray is found inside a trial, joined inside a submitted driver or by its address, and left running.

Each driver is a process of its own: Ray keeps for the life of a process whether its first cluster wanted a token.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray_cases import free_port, head, slowness

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

DRIVER = """
import os
import sys
from pathlib import Path

import ray

from polyray.cluster.session import RaySession
from polyray.cluster.tasks import run_tasks


def work(piece):
    return {"port": ray.get_runtime_context().gcs_address.rpartition(":")[2], "threads": os.environ["OMP_NUM_THREADS"]}


with RaySession(None, Path(sys.argv[1]) / "logs") as session:
    session.start()
    assert "_temp_dir" not in os.environ
    ((_, outcome),) = run_tasks(work, [1])
Path(sys.argv[1], "outcome.txt").write_text(f"{outcome['port']} {outcome['threads']} {ray.is_initialized()}")
"""

SWEEP = """
import json
import sys
from pathlib import Path

import ray
from ray import tune

from polyray.cluster.session import RaySession
from polyray.cluster.tasks import run_tasks


def double(number):
    return {"doubled": 2 * number}


def trial(config):
    with RaySession("nowhere:1", Path("unused")) as opened:
        opened.start()
        ((_, outcome),) = run_tasks(double, [config["number"]])
    tune.report({"doubled": outcome["doubled"], "still_there": ray.is_initialized()})


with RaySession(None, Path(sys.argv[1]) / "logs") as session:
    session.start()
    trainable = tune.with_resources(trial, tune.PlacementGroupFactory([{"CPU": 1}, {"CPU": 1}]))
    storage = tune.RunConfig(storage_path=str(Path(sys.argv[1]) / "trials"), verbose=0)
    results = tune.Tuner(trainable, param_space={"number": tune.grid_search([1, 2])}, run_config=storage).fit()
    outcomes = [[result.metrics["doubled"], result.metrics["still_there"]] for result in results]
Path(sys.argv[1], "outcomes.json").write_text(json.dumps(outcomes))
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


def port(address: str) -> str:
    return address.rpartition(":")[2]


def test_a_driver_joins_the_cluster_that_the_environment_names(address: str, script: Path) -> None:
    environment = {**os.environ, "RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled"}
    subprocess.run([sys.executable, str(script), str(script.parent)], check=True, env=environment)
    assert (script.parent / "outcome.txt").read_text() == f"{port(address)} 1 False"
    assert not (script.parent / "logs").exists()


def test_a_submitted_driver_joins_the_cluster_that_it_was_submitted_to(
    address: str, dashboard: int, script: Path
) -> None:
    variables = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "2"}
    submitted(dashboard, [sys.executable, str(script), str(script.parent)], {"env_vars": variables})
    assert (script.parent / "outcome.txt").read_text() == f"{port(address)} 2 False"


def submitted(dashboard: int, entrypoint: list[str], runtime_env: dict[str, Any]) -> None:
    """Submits a job as soon as the cluster takes jobs, and waits for its success."""
    ray_command = str(Path(sys.executable).with_name("ray"))
    more = ["--address", f"http://127.0.0.1:{dashboard}", "--runtime-env-json", json.dumps(runtime_env)]
    deadline = time.monotonic() + 120 * slowness()
    while True:
        done = subprocess.run(
            [ray_command, "job", "submit", *more, "--", *entrypoint], env={**os.environ, "RAY_AUTH_MODE": "disabled"},
            capture_output=True, text=True,
        )  # fmt: skip
        output = done.stdout + done.stderr
        if done.returncode == 0:
            return
        assert "No available agent" in output and time.monotonic() < deadline, output
        time.sleep(0.5)


def test_a_trial_uses_the_ray_that_runs_it(address: str, tmp_path: Path) -> None:
    script = tmp_path / "sweep.py"
    script.write_text(SWEEP)
    environment = {**os.environ, "RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled"}
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, env=environment)
    outcomes = json.loads((tmp_path / "outcomes.json").read_text())
    assert sorted(outcomes) == [[2, True], [4, True]]  # doubled, and Ray still there after the session
