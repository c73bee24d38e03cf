"""Commands on a cluster, against a server that answers as Ray's does: what is sent, what is shown, exit codes."""

import io
import json
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from command_cases import Captured, call
from job_server_cases import FakeCluster, fake_cluster, node, sent

import polyray
from polyray.cli import submitting
from polyray.cluster.submission import following
from polyray.cluster.submission.archive import packed

__all__ = ["fake_cluster"]  # a fixture

LOG = "".join(f"line {number} of the log, ä\n" for number in range(9000))  # more than one message


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("data/colour", "outside"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data" / "colour" / "train.jsonl").write_text('{"input": "a", "output": "b"}\n')
    return tmp_path


def running(cluster: FakeCluster, *more: dict[str, Any]) -> None:
    """Let the next looks at a job see it run, and then these states."""
    cluster.states = [{"status": "RUNNING"}, *more]


def test_a_submission_sends_package_files_and_named_variables_and_nothing_twice(
    fake_cluster: FakeCluster, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    words = ["submit", "polytropon", "suite=jsonl", "tasks.path=data", "--out", "s3://b/x", "--env", "MY_KEY"]
    running(fake_cluster)
    code, out, _ = call(capsys, *words, "--label", "team=nlp", "--cpus", "1")
    (request,) = fake_cluster.submitted
    job_id = request["submission_id"]
    assert code == 0 and f"Submitted {job_id} to {fake_cluster.address}. Its folder there is s3://b/x." in out
    assert f"polyray logs {job_id} --follow" in out and f"polyray stop {job_id}" in out
    assert request["entrypoint"] == "exec python -m polyray run polytropon suite=jsonl tasks.path=data --out s3://b/x"
    assert request["entrypoint_num_cpus"] == 1 and "entrypoint_num_gpus" not in request
    assert request["metadata"]["team"] == "nlp" and request["metadata"]["polyray"] == polyray.__version__
    assert request["metadata"]["command"] == f"polyray {' '.join(words)} --cpus 1.0 --label team=nlp".replace(
        " --out s3://b/x --env MY_KEY", " --out s3://b/x --env MY_KEY"
    )
    environment = request["runtime_env"]
    assert environment["env_vars"] == {"MY_KEY": "secret", "RAY_JOB_STOP_WAIT_TIME_S": "30"}
    (package,) = environment["py_modules"]
    names = [zipfile.ZipFile(io.BytesIO(content)).namelist() for content in fake_cluster.packages.values()]
    assert ["data/colour/train.jsonl"] in names and max(names, key=len)[0] == "polyray/__init__.py"
    assert {f"gcs://{name}" for name in fake_cluster.packages} == {package, environment["working_dir"]}
    running(fake_cluster)
    fake_cluster.requests.clear()
    assert call(capsys, *words)[0] == 0
    assert "PUT" not in [method for method, _ in fake_cluster.requests]
    assert fake_cluster.submitted[1]["runtime_env"] == environment


def test_a_sweep_is_submitted_with_its_space_and_an_image_needs_no_package(
    fake_cluster: FakeCluster, capsys: Captured
) -> None:
    running(fake_cluster)
    words = ("dual_speed", "training.steps=20", "--trials", "3", "--image", "--python", "python3")
    assert call(capsys, "submit", "--sweep", "polytropon", *words)[0] == 0
    (request,) = fake_cluster.submitted
    job_id, command = request["submission_id"], "sweep polytropon dual_speed training.steps=20 sweep.trials=3"
    assert job_id.startswith("sweep-polytropon-")
    assert request["entrypoint"] == f"exec python3 -m polyray {command} --out ~/runs/{job_id}"
    assert request["metadata"]["space"] == "dual_speed" and request["metadata"]["kind"] == "sweep"
    assert set(request["runtime_env"]) == {"env_vars"} and not fake_cluster.packages


def test_a_plan_is_made_on_the_cluster_and_shown(fake_cluster: FakeCluster, capsys: Captured) -> None:
    fake_cluster.on_submit = lambda document: fake_cluster.logs.update({document["submission_id"]: "a forecast\n"})
    running(fake_cluster, {"status": "SUCCEEDED"})
    code, out, _ = call(capsys, "submit", "--plan", "polytropon", "--image", "--out", "s3://b/x")
    (request,) = fake_cluster.submitted
    job_id = request["submission_id"]
    assert code == 0 and "a forecast\n" in out and job_id.startswith("plan-polytropon-") and "folder" not in out
    assert request["entrypoint"] == "exec python -m polyray run polytropon --plan --out s3://b/x"
    assert f"{job_id}  succeeded" in call(capsys, "jobs")[1]
    assert "no folder to fetch" in call(capsys, "fetch", job_id, "home")[2]


def test_what_cannot_be_submitted_is_refused_before_anything_is_sent(
    fake_cluster: FakeCluster, capsys: Captured, here: Path
) -> None:
    (here / "data" / "large").write_bytes(bytes(3 * 2**20))
    data = ("suite=jsonl", "tasks.path=data")
    for words, text in (
        (("polytropn",), "Did you mean 'polytropon'?"),
        (("polytropon", "training.step=3"), "training.steps"),
        (("polytropon", *data, "--upload-limit", "2"), "data/large (3.0 MiB)"),
        (("polytropon", "--trials", "3"), "polyray submit --sweep JOB SPACE"),
        (("--sweep", "polytropon", "training.steps=3"), "polyray submit --sweep JOB SPACE"),
        (("--sweep", "polytropon", "dual_sped"), "dual_speed"),
        (("polytropon", "--env", "NO_SUCH"), "--env NO_SUCH"),
        (("polytropon", "--out", "../x"), "--out ../x"),
    ):
        code, _, err = call(capsys, "submit", *words)
        assert code == 2 and text in err, err
    fake_cluster.python = "3.9.1"
    assert "Python 3.9.1" in call(capsys, "submit", "polytropon")[2]
    assert fake_cluster.submitted == [] and fake_cluster.packages == {}


def test_following_shows_the_log_once_over_broken_connections_and_ends_as_the_job(
    fake_cluster: FakeCluster, capsys: Captured
) -> None:
    submitted = ("submit", "polytropon", "--image", "--follow")

    def ends(**fields: Any) -> tuple[int, str, str]:
        fake_cluster.cuts = [10, 60_000]
        fake_cluster.on_submit = lambda document: fake_cluster.logs.update({document["submission_id"]: LOG})
        running(fake_cluster, {}, {}, fields)
        return call(capsys, *submitted)

    code, out, _ = ends(status="SUCCEEDED")
    assert code == 0 and out.count(LOG) == 1 and "polyray fetch polytropon-" in out
    code, out, err = ends(
        status="FAILED", driver_exit_code=2, message="Job failed\npolyray: tasks.path is no folder.\n"
    )
    assert code == 2 and out.count(LOG) == 1 and "failed with exit code 2: tasks.path is no folder." in err
    code, _, err = ends(status="FAILED", driver_exit_code=127, message="sh: 1: exec: python: not found")
    assert code == 127 and "--python /path/to/python" in err
    code, _, err = ends(status="FAILED", driver_exit_code=1, message="ModuleNotFoundError: No module named 'typer'")
    assert code == 1 and "lacks typer" in err
    code, _, err = ends(status="STOPPED")
    assert code == 1 and "goes on from its newest checkpoint: polyray submit polytropon --out" in err


def test_ctrl_c_leaves_the_job_and_says_how_to_come_back_and_how_to_stop_it(
    fake_cluster: FakeCluster, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(follower: following.Follower) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(following.Follower, "stream", interrupt)
    fake_cluster.add("a", "RUNNING")
    code, _, err = call(capsys, "logs", "a", "--follow", "--address", fake_cluster.address)
    where = f"--address {fake_cluster.address}"
    assert code == 130 and f"polyray logs a --follow {where}" in err and f"polyray stop a {where}" in err
    assert ("POST", "/api/jobs/a/stop") not in fake_cluster.requests


def test_a_job_that_no_node_can_take_is_spoken_of_and_one_that_waits_is_left_alone(
    fake_cluster: FakeCluster, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submitting, "PATIENCE", 0.0)
    code, _, err = call(capsys, "submit", "polytropon", "--image", "--gpus", "4")
    assert code == 1 and "it asks for 4 GPU on one node, and the most that one of 1 nodes has is 0 GPU" in err
    assert "polyray stop polytropon-" in err
    fake_cluster.nodes = [node("a", GPU=4.0)]
    code, out, err = call(capsys, "submit", "polytropon", "--image", "--gpus", "4")
    assert code == 0 and "waits until a node has 4 GPU free" in err and "polyray logs" in out


def test_jobs_are_listed_shown_and_stopped(
    fake_cluster: FakeCluster, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_cluster.add("old", start_time=1_000_000, end_time=1_090_000)
    fake_cluster.add("new", "RUNNING", start_time=2_000_000)
    fake_cluster.add("foreign", metadata={})
    _, out, _ = call(capsys, "jobs")
    rows = [line.split() for line in out.splitlines()]
    assert [row[0] for row in rows] == ["ID", "new", "old"]
    assert rows[2][1] == "succeeded" and rows[2][-3:] == ["1", "min", "~/runs/x"]
    assert "foreign" in call(capsys, "jobs", "--all")[1]
    assert [job["id"] for job in json.loads(call(capsys, "jobs", "--json")[1])] == ["new", "old"]
    _, out, _ = call(capsys, "status", "old")
    assert "polytropon" in out and "polyray fetch old DIR" in out
    assert json.loads(call(capsys, "status", "old", "--json")[1])["status"] == "SUCCEEDED"
    fake_cluster.logs["old"] = "one\ntwo\nthree\n"
    assert call(capsys, "logs", "old", "--last", "2")[1] == "two\nthree\n"
    fake_cluster.states = [{"status": "RUNNING"}, {"status": "RUNNING"}, {"status": "STOPPED"}]
    code, out, _ = call(capsys, "stop", "new")
    assert code == 0 and "was stopped" in out and ("POST", "/api/jobs/new/stop") in fake_cluster.requests
    code, _, err = call(capsys, "stop", "new")
    assert code == 2 and "has ended already: stopped" in err
    code, _, err = call(capsys, "status", "nw")
    assert code == 2 and "Did you mean 'new'?" in err
    fake_cluster.add("queued", "PENDING")
    monkeypatch.setattr("polyray.cli.cluster_jobs.UNSTOPPABLE", 0.0)
    assert "It has not begun" in call(capsys, "stop", "queued")[1]


def test_a_folder_comes_home_from_the_disk_of_its_node_whole_or_not_at_all(
    fake_cluster: FakeCluster, capsys: Captured, here: Path
) -> None:
    run = here / "run"
    (run / "skills").mkdir(parents=True)
    (run / "config.yaml").write_text("# job: polytropon\nseed: 0\n")
    (run / "skills" / "tensors").write_bytes(Random(0).randbytes(100_000))
    (run / ".lock").touch()
    whole = sent(packed({file.relative_to(run).as_posix(): file for file in run.rglob("*") if file.is_file()}))
    ended: dict[str, Any] = {"status": "SUCCEEDED"}

    def send(document: dict[str, Any], log: str) -> None:
        fake_cluster.logs[document["submission_id"]] = log
        fake_cluster.jobs[document["submission_id"]] |= ended

    fake_cluster.add("a")
    fake_cluster.cuts = [1000]
    fake_cluster.on_submit = lambda document: send(document, whole)
    assert call(capsys, "fetch", "a", "home")[0] == 0
    assert (here / "home" / "skills" / "tensors").read_bytes() == (run / "skills" / "tensors").read_bytes()
    (request,) = fake_cluster.submitted
    assert request["entrypoint_label_selector"] == {"ray.io/node-id": "head"} and "py_modules" in request["runtime_env"]
    assert request["entrypoint"].endswith(f"sending ~/runs/x {512 * 2**20}") and list(fake_cluster.jobs) == ["a"]
    assert "is there already" in call(capsys, "fetch", "a", "home")[2]
    for log, fields, code, text in (
        (whole.replace("=UEs", "=UFs", 1), {"status": "SUCCEEDED"}, 1, "damaged on its way"),
        (whole[:5000], {"status": "SUCCEEDED"}, 1, "ended without it"),
        ("", {"status": "FAILED", "driver_exit_code": 2, "message": "x\npolyray: no folder"}, 2, "polyray: no folder"),
        (sent(packed({})), {"status": "SUCCEEDED"}, 2, "no config.yaml"),
    ):
        fake_cluster.on_submit = lambda document, log=log: send(document, log)  # type: ignore[misc]
        ended = fields
        result = call(capsys, "fetch", "a", "other")
        assert result[0] == code and text in result[2], result
    fake_cluster.nodes = [node("another")]
    assert "was on the own disk of a node that is gone" in call(capsys, "fetch", "a", "other")[2]
    fake_cluster.add("b", "RUNNING")
    assert "still writes its folder" in call(capsys, "fetch", "b", "other")[2]
    assert sorted(path.name for path in here.iterdir()) == ["data", "home", "outside", "run"]
    assert call(capsys, "fetch", str(run), "copy")[0] == 0
    assert sorted(path.name for path in (here / "copy").iterdir()) == ["config.yaml", "skills"]
