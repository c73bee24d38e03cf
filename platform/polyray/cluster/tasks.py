"""Independent pieces of work as Ray tasks, their results in the order in which they are done."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import ray
import torch
from ray.exceptions import RayError

from polyray.errors import InputError, Interrupted, RunError
from polyray.files import make_folders, write_file
from polyray.runs.run import Run
from polyray.runs.store.tree import Tree

LOOK = 1.0  # seconds between two looks whether to stop
Piece = TypeVar("Piece")
APiece = TypeVar("APiece", bound="Movable")


def run_tasks(
    work: Callable[[Piece], dict[str, Any]],
    pieces: Sequence[Piece],
    *,
    cpus: float = 1,
    gpus: float = 0,
    inside: bool = False,
    stop: Callable[[], bool] = bool,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Run `work` on every piece in parallel and yield (index, result) as each is done.

    A piece whose worker dies is done again, up to three times.

    Args:
        cpus: cores of one piece.
        gpus: GPUs of one piece, or a share of one.
        inside: do them in this process, one after another: see `polyray.runs.run.Cluster`.
        stop: asked every second; when it answers yes, pieces that are not done are given up. Never yes unless given.

    Raises:
        Interrupted: `stop` answered yes.
        InputError: the work refused the user's input.
        RunError: the work failed; the message includes the worker's.
    """
    if inside:
        yield from _one_by_one(work, pieces, stop)
        return
    remote: Any = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=3)(_enter)
    waiting = {remote.remote(work, piece, os.getcwd()): index for index, piece in enumerate(pieces)}
    try:
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=LOOK)
            if stop():
                raise _stopped(len(waiting), len(pieces))
            if not ready:
                continue
            (done,) = ready
            index = waiting.pop(done)
            outcome = _outcome(done)
            if "input_error" in outcome:
                raise InputError(outcome["input_error"])
            yield index, outcome
    finally:
        for reference in waiting:  # nobody waits for these any more
            ray.cancel(reference)


class Movable(Protocol):
    """A piece of work whose files go below the folder `out`."""

    @property
    def out(self) -> Path:
        """The folder."""

    def moved(self, out: Path) -> Self:
        """The piece with another folder."""


def run_pieces(
    work: Callable[[APiece], dict[str, Any]], pieces: Sequence[APiece], run: Run, *, gpus: float = 0
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Do the pieces of a run as `run_tasks` does; behind a URL, where nodes share no disk, files come with results.

    Raises:
        Interrupted, InputError, RunError: as there.
        StorageError: the storage refused.
    """
    inside = run.cluster.inside

    def stop() -> bool:
        return run.stop_requested

    if run.store is None or inside:
        yield from run_tasks(work, pieces, gpus=gpus, inside=inside, stop=stop)
        return
    for index, outcome in run_tasks(partial(_apart, work), pieces, gpus=gpus, stop=stop):
        for path, content in outcome["files"].items():
            file = pieces[index].out / path
            make_folders(file.parent)
            write_file(file, content)
        run.publish()
        yield index, outcome["outcome"]


def _apart(work: Callable[[APiece], dict[str, Any]], piece: APiece) -> dict[str, Any]:
    """Do a piece in a folder of its own: its outcome, and the files that it wrote."""
    with tempfile.TemporaryDirectory() as home:
        outcome = work(piece.moved(Path(home)))
        paths = Tree(folder=Path(home)).paths()
        return {"outcome": outcome, "files": {path: Path(home, path).read_bytes() for path in paths}}


def _one_by_one(
    work: Callable[[Piece], dict[str, Any]], pieces: Sequence[Piece], stop: Callable[[], bool]
) -> Iterator[tuple[int, dict[str, Any]]]:
    torch.set_num_threads(1)
    for index, piece in enumerate(pieces):
        if stop():
            raise _stopped(len(pieces) - index, len(pieces))
        yield index, work(piece)


def _stopped(n_left: int, n_pieces: int) -> Interrupted:
    return Interrupted(f"Stopped with {n_left} of {n_pieces} pieces of work left, as asked.")


def _outcome(reference: Any) -> dict[str, Any]:
    try:
        outcome: dict[str, Any] = ray.get(reference)
    except RayError as error:
        raise RunError(f"A task failed: {error}") from error
    return outcome


def _enter(work: Callable[[Piece], dict[str, Any]], piece: Piece, folder: str) -> dict[str, Any]:
    """Run the piece in the driver's folder; Ray would wrap an InputError in an error of its own, so it is returned."""
    torch.set_num_threads(1)
    enter_folder(folder)
    try:
        return work(piece)
    except InputError as error:
        return {"input_error": str(error)}


def enter_folder(folder: str) -> None:
    """Enter the driver's working folder, so that its relative paths hold, if this machine has that folder."""
    if os.path.isdir(folder):
        os.chdir(folder)
