"""The jobs as a user runs them, on a Ray cluster that is there already."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from job_cases import TINY_SUITE
from ray_cases import Run, finish, gone, start

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def joined() -> Iterator[list[str]]:
    """What to say to run on a cluster that is there already."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}"]
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ray-") as home:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        more = ["--include-dashboard=false", f"--num-cpus={os.cpu_count()}", f"--temp-dir={home}"]
        with (Path(home) / "output.txt").open("w") as output:
            cluster = subprocess.Popen([*command, *more], stdout=output, stderr=output, start_new_session=True)
        while "Ray runtime started" not in (text := (Path(home) / "output.txt").read_text()):
            assert cluster.poll() is None, text
            time.sleep(0.1)
        yield ["--address", f"127.0.0.1:{port}"]
        processes = psutil.Process(cluster.pid).children(recursive=True)
        cluster.terminate()
        cluster.wait(60)
        assert gone(processes)


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
        return port


def test_compare_reports_every_router_and_its_skills_can_be_scored_and_adapted(
    joined: list[str], tmp_path: Path
) -> None:
    more = ["training.steps=4", "adapt.steps=4", "adapt.looks=2", "adapt.rates=[0.001]", "tasks.planted.samples=2"]
    output = finish(start(tmp_path / "run", "compare", *joined, *more, "kinds=[hyperformer,polytropon]"))
    assert all(name in output for name in ("HYPERFORMER", "SKILLED"))
    metrics = json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]
    assert set(metrics["kinds"]) == {"hyperformer", "polytropon"}
    assert {"ami", "assignment_accuracy"} == set(metrics["trained"]["polytropon"]["recovery"])
    skills = f"skills={tmp_path}/run/polytropon/skills"
    finish(Run("run", "evaluate", "--out", str(tmp_path / "scores"), skills, *TINY_SUITE, *joined))
    assert len(list((tmp_path / "scores" / "predictions").glob("*.jsonl"))) == 2
    methods = ["adapt.methods=[skills,row,average,fresh,full]", "adapt.steps=2", "adapt.looks=1", "adapt.rates=[0.001]"]
    finish(Run("run", "adapt", "--out", str(tmp_path / "adapted"), skills, *TINY_SUITE, *methods, *joined))
    adapted = json.loads((tmp_path / "adapted" / "result.json").read_text())["metrics"]
    assert set(adapted["methods"]) == {"skills", "row", "average", "fresh", "full"}
