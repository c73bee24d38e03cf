"""Hooks of a run are told what its workers report from other processes, each step once, in order."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyray.cluster.reported import ReportedLines
from polyray.runs.metrics import METRICS
from polyray.runs.run import Run


def report(out: Path, *steps: int) -> None:
    """Report these steps as a worker does."""
    worker = Run(out)
    for step in steps:
        worker.report(step, {"loss": 1.0 / step})


def test_what_workers_report_is_told_once_however_often_they_begin_again(tmp_path: Path) -> None:
    steps: list[int] = []

    def hook(line: Mapping[str, Any]) -> None:
        steps.append(line["step"])

    run = Run(tmp_path, hooks=[hook])
    first = ReportedLines(run)
    first.tell()
    report(tmp_path, 2, 4)
    first.tell()
    first.tell()
    assert steps == [2, 4]
    run.checkpoint(4, lambda folder: (folder / "state").touch())
    report(tmp_path, 6)
    steps.clear()

    second = ReportedLines(run)  # another start: step 6 lies behind the checkpoint
    second.tell()
    assert steps == []
    Run(tmp_path).restored()  # the workers go on from step 4
    second.tell()
    report(tmp_path, 6, 8)
    second.tell()
    Run(tmp_path).restored()  # a worker died, and the group began again
    report(tmp_path, 6, 8, 10)
    second.tell()
    assert steps == [6, 8, 10] and len((tmp_path / METRICS).read_text().splitlines()) == 5
