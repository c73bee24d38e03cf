"""Runs at the real trackers, in local files: read back as they were told, also after a resume."""

import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from small_job import CountingConfig

from polyray.runs.run import Run
from polyray.tracking.following import Tracking
from polyray.tracking.options import TrackingOptions
from polyray.tracking.table import TRACKERS

pytestmark = pytest.mark.processes

READERS = {
    "mlflow": """
from mlflow import MlflowClient
client = MlflowClient(tracking_uri=f"sqlite:///{store}/mlflow.db")
(experiment,) = [e for e in client.search_experiments() if e.name == "mine"]
for run in client.search_runs([experiment.experiment_id]):
    history = {name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
               for name in run.data.metrics}
    parent = run.data.tags.get("mlflow.parentRunId")
    group = client.get_run(parent).info.run_name if parent else None
    runs[run.info.run_name] = [run.data.params, history, group, run.info.status, run.data.tags.get("job")]
""",
    "wandb": """
from wandb.proto import wandb_internal_pb2
import glob, struct
def records(content, block=32768):  # LevelDB's log format: checksum, length and type before each piece of a record
    at, record = 7, b""
    while at + 7 <= len(content):
        if block - at % block < 7:
            at += block - at % block
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield record
            record = b""
for file in sorted(glob.glob(f"{store}/wandb/offline-run-*/*.wandb")):
    name = None
    for data in records(open(file, "rb").read()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("run"):
            name, group = record.run.display_name, record.run.run_group
            fields = {item.key: json.loads(item.value_json) for item in record.run.config.update}
            runs.setdefault(name, [{k: str(v) for k, v in fields.items() if k != "_wandb"}, {}, group, None, None])
            tags = list(record.run.tags)
        if record.HasField("history"):
            values = {i.key or i.nested_key[0]: json.loads(i.value_json) for i in record.history.item}
            for key in values.keys() - {"step"}:
                if not key.startswith("_"):
                    runs[name][1].setdefault(key, []).append((values["step"], values[key]))
        if record.HasField("summary"):
            for item in record.summary.update:
                key = item.key or item.nested_key[0]
                if key.startswith("result/"):
                    runs[name][1][key] = [(3, json.loads(item.value_json))]
        if record.HasField("exit"):
            status = "FINISHED" if record.exit.exit_code == 0 else "KILLED"
            runs[name][3:] = [status, "fake" if "job:fake" in tags else None]
""",
    "aim": """
import aim
repo = aim.Repo(f"{store}/aim")
for hash in repo.list_all_runs():
    run = aim.Run(hash, repo=repo, force_resume=True, system_tracking_interval=None)  # read_only needs an index
    history = {m.name: list(zip(steps, columns[0])) for m in run.metrics() for steps, columns in [m.data.items_list()]}
    fields = {name: str(value) for name, value in run["hparams"].items()}
    status = {"done": "FINISHED", "interrupted": "KILLED"}[run["status"]]
    runs[run.name] = [fields, history, run["tags"].get("sweep"), status, run["tags"]["job"]]
""",
    "trackio": """
import sqlite3
with sqlite3.connect(f"{store}/trackio/mine.db") as database:
    rows = database.execute("select run_name, step, metrics from metrics order by id").fetchall()
    for name, text in database.execute("select run_name, config from configs").fetchall():
        fields = json.loads(text)
        history = {}
        for of_run, step, metrics in rows:
            if of_run == name:
                for key, value in json.loads(metrics).items():
                    history.setdefault(key, []).append((step, value))
        config = {"steps": str(fields["steps"])}
        runs[name.rpartition("-")[0]] = [config, history, fields["_Group"], None, fields["job"]]
""",
}
"""Programs that fill `runs`, {name: [fields, {metric: [(step, value)]}, group, status, job]}, from `store`."""


def stored(kind: str, store: Path) -> dict[str, Any]:
    """The runs in the files of the tracker, read by its own library in a process of its own."""
    program = f"import json\nruns, store = {{}}, {str(store)!r}\n{READERS[kind]}\nprint('\\n' + json.dumps(runs))\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    runs: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return runs


def need(kind: str) -> None:
    """Skip the test where the tracker's library is absent."""
    if find_spec(TRACKERS[kind].package) is None:
        pytest.skip(f"needs {TRACKERS[kind].package}: pip install {TRACKERS[kind].install}")


@pytest.mark.parametrize("kind", [kind for kind, tracker in TRACKERS.items() if tracker.package])
def test_two_trials_one_of_them_resumed_are_read_back_as_they_were_told(kind: str, tmp_path: Path) -> None:
    need(kind)
    overrides = {"mode": "offline"} if kind == "wandb" else {}
    options = TrackingOptions.model_validate({"kind": kind, "project": "mine", **overrides})
    complaints = list[str]()
    first, second = tmp_path / "trials" / "0000", tmp_path / "trials" / "0001"
    for steps in ((1, 2), (3,)):
        with Tracking(options, tmp_path / "tracking", complaints.append, group="rates") as tracking:
            for out in (first, second) if steps == (1, 2) else (first,):
                out.mkdir(parents=True, exist_ok=True)
                tracking.follow(out, "fake", CountingConfig(steps=3))
                for step in steps:
                    Run(out).report(step, {"loss": 1 / step, "lr": {"skills (all)": 0.5}})
            if steps == (3,):
                (first / "result.json").write_text(
                    json.dumps({"job": "fake", "status": "done", "metrics": {"mean": 0.25}, "skills": [],
                                "seconds": 1, "versions": {}})
                )  # fmt: skip
                tracking.end(first)
            tracking.close(patience=60)
    assert complaints == []
    runs = stored(kind, tmp_path / "tracking")
    fields, history, group, status, job = runs["rates-0000"]
    assert fields == {"steps": "3"} and group == "rates" and job == "fake"
    assert history["loss"] == [[1, 1.0], [2, 0.5], [3, pytest.approx(1 / 3)]]
    assert history["result/mean"] == [[3, 0.25]]
    assert {value for name, points in history.items() if name.startswith("lr/") for _, value in points} == {0.5}
    assert runs["rates-0001"][1]["loss"] == [[1, 1.0], [2, 0.5]]
    if status is not None:
        assert (status, runs["rates-0001"][3]) == ("FINISHED", "KILLED")


def test_a_tracking_server_that_is_not_there_is_one_line_and_costs_seconds(tmp_path: Path) -> None:
    need("mlflow")
    options = TrackingOptions.model_validate({"kind": "mlflow", "uri": "http://127.0.0.1:9"})
    complaints = list[str]()
    Run(tmp_path).report(1, {"loss": 0.5})
    with Tracking(options, tmp_path / "tracking", complaints.append) as tracking:
        tracking.follow(tmp_path, "fake", CountingConfig())
        deadline = time.monotonic() + 60
        while not complaints and time.monotonic() < deadline:
            time.sleep(0.05)
        ended = time.monotonic()
    assert time.monotonic() - ended < 10
    (line,) = complaints
    assert "127.0.0.1" in line and not (tmp_path / "tracking" / "mlflow.json").exists()
