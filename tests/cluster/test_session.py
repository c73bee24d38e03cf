"""A run finds Ray, joins it or starts it, and leaves it as it was."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from polyray.cluster.session import RaySession
from polyray.errors import InputError

LATE = Exception("The current node timed out during startup. This could happen because some of the raylet failed")


class FakeRay:
    """Records how Ray is started; a start takes no time and begins no process.

    starts: the options of every `ray.init`. errors: raised by the next starts, in order. running: whether Ray is there.
    """

    def __init__(self) -> None:
        self.starts: list[dict[str, Any]] = []
        self.errors: list[Exception] = []
        self.running = False

    def init(self, address: str | None = None, **options: Any) -> None:
        self.starts.append({"address": address, **options})
        if address is None:
            log = self.homes[-1] / "session_latest" / "logs" / f"try-{len(self.starts)}.log"
            log.parent.mkdir(parents=True)
            log.touch()
        if self.errors:
            raise self.errors.pop(0)
        self.running = True

    def shutdown(self) -> None:
        self.running = False

    @property
    def homes(self) -> list[Path]:
        """The folders of the clusters that were started."""
        return [Path(options["_temp_dir"]) for options in self.starts if "_temp_dir" in options]


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    fake = FakeRay()
    monkeypatch.setattr(ray, "init", fake.init)
    monkeypatch.setattr(ray, "shutdown", fake.shutdown)
    monkeypatch.setattr(ray, "is_initialized", lambda: fake.running)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    before = dict(os.environ)
    yield fake
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


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


def test_a_cluster_of_its_own_leaves_its_logs_and_nothing_else(fake_ray: FakeRay, tmp_path: Path) -> None:
    with RaySession(None, tmp_path / "logs") as opened:
        opened.start()
        (home,) = fake_ray.homes
        assert home.exists() and os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert not home.exists()
    assert [file.name for file in (tmp_path / "logs").iterdir()] == ["try-1.log"]


def test_a_cluster_that_is_late_is_started_again_elsewhere(fake_ray: FakeRay, tmp_path: Path) -> None:
    fake_ray.errors = [LATE, LATE]
    with RaySession(None, tmp_path) as opened:
        opened.start()
        assert [home.exists() for home in fake_ray.homes] == [False, False, True]
    assert not fake_ray.homes[-1].exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["try-1.log", "try-2.log", "try-3.log"]


@pytest.mark.parametrize("errors", [[LATE, LATE, LATE], [ValueError("no")]])
def test_errors_that_another_try_does_not_mend_are_raised(
    errors: list[Exception], fake_ray: FakeRay, tmp_path: Path
) -> None:
    fake_ray.errors = list(errors)
    opened = RaySession(None, tmp_path)
    with pytest.raises(type(errors[-1]), match=str(errors[-1])):
        opened.start()
    assert len(fake_ray.homes) == len(errors)
    assert not any(home.exists() for home in fake_ray.homes)
