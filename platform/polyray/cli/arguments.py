"""Arguments that several commands take, and a command as one types it."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Annotated

import typer

JobName = Annotated[str, typer.Argument(metavar="JOB", help="Name of a job; `polyray list jobs` shows them.")]


def typed(words: Iterable[str], options: Mapping[str, object]) -> str:
    """The command `polyray WORDS` with the options that are not None, as one types it."""
    named = [text for name, value in options.items() if value is not None for text in (name, str(value))]
    return shlex.join(["polyray", *words, *named])
