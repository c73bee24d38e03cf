"""The jobs as a user runs them: a real local Ray cluster, killed workers, killed drivers, Ctrl-C."""

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from test_resume import TINY, outcome

from polyray.cli import main
from polyray.jobs.table import JOBS

KILLS = int(os.environ.get("POLYRAY_KILLS", "1"))  # of the driver, and of the worker
pytestmark = [pytest.mark.ray, pytest.mark.timeout(600 * KILLS)]


class Run:
    """The command line in a process of its own, forked so that its imports are done already."""

    def __init__(self, *arguments: str) -> None:
        self.told = Path(tempfile.mkstemp(prefix="polyray-test-")[1])
        assert arguments[1] in JOBS  # loads every job here, once, before any fork
        self.pid = os.fork()
        self.code: int | None = None
        if self.pid == 0:
            self._be(arguments)

    def _be(self, arguments: tuple[str, ...]) -> None:
        code = 1
        try:
            with self.told.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            main(arguments)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def poll(self) -> int | None:
        """The exit code, negative for a signal, None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def send(self, number: int) -> None:
        """Send a signal to the driver alone."""
        os.kill(self.pid, number)

    def wait(self, seconds: float = 300) -> int:
        """The exit code, at the latest after `seconds`."""
        deadline = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.send(signal.SIGKILL)
                pytest.fail(f"the run did not end within {seconds} s: {self.told.read_text()}")
            time.sleep(0.02)
        assert self.code is not None
        return self.code


def start(out: Path, job: str = "polytropon", *more: str) -> Run:
    return Run("run", job, "--out", str(out), *TINY, *more)


def finish(run: Run, code: int = 0) -> str:
    found, told = run.wait(), run.told.read_text()
    run.told.unlink()
    assert found == code, told
    return told


def wait_for_lines(file: Path, wanted: int, process: Run) -> None:
    """Until `wanted` lines stand in the file, or the run ends."""
    while process.poll() is None and (not file.exists() or len(file.read_text().splitlines()) < wanted):
        time.sleep(0.01)


def wait_for(out: Path, wanted: int, process: Run) -> None:
    """Until `wanted` lines of progress stand in the run folder, or the run ends."""
    wait_for_lines(out / "progress.jsonl", wanted, process)


def descendants(process: Run) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def trainer_of(process: Run) -> list[psutil.Process]:
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
    moments, killed = random.Random(1), 0
    for number in range(KILLS):
        out = tmp_path / str(number)
        process = start(out)
        wait_for(out, moments.randint(1, 5), process)
        time.sleep(moments.uniform(0, 0.3))
        workers = trainer_of(process)
        killed += len(workers)
        for worker in workers:
            worker.kill()
        finish(process)
        assert outcome(out) == unbroken
    assert killed, "no worker was there to be killed"


def test_a_killed_driver_leaves_nothing_running_and_its_run_goes_on(unbroken: dict[str, bytes], tmp_path: Path) -> None:
    moments = random.Random(2)
    for number in range(KILLS):
        out = tmp_path / str(number)
        process = start(out)
        wait_for(out, moments.randint(1, 5), process)
        time.sleep(moments.uniform(0, 0.3))
        children = descendants(process)
        process.send(signal.SIGKILL)
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
    process.send(signal.SIGINT)
    told = finish(process, code=130)
    assert "Resume with: polyray run polytropon" in told and "Traceback" not in told
    assert gone(children), "processes were left running"
    finish(start(tmp_path / "run"))
    assert outcome(tmp_path / "run") == unbroken


def test_two_workers_train_repeatably_and_a_sharded_backbone_learns_the_same(tmp_path: Path) -> None:
    more = ["workers.n=2", "training.backbone_lr=0", "training.steps=8"]
    for name, strategy in (("a", "ddp"), ("b", "ddp"), ("sharded", "fsdp")):
        finish(start(tmp_path / name, "polytropon", *more, f"training.strategy={strategy}"))
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b")
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("a", "sharded")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_compare_reports_every_router_and_its_skills_can_be_scored_and_adapted(tmp_path: Path) -> None:
    more = ["adapt.steps=4", "adapt.looks=2", "training.steps=4", "tasks.planted.samples=2"]
    told = finish(start(tmp_path / "run", "compare", *more, "kinds=[shared,private,expert,hyperformer,polytropon]"))
    assert all(name in told for name in ("SHARED", "PRIVATE", "EXPERT", "HYPERFORMER", "SKILLED"))
    metrics = json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]
    assert set(metrics["kinds"]) == {"shared", "private", "expert", "hyperformer", "polytropon"}
    assert {"ami", "assignment_accuracy"} == set(metrics["trained"]["polytropon"]["recovery"])
    skills = f"skills={tmp_path}/run/polytropon/skills"
    suite = [item for item in TINY if item.startswith("tasks.")]
    finish(Run("run", "evaluate", "--out", str(tmp_path / "scores"), skills, *suite))
    assert len(list((tmp_path / "scores" / "predictions").glob("*.jsonl"))) == 2
    methods = ["adapt.methods=[skills,row,average,fresh,full]", "adapt.steps=2", "adapt.looks=1", "adapt.lr=[0.001]"]
    finish(Run("run", "adapt", "--out", str(tmp_path / "adapted"), skills, *suite, *methods))
    adapted = json.loads((tmp_path / "adapted" / "result.json").read_text())["metrics"]
    assert set(adapted["methods"]) == {"skills", "row", "average", "fresh", "full"}
