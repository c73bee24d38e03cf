"""A plan says what does not hold, with a remedy, and writes nothing."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from job_cases import TINY

from polyray import __version__
from polyray.cli.app import main
from polyray.cluster import folder_check, storage_check
from polyray.cluster.folder_check import witness
from polyray.cluster.preflight import checks, planning
from polyray.cluster.preflight.costs import Cost, Files, Seconds
from polyray.cluster.preflight.forecast import Room
from polyray.cluster.preflight.nodes import NodeFacts, look_at
from polyray.cluster.preflight.wording import bytes_text, seconds_text
from polyray.cluster.sweeping.driver import SweepRun
from polyray.errors import InputError
from polyray.runs.workload import Amounts

VERSIONS = {"python": "3.11", "ray": "2.60", "polyray": "1", "torch": "2.13"}
HERE = NodeFacts(name="here", versions=VERSIONS, free=10**9, memory=10**10)
ROOM = Room(now={"CPU": 2.0}, ever={"CPU": 2.0}, nodes=[{"CPU": 2.0}])
COST = Cost(
    first=Seconds(setup=9.0, step=0.0), later=Seconds(setup=1.0, step=0.1), scored_first=1, scored=1, stride=1,
    files=Files(fixed=1e6, report=0.0, line=0.0, checkpoint=0.0), memory=1e9,
    amounts=Amounts(steps=100, reports=0, validations=0, checkpoints=0, scored=1),
)  # fmt: skip


class FakeCluster:
    """Answers for a cluster."""

    def __init__(self) -> None:
        self.room, self.nodes, self.answer = ROOM, [HERE], {**asdict(COST), "inside": 10.0}
        self.measured: list[Any] = []

    @contextlib.contextmanager
    def joined(self, address: str | None) -> Iterator[float]:
        yield 5.0

    def measure(self, work: Any, n_tasks: int) -> tuple[list[dict[str, Any]], float]:
        self.measured += work.configs[:n_tasks]
        return [self.answer] * n_tasks, 12.0


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    fake = FakeCluster()
    monkeypatch.setattr(planning, "_cluster", fake.joined)
    monkeypatch.setattr(planning, "_room", lambda: fake.room)
    monkeypatch.setattr(planning, "facts_of_nodes", lambda out: fake.nodes)
    monkeypatch.setattr(planning, "_measured", fake.measure)
    return fake


def plan_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--plan"])
    assert isinstance(end.value.code, int)
    return end.value.code, capsys.readouterr().out


def test_a_plan_that_holds_says_what_it_costs_and_leaves_no_file(
    cluster: FakeCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "sweep"
    sweep = ("sweep", "polytropon", "dual_speed", "--trials", "200", "--out", str(out), *TINY)
    code, text = plan_of(capsys, *sweep)
    # 5 for Ray, 2 for a worker, 8 more to set up the first trial, 100 pairs of 11 s, 99 gaps of 0.15 s
    assert code == 0 and "200 run(s), 2 at once on 1 node(s)" in text and "time    18 min 50 s" in text, text
    assert "disk    200 MB" in text and "FAIL" not in text and list(tmp_path.iterdir()) == []
    assert len(cluster.measured) == 2 and len({config.training.lr for config in cluster.measured}) == 2
    code, text = plan_of(capsys, *sweep, "--json")
    values = json.loads(text)
    assert values["holds"] and values["forecast"]["disk"] == 200e6 and len(values["checks"]) == 6
    code, text = plan_of(capsys, "run", "polytropon", "--out", str(out), *TINY)
    assert code == 0 and "1 run(s), 1 at once" in text and list(tmp_path.iterdir()) == []
    code, text = plan_of(capsys, "run", "compare", "--out", str(out), *TINY)
    assert code == 0 and "No step of the job compare is measured" in text


def test_all_that_does_not_hold_is_a_line_with_its_remedy(
    cluster: FakeCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = replace(HERE, name="b", versions={**VERSIONS, "torch": "2.12"}, problem="/x: Read-only file system")
    cluster.nodes = [replace(HERE, free=10**8, memory=10**9), other]
    cluster.nodes[1:] = [replace(other, memory=10**9)]
    sweep = ("sweep", "polytropon", "dual_speed", "--trials", "200", "--out", str(tmp_path / "s"), *TINY)
    code, text = plan_of(capsys, *sweep)
    failures = [line.split("  ", 2)[2] for line in text.splitlines() if "FAIL" in line]
    assert code == 2 and len(failures) == 4, text
    assert "b has torch 2.12, not 2.13. Install the versions of this machine there." in failures[0]
    assert "b cannot write there (/x: Read-only file system). Choose an --out on storage" in failures[1]
    assert "200 MB will be written and 100 MB are free. Choose another --out" in failures[2]
    assert "2 trial(s) at once on a node, 1 GB each, of 1 GB: take a smaller model" in failures[3]
    cluster.measured.clear()
    code, text = plan_of(capsys, *sweep, "sweep.gpus=1")
    assert code == 2 and "one trial wants 1 GPU of 0 that the cluster can have: ask for less" in text
    assert cluster.measured == []


def test_first_steps_that_fail_end_with_1_and_too_large_processes_with_2(
    cluster: FakeCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.answer = {"problem": "The loss is nan."}
    code, text = plan_of(capsys, "run", "polytropon", "--out", str(tmp_path / "r"), *TINY)
    assert code == 1 and "FAIL: the first steps: The loss is nan." in text
    two = Room(now={"CPU": 4.0}, ever={"CPU": 4.0}, nodes=[{"CPU": 2.0}, {"CPU": 2.0}])
    assert not checks.check_room({"CPU": 3.0}, {"CPU": 3.0}, two).holds
    assert checks.check_room({"CPU": 3.0}, {"CPU": 1.0}, two).holds
    assert checks.check_room({"CPU": 8.0}, {"CPU": 8.0}, Room(now={}, ever={"CPU": 8.0}, grows=True)).holds
    lost = NodeFacts(name="c", versions={}, unknown="ModuleNotFoundError: No module named 'polyray'")
    assert "c: ModuleNotFoundError" in checks.check_versions([HERE, lost]).text


def test_a_plan_refuses_what_the_run_would_refuse(
    cluster: FakeCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.txt").write_text("x")
    for arguments in (("run", "polytropon"), ("sweep", "polytropon", "dual_speed")):
        code, _ = plan_of(capsys, *arguments, "--out", str(tmp_path), *TINY)
        assert code == 2 and cluster.measured == []
    with pytest.raises(SystemExit) as end:
        main(["sweep", "polytropon", "dual_speed", "--json"])
    assert end.value.code == 2 and "--json goes with --plan" in capsys.readouterr().err


def test_a_submitted_sweep_begins_with_a_short_plan_and_ends_there_where_it_does_not_hold(
    cluster: FakeCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Path] = []
    monkeypatch.setattr(SweepRun, "run", lambda self: begun.append(self.sweep.path))
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"metadata": {"polyray": __version__}}))
    sweep = ["sweep", "polytropon", "dual_speed", "--trials", "4", "--out", str(tmp_path / "s"), *TINY]
    with pytest.raises(SystemExit) as end:
        main(sweep)
    assert end.value.code == 0 and begun == [tmp_path / "s"]
    text = capsys.readouterr().out
    assert text.startswith("Plan: 4 trial(s) of polytropon over dual_speed") and "4 MB of disk" in text, text
    cluster.answer = {"problem": "The loss is nan."}
    with pytest.raises(SystemExit) as end:
        main(sweep)
    assert end.value.code == 1 and capsys.readouterr().out == "Plan: the first steps: The loss is nan.\n"
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR")
    with pytest.raises(SystemExit) as end:
        main(sweep)
    assert end.value.code == 0 and len(begun) == 2 and capsys.readouterr().out == ""


def test_a_url_is_tried_instead_of_a_folder(
    cluster: FakeCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(storage_check, "check_storage", asked.append)
    url = (tmp_path / "store").as_uri()
    code, text = plan_of(capsys, "run", "polytropon", "--out", url, *TINY)
    assert code == 0 and asked == [url] and f"{url} can be read and written by every node" in text, text

    def refuse(url: str) -> None:
        raise InputError(f"--out {url}: the node b reads another storage of that name.")

    monkeypatch.setattr(storage_check, "check_storage", refuse)
    code, text = plan_of(capsys, "run", "polytropon", "--out", url, *TINY)
    assert code == 2 and "storage    --out file://" in text and "the node b reads another storage" in text
    assert list(tmp_path.rglob("*")) in ([], [tmp_path / "store"])


def test_a_node_looks_at_the_nearest_folder_that_is_there(tmp_path: Path) -> None:
    with witness(tmp_path / "a" / "b") as file:
        assert Path(file).parent == tmp_path
        facts = NodeFacts(**look_at(str(tmp_path), file))
        other = NodeFacts(**look_at(str(tmp_path / "mount"), str(tmp_path / "mount" / "file")))
    assert not facts.problem and facts.free > 0 and facts.memory > 2**28 and set(facts.versions) == set(VERSIONS)
    assert other.problem.startswith(f"{tmp_path}/mount of the driver's machine is not there") and other.free > 0
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with witness(tmp_path / "file") as file:
        assert file == ""
    assert "Not a directory" in NodeFacts(**look_at(str(tmp_path / "file"), "")).problem


def test_a_run_is_refused_where_a_node_cannot_write_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"NodeID": name, "NodeManagerAddress": f"{name}.local", "Alive": name != "gone"} for name in "abc"]
    monkeypatch.setattr(ray, "nodes", lambda: [*nodes, {**nodes[0], "NodeID": "gone", "Alive": False}])
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "a"))
    asked: list[str] = []

    def answers(work: Callable[[str, str], str], arguments: Mapping[str, tuple[str, str]], *_: float, **__: int) -> Any:
        asked.extend(arguments)
        return {
            node: work(folder, file if node == "b" else f"{file}-other") for node, (folder, file) in arguments.items()
        }

    monkeypatch.setattr(folder_check, "ask_nodes", answers)
    refused = "the node c.local cannot write there .*another folder.*Choose an --out on storage that all nodes share"
    with pytest.raises(InputError, match=refused):
        folder_check.check_folder(tmp_path / "runs" / "one")
    assert asked == ["b", "c"] and list(tmp_path.iterdir()) == []
    nodes[2:] = []
    folder_check.check_folder(tmp_path / "runs" / "one")


def test_sizes_and_times_have_few_digits() -> None:
    sizes = [bytes_text(size) for size in (0, 999, 1_000, 1_234_567, 9.99e14)]
    assert sizes == ["0 B", "999 B", "1 kB", "1.23 MB", "999 TB"]
    times = [seconds_text(seconds) for seconds in (0.1234, 59.94, 61, 3_600, 200_000)]
    assert times == ["0.123 s", "59.9 s", "1 min 1 s", "1 h 0 min", "2 d 7 h"]
