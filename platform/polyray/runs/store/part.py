"""Files of a run that one process publishes: whole states, the newest of which counts."""

import logging
from collections.abc import Callable, Collection
from pathlib import Path

from polyray.errors import StorageError
from polyray.files.disk import Point, disk
from polyray.runs.store.lease import Lease, Timing
from polyray.runs.store.manifest import OBJECTS, Manifest, manifest_names, newest_manifest
from polyray.runs.store.remote import Remote
from polyray.runs.store.transfers import at_once, download, upload
from polyray.runs.store.tree import Tree

log = logging.getLogger(__name__)

TRIES = 5  # to read a state whose objects its writer removes meanwhile, or to publish files that go
MESSAGE = "message-"  # how names of messages begin


def everything(path: str) -> bool:
    """Yes."""
    return True


class Part:
    """The files below `folder` that it covers, and their states at `remote`."""

    def __init__(
        self, remote: Remote, folder: Path, covers: Callable[[str], bool] = everything, timing: Timing | None = None,
        announce: Callable[[str], object] = log.info,
    ) -> None:  # fmt: skip
        """A part that is neither read nor written yet.

        Args:
            covers: see `Tree`; what it does not cover is another part's, or nobody's.
            announce: shows a line to the user.
        """
        self.remote, self.folder, self.covers = remote, folder, covers
        self._announce, self._timing = announce, timing if timing is not None else Timing()
        self._tree = Tree(folder=folder, covers=lambda path: self.covers(path))
        self._manifest = Manifest()
        self._lease: Lease | None = None

    @property
    def paths(self) -> Collection[str]:
        """The files of the state that was read or published last."""
        return self._manifest.files.keys()

    @property
    def state(self) -> str:
        """Name of the state that was read or published last; empty: there is none."""
        return self._manifest.name if self._manifest.number else ""

    @property
    def is_writer(self) -> bool:
        """Whether this process may publish."""
        return self._lease is not None

    def open(self, look: Callable[[list[str]], object] = lambda names: None) -> None:
        """Become its writer, and restore its newest state into the folder.

        Args:
            look: called every few seconds in a thread with the names at the remote folder.

        Raises:
            FolderInUseError: another process is its writer.
            StorageError: the storage or the disk refused.
        """
        lease = Lease(self.remote, self._timing, self._announce)
        lease.acquire()
        self._lease = lease
        lease.keep(look)
        try:
            self.restore()
            if self.state and lease.abandoned:  # the writer before may still remove what it has published
                self._publish(anew=True)
            self._remove_others()
        except BaseException:
            self.close()
            raise

    def restore(self, reads: Callable[[str], bool] = everything, state: str = "") -> bool:
        """Let the folder hold the newest state; files that it has already do not travel. Whether there is a state.

        Args:
            reads: called with the path of each file; False: it stays where it is.
            state: name of the state that it has to be; empty: any.

        Raises:
            StorageError: the storage or the disk refused, or a file is not what was published.
        """
        for _ in range(TRIES):
            manifest = newest_manifest(self.remote)
            if manifest is None:
                return False
            if state and manifest.name != state:
                raise StorageError(f"{self.remote.url} has another state than {state}: another process wrote it.")
            files = {path: file for path, file in manifest.files.items() if reads(path)}
            try:
                size = download(self.remote, self._tree, files)
            except FileNotFoundError:  # its writer went on, and removed what it had no use for
                continue
            for path in self._manifest.files.keys() - manifest.files.keys():
                if disk().exists(self.folder / path):
                    disk().remove(Point.FILE_REMOVED, self.folder / path)
            self._manifest = manifest
            if size:
                self._announce(f"Restored {len(files)} files ({_megabytes(size)} came) from {self.remote.url}.")
            return True
        raise StorageError(f"{self.remote.url} changes faster than it can be read, or files are missing. Try again.")

    def publish(self) -> None:
        """Publish the files as they are now, if any has changed; readers see this state or the one before, whole.

        Raises:
            StorageError: the storage refused, or another process has taken over.
        """
        self._publish(anew=False)

    def post(self, name: str, text: str) -> None:
        """Leave a message, over what stood under its name; it is no part of a state, and any process may.

        Raises:
            StorageError: the storage refused.
        """
        self.remote.write(MESSAGE + name, text.encode())

    def message(self, name: str) -> str | None:
        """The message of this name; None: there is none.

        Raises:
            StorageError: the storage refused.
        """
        try:
            return self.remote.read(MESSAGE + name).decode()
        except FileNotFoundError:
            return None

    def clear_messages(self) -> None:
        """Remove the messages of earlier starts.

        Raises:
            StorageError: the storage refused.
        """
        for name in self.remote.names():
            if name.startswith(MESSAGE):
                self.remote.remove(name)

    def close(self) -> None:
        """Let another process be the writer; nothing is published."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    def _publish(self, *, anew: bool) -> None:
        """Publish the files as they are now.

        Args:
            anew: whether all of them travel, since another writer may remove the objects that hold them.
        """
        lease, before = self._lease, self._manifest
        if lease is None:
            raise StorageError(f"This process may not write in {self.remote.url}.")
        for _ in range(TRIES):
            try:
                sums = {path: self._tree.sum(path) for path in self._tree.paths()}
                if not anew and before.number and sums == {path: file.sha256 for path, file in before.files.items()}:
                    return
                lease.check()
                after = self._uploaded(sums, lease, before, anew=anew)
                break
            except FileNotFoundError:  # a file went after it was listed
                continue
        else:
            raise StorageError(f"{self.folder} changes faster than it can be published.")
        lease.check()
        self.remote.write(after.name, after.encoded())
        self._manifest = after
        if not anew:
            current = {file.object for file in after.files.values()}
            old = sorted({file.object for file in before.files.values()} - current)
            self._remove([*([before.name] if before.number else []), *(f"{OBJECTS}/{name}" for name in old)])

    def _uploaded(self, sums: dict[str, str], lease: Lease, before: Manifest, *, anew: bool) -> Manifest:
        """The manifest of files with these sums; contents that the state `before` did not have are uploaded."""
        number = before.number + 1 if before.epoch == lease.epoch else 1
        manifest = Manifest(epoch=lease.epoch, number=number, writer=lease.writer)
        stored = {} if anew else {file.sha256: file for file in before.files.values()}
        new = [path for path, total in sums.items() if total not in stored]
        uploaded = dict(zip(new, upload(self.remote, self._tree, new, manifest.stem), strict=True))
        return manifest.having({path: uploaded.get(path) or stored[total] for path, total in sums.items()})

    def _remove_others(self) -> None:
        """Remove what earlier writers have left beside the state that counts."""
        current = {file.object for file in self._manifest.files.values()}
        manifests = [name for name in manifest_names(self.remote.names()) if name != self._manifest.name]
        objects = [name for name in self.remote.within(OBJECTS).names() if name not in current]
        self._remove([*manifests, *(f"{OBJECTS}/{name}" for name in objects)])

    def _remove(self, names: list[str]) -> None:
        """Remove objects that nobody needs; where the storage refuses, the next start does it."""
        try:
            at_once(self.remote.remove, names)
        except StorageError as error:
            log.warning("%s The next start removes it.", error)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size:,} bytes"
