"""The pipe to the process that talks to a tracker, from the side of the run."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from polyray.config import Section
from polyray.tracking.tracker import Tracker

PATIENCE, IMPATIENCE = 20.0, 3.0  # seconds that the end waits for a tracker, and for one that has failed
LOOK = 0.05  # seconds between two looks whether it is done


class Connection:
    """A process for one kind of tracker; nobody waits for it but `close`, for a bounded time.

    It leads a session of its own: Ctrl-C is for the run, which tells how it ended.
    """

    def __init__(self, kind: type[Tracker], options: Section, store: Path, complain: Callable[[str], object]) -> None:
        """Start the process.

        Args:
            kind: class of the tracker runs, at the top of a module; it is sent by its name.
            options: of the type `kind.Options`.
            store: folder for the files of trackers that have no server.
            complain: called in a thread with the reason of the first failure.
        """
        self._complain, self._failed = complain, False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "polyray.tracking.process"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, start_new_session=True,
            env={**kind.environment(store), **os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.tell({"tracker": f"{kind.__module__}:{kind.__qualname__}", "options": options.model_dump(mode="json")})

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send plain data; see `polyray.tracking.process`."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died, as `close` says
            print(json.dumps(message), file=self._process.stdin, flush=True)

    def close(self, patience: float = PATIENCE) -> None:
        """Wait until everything is sent, `patience` seconds at most, and 3 where the tracker has failed before."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._wait(patience)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            code = self._process.wait()
            self._reader.join(1.0)
            if code:
                self._fail("it takes too long" if code == -signal.SIGKILL else self._last_error())
            self._errors.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._fail(json.loads(line)["failure"])

    def _fail(self, reason: str) -> None:
        if not self._failed:
            self._failed = True
            self._complain(reason)

    def _wait(self, patience: float) -> None:
        started = time.monotonic()
        while self._process.poll() is None:
            if time.monotonic() - started > (min(IMPATIENCE, patience) if self._failed else patience):
                return
            time.sleep(LOOK)

    def _last_error(self) -> str:
        """The last line that the process wrote to its standard error."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "its process died"
