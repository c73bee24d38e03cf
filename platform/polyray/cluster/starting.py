"""A Ray cluster on this machine for one run: how it is started, started again where it is late, and ended."""

import logging
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import ray

from polyray.cluster import reaper
from polyray.cluster.detached import children_detached
from polyray.cluster.home import copy_logs, private_home
from polyray.errors import InputError, RunError

OPEN_FILES = 256  # of one process: Ray's raylet has 60 with one worker, and a few more with each
LATE = ("timed out during startup", "connect to GCS", "not have started successfully")
LOOPBACK = "127.0.0.1"
STARTS, MOST_STARTS = 3, 20  # tries on an idle machine, and on one that is busy with something else


def start_cluster(logs: Path, variables: Mapping[str, str], *, dashboard: bool = False) -> tuple[ExitStack, str]:
    """A cluster of this process's own, until the stack is left, and its dashboard's address, empty where it has none.

    Its logs are in the folder `logs` afterwards.

    Ray waits 30 s for its own processes, too little on a machine that is busy otherwise. A cluster that was late is
    started again, up to `STARTS` times, and for as long as more processes want a core than there are cores.

    Args:
        variables: environment of the workers.
        dashboard: whether it has a dashboard, which listens on loopback alone.

    Raises:
        InputError: this machine's limits do not let a cluster start; nothing was started.
        RunError: it was late too often.
    """
    check_open_files()
    n_idle = 0
    for n_tries in range(1, MOST_STARTS + 1):
        cluster = ExitStack()
        try:
            return cluster, cluster.enter_context(_cluster(logs, variables, dashboard))
        except Exception as error:  # Ray has no other class for it
            if not any(text in str(error) for text in LATE):
                raise
            n_idle += os.getloadavg()[0] <= (os.cpu_count() or 1)
            if n_idle == STARTS or n_tries == MOST_STARTS:
                raise RunError(f"{_late(n_tries)} Ray says: {error}") from error
    raise AssertionError("the last try returns or raises")


def _late(n_tries: int) -> str:
    load, n_cores = os.getloadavg()[0], os.cpu_count()
    return f"Ray was late in {n_tries} tries; the load is {load:.1f} with {n_cores} cores."


def check_open_files() -> None:
    """Check that a process may open as many files as Ray's do.

    Raises:
        InputError: it may not.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # Ray raises the soft limit to the hard one by itself
    if most != resource.RLIM_INFINITY and most < OPEN_FILES:
        raise InputError(
            f"A process may have {most} open files here (ulimit -Hn), and Ray needs at least {OPEN_FILES}. Raise the "
            "limit of open files (ulimit -n 4096; permanently in /etc/security/limits.conf), or join a cluster with "
            "--address."
        )


@contextmanager
def _cluster(logs: Path, variables: Mapping[str, str], dashboard: bool) -> Iterator[str]:
    """A cluster in a folder of its own; within the block it is there, afterwards its logs are in `logs`.

    Yields the address of its dashboard, empty where it has none.
    """
    with private_home() as home, _reaped(home):
        try:
            with children_detached():
                context = ray.init(
                    num_cpus=os.cpu_count(), include_dashboard=dashboard, dashboard_host=LOOPBACK, log_to_driver=False,
                    logging_level=logging.ERROR, runtime_env={"env_vars": dict(variables)}, _temp_dir=str(home),
                )  # fmt: skip
            yield context.dashboard_url or ""
        finally:
            ray.shutdown()
            session = home / "session_latest" / "logs"
            if session.is_dir():
                copy_logs(session, logs)


@contextmanager
def _reaped(home: Path) -> Iterator[None]:
    """After the block, or when this process dies in it, nothing of the cluster in `home` is left."""
    command = [sys.executable, "-I", str(reaper.__file__), str(home.parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield  # leaving closes the reaper's standard input and waits for it
