"""Runs of jobs as a user starts them, and the processes below them."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from job_cases import TINY
from signal_cases import handle_signals_as_usual

from polyray.cli.app import main
from polyray.jobs.table import JOBS


class Run:
    """The command line in a process of its own, forked so that its imports are done already.

    A process in which Ray has run cannot be forked: Ray leaves threads behind. Tests that call Ray come after these.
    """

    def __init__(self, *arguments: str) -> None:
        self.output = Path(tempfile.mkstemp(prefix="polyray-test-")[1])
        assert JOBS[arguments[1]].about  # imports the job here, once, before any fork
        self.pid = os.fork()
        self.code: int | None = None
        if self.pid == 0:
            os.setpgid(0, 0)  # as a shell does
            self._be(arguments)

    def _be(self, arguments: tuple[str, ...]) -> None:
        code = 1
        try:
            with self.output.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
            handle_signals_as_usual()
            main(arguments)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def poll(self) -> int | None:
        """The exit code, negative for a signal, None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def send(self, number: int, group: bool = False) -> None:
        """Send a signal to the driver alone, or to its process group, as a terminal does."""
        if group:
            os.killpg(self.pid, number)
        else:
            os.kill(self.pid, number)

    def wait(self, seconds: float = 300) -> int:
        """The exit code; a run fails that used, on a machine with nothing else to do, up to `seconds` for it."""
        spent = 0.0
        while self.poll() is None:
            if spent > seconds:
                self.send(signal.SIGKILL)
                pytest.fail(f"the run did not end within {seconds} s: {self.output.read_text()}")
            time.sleep(0.02)
            spent += 0.02 / slowness()
        assert self.code is not None
        return self.code


def start(out: Path, job: str = "polytropon", *more: str) -> Run:
    return Run("run", job, "--out", str(out), *TINY, *more)


def finish(run: Run, code: int = 0) -> str:
    exit_code, output = run.wait(), run.output.read_text()
    run.output.unlink()
    assert exit_code == code, f"exit code {exit_code}: {output}"
    return output


def wait_for_lines(file: Path, n_lines: int, process: Run) -> None:
    """Until `n_lines` lines stand in the file, or the run ends."""
    while process.poll() is None and (not file.exists() or len(file.read_text().splitlines()) < n_lines):
        time.sleep(0.01)


def wait_for(out: Path, n_lines: int, process: Run) -> None:
    """Until `n_lines` lines of progress stand in the run folder, or the run ends."""
    wait_for_lines(out / "progress.jsonl", n_lines, process)


def descendants(process: Run) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = psutil.Process(process.pid).children(recursive=True)
        return children
    except psutil.NoSuchProcess:
        return []


def actors_of(process: Run, kind: str) -> list[psutil.Process]:
    """The processes below the driver that are Ray actors of the class `kind`."""
    actors = []
    for child in descendants(process):
        try:
            if kind in " ".join(child.cmdline()):
                actors.append(child)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return actors


DEATHS_NOTICED = {  # within seconds, and not within half a minute
    "RAY_health_check_failure_threshold": "5",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
}


def slowness() -> float:
    """Factor by which anything takes longer on this machine now, because others want its cores, too."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def gone(processes: Sequence[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=30 * slowness())
    return not alive


@contextmanager
def head(dashboard: int = 0) -> Iterator[str]:
    """The address of a cluster on this machine, started by `ray start` and ended afterwards.

    dashboard: the port of its dashboard, which takes submitted jobs; 0: it has none.
    """
    port = free_port()
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}"]
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ray-") as home:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        more = ["--include-dashboard=false", f"--num-cpus={os.cpu_count()}", f"--temp-dir={home}"]
        if dashboard:
            ports = [f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={free_port()}"]
            more = ["--include-dashboard=true", *ports, *more[1:]]
        with (Path(home) / "output.txt").open("w") as output:
            cluster = subprocess.Popen([*command, *more], stdout=output, stderr=output, start_new_session=True)
        assert is_up(cluster, Path(home) / "output.txt"), (Path(home) / "output.txt").read_text()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            end_cluster(cluster)


def end_cluster(cluster: subprocess.Popen[bytes]) -> None:
    """Kill the cluster that `ray start --block` runs: asked to end, it would wait 30 s for its own processes."""
    processes = [psutil.Process(cluster.pid), *psutil.Process(cluster.pid).children(recursive=True)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    cluster.wait()
    assert gone(processes)


def is_up(start: subprocess.Popen[bytes], output: Path, *failures: str) -> bool:
    """Wait until the node that `ray start` starts is up; False: it ended instead, or wrote one of `failures`."""
    while "Ray runtime started" not in (text := output.read_text()):
        if start.poll() is not None or any(failure in text for failure in failures):
            return False
        time.sleep(0.1)
    return True


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
        return port
