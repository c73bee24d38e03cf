"""The commands on jobs of a cluster: `polyray jobs`, `status`, `logs`, `stop`, `fetch`."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from polyray.cli.arguments import AsJson
from polyray.cluster.submission import jobs as cluster_jobs
from polyray.cluster.submission.ending import check_end, command_on, end_of
from polyray.cluster.submission.jobs import ClusterJob, list_jobs, read_job, read_log, stop_job
from polyray.cluster.submission.server import JobServer
from polyray.cluster.submission.submission import stop_wait
from polyray.cluster.submission.waiting import until
from polyray.errors import InputError, Interrupted
from polyray.formats import is_there
from polyray.formats.text import MEBI
from polyray.runs.store.remote import is_url

UNSTOPPABLE = 10.0  # seconds after which a job that has not begun is taken for one that waits for a node
RAY_GIVES_UP = 15  # minutes after which Ray lets a job fail that no node has taken

JobId = Annotated[str, typer.Argument(metavar="ID", help="Name of a job on the cluster; `polyray jobs` shows them.")]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The cluster's dashboard, http://HEAD:8265 (default: RAY_API_SERVER_ADDRESS, or this machine).",
    ),
]


def jobs(
    address: Address = None,
    everything: Annotated[bool, typer.Option("--all", help="Also jobs that others submitted than Polyray.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the jobs of a cluster, the newest first."""
    rows = [job for job in list_jobs(JobServer.find(address)) if everything or job.kind is not None]
    if as_json:
        typer.echo(json.dumps([asdict(job) for job in rows], indent=2))
        return
    cells = [("ID", "STATUS", "SINCE", "FOR", "FOLDER"), *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    for row in cells:
        typer.echo("  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[4]]).rstrip())


def _cells(job: ClusterJob) -> tuple[str, str, str, str, str]:
    end = job.ended or time.time()
    return job.id, job.status.lower(), _clock(job.started), _span(end - job.started), job.metadata.get("out", "")


def status(job_id: JobId, address: Address = None, as_json: AsJson = False) -> None:
    """Show how a job on a cluster gets on, or how it has ended."""
    job = read_job(JobServer.find(address), job_id)
    if as_json:
        typer.echo(json.dumps(asdict(job), indent=2))
        return
    _, state, since, span, _ = _cells(job)
    lines = {"status": f"{state}, submitted {since}, {span}", **job.metadata}
    width = max(map(len, lines))
    for name, text in lines.items():
        typer.echo(f"{name:{width}}  {text}")
    if job.is_over:
        typer.echo(end_of(job, address))
    elif job.status == "PENDING" and job.message:
        typer.echo(job.message.splitlines()[0])


def logs(
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    last: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the last N lines.")] = None,
    address: Address = None,
) -> None:
    """Show what a job on a cluster has written."""
    server = JobServer.find(address)
    job = read_job(server, job_id)
    if follow and not job.is_over:
        with going_on(job_id, address):
            follow_job(server, job_id, address)
        return
    lines = read_log(server, job_id).splitlines(keepends=True)
    typer.echo("".join(lines if last is None else lines[-last:]), nl=False)


def stop(job_id: JobId, address: Address = None) -> None:
    """Stop a job on a cluster; its run saves a checkpoint first."""
    server = JobServer.find(address)
    job = read_job(server, job_id)
    if job.is_over:
        raise InputError(f"The job {job_id} has ended already: {job.status.lower()}.")
    stop_job(server, job_id)
    seconds = UNSTOPPABLE if job.status == "PENDING" else stop_wait({}) + UNSTOPPABLE
    typer.echo(f"Asked {job_id} to stop after its next checkpoint.")
    job = until(server, job_id, lambda job: job.is_over, seconds)
    if job.is_over:
        typer.echo(end_of(job, address))
    elif job.status == "PENDING":
        typer.echo(
            f"It has not begun. It ends as soon as a node takes it; Ray gives it up {RAY_GIVES_UP} minutes after its "
            "submission."
        )
    else:
        typer.echo(f"It has not ended after {seconds:g} s: {command_on(address, 'status', job_id)}")


def fetch(
    job_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="Name of a job on the cluster, or the URL or folder of a run or sweep itself."
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for it here.")],
    limit: Annotated[
        float, typer.Option(metavar="MIB", min=0, help="Of a folder that lies on a node's own disk.")
    ] = 512,
    address: Address = None,
) -> None:
    """Bring the folder of a run or sweep home, whole or not at all."""
    fetching = import_module("polyray.cluster.submission.fetching")
    if is_url(job_id) or is_there(Path(job_id)):
        fetching.fetch_folder(job_id, folder, typer.echo)
    else:
        server = JobServer.find(address)
        job = read_job(server, job_id)
        source = _source(job, address)
        if is_url(source) or cluster_jobs.SHARED in job.metadata:
            fetching.fetch_folder(source, folder, typer.echo)
        else:
            fetching.NodeFolder(server=server, job=job, limit=int(limit * MEBI)).fetch(folder)
    typer.echo(f"The folder of {job_id} is in {folder}.")


def _source(job: ClusterJob, address: str | None) -> str:
    """The folder of a job's run on the cluster.

    Raises:
        InputError: it has none, or the job still writes there.
    """
    if cluster_jobs.OUT not in job.metadata or (job.kind is not None and not job.kind.writes):
        raise InputError(f"The job {job.id} is no run or sweep of Polyray's: it has no folder to fetch.")
    if not job.is_over:
        wait, end = (command_on(address, *words) for words in (("logs", job.id, "--follow"), ("stop", job.id)))
        raise InputError(f"The job {job.id} still writes its folder. Wait for its end ({wait}), or stop it ({end}).")
    return job.metadata[cluster_jobs.OUT]


def follow_job(server: JobServer, job_id: str, address: str | None) -> None:
    """Show what a job writes until it is over.

    Raises:
        FailedJobError: it was stopped, or failed.
        RunError: the cluster does not answer any longer.
    """
    follower = import_module("polyray.cluster.submission.following").Follower
    job = follower(server, job_id, lambda text: typer.echo(text, nl=False)).follow()
    check_end(job, address)
    typer.echo(end_of(job, address))


@contextmanager
def going_on(job_id: str, address: str | None) -> Iterator[None]:
    """Within the block Ctrl-C leaves the job alone.

    Raises:
        Interrupted: it came; the message says how to come back and how to stop the job.
    """
    try:
        yield
    except KeyboardInterrupt:
        back, end = (command_on(address, *words) for words in (("logs", job_id, "--follow"), ("stop", job_id)))
        raise Interrupted(f"The job {job_id} goes on. Come back to it: {back} - stop it: {end}") from None


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC).astimezone():%Y-%m-%d %H:%M:%S}" if seconds else "-"


def _span(seconds: float) -> str:
    """A time as one reads it: 42 s, 3 min, 2 h 5 min."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{max(0, int(seconds))} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
