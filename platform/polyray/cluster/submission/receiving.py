"""The archive that another job writes to its log, see `polyray.cluster.submission.sending`."""

import base64
import binascii
import hashlib
import zipfile
from typing import IO

from polyray.cluster.submission.sending import DATA, HEADER
from polyray.errors import RunError


class Receiver:
    """Takes the pieces of a log, and keeps the archive in it.

    Attributes:
        size: bytes that the archive has; None: its first line has not come yet.
        n_bytes: bytes that have come.
    """

    def __init__(self, archive: IO[bytes]) -> None:
        self._archive, self._rest = archive, ""
        self._digest, self._sum = "", hashlib.sha256()
        self.size: int | None = None
        self.n_bytes = 0

    @property
    def is_complete(self) -> bool:
        """Whether all bytes have come."""
        return self.size is not None and self.n_bytes >= self.size

    def take(self, text: str) -> None:
        """Take the next piece of the log.

        Raises:
            RunError: a line is damaged.
        """
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if self.size is None and line.startswith(HEADER):
                _, size, self._digest = line.split(" ")
                self.size = int(size)
            elif self.size is not None and line.startswith(DATA) and not self.is_complete:
                self._append(line)

    def _append(self, line: str) -> None:
        try:
            block = base64.b64decode(line[len(DATA) :], validate=True)
        except binascii.Error:
            raise RunError("A line of the folder was damaged on its way. Fetch it again.") from None
        self._archive.write(block)
        self._sum.update(block)
        self.n_bytes += len(block)

    def archive(self) -> zipfile.ZipFile:
        """The archive, once it is complete.

        Raises:
            RunError: it was damaged on its way.
        """
        if self.n_bytes != self.size or self._sum.hexdigest() != self._digest:
            raise RunError("The folder was damaged on its way. Fetch it again.")
        self._archive.seek(0)
        return zipfile.ZipFile(self._archive)
