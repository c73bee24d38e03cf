"""The jobs as a user runs them: a real local Ray cluster, killed workers, killed drivers, Ctrl-C."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from test_resume import TINY, outcome

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
KILLS = int(os.environ.get("POLYRAY_KILLS", "1"))  # of the driver, and of the worker
ENTRY = "import sys; from polyray.cli import main; main(sys.argv[1:])"


def start(out: Path, job: str = "polytropon", *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ENTRY, "run", job, "--out", str(out), *TINY, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    told, _ = process.communicate(timeout=300)
    assert process.returncode == code, told
    return told


def lines(out: Path) -> int:
    file = out / "progress.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def wait_for(out: Path, wanted: int, process: subprocess.Popen[str]) -> None:
    """Until `wanted` lines of progress stand in the run folder, or the run ends."""
    while lines(out) < wanted and process.poll() is None:
        time.sleep(0.01)


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def trainer_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Ray Train's worker processes below the driver."""
    found = []
    for child in descendants(process):
        try:
            if "RayTrainWorker" in " ".join(child.cmdline()):
                found.append(child)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def gone(processes: Sequence[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=30)
    return not alive


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
    moments = random.Random(1)
    for number in range(KILLS):
        out = tmp_path / str(number)
        process = start(out)
        wait_for(out, moments.randint(1, 5), process)
        time.sleep(moments.uniform(0, 0.3))
        for worker in trainer_of(process):
            worker.kill()
        finish(process)
        assert outcome(out) == unbroken


def test_a_killed_driver_leaves_nothing_running_and_its_run_goes_on(unbroken: dict[str, bytes], tmp_path: Path) -> None:
    moments = random.Random(2)
    for number in range(KILLS):
        out = tmp_path / str(number)
        process = start(out)
        wait_for(out, moments.randint(1, 5), process)
        time.sleep(moments.uniform(0, 0.3))
        children = descendants(process)
        process.kill()
        process.wait()
        assert gone(children), "processes were left running"
        finish(start(out))
        assert outcome(out) == unbroken


def test_ctrl_c_ends_with_130_says_how_to_resume_and_leaves_nothing_running(
    unbroken: dict[str, bytes], tmp_path: Path
) -> None:
    process = start(tmp_path / "run")
    wait_for(tmp_path / "run", 2, process)
    children = descendants(process)
    process.send_signal(signal.SIGINT)
    told = finish(process, code=130)
    assert "Resume with: polyray run polytropon" in told and "Traceback" not in told
    assert gone(children), "processes were left running"
    finish(start(tmp_path / "run"))
    assert outcome(tmp_path / "run") == unbroken


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_workers_train_and_their_run_is_repeatable(tmp_path: Path, strategy: str) -> None:
    more = ["workers.n=2", "training.backbone_lr=0", f"training.strategy={strategy}", "training.steps=8"]
    for name in ("a", "b"):
        finish(start(tmp_path / name, "polytropon", *more))
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b")


def test_compare_trains_adapts_and_reports_every_router(tmp_path: Path) -> None:
    more = ["adapt.steps=4", "adapt.looks=2", "training.steps=4", "tasks.planted.samples=2"]
    told = finish(start(tmp_path / "run", "compare", *more, "kinds=[shared,private,expert,hyperformer,polytropon]"))
    assert all(name in told for name in ("SHARED", "PRIVATE", "EXPERT", "HYPERFORMER", "SKILLED"))
    metrics = json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]
    assert set(metrics["kinds"]) == {"shared", "private", "expert", "hyperformer", "polytropon"}
    assert {"ami", "assignment_accuracy"} == set(metrics["trained"]["polytropon"]["recovery"])
    skills = f"skills={tmp_path}/run/polytropon/skills"
    suite = [item for item in TINY if item.startswith("tasks.")]
    command = [sys.executable, "-c", ENTRY, "run", "evaluate", "--out", str(tmp_path / "scores"), skills, *suite]
    finish(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    assert len(list((tmp_path / "scores" / "predictions").glob("*.jsonl"))) == 2
