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
    """The command `polyray WORDS` with its options, as one types it.

    Args:
        options: values by the options' names; None and False: not set, True: set, a list: set once for each entry.
    """
    named: list[str] = []
    for name, value in options.items():
        if value is True:
            named.append(name)
        elif value is not None and value is not False:
            named += [text for entry in (value if isinstance(value, list) else [value]) for text in (name, str(entry))]
    return shlex.join(["polyray", *words, *named])


def sweep_settings(overrides: Iterable[str], trials: int | None, seconds: float | None) -> list[str]:
    """The overrides of a sweep, with those that have options of their own."""
    named = {"sweep.trials": trials, "sweep.seconds": seconds}
    return [*overrides, *(f"{name}={value}" for name, value in named.items() if value is not None)]
