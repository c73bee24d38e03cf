"""Independent pieces of work as Ray tasks, their results in the order in which they are done."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from polyray.runs.store.working import without_checkpoints

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


def no_folders(piece: object) -> Sequence[Path]:
    """Pieces that read nothing of the run folder."""
    return ()


def run_pieces(
    work: Callable[[APiece], dict[str, Any]],
    pieces: Sequence[APiece],
    run: Run,
    *,
    gpus: float = 0,
    reads: Callable[[APiece], Sequence[Path]] = no_folders,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Do the pieces of a run as `run_tasks` does; behind a URL, where nodes share no disk, files travel with them.

    There the folders that a piece reads go along with it, and the files that it writes, but for its checkpoints, come
    with its result.

    Args:
        reads: called with a piece, gives the folders below its own that it reads; once it is moved it looks for them
            below the new one.

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
    contents: dict[Path, Any] = {}
    for folder, out in {folder: piece.out for piece in pieces for folder in reads(piece)}.items():
        contents[folder] = ray.put(_content(folder, out))  # once, however many pieces read it
    parcels = [_Parcel(piece=piece, contents=tuple(contents[x] for x in reads(piece))) for piece in pieces]
    for index, outcome in run_tasks(partial(_apart, work), parcels, gpus=gpus, stop=stop):
        for path, content in outcome["files"].items():
            file = pieces[index].out / path
            make_folders(file.parent)
            write_file(file, content)
        run.publish()
        yield index, outcome["outcome"]


@dataclass(frozen=True, kw_only=True)
class _Parcel:
    """A piece of work, and references to the files that it reads: {path below its folder: content}."""

    piece: Any
    contents: tuple[Any, ...]


def _content(folder: Path, out: Path) -> dict[str, bytes]:
    """The files of a folder by their paths below the folder `out`, in which it is."""
    tree = Tree(folder=folder)
    return {str((folder / path).relative_to(out)): (folder / path).read_bytes() for path in tree.paths()}


def _apart(work: Callable[[Any], dict[str, Any]], parcel: _Parcel) -> dict[str, Any]:
    """Do a piece in a folder of its own: its outcome, and the files that it wrote."""
    with tempfile.TemporaryDirectory() as home:
        brought = {path: content for part in parcel.contents for path, content in ray.get(part).items()}
        for path, content in brought.items():
            make_folders(Path(home, path).parent)
            write_file(Path(home, path), content)
        outcome = work(parcel.piece.moved(Path(home)))
        paths = [x for x in Tree(folder=Path(home), covers=without_checkpoints).paths() if x not in brought]
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
