"""The right to publish a state, which one process has at a time.

A writer's claim is an object that it rewrites every few seconds. Whoever finds a claim watches it for half a minute,
or asks its own machine where the writer was on it, and only then takes over, with the next greater epoch. Claims and
manifests that came meanwhile make it withdraw: of two that begin at once at most one wins, since each lists after it
has written, and storage lists what was written before.

A writer that was cut off and wakes up still has its old epoch: readers go by the greatest one, so it can neither
replace nor remove anything that the new writer published. It sees the greater epoch before its next state, and ends.
"""

import json
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import uuid4

from polyray.errors import StorageError
from polyray.runs.locking import FolderInUseError
from polyray.runs.store.manifest import epoch_of, manifest_names
from polyray.runs.store.process import identity, is_gone
from polyray.runs.store.remote import Remote

CLAIM = re.compile(r"writer-([0-9]{6,})-[0-9a-f]{8}\.json")
TRIES = 4


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds between two signs of life of a writer, and without one until it counts as dead."""

    beat: float = 5.0
    patience: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at a folder: the claims and their contents, and the names of the manifests."""

    claims: Mapping[str, bytes]
    manifests: tuple[str, ...]

    @property
    def epoch(self) -> int:
        """The greatest epoch so far, 0 where there is none."""
        return newest_epoch([*self.claims, *self.manifests])


def newest_epoch(names: list[str]) -> int:
    """The greatest epoch of the claims and manifests among these names, 0 where there is none."""
    claims = [int(match[1]) for name in names if (match := CLAIM.fullmatch(name))]
    return max([*claims, *map(epoch_of, manifest_names(names))], default=0)


def look_at(remote: Remote) -> Look:
    """A folder now.

    Raises:
        StorageError: the storage refused.
    """
    names = remote.names()
    claims = {}
    for name in names:
        if CLAIM.fullmatch(name):
            try:
                claims[name] = remote.read(name)
            except FileNotFoundError:  # withdrawn meanwhile
                continue
    return Look(claims=claims, manifests=tuple(manifest_names(names)))


class Lease:
    """The right to publish in the folder `remote`, from `acquire` to `release`.

    Attributes:
        epoch: of this writer.
        writer: its name.
        abandoned: whether the writer before it ended without a release, and may live on unseen.
    """

    def __init__(self, remote: Remote, timing: Timing, announce: Callable[[str], object]) -> None:
        """A lease that is not acquired yet.

        Args:
            announce: shows a line to the user.
        """
        self.epoch, self.writer, self.abandoned = 0, uuid4().hex[:8], False
        self._remote, self._timing, self._announce = remote, timing, announce
        self._beats, self._lost = 0, ""
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Become the writer.

        Raises:
            FolderInUseError: another process is, or several begin at once.
            StorageError: the storage refused.
        """
        for _ in range(TRIES):
            before = self._after_the_dead()
            self.epoch = before.epoch + 1
            self._write()
            now = self._look()
            if now == Look(claims={**before.claims, self._name: now.claims.get(self._name, b"")},
                           manifests=before.manifests):  # fmt: skip
                self.abandoned = bool(before.claims)
                for name in before.claims:
                    self._remote.remove(name)
                return
            self._remote.remove(self._name)
            time.sleep(random.uniform(0, self._timing.beat))
        raise FolderInUseError(f"Other processes begin in {self._remote.url} at the same time. Start it again.")

    def keep(self, look: Callable[[list[str]], object]) -> None:
        """Give signs of life from a thread until `release`.

        Args:
            look: called at each with the names in the folder.
        """
        self._thread = threading.Thread(target=self._keep, args=(look,), daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Refuse to go on where another process has taken over.

        Raises:
            StorageError: one has, or the storage refused.
        """
        self._examine(self._remote.names())
        if self._lost:
            raise StorageError(f"{self._lost} What this one did since its last checkpoint is dropped.")

    def release(self) -> None:
        """Let another process be the writer at once; what the storage refuses is left for it to watch."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self._remote.remove(self._name)
        except StorageError as error:
            self._announce(f"{error} The next start waits {self._timing.patience:g} s before it takes over.")

    @property
    def _name(self) -> str:
        return f"writer-{self.epoch:06d}-{self.writer}.json"

    def _write(self) -> None:
        self._beats += 1
        self._remote.write(self._name, json.dumps({**identity(), "beat": self._beats}).encode())

    def _look(self) -> Look:
        """The folder now."""
        return look_at(self._remote)

    def _after_the_dead(self) -> Look:
        """The look at the folder at which all writers that have claims were dead.

        Raises:
            FolderInUseError: one lives.
        """
        before = self._look()
        until = time.monotonic() + self._timing.patience
        living = [content for content in before.claims.values() if not is_gone(_values(content))]
        if living:
            self._announce(
                f"{self._remote.url} has a writer ({_values(living[0]).get('host', 'unknown')}); looking for "
                f"{self._timing.patience:g} s whether it lives."
            )
        while living and time.monotonic() < until:
            time.sleep(min(self._timing.beat, self._timing.patience) / 5)
            now = self._look()
            if now != before:
                if not now.claims:
                    return now  # it has ended
                host = _values(living[0]).get("host", "another machine")
                raise FolderInUseError(
                    f"Another process is running in {self._remote.url} (on {host}). Wait until it ends, or choose "
                    "another --out."
                )
        return before

    def _keep(self, look: Callable[[list[str]], object]) -> None:
        while not self._end.wait(self._timing.beat):
            try:
                names = self._remote.names()
                self._examine(names)
                look(names)
                if not self._lost:
                    self._write()
            except (StorageError, FileNotFoundError):  # until the next beat, or until publishing fails as well
                continue

    def _examine(self, names: list[str]) -> None:
        if self._name not in names or newest_epoch(names) > self.epoch:
            self._lost = f"Another process has taken over {self._remote.url}, because this one was not heard of."


def _values(content: bytes) -> dict[str, object]:
    """The fields of a claim; none of one that its writer did not finish."""
    try:
        values = json.loads(content)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
