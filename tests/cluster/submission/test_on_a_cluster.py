"""Jobs and sweeps sent to a real cluster from another folder: followed, stopped, resumed, brought home."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_cases import Captured, call
from job_cases import BOTH_SPEEDS, TINY, outcome
from submission_cases import Head, token_head

from polyray.sweeps.folder import open_sweep
from polyray.sweeps.trials import read_rows

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900), pytest.mark.usefixtures("usual_signals")]

PYTHON = ("--python", sys.executable)
SHORT = ("training.save_every=50", "evaluation.max_examples=1")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Head]:
    with token_head() as started:
        yield started


@pytest.fixture(autouse=True)
def laptop(cluster: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of a user who has a token, data and a space."""
    for name in os.environ.keys() - cluster.environment.keys():
        monkeypatch.delenv(name)
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "laptop"
    for task in ("colour", "size"):
        (folder / "data" / task).mkdir(parents=True)
        for split in ("train", "dev", "test"):
            lines = [json.dumps({"input": f"{split} {number}", "output": task}) for number in range(16)]
            (folder / "data" / task / f"{split}.jsonl").write_text("\n".join(lines))
    (folder / "data" / "partition.json").write_text('{"train": ["colour", "size"]}')
    (folder / "speeds.yaml").write_text(BOTH_SPEEDS)
    monkeypatch.chdir(folder)
    return folder


def id_of(output: str) -> str:
    match = re.search(r"Submitted (\S+) to ", output)
    assert match is not None, output
    return match[1]


def n_lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_a_job_is_followed_stopped_resumed_and_brought_home(cluster: Head, capsys: Captured, tmp_path: Path) -> None:
    out = tmp_path / "node" / "run"
    fields = ("suite=jsonl", "tasks.path=data", "training.batch=8", "training.steps=100", "training.report_every=4")
    words = ("submit", "polytropon", *fields, *SHORT, "--out", str(out), *PYTHON)
    job_id = id_of(call(capsys, *words)[1])
    command = [sys.executable, "-m", "polyray", "logs", job_id, "--follow"]
    follower = subprocess.Popen(
        command, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while n_lines(out / "progress.jsonl") < 1 and follower.poll() is None:
        time.sleep(0.05)
    follower.send_signal(signal.SIGINT)
    log, message = follower.communicate()
    assert follower.returncode == 130 and f"polyray stop {job_id}" in message
    assert f"Running entrypoint for job {job_id}" in log
    assert json.loads(call(capsys, "status", job_id, "--json")[1])["status"] == "RUNNING"

    code, output, _ = call(capsys, "stop", job_id)
    assert code == 0 and "was stopped" in output
    assert json.loads((out / "result.json").read_text())["status"] == "interrupted"
    assert list((out / "checkpoints").glob("step-*"))
    code, output, _ = call(capsys, *words, "--follow")
    assert code == 0 and "Done. The result is in" in output, output
    assert n_lines(out / "starts.jsonl") == 2
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps)) and steps[-1] == 100
    assert call(capsys, "fetch", id_of(output), "home")[0] == 0
    assert outcome(Path("home")) == outcome(out) != {}


def test_a_sweep_comes_home_while_a_job_that_no_node_can_take_waits(cluster: Head, capsys: Captured) -> None:
    command = [sys.executable, "-m", "polyray", "submit", "polytropon", "--gpus", "4", *PYTHON]
    unplaceable = subprocess.Popen(
        command, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    words = ("--sweep", "polytropon", "speeds.yaml", *TINY, *SHORT, "--trials", "2", "--out", "runs/speeds", *PYTHON)
    code, output, error = call(capsys, "submit", *words, "--follow", "--label", "team=nlp")
    assert code == 0 and "trial 1 done" in output, output + error
    job_id = id_of(output)
    assert "nlp" in call(capsys, "status", job_id)[1]
    assert call(capsys, "fetch", job_id, "home")[0] == 0
    assert [row.state for row in read_rows(open_sweep(Path("home")))] == ["done", "done"]
    assert json.loads(Path("home", "sweep.json").read_text())["state"] == "done"

    output, error = unplaceable.communicate()
    assert (
        unplaceable.returncode == 1
        and "it asks for 4 GPU on one node, and the most that one of 1 nodes has is" in error
    )
    assert "It has not begun" in call(capsys, "stop", id_of(output))[1]
    rows = [line.split()[:2] for line in call(capsys, "jobs")[1].splitlines()[1:]]
    assert [job_id, "succeeded"] in rows and [id_of(output), "pending"] in rows


def test_a_wrong_port_and_a_wrong_token_are_refused(
    cluster: Head, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, error = call(capsys, "jobs", "--address", f"http://127.0.0.1:{cluster.port}")
    assert code == 2 and "control store" in error
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
    code, _, error = call(capsys, "jobs")
    assert code == 2 and "refuses your token" in error
    monkeypatch.delenv("RAY_AUTH_MODE")
    code, _, error = call(capsys, "jobs")
    assert code == 2 and "wants a token" in error
