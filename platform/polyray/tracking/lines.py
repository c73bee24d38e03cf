"""Lines that a run adds to its metrics, read while it writes them."""

import os
from pathlib import Path
from typing import Any

from polyray.formats import opened
from polyray.runs.metrics import parsed


class AddedLines:
    """Whole lines that were added to a file of JSON lines since the last look.

    A resumed run writes its file anew, as another file of the same name: then all of its lines count as added.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._identity, self._position = -1, 0  # number of the file on its disk, bytes read of it

    def read(self) -> list[dict[str, Any]]:
        """The objects in new lines, oldest first; none where there is no file.

        Raises:
            InputError: it is no regular file.
        """
        if not self._file.exists():
            return []
        with opened(self._file) as stream:
            status = os.fstat(stream.fileno())
            if status.st_ino != self._identity or status.st_size < self._position:
                self._identity, self._position = status.st_ino, 0
            stream.seek(self._position)
            whole, newline, _ = stream.read().rpartition(b"\n")
        self._position += len(whole) + len(newline)
        return [values for line in whole.split(b"\n") if (values := parsed(line)) is not None]
