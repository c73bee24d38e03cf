"""A job, what it gets, what it gives back, and the one way to run it."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from polyray.config import Section
from polyray.errors import InputError, Interrupted, PolyrayError, RunError
from polyray.runs.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a job gets beside its config."""

    out: Path
    """The run folder, absolute; it exists and holds config.yaml."""
    address: str | None
    """Ray cluster to join; None: the job starts Ray itself."""
    console: Console
    """Where progress and tables go."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a job found out."""

    metrics: dict[str, Any]
    """For jobs that score tasks `mean` and `tasks`: {NAME: {METRIC: value}}; and the job's own."""
    skills: tuple[str, ...] = ()
    """Folders of the skills that it wrote, relative to the run folder."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Something that a user can run."""

    config: type[Section]
    run: Callable[[Any, Context], Result]
    about: str
    """One line."""


def run_job(name: str, job: Job, config: Section, out: Path, address: str | None, console: Console) -> Result:
    """Run `job` in the folder `out` and write its result.json; a run that is done already gives its stored result.

    A folder with an unfinished run of the same job and config is handed to the job again, which goes on from what it
    finds there.

    Raises:
        InputError: `out` holds something else, is in use, or the job refused its input; a new folder is gone again.
        RunError: the job failed; the traceback is in the log that the message names.
        Interrupted: the user stopped the run; the message says how to resume it.
    """
    folder = RunFolder(path=out, job=name, config=config, address=address)
    with folder.held():
        earlier = folder.result()
        if earlier is not None and earlier["status"] == "done":
            _tell(console, f"The run in {out} is done already; its result is in {out / 'result.json'}.")
            return Result(metrics=earlier["metrics"], skills=tuple(earlier["skills"]))
        return _run(job, folder, Context(out=out.absolute(), address=address, console=console))


def _run(job: Job, folder: RunFolder, context: Context) -> Result:
    started = time.monotonic()
    try:
        result = job.run(folder.config, context)
        folder.write_result("done", result.metrics, result.skills, time.monotonic() - started)
    except InputError:
        raise
    except (KeyboardInterrupt, Interrupted):
        folder.write_result("interrupted", {}, (), time.monotonic() - started)
        raise Interrupted(f"Interrupted. Resume with: {folder.resume_command}") from None
    except Exception as error:  # the outermost door: whatever went wrong becomes a log, a status and one message
        folder.write_log(traceback.format_exc())
        folder.write_result("failed", {}, (), time.monotonic() - started)
        told = str(error) if isinstance(error, PolyrayError) else f"{type(error).__name__}: {error}"
        raise RunError(f"The job {folder.job} failed: {told}\nThe full traceback is in {folder.log}.") from error
    _tell(context.console, f"Done. The result is in {folder.path / 'result.json'}.")
    return result


def _tell(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
