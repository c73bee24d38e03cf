"""A job that does what a test says, run in a folder as a user's is."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from polyray.cluster.launch import run_job
from polyray.config import Section
from polyray.runs.job import Job, Result
from polyray.runs.run import Run


class Config(Section):
    steps: int = 3
    """Steps."""
    name: str = "a"
    """Name."""


Body = Callable[[Config, Run], Result]


def done(config: Config, run: Run) -> Result:
    (run.out / "skills").mkdir(exist_ok=True)
    return Result(metrics={"mean": config.steps}, skills=("skills/one",))


def launch(out: Path, body: Body = done, config: Config | None = None, name: str = "fake") -> tuple[Result, str]:
    """The result of a job that does `body`, and what it printed."""
    console = Console(file=io.StringIO(), width=40)
    job = Job(about="A test's job.", Config=Config, run=body)
    result = run_job(name, job, config if config is not None else Config(), out, None, console)
    assert isinstance(console.file, io.StringIO)
    return result, console.file.getvalue()


def stored(out: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return result
