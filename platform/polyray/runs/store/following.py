"""A run or sweep behind a URL, looked at while another process may be at work on it."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from polyray.errors import InputError, StorageError
from polyray.runs.store.lease import Timing, look_at
from polyray.runs.store.remote import Remote
from polyray.runs.store.working import WorkingCopy, quiet, reading_copy

HEAVY = frozenset({"checkpoints", "skills", "tensorboard", "videos", "logs"})  # folders of what no figure is read from


def is_light(path: str) -> bool:
    """Whether a file may hold figures, results or a config, and no state, skill or log."""
    return not HEAVY & set(PurePosixPath(path).parts)


class FollowedRun:
    """The light files of a run in a folder of this process's own.

    Attributes:
        folder: the copy.
    """

    def __init__(self, copy: WorkingCopy, remote: Remote, timing: Timing, clock: Callable[[], float]) -> None:
        self.folder: Path = copy.folder
        self._copy, self._remote, self._patience, self._clock = copy, remote, timing.patience, clock
        self._claims: Mapping[str, bytes] = {}
        self._since = clock()

    def refresh(self) -> bool:
        """Bring what is new; whether a process is at work, which shows some sign of life every few seconds.

        Raises:
            InputError: the storage cannot be reached, or there is no run.
        """
        try:
            claims = look_at(self._remote).claims
        except StorageError as error:
            raise InputError(f"{self._copy.url}: {error}") from None
        self._copy.read(is_light)
        if not self._copy.part.state:
            raise InputError(f"There is no run at {self._copy.url}: nothing was published there yet.")
        if claims != self._claims:
            self._claims, self._since = claims, self._clock()
        return bool(claims) and self._clock() - self._since < self._patience


@contextmanager
def following(
    url: str, timing: Timing | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[FollowedRun]:
    """The run behind `url`, from which nothing is published.

    Raises:
        InputError: the storage cannot be reached, or there is no run.
    """
    with reading_copy(url, quiet, reads=is_light) as copy:
        run = FollowedRun(copy, copy.part.remote, timing if timing is not None else Timing(), clock)
        run.refresh()
        yield run
