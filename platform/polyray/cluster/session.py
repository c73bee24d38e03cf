"""The Ray cluster that a run works on: the one that is there, the one that is named, or one of its own."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import ray

from polyray.cluster.dashboard import check_dashboard, dashboard_note
from polyray.cluster.folder_check import check_folder
from polyray.cluster.starting import start_cluster
from polyray.cluster.storage_check import check_storage
from polyray.cluster.submission.driver import submitted_variables
from polyray.errors import InputError, Interrupted
from polyray.memory import KEEP_FREED

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # the controller notices the end of a run at its next look
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
PROCESSES = 8  # that start at a time: Ray's own limit, one a core, lets Ray Train's helpers queue, and warns of them
WORKERS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **KEEP_FREED, **ENVIRONMENT}


def quieten() -> None:
    """Let Ray's libraries log errors only in this process; what they log goes to the console."""
    for name in ("ray", "ray.train", "ray.tune", "ray.rllib"):
        logging.getLogger(name).setLevel(logging.ERROR)


class RaySession:
    """The Ray cluster of one run: found, joined or started when it is first needed, and left as it was found.

    It is the first of these that is there: the Ray that this process uses already, as in a Tune trial; the cluster at
    `address`; the one that RAY_ADDRESS names, as in a submitted driver; else one on this machine for this run alone.
    In each case the console stays quiet: output of workers goes to Ray's log files.

    Args:
        address: the cluster to join; None: look in the environment.
        logs: folder that the logs of a cluster of this run's own are copied to at the end.
        stop_file: see `Run.stop_file`; None: nobody asks to stop.
        url: storage that every node has to read and write; empty: there is none.
        folder: path that every node has to see and to write, where there is no URL; None: there is none.
        dashboard: whether a cluster of this run's own has Ray's dashboard.
        announce: shows a line with the dashboard's address, where there is one.
    """

    inside = False

    def __init__(
        self, address: str | None, logs: Path, stop_file: Path | None = None, url: str = "", *,
        folder: Path | None = None, dashboard: bool = False, announce: Callable[[str], object] = str,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._address, self._logs, self._stop_file, self._url = address, logs, stop_file, url
        self._dashboard, self._announce = dashboard, announce
        self._open: ExitStack | None = None

    def start(self) -> None:
        """Let Ray be there, unless a call before this one did.

        Raises:
            InputError: no cluster answers at the address, this machine does not let one start, a node does not reach
                the storage or the folder, or the dashboard's packages are not installed.
            Interrupted: the run was asked to stop meanwhile.
        """
        if self._open is not None:
            return
        self._check_stop()
        with _sigterm_as_before():
            self._open = self._connected()
        quieten()  # ray.init has set levels of its own
        if self._url:
            check_storage(self._url)
        elif self._folder is not None:
            check_folder(self._folder)
        self._check_stop()

    def _connected(self) -> ExitStack:
        os.environ.update(ENVIRONMENT)
        quieten()
        address = self._address or os.environ.get("RAY_ADDRESS")
        if ray.is_initialized():
            return ExitStack()
        if address:
            session, url = _joined(address)
            return self._announced(session, url)
        if self._dashboard:
            check_dashboard()
        os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"  # nobody takes this machine away
        os.environ["RAY_worker_maximum_startup_concurrency"] = str(PROCESSES)  # noqa: SIM112 (Ray's own spelling)
        session, url = start_cluster(self._logs, WORKERS, dashboard=self._dashboard)
        return self._announced(session, url)

    def _announced(self, session: ExitStack, url: str) -> ExitStack:
        if url:
            self._announce(dashboard_note(url))
        return session

    def _check_stop(self) -> None:
        if self._stop_file is not None and self._stop_file.exists():
            raise Interrupted("Stopped before Ray was needed, as asked.")

    def close(self) -> None:
        """Leave a cluster that was joined, and end one that was started."""
        session, self._open = self._open, None
        if session is not None:
            session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _joined(address: str) -> tuple[ExitStack, str]:
    """The cluster at `address`, until the stack is left, and the address of its dashboard, empty where it has none.

    Raises:
        InputError: none answers there.
    """
    variables = {name: value for name, value in WORKERS.items() if name not in submitted_variables()}
    try:
        context = ray.init(
            address, log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": variables}
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        message = f"No Ray cluster answers at {address!r}: {str(error).splitlines()[0]}"
        if "RAY_AUTH_MODE" not in os.environ:  # Ray shows its token to a named address only when asked to
            message += ". A cluster that wants a token is joined with RAY_AUTH_MODE=token in the environment"
        raise InputError(f"{message}.") from None
    session = ExitStack()
    session.callback(ray.shutdown)
    return session, context.dashboard_url or ""


@contextmanager
def _sigterm_as_before() -> Iterator[None]:
    """After the block SIGTERM does what it did before; `ray.init` lets it end the process.

    Raises:
        Interrupted: SIGTERM came meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:  # Ray's answer
        raise Interrupted("Stopped while Ray was starting, as asked.", signal.SIGTERM) from None
    finally:
        signal.signal(signal.SIGTERM, handler)
