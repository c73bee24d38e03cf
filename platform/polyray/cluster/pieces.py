"""Whole runs as pieces of work: each is an ordinary run of a job in a folder of its own, inside one process."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from rich.console import Console

from polyray.cluster.inside import OwnProcess
from polyray.cluster.launch import run_in
from polyray.runs.folder import RunFolder
from polyray.runs.job import Job


@dataclass(frozen=True, kw_only=True)
class RunPiece:
    """A run that one process does; its folder is on a disk that all processes share."""

    folder: RunFolder
    job: Job

    @property
    def out(self) -> Path:
        """The run folder."""
        return self.folder.path

    def moved(self, out: Path) -> Self:
        """The run in another folder."""
        return replace(self, folder=replace(self.folder, path=out))


def do_run(piece: RunPiece) -> dict[str, Any]:
    """Begin the run or go on with it, to its end: its metrics.

    Raises:
        InputError, RunError, Interrupted: see `polyray.cluster.launch.run_job`.
    """
    result = run_in(piece.folder, piece.job, Console(quiet=True), cluster=OwnProcess())
    return dict(result.metrics)
