"""On a disk that loses, tears and reorders what was not synced, nothing is lost that was acknowledged."""

from collections.abc import Callable
from pathlib import Path

import pytest
from simulated_disk import SimulatedDisk
from simulated_runs import wrong_with

from polyray.files.disk import Point

Record = Callable[[str, object], None]


def check(record: Record, seeds: range) -> None:
    """No seed goes wrong; the figures are those of docs/reliability.md."""
    wrong = [problem for seed in seeds for problem in wrong_with(seed)]
    record("seeds of the simulated disk", len(seeds))
    record("seeds that went wrong", len({problem.partition(":")[0] for problem in wrong}))
    assert not wrong, "\n".join(wrong[:20])


def test_what_was_acknowledged_is_never_lost_with_100_seeds(record_property: Record) -> None:
    check(record_property, range(100))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_was_acknowledged_is_never_lost_with_2000_seeds(record_property: Record) -> None:
    check(record_property, range(2000))


def test_the_simulation_notices_where_a_sync_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for point in (Point.CONTENT_SYNCED, Point.FOLDER_SYNCED, Point.NAME_SYNCED, Point.FILE_SYNCED):
        sync = SimulatedDisk.sync

        def lazy(self: SimulatedDisk, at: Point, path: Path, left_out: Point = point) -> None:
            if at is not left_out:
                sync(self, at, path)  # noqa: B023  # patched within the turn of the loop

        with monkeypatch.context() as patch:
            patch.setattr(SimulatedDisk, "sync", lazy)
            assert any(wrong_with(seed) for seed in range(60)), point
