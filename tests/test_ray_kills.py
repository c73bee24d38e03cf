"""A job on a real local Ray cluster whose worker or driver is killed, or that is interrupted."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from ray_cases import actors_of, descendants, finish, gone, start, wait_for
from test_resume import outcome

KILLS = int(os.environ.get("POLYRAY_KILLS", "1"))  # of the driver, and of the worker
pytestmark = [pytest.mark.ray, pytest.mark.timeout(600 * KILLS)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("unbroken") / "run"
    process = start(out)
    wait_for(out, 1, process)
    children = descendants(process)
    told = finish(process)
    assert gone(children), "processes were left running"
    assert "Done." in told and "Traceback" not in told
    assert json.loads((out / "result.json").read_text())["status"] == "done"
    assert (out / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert "done already" in finish(start(out))
    return outcome(out)


def test_a_killed_worker_is_replaced_and_the_run_ends_the_same(unbroken: dict[str, bytes], tmp_path: Path) -> None:
    moments, killed = random.Random(1), 0
    for number in range(KILLS):
        out = tmp_path / str(number)
        process = start(out)
        wait_for(out, moments.randint(1, 5), process)
        time.sleep(moments.uniform(0, 0.3))
        workers = actors_of(process, "RayTrainWorker")
        killed += len(workers)
        for worker in workers:
            worker.kill()
        finish(process)
        assert outcome(out) == unbroken
    assert killed, "no worker was there to be killed"


def test_an_interrupted_and_a_killed_driver_leave_nothing_running_and_their_run_goes_on(
    unbroken: dict[str, bytes], tmp_path: Path
) -> None:
    moments = random.Random(2)
    for number in range(KILLS):
        out = tmp_path / str(number)
        for first, sent, code in ((1, signal.SIGINT, 130), (3, signal.SIGKILL, -signal.SIGKILL)):
            process = start(out)
            wait_for(out, first + moments.randint(0, 2), process)
            time.sleep(moments.uniform(0, 0.3))
            children = descendants(process)
            process.send(sent)
            told = finish(process, code)
            assert code != 130 or "Resume with: polyray run polytropon" in told
            assert "Traceback" not in told
            assert gone(children), "processes were left running"
        finish(start(out))
        assert outcome(out) == unbroken
