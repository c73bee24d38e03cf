"""The command `polyray track`."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from polyray.config import load_config
from polyray.errors import InputError, RunError
from polyray.lookup import lookup

PATIENCE = 3600.0  # seconds


def track(
    folder: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Run folder, of a run that is not running.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[tracking.key=value]...", help="Fields of the section `tracking`.")
    ] = None,
) -> None:
    """Tell an experiment tracker of a run, or the rest of it, from the files in its folder."""
    folders, following = import_module("polyray.runs.folder"), import_module("polyray.tracking.following")
    other = [override for override in overrides or () if not override.startswith("tracking.")]
    if other:
        raise InputError(f"polyray track reads fields of `tracking` only, found {other[0]!r}.")
    jobs: Mapping[str, Any] = import_module("polyray.jobs.table").JOBS
    name = folders.job_of(folder)
    config = load_config(lookup(jobs, name, "job").Config, folder / folders.CONFIG, overrides or ())
    complaints = list[str]()
    with folders.RunFolder(path=folder, job=name, config=config, address=None).locked():
        following.publish(folder, name, config, complaints.append, PATIENCE)
    if complaints:
        raise RunError(complaints[0])
