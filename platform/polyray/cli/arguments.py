"""Arguments that several commands take, and a command as one types it."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Annotated

import typer

JobName = Annotated[str, typer.Argument(metavar="JOB", help="Name of a job; `polyray list jobs` shows them.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout, and nothing else.")]
Planned = Annotated[
    bool,
    typer.Option(
        "--plan", help="Only look: resources, storage, versions; measure a few steps and say what it will cost."
    ),
]
Dashboard = Annotated[
    bool, typer.Option("--dashboard", help="Start Ray's dashboard with a local cluster, and print its address.")
]


def typed(words: Iterable[str], options: Mapping[str, object]) -> str:
    """The command `polyray WORDS` with the options that are not None, as one types it."""
    named = [text for name, value in options.items() if value is not None for text in (name, str(value))]
    return shlex.join(["polyray", *words, *named])
