"""A Ray cluster for the length of a job: joined where one is named, else started here and stopped again."""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

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


@contextmanager
def ray_session(address: str | None, logs: Path) -> Iterator[None]:
    """Within the block Ray is there: the cluster at `address`, or one of our own whose logs end up in `logs`.

    Quiet in either case: what workers print goes to Ray's log files, not to the console.

    Raises:
        InputError: no cluster answers at `address`.
    """
    os.environ.update(ENVIRONMENT)
    quieten()
    environment: Mapping[str, object] = {"env_vars": WORKERS}
    if address is not None:
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=dict(environment))
        except (ConnectionError, ValueError, RuntimeError) as error:
            told = f"No Ray cluster answers at {address!r}: {str(error).splitlines()[0]}"
            if "RAY_AUTH_MODE" not in os.environ:  # Ray shows its token to a named address only when told to
                told += ". A cluster that wants a token is joined with RAY_AUTH_MODE=token in the environment"
            raise InputError(f"{told}.") from None
        quieten()  # ray.init has set levels of its own
        try:
            yield
        finally:
            ray.shutdown()
        return
    os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"  # nobody takes this machine away
    os.environ["RAY_worker_maximum_startup_concurrency"] = str(PROCESSES)  # noqa: SIM112 (Ray's own spelling)
    with _started(logs, environment):
        yield


def _started(logs: Path, environment: Mapping[str, object]) -> ExitStack:
    """A cluster of our own, until the stack is left."""
    for left in reversed(range(STARTS)):
        home = Path(tempfile.mkdtemp(prefix="polyray-"))  # a short path: Ray's sockets lie below it
        cluster = ExitStack()
        try:
            cluster.enter_context(_cluster(home, logs, environment))
            return cluster
        except Exception as error:  # Ray has no other class for it
            if not left or LATE not in str(error):
                raise
    raise AssertionError("the last try returns or raises")


@contextmanager
def _cluster(home: Path, logs: Path, environment: Mapping[str, object]) -> Iterator[None]:
    with _reaped(home):
        try:
            ray.init(
                num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
                runtime_env=dict(environment), _temp_dir=str(home),
            )  # fmt: skip
            quieten()
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
