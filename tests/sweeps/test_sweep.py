"""Sweeps as a user starts them, on real Ray: processes die or are told to end, and the same command goes on."""

import json
import random
import re
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from job_cases import BOTH_SPEEDS, TINY, outcome
from ray_cases import Run, actors_of, descendants, finish, gone, head

from polyray.config import load_config
from polyray.jobs.table import JOBS
from polyray.sweeps.folder import open_sweep
from polyray.sweeps.rows import TrialRow
from polyray.sweeps.trials import read_rows

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]
LENGTH = (
    *TINY, "training.steps=24", "training.report_every=4", "training.save_every=4", "evaluation.every=4",
    "evaluation.dev_examples=2", "evaluation.max_examples=1", "tasks.train_splits=[train]",
)  # fmt: skip
N_TRIALS = 6


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("space") / "speeds.yaml"
    file.write_text(BOTH_SPEEDS)
    return file


def start(out: Path, space: Path, *more: str) -> Run:
    return Run("sweep", "polytropon", str(space), "--trials", str(N_TRIALS), "--out", str(out), *LENGTH, *more)


def rows_of(out: Path) -> list[TrialRow]:
    return read_rows(open_sweep(out))


def n_lines(out: Path) -> int:
    """Lines that all trials together have reported."""
    return sum(len(file.read_text().splitlines()) for file in (out / "trials").glob("*/progress.jsonl"))


def wait_for_progress(out: Path, n_more: int, process: Run) -> None:
    """Until the trials have reported so many more lines, or the sweep ends."""
    before = n_lines(out)
    while process.poll() is None and n_lines(out) < before + n_more:
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, space: Path) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "sweep"
    process = start(out, space)
    wait_for_progress(out, 1, process)
    children = descendants(process)
    output = finish(process)
    assert gone(children), "processes were left running"
    assert "Traceback" not in output and "Last result" not in output  # a line of Tune's own
    assert [row.state for row in rows_of(out)] == ["done"] * N_TRIALS
    assert_results(out, output)
    return out


def assert_results(out: Path, output: str) -> None:
    """A line for each trial, sweep.json with all of them, a best.yaml that is a config, and the page."""
    content = json.loads((out / "sweep.json").read_bytes())
    assert content["state"] == "done" and len(content["trials"]) == N_TRIALS
    best = content["best"]
    assert best["goal"] == min(trial["goal"] for trial in content["trials"])
    assert sorted(re.findall(r"^trial (\d+) done: validation.loss", output, re.MULTILINE)) == list("012345")
    assert f"Best: trial {best['number']}, " in output and f"The report is in {out}/report.html" in output
    config = load_config(JOBS["polytropon"].Config, out / "best.yaml")
    assert config.model_dump()["training"]["lr"] == best["fields"]["training.lr"]
    assert config.model_dump()["evaluation"]["max_examples"] == 0
    page = (out / "report.html").read_text()
    assert "The sweep is done." in page and 'href="./trials/0000/report.html"' in page and "refresh" not in page


def test_a_sweep_whose_processes_die_ends_with_the_same_trials(undisturbed: Path, space: Path, tmp_path: Path) -> None:
    moments, out = random.Random(1), tmp_path / "sweep"
    process = start(out, space)
    wait_for_progress(out, moments.randint(1, 3), process)
    process.send(signal.SIGINT, group=True)
    output = finish(process, code=130)
    assert re.search(r"Resume with: polyray sweep polytropon .*--out", output) and "Traceback" not in output
    assert any((out / "trials").glob("*/checkpoints/step-*")), "no trial saved a checkpoint"

    process = start(out, space)
    wait_for_progress(out, moments.randint(2, 4), process)
    workers = actors_of(process, "ray::ImplicitFunc")
    assert workers, "no worker was there to be killed"
    workers[0].kill()
    wait_for_progress(out, moments.randint(6, 10), process)
    children = descendants(process)
    process.send(signal.SIGKILL)
    process.wait()
    assert gone(children), "processes were left running"

    finish(start(out, space))
    assert "Traceback" not in finish(start(out, space))  # once more: nothing is left to do
    rows, expected = rows_of(out), rows_of(undisturbed)
    assert [(row.fields, row.state, row.goals) for row in rows] == [
        (row.fields, row.state, row.goals) for row in expected
    ]
    for one, other in zip(rows, expected, strict=True):
        assert outcome(one.folders[0]) == outcome(other.folders[0]), one.number
    again = Counter[int]()
    for row in rows:
        lines = (row.folders[0] / "progress.jsonl").read_text().splitlines()
        steps = Counter(json.loads(line)["step"] for line in lines)
        again[row.number] = sum(count - 1 for count in steps.values())
    n_running = 2 * 2 + 1  # trials at work when the driver was told to end or killed, and when a worker was
    assert sum(again.values()) <= 2 * n_running, again  # each repeats what it had reported since its checkpoint


@pytest.mark.slow
def test_two_sweeps_on_one_cluster_one_stops_trials_early_and_one_has_trials_that_fail(
    space: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(BOTH_SPEEDS.replace("loguniform: [0.001, 0.1]", "choice: [0.01, 1.0e+30]", 1))
    with head() as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        halving = start(
            tmp_path / "halving", space, "--address", address, "sweep.scheduler=asha", "sweep.factor=2",
            "sweep.concurrent=1",
        )  # fmt: skip
        failing = start(tmp_path / "failing", broken, "--address", address, "training.clip=1e30", "sweep.concurrent=1")
        finish(halving)
        finish(failing)
    stopped = [row for row in rows_of(tmp_path / "halving") if row.state == "stopped"]
    assert 1 <= len(stopped) < N_TRIALS
    assert all(row.step < 24 and any((row.folders[0] / "checkpoints").glob("step-*")) for row in stopped)
    rows = rows_of(tmp_path / "failing")
    assert {row.state for row in rows} == {"done", "failed"}
    for row in rows:
        assert (row.state == "failed") == (row.fields["training.lr"] == 1e30)
        assert ("lower training.lr" in row.reason) == (row.state == "failed"), row
    for name in ("halving", "failing"):
        assert not (tmp_path / name / ".tune").exists()
