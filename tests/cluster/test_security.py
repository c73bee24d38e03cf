"""A cluster of a run's own opens the ports that docs/security.md says, and wants a token."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

DRIVER = """
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import ray

from polyray.cluster.session import RaySession
from polyray.cluster.tasks import run_tasks

STRANGER = "import ray, sys; ray.init(sys.argv[1], logging_level='CRITICAL')"


def double(number):
    return {"doubled": 2 * number}


with RaySession(None, Path(sys.argv[1]) / "logs") as session:
    session.start()
    assert [outcome["doubled"] for _, outcome in run_tasks(double, [1])] == [2]
    listeners = {}
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        addresses = {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        if addresses:
            listeners.setdefault(process.name(), set()).update(addresses)
    address = ray.get_runtime_context().gcs_address
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    command = [sys.executable, "-c", STRANGER, address]
    stranger = subprocess.run(command, env=environment, capture_output=True, text=True)
    outcome = {
        "listeners": {name: sorted(addresses) for name, addresses in listeners.items()},
        "mode": os.environ["RAY_AUTH_MODE"], "stranger": stranger.returncode, "errors": stranger.stderr[-2000:],
    }
Path(sys.argv[1], "outcome.json").write_text(json.dumps(outcome))
"""
ALL_INTERFACES = {"::", "0.0.0.0"}


def test_control_store_raylet_and_workers_listen_everywhere_no_dashboard_does_and_a_stranger_is_refused(
    tmp_path: Path,
) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    environment = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_AUTH_MODE")}
    subprocess.run([sys.executable, str(tmp_path / "driver.py"), str(tmp_path)], check=True, env=environment)
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    everywhere = {name for name, addresses in outcome["listeners"].items() if ALL_INTERFACES & set(addresses)}
    assert {"gcs_server", "raylet"} <= everywhere and any(name.startswith("ray::") for name in everywhere)
    assert not any("dashboard" in name.lower() and "agent" not in name.lower() for name in outcome["listeners"])
    assert outcome["mode"] == "token" and outcome["stranger"] != 0, outcome["errors"]
