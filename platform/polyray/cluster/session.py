"""The Ray cluster that a run works on: the one that is there, the one that is named, or one of its own."""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import ray

from polyray.cluster import reaper
from polyray.errors import InputError
from polyray.memory import KEEP_FREED

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # the controller notices the end of a run at its next look
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
STARTS, LATE = 3, "timed out during startup"  # Ray's processes have 30 s, too few on a machine that is busy otherwise
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
    """

    def __init__(self, address: str | None, logs: Path) -> None:
        self._address, self._logs = address, logs
        self._open: ExitStack | None = None

    def start(self) -> None:
        """Let Ray be there, unless a call before this one did.

        Raises:
            InputError: no cluster answers at the address.
        """
        if self._open is not None:
            return
        os.environ.update(ENVIRONMENT)
        quieten()
        address = self._address or os.environ.get("RAY_ADDRESS")
        if ray.is_initialized():
            self._open = ExitStack()
        elif address:
            self._open = _joined(address)
        else:
            os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"  # nobody takes this machine away
            os.environ["RAY_worker_maximum_startup_concurrency"] = str(PROCESSES)  # noqa: SIM112 (Ray's own spelling)
            self._open = _started(self._logs)
        quieten()  # ray.init has set levels of its own

    def close(self) -> None:
        """Leave a cluster that was joined, and end one that was started."""
        session, self._open = self._open, None
        if session is not None:
            session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _joined(address: str) -> ExitStack:
    """The cluster at `address`, until the stack is left.

    Raises:
        InputError: none answers there.
    """
    variables = {name: value for name, value in WORKERS.items() if name not in _submitted_variables()}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": variables})
    except (ConnectionError, ValueError, RuntimeError) as error:
        message = f"No Ray cluster answers at {address!r}: {str(error).splitlines()[0]}"
        if "RAY_AUTH_MODE" not in os.environ:  # Ray shows its token to a named address only when asked to
            message += ". A cluster that wants a token is joined with RAY_AUTH_MODE=token in the environment"
        raise InputError(f"{message}.") from None
    session = ExitStack()
    session.callback(ray.shutdown)
    return session


def _submitted_variables() -> Mapping[str, str]:
    """The environment variables that a user set for a job that was submitted to Ray; Ray refuses to set them again."""
    config = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    variables: Mapping[str, str] = config.get("runtime_env", {}).get("env_vars", {})
    return variables


def _started(logs: Path) -> ExitStack:
    """A cluster of this process's own, until the stack is left."""
    for tries_left in reversed(range(STARTS)):
        home = Path(tempfile.mkdtemp(prefix="polyray-"))  # a short path: Ray's sockets lie below it
        cluster = ExitStack()
        try:
            cluster.enter_context(_cluster(home, logs))
            return cluster
        except Exception as error:  # Ray has no other class for it
            if not tries_left or LATE not in str(error):
                raise
    raise AssertionError("the last try returns or raises")


@contextmanager
def _cluster(home: Path, logs: Path) -> Iterator[None]:
    """A cluster in the folder `home`; within the block it is there, afterwards its logs are in `logs`."""
    with _reaped(home):
        try:
            ray.init(
                num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
                runtime_env={"env_vars": dict(WORKERS)}, _temp_dir=str(home),
            )  # fmt: skip
            yield
        finally:
            ray.shutdown()
            if (home / "session_latest" / "logs").is_dir():
                shutil.copytree(
                    home / "session_latest" / "logs", logs, dirs_exist_ok=True, ignore_dangling_symlinks=True
                )


@contextmanager
def _reaped(home: Path) -> Iterator[None]:
    """After the block, or when this process dies in it, nothing of the cluster in `home` is left."""
    command = [sys.executable, "-I", str(reaper.__file__), str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield  # leaving closes the reaper's standard input and waits for it
