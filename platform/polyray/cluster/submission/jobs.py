"""Jobs of a cluster: submitted, listed, looked at and stopped by Ray's job API."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from polyray.cluster.submission.server import UPLOAD_PATIENCE, Answer, JobServer
from polyray.errors import InputError
from polyray.lookup import lookup

OVER = ("STOPPED", "SUCCEEDED", "FAILED")
VERSION, KIND, JOB, SPACE, OUT, COMMAND = "polyray", "kind", "job", "space", "out", "command"
SHARED, IMAGE, PYTHON = "shared", "image", "python"
METADATA = (VERSION, KIND, JOB, SPACE, OUT, COMMAND, SHARED, IMAGE, PYTHON)
"""Keys of the metadata that Polyray's own jobs carry; all others are the user's labels."""


@dataclass(frozen=True, kw_only=True)
class SubmissionKind:
    """A kind of job that `polyray submit` sends.

    Attributes:
        prefix: beginning of its submission ids.
        writes: whether it leaves a run folder.
    """

    prefix: str
    writes: bool = True


KINDS = {
    "run": SubmissionKind(prefix=""),
    "sweep": SubmissionKind(prefix="sweep-"),
    "plan": SubmissionKind(prefix="plan-", writes=False),  # a run or sweep with --plan
}


@dataclass(frozen=True, kw_only=True)
class ClusterJob:
    """A job on a cluster.

    Attributes:
        id: its submission id.
        status: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
        message: Ray's words on the status; of a failure the end of the log.
        metadata: see `METADATA`.
        started, ended: seconds since 1970; 0: not yet.
        exit_code: of its driver; None: it has not ended by itself.
        node: id of the node that its driver runs on; empty: none yet.
    """

    id: str
    status: str
    message: str
    metadata: Mapping[str, str]
    started: float
    ended: float
    exit_code: int | None
    node: str

    @property
    def kind(self) -> SubmissionKind | None:
        """Kind of the submission; None for a job that `polyray submit` did not send."""
        return KINDS.get(self.metadata.get(KIND, ""))

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.status in OVER


def submit_job(server: JobServer, request: Mapping[str, Any]) -> None:
    """Submit a job, see JobSubmitRequest in Ray's documentation.

    Raises:
        InputError: the cluster refuses the request.
        RunError: the cluster failed.
    """
    content = json.dumps({name: value for name, value in request.items() if value is not None}).encode()
    answer = server.request("POST", "/api/jobs/", content)
    if answer.status == HTTPStatus.BAD_REQUEST:
        raise InputError(f"The cluster at {server.address} refuses the job: {answer.reason}")
    _check(server, answer, "submitting the job")


def list_jobs(server: JobServer) -> list[ClusterJob]:
    """The submitted jobs of the cluster, the newest first.

    Raises:
        InputError, RunError: the cluster did not tell.
    """
    documents = server.read("/api/jobs/", "listing its jobs")
    jobs = [_job(document) for document in documents if document.get("type") == "SUBMISSION"]
    return sorted(jobs, key=lambda job: -job.started)


def read_job(server: JobServer, job_id: str) -> ClusterJob:
    """The job called `job_id`.

    Raises:
        InputError: there is none; the message gives the nearest name.
        RunError: the cluster failed.
    """
    answer = server.request("GET", _path(job_id))
    if answer.status == HTTPStatus.NOT_FOUND:
        return lookup({job.id: job for job in list_jobs(server)}, job_id, f"job on {server.address}")
    _check(server, answer, f"looking at the job {job_id}")
    return _job(json.loads(answer.text))


def stop_job(server: JobServer, job_id: str) -> None:
    """Ask a job to stop: its driver gets SIGTERM, and SIGKILL if it does not end in time.

    Raises:
        InputError: there is no such job.
        RunError: the cluster failed.
    """
    _check(server, server.request("POST", f"{_path(job_id)}/stop"), f"stopping the job {job_id}")


def delete_job(server: JobServer, job_id: str) -> None:
    """Strike a job that is over from the cluster's list.

    Raises:
        RunError: the cluster failed.
    """
    _check(server, server.request("DELETE", _path(job_id)), f"removing the job {job_id}")


def read_log(server: JobServer, job_id: str) -> str:
    """All that the driver of a job has written so far.

    Raises:
        RunError: the cluster failed.
    """
    answer = server.request("GET", f"{_path(job_id)}/logs", patience=UPLOAD_PATIENCE)
    _check(server, answer, f"reading the log of the job {job_id}")
    return str(json.loads(answer.text)["logs"])


def _check(server: JobServer, answer: Answer, doing: str) -> None:
    if answer.status != HTTPStatus.OK:
        raise server.failure(answer, doing)


def _path(job_id: str) -> str:
    return f"/api/jobs/{quote(job_id, safe='')}"


def _job(document: Mapping[str, Any]) -> ClusterJob:
    return ClusterJob(
        id=str(document.get("submission_id") or ""), status=str(document.get("status") or ""),
        message=str(document.get("message") or ""), metadata=document.get("metadata") or {},
        started=(document.get("start_time") or 0) / 1000, ended=(document.get("end_time") or 0) / 1000,
        exit_code=document.get("driver_exit_code"), node=str(document.get("driver_node_id") or ""),
    )  # fmt: skip
