"""The command `polyray cluster-files`."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from polyray.errors import InputError
from polyray.files import write_file, writing


def cluster_files(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make.")],
) -> None:
    """Write the files that start a Ray cluster in a cloud, on Kubernetes, with SkyPilot or Slurm, to be edited."""
    if folder.exists():
        raise InputError(f"{folder} is there already: name a new folder.")
    with writing(folder) as new:
        for file in sorted(files("polyray.jobs").joinpath("cluster").iterdir(), key=lambda file: file.name):
            write_file(new / file.name, file.read_bytes())
    typer.echo(f"{folder}: start with the page of docs/clusters that the first lines of each file name.")
