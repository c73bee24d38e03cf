"""A run finds Ray, joins it or starts it, and leaves it as it was."""

import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from fake_ray import FakeRay, fake_ray

from polyray.cluster.session import RaySession
from polyray.errors import InputError, Interrupted

pytestmark = pytest.mark.usefixtures("usual_signals")

__all__ = ["fake_ray"]  # a fixture


def test_nothing_is_started_before_it_is_needed_and_only_once(fake_ray: FakeRay, tmp_path: Path) -> None:
    with RaySession(None, tmp_path) as opened:
        assert fake_ray.starts == []
        opened.start()
        opened.start()
        assert len(fake_ray.starts) == 1
    assert not ray.is_initialized()
    opened.close()  # again: nothing happens


def test_a_ray_that_is_there_is_used_and_left_running(
    fake_ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.9:6379")
    fake_ray.running = True
    with RaySession("10.0.0.1:6379", tmp_path) as opened:
        opened.start()
    assert fake_ray.starts == [] and fake_ray.running
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "environment", "joined"),
    [("one:1", None, "one:1"), ("one:1", "two:2", "one:1"), (None, "two:2", "two:2")],
)
def test_a_named_address_is_joined_else_that_of_the_environment_and_left_alone(
    address: str | None,
    environment: str | None,
    joined: str,
    fake_ray: FakeRay,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if environment is not None:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    with RaySession(address, tmp_path) as opened:
        opened.start()
        (options,) = fake_ray.starts
        assert options["address"] == joined and "_temp_dir" not in options
        assert options["runtime_env"]["env_vars"]["OMP_NUM_THREADS"] == "1"
    assert not fake_ray.running and list(tmp_path.iterdir()) == []


def test_what_a_user_set_for_a_submitted_job_is_not_set_again(
    fake_ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = {"runtime_env": {"env_vars": {"OMP_NUM_THREADS": "4", "MINE": "x"}}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(submitted))
    monkeypatch.setenv("RAY_ADDRESS", "one:1")
    with RaySession(None, tmp_path) as opened:
        opened.start()
    variables = fake_ray.starts[0]["runtime_env"]["env_vars"]
    assert "OMP_NUM_THREADS" not in variables and variables["MKL_NUM_THREADS"] == "1"


@pytest.mark.parametrize("auth", [None, "token"])
def test_an_address_where_no_cluster_answers_is_the_users_mistake(
    auth: str | None, fake_ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    if auth is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", auth)
    fake_ray.errors = [ConnectionError("nobody is there\nsecond line")]
    with (
        pytest.raises(InputError, match="answers at 'one:1': nobody is there") as caught,
        RaySession("one:1", tmp_path),
    ):
        RaySession("one:1", tmp_path).start()
    assert ("RAY_AUTH_MODE=token" in str(caught.value)) == (auth is None)
    assert "second line" not in str(caught.value)


def test_a_stop_that_was_asked_for_before_or_while_ray_starts_needs_no_training(
    fake_ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_file, start = tmp_path / "stop", fake_ray.init

    def start_and_stop(*arguments: Any, **options: Any) -> SimpleNamespace:
        stop_file.touch()
        return start(*arguments, **options)

    monkeypatch.setattr(ray, "init", start_and_stop)
    for n_starts in (1, 1):
        with pytest.raises(Interrupted), RaySession(None, tmp_path / "logs", stop_file) as opened:
            opened.start()
        assert len(fake_ray.starts) == n_starts and not fake_ray.running


def test_sigterm_does_what_it_did_and_ends_a_start_as_an_interruption(
    fake_ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rays_handler(number: int, frame: object) -> None:
        sys.exit(number)

    start, before = fake_ray.init, signal.getsignal(signal.SIGTERM)
    kills = [False, True]

    def start_and_take_the_signal(*arguments: Any, **options: Any) -> SimpleNamespace:
        signal.signal(signal.SIGTERM, rays_handler)
        context = start(*arguments, **options)
        if kills.pop(0):
            os.kill(os.getpid(), signal.SIGTERM)
        return context

    monkeypatch.setattr(ray, "init", start_and_take_the_signal)
    with RaySession(None, tmp_path) as opened:
        opened.start()
        assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(Interrupted) as caught, RaySession(None, tmp_path) as opened:
        opened.start()
    assert caught.value.exit_code == 143 and signal.getsignal(signal.SIGTERM) is before
    assert not fake_ray.running and not fake_ray.homes[-1].exists()


def test_the_dashboards_address_is_announced_and_a_local_one_starts_on_loopback_when_asked_for(
    fake_ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced: list[str] = []
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    for address, asked in ((None, False), (None, True), ("one:1", False)):
        with RaySession(address, tmp_path, dashboard=asked, announce=announced.append) as opened:
            opened.start()
    note = "Ray's dashboard: http://127.0.0.1:8265; it asks for the token that `ray get-auth-token` prints."
    assert announced == [note, note]
    local = [options for options in fake_ray.starts if options["address"] is None]
    assert [options["include_dashboard"] for options in local] == [False, True]
    assert {options["dashboard_host"] for options in local} == {"127.0.0.1"}


def test_a_dashboard_whose_packages_are_absent_is_refused_before_ray_starts(
    fake_ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "ray.dashboard.optional_deps", raising=False)
    monkeypatch.setitem(sys.modules, "aiohttp_cors", None)
    with pytest.raises(InputError, match=r"aiohttp_cors.*'ray\[default\]'") as caught:
        RaySession(None, tmp_path, dashboard=True).start()
    assert "--dashboard" in str(caught.value) and fake_ray.starts == []
