"""A job or sweep as it is handed to a cluster: command of its driver, environment, resources, metadata."""

import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from typing import Any

from polyray import __version__
from polyray.cluster.submission import jobs
from polyray.cluster.submission.archive import packed, upload
from polyray.cluster.submission.package import package_files
from polyray.cluster.submission.server import JobServer
from polyray.errors import InputError
from polyray.runs.stopping import GRACE, GRACE_VARIABLE
from polyray.runs.store.remote import is_url

STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"  # seconds from Ray's SIGTERM to its SIGKILL; 3 unless set
AFTER_GRACE = 5  # seconds for the end of a driver whose run was interrupted
PYTHON = "python"  # command of Python on the nodes, unless the user names another one
RESERVED = ("job_name", "job_submission_id")  # metadata that Ray sets itself
OWN_VARIABLES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", STOP_WAIT)  # that a user's own values would break


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Environment of a job's processes on the cluster: variables, and Polyray itself.

    Attributes:
        variables: environment variables that the user named, with their values.
        image: Polyray is installed on the cluster; else it travels.
        python: command of Python on the cluster.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    image: bool = False
    python: str = PYTHON

    def runtime_env(self, server: JobServer, files: bytes | None) -> dict[str, Any]:
        """Ray's runtime environment; `files` is the archive with the working folder, None if there is none.

        Raises:
            InputError, RunError: the cluster does not take an upload.
        """
        variables = {**self.variables, STOP_WAIT: str(stop_wait(self.variables))}
        environment: dict[str, Any] = {"env_vars": variables}
        if not self.image:
            environment["py_modules"] = [upload(server, packed(package_files()))]
        if files is not None:
            environment["working_dir"] = upload(server, files)
        return environment


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A job or sweep for a cluster.

    Attributes:
        id: its name on the cluster.
        kind, job, space: run or sweep, its job, and the space of a sweep.
        arguments: of `polyray` on the cluster, without --out.
        out: folder of the run or sweep on the cluster, see `folder_on_cluster`.
        command: submits it again.
        labels: the user's own metadata.
        shared: `out` is a folder that this machine sees, too.
        cpus, gpus: that the driver occupies; 0: it runs on the head node and occupies nothing.
    """

    id: str
    kind: str
    job: str
    space: str = ""
    arguments: Sequence[str]
    out: str
    command: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Environment = Environment()
    shared: bool = False
    cpus: float = 0
    gpus: float = 0

    @property
    def entrypoint(self) -> str:
        """The driver's command line; `exec`, so that the driver itself gets the signal that stops it."""
        words = [self.environment.python, "-m", "polyray", *self.arguments, "--out"]
        return f"exec {shlex.join(words)} {quoted_folder(self.out)}"

    @property
    def metadata(self) -> dict[str, str]:
        """Metadata of the job on the cluster: the user's labels, and Polyray's fields."""
        fields = {
            jobs.VERSION: __version__, jobs.KIND: self.kind, jobs.JOB: self.job, jobs.SPACE: self.space,
            jobs.OUT: self.out, jobs.COMMAND: self.command, jobs.PYTHON: self.environment.python,
            jobs.IMAGE: "yes" if self.environment.image else "", jobs.SHARED: "yes" if self.shared else "",
        }  # fmt: skip
        return {**self.labels, **{key: value for key, value in fields.items() if value}}

    @property
    def demand(self) -> dict[str, float]:
        """Resources that the driver asks for, by Ray's names."""
        return {name: amount for name, amount in (("CPU", self.cpus), ("GPU", self.gpus)) if amount}

    def submit(self, server: JobServer, files: bytes | None) -> None:
        """Upload what travels, and submit.

        Args:
            files: the archive with the working folder; None: there is none.

        Raises:
            InputError, RunError: the cluster does not take it.
        """
        request = {
            "entrypoint": self.entrypoint, "submission_id": self.id, "metadata": self.metadata,
            "runtime_env": self.environment.runtime_env(server, files),
            "entrypoint_num_cpus": self.cpus or None, "entrypoint_num_gpus": self.gpus or None,
        }  # fmt: skip
        jobs.submit_job(server, request)


def new_id(prefix: str, job: str) -> str:
    """A name for a job on the cluster: what it is, when, and four letters that make it the only one."""
    return f"{prefix}{job}-{datetime.now(UTC).astimezone():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def folder_on_cluster(out: str | None, name: str) -> str:
    """The folder of a run on the cluster: a URL, an absolute path, or a path below the driver's home, ~/...

    Args:
        out: as the user wrote it; a relative path is below the home. None: ~/runs/`name`.
    """
    if out is None:
        return f"~/runs/{name}"
    if is_url(out) or out.startswith(("~/", "/")):
        return out
    normal = os.path.normpath(out)
    if normal in (".", "..") or normal.startswith("../"):
        raise InputError(f"--out {out}: name a folder on the cluster, absolute, by a URL, or below your home there.")
    return f"~/{normal}"


def quoted_folder(folder: str) -> str:
    """`folder` as a word for the shell, which replaces a ~ at its beginning."""
    return f"~/{shlex.quote(folder[2:])}" if folder.startswith("~/") else shlex.quote(folder)


def named_variables(names: Sequence[str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment variables that a user names, with their values here.

    Raises:
        InputError: one is not set, or is one that Ray or Polyray sets itself.
    """
    for name in names:
        if name in OWN_VARIABLES:
            raise InputError(f"--env {name}: this one is set on the cluster. Leave it out.")
        if name not in environment:
            advice = " Set it first: --env takes names, and values from your environment." if "=" in name else ""
            raise InputError(f"--env {name}: no such variable is set here.{advice or ' Set it, or leave it out.'}")
    return {name: environment[name] for name in names}


def labels(texts: Sequence[str]) -> dict[str, str]:
    """Metadata that a user writes as KEY=VALUE.

    Raises:
        InputError: one is written otherwise, or has a key that Polyray or Ray uses.
    """
    values = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"--label {text}: a label is written KEY=VALUE.")
        if key in (*jobs.METADATA, *RESERVED):
            raise InputError(f"--label {text}: the key {key!r} is Polyray's own. Choose another one.")
        values[key] = value
    return values


def stop_wait(variables: Mapping[str, str]) -> int:
    """Seconds between the wish to stop and the kill: the grace of a run, and a few more."""
    try:
        return ceil(float(variables.get(GRACE_VARIABLE, GRACE))) + AFTER_GRACE
    except (ValueError, OverflowError):
        raise InputError(f"{GRACE_VARIABLE}={variables[GRACE_VARIABLE]!r} is no number of seconds.") from None
