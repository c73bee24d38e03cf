"""The one way to run a job: its folder, its Ray session, its result and its log."""

import shlex
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from signal import SIGINT

from rich.console import Console

from polyray.cluster.monitoring.runs import monitored
from polyray.cluster.session import RaySession
from polyray.config import Section
from polyray.errors import InputError, Interrupted, PolyrayError, RunError, StorageError
from polyray.files.disk import Point, disk
from polyray.reports.report import REPORT, write_report
from polyray.runs.folder import RunFolder
from polyray.runs.job import Job, Result
from polyray.runs.result import RESULT, Status, read_result
from polyray.runs.run import STOP, Cluster, Hook, Run
from polyray.runs.stopping import StopRequest, stopping
from polyray.runs.store.working import WorkingCopy
from polyray.tracking.following import tracked


def run_job(
    name: str, job: Job, config: Section, out: Path, address: str | None, console: Console, command: str = "",
    store: WorkingCopy | None = None, *, dashboard: bool = False,
) -> Result:  # fmt: skip
    """Run `job` in the folder `out`, write its result and report; a run that is done already gives its stored result.

    A folder with an unfinished run of the same job and config is handed to the job again, which goes on from what it
    finds there. Ray starts when the job first needs it, see `RaySession`, and is left when the job has ended.
    `command`, as the user typed it, is kept for the report. `store`: the working copy that `out` is, if it is one.
    `dashboard`: see `RaySession`.

    Raises:
        InputError: `out` holds something else, is in use, or the job refused its input; a new folder is gone again.
        RunError: the job failed; the traceback is in the log that the message names.
        Interrupted: a signal or the stop file ended the run; the message says how to resume it.
    """
    folder = RunFolder(path=out, job=name, config=config, address=address, store=store, command=command)
    return run_in(folder, job, console, command, dashboard=dashboard)


def run_in(
    folder: RunFolder, job: Job, console: Console, command: str = "", cluster: Cluster | None = None,
    hooks: Sequence[Hook] = (), *, dashboard: bool = False,
) -> Result:  # fmt: skip
    """Run `job` in `folder`, as `run_job` does.

    Args:
        cluster: processes that may work for the run; None: a Ray session of its own, whose figures Prometheus gets.
        hooks: see `Run`.

    Raises:
        InputError, RunError, Interrupted: as there.
    """
    out = folder.path
    with folder.locked() as changes:
        for line in changes:
            text = f"This run goes on with {line}: on the same data in the same order, no longer exact to the byte."
            _say(console, text)
            folder.write_log(text)
        damage = folder.damage() if folder.is_done else None
        if damage is not None:
            _say(
                console, f"The run in {folder.shown()} had ended, but {damage}; it goes on from its newest checkpoint."
            )
        elif folder.is_done:
            result = read_result(out) or {}
            _say(console, f"The run in {folder.shown()} is done already; its result is in {folder.shown(RESULT)}.")
            if not (out / REPORT).exists():  # the process ended between the two files
                _report(folder)
            return Result(metrics=result["metrics"], skills=tuple(result["skills"]))
        with tracked(out, folder.job, folder.config, partial(_say, console)):
            folder.write_start(command)
            return _run(job, folder, console, cluster, hooks, dashboard)


def _run(
    job: Job, folder: RunFolder, console: Console, cluster: Cluster | None, hooks: Sequence[Hook], dashboard: bool
) -> Result:
    started, out = time.monotonic(), folder.path.absolute()
    if disk().exists(out / STOP):  # it stopped an earlier start
        disk().remove(Point.FILE_REMOVED, out / STOP)
    with stopping(out / STOP, partial(_say, console)) as stop:
        try:
            with ExitStack() as stack:
                if cluster is None:
                    cluster = stack.enter_context(_session(folder, console, dashboard))
                    stack.enter_context(monitored(out, folder.job, partial(_say, console)))
                run = Run(out, hooks=hooks, console=console, cluster=cluster, store=folder.store)
                result = job.run(folder.config, run)
            folder.write_result("done", time.monotonic() - started, result)
            run.publish()
        except InputError:
            raise
        except (KeyboardInterrupt, Interrupted) as error:
            _record(folder, "interrupted", time.monotonic() - started, publish=isinstance(error, Interrupted))
            reason, number = (f" {error}", error.number) if isinstance(error, Interrupted) else ("", SIGINT)
            raise stop.interrupted(f"Interrupted.{reason} Resume with: {folder.resume_command}", number) from None
        except Exception as error:  # whatever went wrong becomes a log, a status and one message
            raise _failure(error, folder, stop, time.monotonic() - started) from error
    _report(folder)
    _say(console, f"Done. The result is in {folder.shown(RESULT)}.")
    return result


def _session(folder: RunFolder, console: Console, dashboard: bool) -> RaySession:
    """A Ray session for one run."""
    out, url = folder.path.absolute(), folder.store.url if folder.store is not None else ""
    return RaySession(
        folder.address, out / "logs" / "ray", out / STOP, url, folder=out, dashboard=dashboard,
        announce=partial(_say, console),
    )  # fmt: skip


def _failure(error: Exception, folder: RunFolder, stop: StopRequest, seconds: float) -> PolyrayError:
    """Write down what went wrong: the error to raise, an interruption where a signal came before."""
    see = _logged(folder, "".join(traceback.format_exception(error)))
    if stop.number is not None:  # a scheduler may send its signal to Ray's processes, too
        _record(folder, "interrupted", seconds)
        return stop.interrupted(
            f"Interrupted; no checkpoint could be saved. {see} Resume with: {folder.resume_command}"
        )
    _record(folder, "failed", seconds, _text(error))
    return RunError(
        f"The job {folder.job} failed: {_text(error)}\n{see} "
        f"The same command goes on from the newest checkpoint: {folder.resume_command}"
    )


def _record(folder: RunFolder, status: Status, seconds: float, reason: str = "", *, publish: bool = True) -> None:
    """Write how the run ended; a disk that refused the run may refuse this, too.

    Args:
        publish: whether there is time for it, where the run is behind a URL.
    """
    with suppress(StorageError):  # the message of the run's own end follows
        folder.write_result(status, seconds, reason=reason)
        if publish and folder.store is not None:
            with suppress(KeyboardInterrupt):  # Ctrl-C for the second time
                folder.store.publish()


def _logged(folder: RunFolder, text: str) -> str:
    """Add a traceback to the log; where it can be read."""
    try:
        folder.write_log(text)
    except StorageError as error:
        return f"Nor could the log be written: {error}"
    return f"The full traceback is in {folder.shown(folder.log.name)}."


def _report(folder: RunFolder) -> None:
    try:
        write_report(folder.path)
        if folder.store is not None:
            folder.store.publish()
    except Exception as error:  # as above, but the run itself is done
        see = _logged(folder, traceback.format_exc())
        again = shlex.join(["polyray", "report", str(folder.path)]) if folder.store is None else folder.command
        raise RunError(
            f"The job {folder.job} is done, but not its report: {_text(error)}\n{see} Compose it again with: {again}"
        ) from error


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, PolyrayError) else f"{type(error).__name__}: {error}"


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
