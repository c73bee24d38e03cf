"""Process that ends the remains of a Ray cluster once its driver is gone, however the driver ended.

Ray's own processes follow a killed driver, but for its agents, which stay. This script waits until its standard input
closes, kills every process that still has a file of the cluster's folder open, and removes the folder.
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

PATIENCE = 10.0  # seconds in which new stragglers are looked for


def main(home: str) -> None:
    """Wait for the end of the driver, kill the processes of the cluster in `home`, and remove that folder."""
    driver = os.getppid()  # it may end the session and live on
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):  # they are for the driver
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    deadline = time.monotonic() + PATIENCE
    while (processes := stragglers(home, driver)) and time.monotonic() < deadline:
        for process in processes:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.1)
    shutil.rmtree(home, ignore_errors=True)


def stragglers(home: str, driver: int) -> list[int]:
    """Ids of the processes with an open file below `home`, without this one and the driver."""
    processes = []
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) not in (os.getpid(), driver) and any(
            link.startswith(home + os.sep) for link in _open_files(entry)
        ):
            processes.append(int(entry.name))
    return processes


def _open_files(process: Path) -> list[str]:
    """Paths of the open files of a process, given by its folder in /proc; none of another user's process."""
    paths: list[str] = []
    try:
        with os.scandir(process / "fd") as descriptors:
            for descriptor in descriptors:
                with suppress(FileNotFoundError):  # closed meanwhile
                    paths.append(os.readlink(descriptor.path))
    except OSError:  # ended meanwhile, or another user's
        return paths
    return paths


if __name__ == "__main__":
    main(sys.argv[1])
