"""Storage of a sweep's files: a folder that all processes share, or one behind a URL, where a trial is a part."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Protocol

from polyray.errors import StorageError
from polyray.files import write_file
from polyray.reports.sweep.display import Rhythm
from polyray.runs.run import STOP
from polyray.runs.store.following import is_light
from polyray.runs.store.part import MESSAGE
from polyray.runs.store.transfers import at_once
from polyray.runs.store.working import WorkingCopy, quiet, working_copy
from polyray.sweeps.folder import BASE, RUNS, SweepFolder

STOP_MESSAGE = "stop"
LOOK, SHARE = 5.0, 0.2  # seconds between two looks at the trials that run, and share of the time for them, at most
PATIENCE = 90.0  # seconds to wait for the trial's process before, which may still be dying


def is_ours(path: str) -> bool:
    """Whether the driver publishes a file, and no trial."""
    return not path.startswith(f"{RUNS}/")


class Storage(Protocol):
    """The driver's side of the storage of a sweep's files."""

    def publish(self) -> None:
        """Publish the driver's own files.

        Raises:
            StorageError: the storage refused.
        """

    def look(self, number: int) -> None:
        """Bring what a trial has published.

        Raises:
            StorageError: the storage refused.
        """

    def refresh(self, numbers: Iterable[int]) -> None:
        """Bring what these trials have published, now and then."""

    def editing(self, number: int) -> AbstractContextManager[None]:
        """Let this process write the files of a trial within the block."""

    def ask_to_stop(self, number: int) -> None:
        """Ask a trial to save a checkpoint and end."""


class SharedFolder:
    """A folder that all processes share."""

    def __init__(self, sweep: SweepFolder) -> None:
        self._sweep = sweep

    def publish(self) -> None:
        """Do nothing."""

    def look(self, number: int) -> None:
        """Do nothing."""

    def refresh(self, numbers: Iterable[int]) -> None:
        """Do nothing."""

    def editing(self, number: int) -> AbstractContextManager[None]:
        """A block."""
        return nullcontext()

    def ask_to_stop(self, number: int) -> None:
        """Touch the stop files of a trial's runs."""
        _touch(self._sweep, number)


class RemoteStorage:
    """A working copy of the driver's, into which the light files of the trials are brought.

    Tune asks in a thread of its own, so each method is one at a time.
    """

    def __init__(self, sweep: SweepFolder, store: WorkingCopy) -> None:
        self._sweep, self._store = sweep, store
        self._lock = threading.RLock()
        self._looks, self._stops = Rhythm(LOOK, SHARE), dict[int, Rhythm]()

    def publish(self) -> None:
        """Publish the driver's own files.

        Raises:
            StorageError: the storage refused.
        """
        with self._lock:
            self._store.publish()

    def look(self, number: int) -> None:
        """Bring what a trial has published.

        Raises:
            StorageError: the storage refused.
        """
        with self._lock:
            self._store.bring(part_name(number), is_light)

    def refresh(self, numbers: Iterable[int]) -> None:
        """Bring what these trials have published, every few seconds; what the storage refuses comes next time."""

        def bring(number: int) -> None:
            try:
                self._store.bring(part_name(number), is_light)
            except StorageError:
                return

        if self._looks.due():
            with self._lock:
                self._looks.run(lambda: at_once(bring, list(numbers)))

    @contextmanager
    def editing(self, number: int) -> Iterator[None]:
        """Publish what is written of a trial's files within the block, as their writer.

        Raises:
            FolderInUseError: the trial's process lives.
            StorageError: the storage refused.
        """
        with self._lock, _trial_copy(self._sweep, number) as copy:
            self.look(number)
            yield
            for path in self._sweep.path.glob(f"{RUNS}/{number:04d}.json"):
                write_file(copy.folder / RUNS / path.name, path.read_bytes())
            copy.publish()

    def ask_to_stop(self, number: int) -> None:
        """Leave a message for a trial's process, every few seconds: one that just begins removes those of before."""
        rhythm = self._stops.setdefault(number, Rhythm(LOOK, SHARE))
        if rhythm.due():
            rhythm.run(lambda: self._store.child(part_name(number)).post(STOP_MESSAGE, ""))


def part_name(number: int) -> str:
    """Name of the part that holds the files of a trial, with all its repeats and its verdict."""
    return f"trial-{number:04d}"


@contextmanager
def trial_storage(sweep: SweepFolder, number: int) -> Iterator[tuple[SweepFolder, WorkingCopy | None]]:
    """The sweep as the process of a trial sees it, and what it publishes of it; None: the folder is shared.

    Raises:
        InputError: the storage cannot be reached, or another process goes on with the trial.
        StorageError: the storage refused.
    """
    if not sweep.url:
        yield sweep, None
        return
    with _trial_copy(sweep, number) as copy:
        mine = replace(sweep, path=copy.folder)
        if sweep.base:
            write_file(copy.folder / BASE, sweep.base)
        copy.look = _stopper(mine, number)
        try:
            yield mine, copy
        finally:
            copy.publish()


def _trial_copy(sweep: SweepFolder, number: int) -> AbstractContextManager[WorkingCopy]:
    return working_copy(
        sweep.url, quiet, part_name(number), lambda path: path.startswith(f"{RUNS}/"), wait=PATIENCE
    )  # fmt: skip


def _stopper(sweep: SweepFolder, number: int) -> Callable[[list[str]], object]:
    """Called with the names of what is at the part: lets the trial stop where the driver asks for it."""

    def look(names: list[str]) -> None:
        if MESSAGE + STOP_MESSAGE in names:
            (sweep.path / STOP).touch()
            _touch(sweep, number)

    return look


def _touch(sweep: SweepFolder, number: int) -> None:
    for folder in sweep.folders(number):
        if folder.is_dir():
            (folder / STOP).touch()
