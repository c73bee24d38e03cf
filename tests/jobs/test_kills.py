"""A job on a real local Ray cluster of its own whose workers and driver are killed."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from job_cases import outcome
from ray_cases import Run, actors_of, descendants, finish, gone, start, wait_for

CALLS = (  # to Ray's control store, which Ray repeats; a lost call between workers is a dead worker to Ray Train
    "ray::rpc::InternalKVGcsService.grpc_client.InternalKVGet",
    "ray::rpc::ActorInfoGcsService.grpc_client.GetActorInfo",
    "ray::rpc::NodeInfoGcsService.grpc_client.GetAllNodeInfo",
)
KILLS = int(os.environ.get("POLYRAY_KILLS", "1"))  # of a worker, and of the driver
pytestmark = [pytest.mark.ray, pytest.mark.timeout(600 * KILLS)]


def two_workers(out: Path, *more: str) -> Run:
    return start(out, "polytropon", "workers.n=2", "training.backbone_lr=0", *more)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "run"
    process = two_workers(out)
    wait_for(out, 1, process)
    children = descendants(process)
    output = finish(process)
    assert gone(children), "processes were left running"
    assert "Done." in output and "Traceback" not in output
    assert json.loads((out / "result.json").read_text())["status"] == "done"
    assert (out / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert "done already" in finish(two_workers(out))
    return out


def test_a_killed_worker_is_replaced_a_killed_driver_leaves_nothing_and_the_run_ends_the_same(
    unbroken: Path, tmp_path: Path
) -> None:
    moments, killed = random.Random(1), 0
    for number in range(KILLS):
        out = tmp_path / str(number)
        process = two_workers(out)
        wait_for(out, moments.randint(1, 3), process)
        time.sleep(moments.uniform(0, 0.3))
        workers = actors_of(process, "RayTrainWorker")
        killed += len(workers)
        for worker in workers[: moments.randint(1, 2)]:
            worker.kill()
        time.sleep(1)  # so that the group's death is seen before lines are counted
        wait_for(out, moments.randint(3, 5), process)
        time.sleep(moments.uniform(0, 0.3))
        children = descendants(process)
        process.send(signal.SIGKILL)
        process.wait()
        assert gone(children), "processes were left running"
        finish(two_workers(out))
        assert outcome(out) == outcome(unbroken)
    assert killed, "no worker was there to be killed"


def test_signals_to_the_driver_or_its_group_save_a_checkpoint_each_and_the_run_ends_the_same(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYRAY_GRACE", "600")  # the tests' machine may be slow
    out, before = tmp_path / "run", 0
    for number, group in ((signal.SIGTERM, True), (signal.SIGHUP, True), (signal.SIGUSR1, False)):
        process = two_workers(out)
        wait_for(out, before + 1, process)
        children = descendants(process)
        process.send(number, group)
        output = finish(process, code=128 + number)
        assert "Resume with: polyray run polytropon" in output and "Traceback" not in output
        assert gone(children), "processes were left running"
        assert json.loads((out / "result.json").read_text())["status"] == "interrupted"
        steps = output.partition("Stopped after ")[2].partition(" ")[0]
        assert (out / "checkpoints" / f"step-{int(steps):08d}").is_dir()
        before = len((out / "progress.jsonl").read_text().splitlines())
    finish(two_workers(out))
    assert outcome(out) == outcome(unbroken)


@pytest.mark.slow
def test_a_run_whose_calls_between_processes_fail_now_and_then_ends_the_same(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = {"num_failures": 3, "req_failure_prob": 20, "resp_failure_prob": 20}
    monkeypatch.setenv("RAY_testing_rpc_failure", json.dumps(dict.fromkeys(CALLS, failing)))  # Ray's chaos switch
    finish(two_workers(tmp_path / "run"))
    assert outcome(tmp_path / "run") == outcome(unbroken)


def test_a_sharded_backbone_learns_the_same(unbroken: Path, tmp_path: Path) -> None:
    finish(two_workers(tmp_path / "sharded", "training.strategy=fsdp"))
    losses = [
        [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]
        for out in (unbroken, tmp_path / "sharded")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
