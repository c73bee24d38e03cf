"""The command `polyray submit`."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyray.cli.arguments import JobName, Planned, sweep_settings, typed
from polyray.cli.cluster_jobs import Address, follow_job, going_on
from polyray.cluster.submission.cluster import check_versions
from polyray.cluster.submission.ending import check_end, command_on
from polyray.cluster.submission.jobs import KINDS
from polyray.cluster.submission.local_files import LocalFiles, is_shared
from polyray.cluster.submission.server import JobServer
from polyray.cluster.submission.submission import (
    PYTHON,
    Environment,
    Submission,
    folder_on_cluster,
    labels,
    named_variables,
    new_id,
)  # fmt: skip
from polyray.cluster.submission.waiting import PATIENCE, reason_to_wait, until
from polyray.errors import InputError, Interrupted, RunError
from polyray.formats.text import MEBI
from polyray.lookup import lookup
from polyray.runs.store.remote import is_url

if TYPE_CHECKING:
    from polyray.cluster.submission.command import Command  # it brings torch with it, which takes seconds

UPLOAD = 100.0  # MiB; Ray takes no more

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SPACE] [section.key=value]...", help="With --sweep the space first; then fields to set."),
]
IsSweep = Annotated[bool, typer.Option("--sweep", help="Submit a sweep over a SPACE, as `polyray sweep` runs it.")]
Config = Annotated[Path | None, typer.Option(metavar="FILE", help="YAML with the job's config; it travels along.")]
Out = Annotated[
    str | None,
    typer.Option(
        metavar="URL_OR_DIR", help="Folder on the cluster, best a URL or one that all nodes share (default: ~/runs/ID)."
    ),
]
Trials = Annotated[int | None, typer.Option(metavar="N", help="Of a sweep: sweep.trials.")]
Seconds = Annotated[float | None, typer.Option(metavar="S", help="Of a sweep: sweep.seconds.")]
Env = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Environment variable to hand on; no other one is.")
]
Cpus = Annotated[float, typer.Option(min=0, help="That the driver occupies; 0: it runs on the head node, for nothing.")]
Gpus = Annotated[float, typer.Option(min=0, help="That the driver occupies.")]
Label = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Metadata, shown by `polyray status`.")]
Image = Annotated[bool, typer.Option("--image", help="Polyray is installed on the nodes: it does not travel.")]
Python = Annotated[str, typer.Option(metavar="COMMAND", help="Python on the nodes.")]
Shared = Annotated[
    list[Path] | None,
    typer.Option(metavar="FOLDER", help="Folder that the nodes see at the same path: what is in it does not travel."),
]
UploadLimit = Annotated[float, typer.Option(metavar="MIB", min=0, help="Of all local files that travel along.")]
Follow = Annotated[bool, typer.Option("--follow", help="Show the log until the job has ended.")]


def submit(
    job: JobName,
    words: Words = None,
    sweep: IsSweep = False,
    config: Config = None,
    out: Out = None,
    address: Address = None,
    trials: Trials = None,
    seconds: Seconds = None,
    env: Env = None,
    cpus: Cpus = 0,
    gpus: Gpus = 0,
    label: Label = None,
    image: Image = False,
    python: Python = PYTHON,
    shared: Shared = None,
    upload_limit: UploadLimit = UPLOAD,
    follow: Follow = False,
    only_plan: Planned = False,
) -> None:
    """Send a run, or a sweep, to a Ray cluster."""
    environment = Environment(variables=named_variables(env or ()), image=image, python=python)
    own_labels, kind = labels(label or ()), "plan" if only_plan else "sweep" if sweep else "run"
    server = JobServer.find(address)
    check_versions(server)
    command = _command(job, words or [], sweep, config, trials, seconds)
    files = command.files(shared or ())
    job_id = new_id(KINDS[kind].prefix, job)
    folder = folder_on_cluster(out, job_id)
    options = {
        "--sweep": sweep, "--config": config, "--out": folder, "--trials": trials, "--seconds": seconds, "--env": env,
        "--cpus": cpus or None, "--gpus": gpus or None, "--label": label, "--image": image, "--shared": shared,
        "--python": None if python == PYTHON else python, "--address": address,
        "--upload-limit": None if upload_limit == UPLOAD else upload_limit, "--plan": only_plan,
    }  # fmt: skip
    submission = Submission(
        id=job_id, kind=kind, job=job, space=command.space, out=folder,
        arguments=[*command.arguments(files), *(["--plan"] if only_plan else [])],
        command=typed(["submit", job, *(words or ())], options), labels=own_labels, environment=environment,
        shared=not is_url(folder) and is_shared(Path(folder), shared or ()), cpus=cpus, gpus=gpus,
    )  # fmt: skip
    _hand_over(server, submission, files, upload_limit * MEBI)
    with going_on(job_id, address):
        _watch(server, submission, address, follow or only_plan)


def _command(
    job: str, words: list[str], sweep: bool, config: Path | None, trials: int | None, seconds: float | None
) -> "Command":
    """The command that is sent.

    Raises:
        InputError: it is wrong.
    """
    entry = lookup(import_module("polyray.jobs.table").JOBS, job, "job")
    commands = import_module("polyray.cluster.submission.command")
    if not sweep:
        if trials is not None or seconds is not None:
            raise InputError("--trials and --seconds are of a sweep: polyray submit --sweep JOB SPACE.")
        return commands.run_command(job, entry, words, config)  # type: ignore[no-any-return]
    if not words or "=" in words[0]:
        raise InputError("A sweep needs a space: polyray submit --sweep JOB SPACE. `polyray list spaces` shows them.")
    settings = sweep_settings(words[1:], trials, seconds)
    return commands.sweep_command(job, entry, words[0], settings, config)  # type: ignore[no-any-return]


def _hand_over(server: JobServer, submission: Submission, files: LocalFiles, limit: float) -> None:
    """Upload what travels, and submit.

    Raises:
        InputError, RunError: it is too much, or the cluster does not take it.
        Interrupted: Ctrl-C.
    """
    try:
        archive = files.packed(limit) if files.files else None
        if archive is not None:
            typer.echo(f"{len(files.files)} local files travel along ({files.size / MEBI:.1f} MiB).")
        submission.submit(server, archive)
    except KeyboardInterrupt:
        raise Interrupted("Nothing was submitted, unless `polyray jobs` lists it.") from None
    folder = f" Its folder there is {submission.out}." if KINDS[submission.kind].writes else ""
    typer.echo(f"Submitted {submission.id} to {server.address}.{folder}")


def _watch(server: JobServer, submission: Submission, address: str | None, follow: bool) -> None:
    """Wait until the job runs, for a while, or follow it to its end.

    Raises:
        FailedJobError: it failed.
        RunError: no node of the cluster can run it.
    """
    job = until(server, submission.id, lambda job: job.status != "PENDING", PATIENCE)
    if job.status == "PENDING":
        reason, never = reason_to_wait(server, submission.demand)
        line = f"The job {job.id} has not begun after {PATIENCE:g} s: {reason}."
        if never and not follow:
            stop = command_on(address, "stop", job.id)
            raise RunError(f"{line} It stays in the queue for a node that may come. Ask for less, or: {stop}")
        typer.echo(line, err=True)
    if follow:
        follow_job(server, job.id, address)
    elif job.is_over:
        check_end(job, address)
    else:
        for verb, *words in (("Follow it", "logs", job.id, "--follow"), ("Stop it", "stop", job.id)):
            typer.echo(f"{verb}: {command_on(address, *words)}")
