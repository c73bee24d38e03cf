"""A cluster of our own starts, if need be at the second or third try, and leaves nothing behind."""

from pathlib import Path
from typing import Any

import pytest
import ray

from polyray.cluster import session
from polyray.cluster.session import ray_session

LATE = Exception("The current node timed out during startup. This could happen because some of the raylet failed")


@pytest.fixture
def homes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders in which Ray was told to start; it starts at once and nothing runs in them."""
    found: list[Path] = []

    def init(_temp_dir: str, **_: Any) -> None:
        found.append(Path(_temp_dir))
        log = found[-1] / "session_latest" / "logs" / f"try-{len(found)}.log"
        log.parent.mkdir(parents=True)
        log.touch()

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    for name in (*session.ENVIRONMENT, "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "RAY_worker_maximum_startup_concurrency"):
        monkeypatch.setenv(name, "")
    return found


def _failing(monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> None:
    start = ray.init

    def init(**options: Any) -> None:
        start(**options)
        if errors:
            raise errors.pop(0)

    monkeypatch.setattr(ray, "init", init)


def test_a_cluster_that_is_late_is_started_again_elsewhere(
    homes: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _failing(monkeypatch, [LATE, LATE])
    with ray_session(None, tmp_path):
        assert [home.exists() for home in homes] == [False, False, True]
    assert not homes[-1].exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["try-1.log", "try-2.log", "try-3.log"]


@pytest.mark.parametrize("errors", [[LATE, LATE, LATE], [ValueError("no")]])
def test_what_does_not_help_is_not_tried(
    errors: list[Exception], homes: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wanted, tries = errors[-1], len(errors)
    _failing(monkeypatch, errors)
    with pytest.raises(type(wanted), match=str(wanted)), ray_session(None, tmp_path):
        pytest.fail("the block must not run")
    assert len(homes) == tries
    assert not any(home.exists() for home in homes)
