"""The one way to run a job: its folder, its Ray session, its result and its log."""

import shlex
import time
import traceback
from pathlib import Path

from rich.console import Console

from polyray.cluster.session import RaySession
from polyray.config import Section
from polyray.errors import InputError, Interrupted, PolyrayError, RunError
from polyray.reports.report import REPORT, write_report
from polyray.runs.folder import RunFolder
from polyray.runs.job import Job, Result
from polyray.runs.result import RESULT, read_result
from polyray.runs.run import Run


def run_job(name: str, job: Job, config: Section, out: Path, address: str | None, console: Console) -> Result:
    """Run `job` in the folder `out`, write its result and report; a run that is done already gives its stored result.

    A folder with an unfinished run of the same job and config is handed to the job again, which goes on from what it
    finds there. Ray starts when the job first needs it, see `RaySession`, and is left when the job has ended.

    Raises:
        InputError: `out` holds something else, is in use, or the job refused its input; a new folder is gone again.
        RunError: the job failed; the traceback is in the log that the message names.
        Interrupted: the user stopped the run; the message says how to resume it.
    """
    folder = RunFolder(path=out, job=name, config=config, address=address)
    with folder.locked():
        if folder.is_done:
            result = read_result(out) or {}
            _say(console, f"The run in {out} is done already; its result is in {out / RESULT}.")
            if not (out / REPORT).exists():  # the process ended between the two files
                _report(folder)
            return Result(metrics=result["metrics"], skills=tuple(result["skills"]))
        return _run(job, folder, console)


def _run(job: Job, folder: RunFolder, console: Console) -> Result:
    started, out = time.monotonic(), folder.path.absolute()
    try:
        with RaySession(folder.address, out / "logs" / "ray") as session:
            run = Run(out, console=console, cluster=session)
            run.stop_file.unlink(missing_ok=True)  # it stopped an earlier start
            result = job.run(folder.config, run)
        folder.write_result("done", time.monotonic() - started, result)
    except InputError:
        raise
    except (KeyboardInterrupt, Interrupted):
        folder.write_result("interrupted", time.monotonic() - started)
        raise Interrupted(f"Interrupted. Resume with: {folder.resume_command}") from None
    except Exception as error:  # whatever went wrong becomes a log, a status and one message
        folder.write_log(traceback.format_exc())
        folder.write_result("failed", time.monotonic() - started)
        raise RunError(f"The job {folder.job} failed: {_text(error)}\n{_see(folder)}") from error
    _report(folder)
    _say(console, f"Done. The result is in {folder.path / RESULT}.")
    return result


def _report(folder: RunFolder) -> None:
    try:
        write_report(folder.path)
    except Exception as error:  # as above, but the run itself is done
        folder.write_log(traceback.format_exc())
        raise RunError(
            f"The job {folder.job} is done, but not its report: {_text(error)}\n{_see(folder)} "
            f"Compose it again with: {shlex.join(['polyray', 'report', str(folder.path)])}"
        ) from error


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, PolyrayError) else f"{type(error).__name__}: {error}"


def _see(folder: RunFolder) -> str:
    return f"The full traceback is in {folder.log}."


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
