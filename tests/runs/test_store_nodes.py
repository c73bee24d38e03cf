"""Trainings and sweeps on nodes that share no disk, one of which dies: they end as on one machine, byte for byte."""

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from job_cases import TINY, outcome, train
from node_cases import Cluster, can_hide, cluster
from ray_cases import Run, finish
from shelf_filesystem import PROTOCOL, ROOT, ShelfFileSystem, keys

from polyray.runs.store.fetching import fetch
from polyray.sweeps.folder import open_sweep
from polyray.sweeps.trials import read_rows

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]
EVERY = 8
LENGTH = (
    "training.steps=96", f"training.report_every={EVERY}", f"training.save_every={EVERY}",
    f"evaluation.every={EVERY}", "evaluation.max_examples=1",
)  # fmt: skip
SPACE = "job: polytropon\nsearcher: random\nfields:\n  training.lr: {loguniform: [0.001, 0.1]}\n"


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    fsspec.register_implementation(PROTOCOL, ShelfFileSystem, clobber=True)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with cluster() as started:
        monkeypatch.setenv(ROOT, str(started.root / "objects"))
        yield started


def published(nodes: Cluster, start: str) -> int:
    """The greatest number among the manifests whose keys begin so."""
    names = [key.removeprefix(start) for key in keys(nodes.root / "objects") if key.startswith(f"{start}manifest-")]
    return max((int(name.split("-")[2]) for name in names), default=0)


def wait_until(condition: Callable[[], bool], process: Run) -> None:
    while process.poll() is None and not condition():
        time.sleep(0.05)
    assert process.poll() is None, process.output.read_text()


def driver(nodes: Cluster, monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> Run:
    """The command line on a machine of its own, whose folder for temporary files no node has."""
    home = nodes.root / name
    home.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(home))
    return Run(*arguments, "--address", nodes.address, *TINY, *LENGTH)


def same(folder: Path, plain: Path) -> None:
    """The run has every byte of the plain training."""
    ours, theirs = outcome(folder), outcome(plain)
    _, metrics, _ = json.loads(ours.pop("result.json"))
    assert metrics == json.loads(theirs.pop("metrics.json"))
    assert ours == theirs


def test_a_training_goes_on_where_its_driver_and_its_node_died(
    nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, plain = f"{PROTOCOL}://bucket/run", tmp_path / "plain"
    plain.mkdir()
    train(plain, *LENGTH)
    first = nodes.add("a")
    run = driver(nodes, monkeypatch, "driver1", "run", "polytropon", "--out", url)
    wait_until(lambda: published(nodes, "bucket/run/parts/training/") >= 2, run)
    run.send(signal.SIGKILL)
    first.kill()
    run.wait()
    steps = published(nodes, "bucket/run/parts/training/")
    nodes.add("b")
    output = finish(driver(nodes, monkeypatch, "driver2", "run", "polytropon", "--out", url))
    assert "Restored" in output and url in output and steps < 96 / EVERY
    fetch(url, tmp_path / "fetched", print)
    same(tmp_path / "fetched", plain)
    progress = (tmp_path / "fetched" / "progress.jsonl").read_text().splitlines()
    seen = [json.loads(line)["step"] for line in progress]
    assert len(seen) <= 96 / EVERY + 2, "it began anew"


@pytest.mark.skipif(not can_hide(), reason="nodes of this user see each other's folders")
def test_a_folder_that_one_node_does_not_see_is_refused_with_that_node(
    nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = nodes.add("a").home / "runs" / "one"
    nodes.add("b")
    for more, message in (((), "polyray: --out"), (("--plan",), "storage    ")):
        output = finish(driver(nodes, monkeypatch, "driver", "run", "polytropon", "--out", str(out), *more), code=2)
        assert message in output and "cannot write there" in output and "or the URL of an object store" in output
        assert "is not there, or is another folder" in output and not out.exists()
        shutil.rmtree(nodes.root / "driver")


def test_a_training_of_two_workers_on_two_nodes_goes_on_where_one_node_died(
    nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes.add("a")
    second = nodes.add("b")
    command = ("run", "polytropon", "workers.n=2", "--out")
    finish(driver(nodes, monkeypatch, "driver1", *command, f"{PROTOCOL}://bucket/undisturbed"))
    url = f"{PROTOCOL}://bucket/run"
    run = driver(nodes, monkeypatch, "driver2", *command, url)
    wait_until(lambda: published(nodes, "bucket/run/parts/training/") >= 2, run)
    second.kill()
    run.send(signal.SIGKILL)
    run.wait()
    steps = published(nodes, "bucket/run/parts/training/")
    nodes.add("c")
    output = finish(driver(nodes, monkeypatch, "driver3", *command, url))
    assert "Restored" in output and steps < 96 / EVERY
    for name in ("undisturbed", "run"):
        fetch(f"{PROTOCOL}://bucket/{name}", tmp_path / name, print)
    ours, theirs = outcome(tmp_path / "run"), outcome(tmp_path / "undisturbed")
    assert ours.keys() == theirs.keys() and ours == theirs
    progress = (tmp_path / "run" / "progress.jsonl").read_text().splitlines()
    assert len(progress) <= 96 / EVERY + 2, "it began anew"


def test_a_sweep_goes_on_where_the_node_of_a_trial_died(
    nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, space = f"{PROTOCOL}://bucket/sweep", tmp_path / "space.yaml"
    space.write_text(SPACE)
    first = nodes.add("a")
    sweep = driver(nodes, monkeypatch, "driver1", "sweep", "polytropon", str(space), "--trials", "2", "--out", url)
    wait_until(lambda: published(nodes, "bucket/sweep/parts/trial-0000/") >= 3, sweep)
    first.kill()
    nodes.add("b")
    finish(sweep)
    fetch(url, tmp_path / "fetched", print)
    rows = read_rows(open_sweep(tmp_path / "fetched"))
    assert [(row.state, row.starts) for row in rows] == [("done", 2), ("done", 1)]
    for row in rows:
        plain = tmp_path / f"plain{row.number}"
        plain.mkdir()
        train(plain, *LENGTH, f"training.lr={row.fields['training.lr']}")
        same(row.folders[0], plain)
