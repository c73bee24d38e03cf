"""The working copy of a run or sweep whose folder is behind a URL.

A run's files are published in parts, each by the one process that writes them: the driver, the first worker of a
training, the process of a trial. A part's objects and manifests are at URL/parts/NAME, those of the driver at URL.
Every state of a run's folder is one that a killed process could have left, and so is every published one: whoever
restores it goes on exactly.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from polyray.errors import InputError, StorageError
from polyray.runs.locking import FolderInUseError
from polyray.runs.store.lease import Timing
from polyray.runs.store.part import Part, everything
from polyray.runs.store.remote import Remote, open_remote
from polyray.runs.store.scratch import scratch
from polyray.runs.store.transfers import at_once

log = logging.getLogger(__name__)

PARTS = "parts"
AGAIN = 2.0  # seconds between two tries to become the writer
Covers = Callable[[str], bool]
Announce = Callable[[str], object]


def without_checkpoints(path: str) -> bool:
    """Whether a file is in no checkpoint, so that reports and results may need it."""
    return "checkpoints" not in PurePosixPath(path).parts


class WorkingCopy:
    """The folder of a run on this machine, and what this process publishes of it.

    Attributes:
        url: of the whole run.
        name: of the part that this process writes; empty: the driver's.
        folder: the copy, with the same paths for all parts.
        part: what this process writes.
        look: called every few seconds in a thread, with the names of what is at the part's remote folder.
    """

    def __init__(
        self, url: str, name: str, folder: Path, covers: Covers = everything, announce: Announce = print,
        timing: Timing | None = None,
    ) -> None:  # fmt: skip
        """A copy that is still empty.

        Args:
            covers: see `Part`; files of parts that were brought here are never covered.
            announce: shows a line to the user.

        Raises:
            InputError: there is no such storage.
        """
        self.url, self.name, self.folder = url.rstrip("/"), name, folder
        self._top, self._announce = open_remote(url), announce
        self.look: Callable[[list[str]], object] = lambda names: None
        self._children: dict[str, Part] = {}
        mine = self._remote(name)
        self.part = Part(mine, folder, lambda path: covers(path) and not self._is_brought(path), timing, announce)

    def open(self, reads: Covers = without_checkpoints) -> None:
        """Become the writer of the part, restore it, and bring the files of the parts below it.

        Args:
            reads: which files of the parts below are needed here.

        Raises:
            FolderInUseError: another process is the writer.
            InputError: the storage cannot be reached, or does not let this process write.
        """
        try:
            self.part.open(lambda names: self.look(names))
            self.part.clear_messages()
            self._bring_all(reads)
        except FolderInUseError:
            raise
        except StorageError as error:
            self.close()
            raise InputError(f"--out {self.url}: {error}") from None

    def read(self, reads: Covers = without_checkpoints) -> None:
        """Restore the part, and bring the files of the parts below it, without becoming its writer.

        Args:
            reads: which files of all of them are needed here.

        Raises:
            InputError: the storage cannot be reached.
        """
        try:
            self.part.restore(reads)
            self._bring_all(reads)
        except StorageError as error:
            raise InputError(f"--out {self.url}: {error}") from None

    def publish(self) -> None:
        """Publish the part as it is now, see `Part.publish`.

        Raises:
            StorageError: the storage refused, or another process has taken over.
        """
        self.part.publish()

    def child(self, name: str) -> Part:
        """The part `name` below this one, with the same folder; it is another process's to write."""
        whole = f"{self.name}.{name}" if self.name else name
        return self._children.setdefault(whole, Part(self._remote(whole), self.folder, announce=log.debug))

    def bring(self, name: str, reads: Covers = without_checkpoints) -> None:
        """Let the folder hold the newest files of the part `name` below this one.

        Raises:
            StorageError: the storage or the disk refused.
        """
        self.child(name).restore(reads)

    def close(self) -> None:
        """Let another process be the writer."""
        self.part.close()

    def _bring_all(self, reads: Covers) -> None:
        names = self._names_below()
        at_once(lambda name: self.bring(name, reads), names)
        if names:
            self._announce(f"Restored what {len(names)} other processes have published there.")

    def _remote(self, name: str) -> Remote:
        return self._top.within(f"{PARTS}/{name}") if name else self._top

    def _is_brought(self, path: str) -> bool:
        return any(path in child.paths for child in list(self._children.values()))

    def _names_below(self) -> list[str]:
        """The names of the parts below this one, without its own."""
        start = f"{self.name}." if self.name else ""
        return [name.removeprefix(start) for name in self._top.within(PARTS).names() if name.startswith(start)]


@contextmanager
def working_copy(
    url: str, announce: Announce, name: str = "", covers: Covers = everything, reads: Covers = without_checkpoints,
    timing: Timing | None = None, wait: float = 0.0,
) -> Iterator[WorkingCopy]:  # fmt: skip
    """The run behind `url` in a folder of this process's own; within the block no other process writes the same part.

    Args:
        announce: shows a line to the user.
        name, covers, reads: see `WorkingCopy`.
        wait: seconds in which the part's writer may still end.

    Raises:
        FolderInUseError: another process writes it.
        InputError: the storage cannot be reached, or does not let this process write.
    """
    deadline = time.monotonic() + wait
    with scratch(_folder_name(url)) as folder:
        copy = WorkingCopy(url, name, folder, covers, announce, timing)
        while True:
            try:
                copy.open(reads)
                break
            except FolderInUseError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(AGAIN)
        try:
            yield copy
        finally:
            copy.close()


@contextmanager
def reading_copy(
    url: str, announce: Announce, covers: Covers = everything, reads: Covers = without_checkpoints
) -> Iterator[WorkingCopy]:
    """The run behind `url` as it is now, in a folder of this process's own, from which nothing is published.

    Args:
        announce, covers, reads: as for `working_copy`.

    Raises:
        InputError: the storage cannot be reached.
    """
    with scratch(_folder_name(url)) as folder:
        copy = WorkingCopy(url, "", folder, covers, announce)
        copy.read(reads)
        yield copy


def quiet(line: str) -> None:
    """Show nothing: for a process that nobody looks at."""


def _folder_name(url: str) -> str:
    return url.rstrip("/").rpartition("/")[2]
