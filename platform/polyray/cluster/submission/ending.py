"""The end of a job on a cluster, in one line."""

import re
import shlex

from polyray.cluster.submission.jobs import COMMAND, ClusterJob
from polyray.errors import RunError

NOT_FOUND = 127  # exit code of a shell for a command that it does not find
LACKING = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")


class FailedJobError(RunError):
    """Failure of a job on a cluster; the exit code is that of its driver, where it has one."""

    def __init__(self, message: str, exit_code: int | None) -> None:
        super().__init__(message)
        self.exit_code = exit_code or RunError.exit_code


def end_of(job: ClusterJob, address: str | None = None) -> str:
    """One line on how a job that is over has ended, with the remedy where it failed.

    Args:
        address: as the user wrote it, for the commands in the line.
    """
    if job.status == "SUCCEEDED" and job.kind is not None and not job.kind.writes:
        return f"The plan {job.id} is made: {command_on(address, 'logs', job.id)}"
    if job.status == "SUCCEEDED":
        return f"The job {job.id} is done. Bring its folder home with: {command_on(address, 'fetch', job.id, 'DIR')}"
    if job.status == "STOPPED":
        again = f": {job.metadata[COMMAND]}" if COMMAND in job.metadata else "."
        return f"The job {job.id} was stopped. Submitted again, it goes on from its newest checkpoint{again}"
    code = f" with exit code {job.exit_code}" if job.exit_code is not None else ""
    return f"The job {job.id} failed{code}: {_reason(job)}"


def check_end(job: ClusterJob, address: str | None = None) -> None:
    """Raise an error unless a job that is over is done.

    Raises:
        FailedJobError: it was stopped, or failed.
    """
    if job.status != "SUCCEEDED":
        raise FailedJobError(end_of(job, address), job.exit_code)


def command_on(address: str | None, *words: str) -> str:
    """The command `polyray WORDS` for the cluster at `address`, as the user wrote it."""
    return shlex.join(["polyray", *words, *([] if address is None else ["--address", address])])


def _reason(job: ClusterJob) -> str:
    """Why it failed: a line of its message, and the remedy for what is the cluster's fault."""
    lacking = LACKING.search(job.message)
    if lacking:
        return (
            f"the Python that ran it lacks {lacking[1]}. Install what Polyray needs on the nodes (an image with it is "
            "easiest), or name another Python by --python."
        )
    lines = [line.strip() for line in job.message.splitlines() if line.strip()]
    if job.exit_code == NOT_FOUND:
        command = lines[-1] if lines else "python"
        return f"the cluster has no such command ({command}). Name its Python by --python /path/to/python."
    last = next((line for line in reversed(lines) if line.startswith("polyray: ")), lines[-1] if lines else "no reason")
    return f"{last.removeprefix('polyray: '):.500}"
