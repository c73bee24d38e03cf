"""Ray without processes, for tests of how a session starts, joins and leaves it."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

LATE = Exception("The current node timed out during startup. This could happen because some of the raylet failed")


class FakeRay:
    """Records how Ray is started; a start takes no time and begins no process.

    starts: the options of every `ray.init`. errors: raised by the next starts, in order. running: whether Ray is there.
    """

    def __init__(self) -> None:
        self.starts: list[dict[str, Any]] = []
        self.errors: list[Exception] = []
        self.running = False

    def init(self, address: str | None = None, **options: Any) -> SimpleNamespace:
        self.starts.append({"address": address, **options})
        if address is None:
            log = self.homes[-1] / "session_latest" / "logs" / f"try-{len(self.starts)}.log"
            log.parent.mkdir(parents=True)
            log.touch()
        if self.errors:
            raise self.errors.pop(0)
        self.running = True
        has_dashboard = address is not None or options["include_dashboard"]
        return SimpleNamespace(dashboard_url="127.0.0.1:8265" if has_dashboard else None)

    def shutdown(self) -> None:
        self.running = False

    @property
    def homes(self) -> list[Path]:
        """Ray's folders of the clusters that were started."""
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
