"""Waiting for a job on a cluster: until it runs, and until it is over."""

import time
from collections.abc import Callable, Mapping

from polyray.cluster.submission.cluster import missing_resources, read_nodes
from polyray.cluster.submission.jobs import ClusterJob, read_job
from polyray.cluster.submission.server import JobServer

PATIENCE = 30.0  # seconds after which a job that waits is spoken of
LOOK = 0.5  # seconds between two looks at a job


def until(server: JobServer, job_id: str, reached: Callable[[ClusterJob], bool], seconds: float) -> ClusterJob:
    """The job as soon as it has `reached` something, or as it is after `seconds`.

    Raises:
        InputError, RunError: the cluster cannot be asked.
    """
    deadline = time.monotonic() + seconds
    while not reached(job := read_job(server, job_id)) and time.monotonic() < deadline:
        time.sleep(LOOK)
    return job


def reason_to_wait(server: JobServer, demand: Mapping[str, float]) -> tuple[str, bool]:
    """Why a job has not begun yet, and whether no node of the cluster as it is can ever run it.

    Args:
        demand: resources that its driver asks for.

    Raises:
        InputError, RunError: the cluster cannot be asked.
    """
    if not demand:
        return "its environment is being set up, or the head node has no process for it yet", False
    missing = missing_resources(read_nodes(server), demand)
    asked = " and ".join(f"{amount:g} {name}" for name, amount in demand.items())
    return (missing, True) if missing else (f"it waits until a node has {asked} free", False)
