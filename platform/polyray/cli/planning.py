"""The option `--plan` of the commands that start something."""

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, NoReturn

import typer


def show_plan(make: Callable[[], Any], *, as_json: bool) -> NoReturn:
    """Make a plan (`polyray.cluster.preflight.plan`), print it and end the command.

    Raises:
        typer.Exit: always, with the plan's exit code.
    """
    with redirect_stdout(sys.stderr):  # so that no library's chatter gets into it
        plan = make()
    typer.echo(json.dumps(plan.values(), indent=2) if as_json else "\n".join(plan.lines()))
    raise typer.Exit(plan.exit_code)


def check_plan(make: Callable[[], Any]) -> None:
    """Make a plan and print its short form, before something begins that nobody may be watching.

    Raises:
        typer.Exit: something does not hold.
    """
    with redirect_stdout(sys.stderr):
        plan = make()
    typer.echo("\n".join(f"Plan: {line}" for line in plan.short()))
    if not plan.holds:
        raise typer.Exit(plan.exit_code)
