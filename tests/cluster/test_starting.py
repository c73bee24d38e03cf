"""A cluster of a run's own: a private folder, limits seen before it starts, patience where the machine is busy."""

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from fake_ray import LATE, FakeRay, fake_ray
from fork_cases import in_child

from polyray.cluster import home, starting
from polyray.cluster.detached import children_detached
from polyray.cluster.home import SOCKET, copy_logs, private_home, temporary_folder
from polyray.cluster.session import RaySession
from polyray.errors import InputError, RunError
from polyray.runs.private_folder import LOCK, remove_leftovers

pytestmark = pytest.mark.usefixtures("usual_signals")

__all__ = ["fake_ray"]  # a fixture
CHILD = "import os, signal; print(os.getpgrp() == os.getpid(), signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))


def test_a_cluster_of_its_own_leaves_its_logs_and_nothing_else(fake_ray: FakeRay, tmp_path: Path) -> None:
    with RaySession(None, tmp_path / "logs") as opened:
        opened.start()
        (folder,) = fake_ray.homes
        assert folder.exists() and os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700  # Ray makes its own folder 0777
    assert not folder.parent.exists()
    assert [file.name for file in (tmp_path / "logs").iterdir()] == ["try-1.log"]


def test_folders_that_killed_processes_have_left_are_removed_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "temporary_folder", lambda: tmp_path)

    def be_killed() -> None:
        with private_home() as folder:
            (folder / "session_1").mkdir()
            os.kill(os.getpid(), signal.SIGKILL)

    assert os.waitpid(in_child(be_killed), 0)[1] == signal.SIGKILL
    (remains,) = tmp_path.iterdir()
    (tmp_path / "polyray-test-1").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / LOCK).touch()
    (tmp_path / "polyray-link").symlink_to(tmp_path / "linked")
    others = {"polyray-test-1", "linked", "polyray-link"}  # made by something else, or led to by a link
    with private_home() as first:
        assert not remains.exists()
        with private_home() as second:  # the first is in use
            assert {path.name for path in tmp_path.iterdir()} == {first.parent.name, second.parent.name, *others}
    assert {path.name for path in tmp_path.iterdir()} == others and (tmp_path / "linked" / LOCK).exists()


def test_remains_of_another_user_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remains = tmp_path / "polyray-1"
    remains.mkdir()
    (remains / LOCK).touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: -1)
        remove_leftovers("polyray-", tmp_path)
        assert remains.exists()
    remove_leftovers("polyray-", tmp_path)
    assert not remains.exists()


def test_a_cluster_that_is_late_is_started_again_elsewhere(fake_ray: FakeRay, tmp_path: Path, idle: None) -> None:
    fake_ray.errors = [LATE, LATE]
    with RaySession(None, tmp_path) as opened:
        opened.start()
        assert [folder.exists() for folder in fake_ray.homes] == [False, False, True]
    assert not fake_ray.homes[-1].exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["try-1.log", "try-2.log", "try-3.log"]


def test_late_starts_do_not_count_while_the_machine_is_busy(
    fake_ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    loads = iter([20.0, 20.0, 20.0, 9.0, 2.1, 0.0, 0.0])
    monkeypatch.setattr(os, "getloadavg", lambda: (next(loads), 0.0, 0.0))
    fake_ray.errors = [LATE, Exception("Failed to connect to GCS")] * 3 + [LATE]
    with RaySession(None, tmp_path) as opened:
        opened.start()
    assert len(fake_ray.starts) == 8 and next(loads, None) is None


@pytest.mark.parametrize(
    ("errors", "raised", "message"),
    [([LATE, LATE, LATE], RunError, "late in 3 tries; the load is 0.0"), ([ValueError("no")], ValueError, "no")],
)
def test_errors_that_another_try_does_not_mend_are_raised(
    errors: list[Exception], raised: type[Exception], message: str, fake_ray: FakeRay, tmp_path: Path, idle: None
) -> None:
    fake_ray.errors = list(errors)
    opened = RaySession(None, tmp_path)
    with pytest.raises(raised, match=message):
        opened.start()
    assert len(fake_ray.homes) == len(errors)
    assert not any(folder.exists() for folder in fake_ray.homes)


def test_too_few_open_files_are_refused_before_anything_starts(
    fake_ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"hard": 64}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (64, limits["hard"]))
    with pytest.raises(InputError, match=r"64 open files here \(ulimit -Hn\).*at least 256"):
        RaySession(None, tmp_path).start()
    assert fake_ray.starts == [] and list(tmp_path.iterdir()) == []
    for limits["hard"] in (starting.OPEN_FILES, resource.RLIM_INFINITY):
        starting.check_open_files()


def test_a_long_path_of_temporary_files_is_left_for_a_short_one(
    fake_ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    with RaySession(None, tmp_path / "logs") as opened:
        opened.start()
        (folder,) = fake_ray.homes
        socket = folder / "session_2026-01-01_00-00-00_000000_1234567" / "sockets" / "plasma_store"
        assert len(str(socket)) <= SOCKET and not folder.is_relative_to(long)
    assert list(long.iterdir()) == []


def test_the_first_of_rays_and_the_users_folders_that_is_short_and_there_is_taken(tmp_path: Path) -> None:
    assert temporary_folder({"TMPDIR": "/var/tmp"}) == Path("/var/tmp")
    assert temporary_folder({"TMPDIR": "/var/tmp", "RAY_TMPDIR": "/dev/shm"}) == Path("/dev/shm")
    assert temporary_folder({"TMPDIR": "/nowhere"}) == temporary_folder({}) == Path("/tmp")


def test_where_no_short_folder_can_be_written_to_the_message_names_tmpdir(
    fake_ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "SPARE", ("/nowhere",))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/tmp/" + "x" * 80)
    with pytest.raises(InputError, match="at most 24 bytes.*TMPDIR is '/tmp/xxx.*Set TMPDIR to such a folder"):
        RaySession(None, tmp_path).start()
    assert fake_ray.starts == []


def test_links_among_logs_are_copied_as_links(tmp_path: Path) -> None:
    secret, source, target = tmp_path / "secret", tmp_path / "logs", tmp_path / "copy"
    secret.mkdir()
    (secret / "key").write_text("secret")
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "raylet.out").write_text("line")
    links = {"file": secret / "key", "folder": secret, "dangling": tmp_path / "nothing"}
    for name, goal in links.items():
        (source / name).symlink_to(goal)
    os.mkfifo(source / "pipe")
    for _ in range(2):  # the second time over the copies of an earlier start
        copy_logs(source, target)
        assert {path.name: path.readlink() for path in target.iterdir() if path.is_symlink()} == links
        assert (target / "deep" / "raylet.out").read_text() == "line" and not (target / "pipe").exists()
    (target / "deep" / "raylet.out").unlink()
    (target / "deep" / "raylet.out").symlink_to(secret / "key")  # where a file is copied to
    copy_logs(source, target)
    assert (secret / "key").read_text() == "secret" and (target / "deep" / "raylet.out").read_text() == "line"


def test_rays_processes_lead_groups_of_their_own_and_ignore_a_closed_terminal(
    fake_ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*arguments: Any, **options: Any) -> SimpleNamespace:
        outputs.append(child())
        return SimpleNamespace(dashboard_url=None)

    def child() -> str:
        return subprocess.run(
            [sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True, check=True, preexec_fn=lambda: None
        ).stdout  # as Ray starts its processes

    outputs = [child()]
    monkeypatch.setattr(ray, "init", start)
    with RaySession(None, tmp_path) as opened:
        opened.start()
        outputs.append(child())
    with children_detached():
        outputs.append(child())
    assert outputs == ["False False\n", "True True\n", "False False\n", "True True\n"]
