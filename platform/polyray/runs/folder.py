"""The folder that a job writes: its config, its result, and the lock that keeps a second process out."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from polyray.config import Section, dump_config, load_config
from polyray.errors import InputError, StorageError
from polyray.files import absent_folders, clear, is_remains, make_folders, remove_empty, write_file
from polyray.files.disk import Point, disk
from polyray.formats import check_path, read_document, read_yaml
from polyray.runs.changes import Changes, changes
from polyray.runs.finished import run_damage, write_run_sums
from polyray.runs.job import Result
from polyray.runs.locking import locked
from polyray.runs.metrics import append_line, mend
from polyray.runs.result import RESULT, Status, read_result, write_result
from polyray.runs.store.working import WorkingCopy

CONFIG, LOG, LOCK = "config.yaml", "log.txt", ".lock"
STARTS = "starts.jsonl"  # time and command of every start
OWN_FILES = (CONFIG, STARTS, LOG, LOCK)  # of every run, before its job has written anything
JOB_LINE = "# job: "  # the first line of config.yaml begins with it


def new_run_folder(job: str, root: Path = Path("runs")) -> Path:
    """A folder below `root` that does not exist yet, named after `job` and the time."""
    name = f"{job}-{datetime.now(UTC).astimezone():%Y%m%d-%H%M%S}"
    names = [name, *(f"{name}-{number}" for number in range(2, 1000))]
    return next(root / name for name in names if not (root / name).exists())


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """One run of `job` with `config` in `path`; `path` is as the user wrote it.

    Attributes:
        store: the working copy that `path` is, where the user wrote a URL; else None.
        command: with which a run behind a URL goes on, as the user typed it.
    """

    path: Path
    job: str
    config: Section
    address: str | None
    store: WorkingCopy | None = None
    command: str = ""

    @contextmanager
    def locked(self) -> Iterator[list[str]]:
        """Make the folder, or check the one that is there, and keep every other process out of it meanwhile.

        Yields a line for each elastic field (see `Section`) in which the run goes on otherwise than it began;
        config.yaml then has the new values, those of observing fields, too. When the body raises InputError,
        config.yaml is as before, and a new folder in which nothing else was written is removed again.

        Raises:
            InputError: the path is no folder, holds something else, a run of another job or with another config,
                or another process is running in it. Nothing was written.
        """
        self.check()
        new_folders = absent_folders(self.path)
        try:
            make_folders(self.path)
        except StorageError as error:
            raise InputError(f"Cannot make the run folder {self.path}. {error} Choose another --out.") from None
        with locked(self.path / LOCK):
            self.check()
            before = self._config_file.read_bytes() if self._config_file.exists() else None
            differences = Changes() if before is None or self.is_done else self._changes()
            try:
                self._begin(write=before is None or differences.allowed)
                yield list(differences.elastic)
            except InputError:
                if before is not None and differences.allowed:
                    write_file(self._config_file, before)
                if new_folders:
                    self._remove(new_folders)
                raise

    def _begin(self, *, write: bool) -> None:
        """Write the config, if it is new, and remove what killed processes left."""
        if write:
            try:
                write_file(self._config_file, f"{JOB_LINE}{self.job}\n{dump_config(self.config)}")
            except StorageError as error:
                raise InputError(f"Cannot write in the run folder {self.path}. {error}") from None
        for folder in (self.path, *(path for path in sorted(self.path.iterdir()) if path.is_dir())):
            clear(folder)

    @property
    def log(self) -> Path:
        """The file that holds the traceback of a failure."""
        return self.path / LOG

    @property
    def resume_command(self) -> str:
        """Command that goes on with this run."""
        if self.store is not None:  # whose config is no file for a shell
            return self.command
        address = ["--address", self.address] if self.address is not None else []
        return shlex.join(
            ["polyray", "run", self.job, "--config", str(self._config_file), "--out", str(self.path), *address]
        )

    def shown(self, *names: str) -> str:
        """The path of the folder, or of what it holds, as the user knows it."""
        return "/".join((self.store.url, *names)) if self.store is not None else str(self.path.joinpath(*names))

    @property
    def is_done(self) -> bool:
        """Whether the result says that a run has ended here as it should; `damage` says whether to believe it.

        Raises:
            InputError: the result is unreadable, or of another job.
        """
        result = read_result(self.path)
        if result is not None and result["job"] != self.job:
            raise InputError(
                f"{self.shown(RESULT)} is of the job {result['job']!r}, not {self.job!r}. Delete it to go on "
                "with the run."
            )
        return result is not None and result["status"] == "done"

    def damage(self) -> str | None:
        """Description of what was lost or altered since the run ended, None if nothing was; see `run_damage`."""
        return run_damage(self.path)

    def write_result(self, status: Status, seconds: float, result: Result | None = None, reason: str = "") -> None:
        """Write result.json; without a result its metrics and skills are empty. A finished run gets its sums.

        Args:
            status, seconds, reason: see `polyray.runs.result.write_result`.

        Raises:
            StorageError: the disk refused.
        """
        result = result if result is not None else Result(metrics={})
        write_result(self.path, self.job, status, seconds, result.metrics, result.skills, reason)
        if status == "done":
            write_run_sums(self.path)

    def write_start(self, command: str) -> None:
        """Note the time and the command of a start; empty: the command that resumes."""
        file = self.path / STARTS
        mend(file)  # a process may have died in the middle of the last line
        append_line(file, {"time": _now(), "command": command or self.resume_command})

    def write_log(self, text: str) -> None:
        """Add `text` and the time to the log."""
        disk().append(Point.LINE_APPENDED, self.log, f"{_now()}\n{text}\n".encode(errors="backslashreplace"))

    @property
    def _config_file(self) -> Path:
        return self.path / CONFIG

    def check(self) -> None:
        """Look whether this run could begin or go on in its folder; nothing is written.

        Raises:
            InputError: it could not; see `locked`.
        """
        check_path(self.path, "Choose another --out.")
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise InputError(f"The run folder {self.path} is a file. Choose another --out.")
        if self._config_file.exists():
            self._check_same_run()
        elif any(entry.name != LOCK and not is_remains(entry.name) for entry in self.path.iterdir()):
            raise InputError(f"{self.shown()} holds files but no run (no config.yaml). Choose another --out.")

    def _check_same_run(self) -> None:
        job = job_of(self.path)
        if job != self.job:
            raise InputError(f"{self.shown()} holds a run of the job {job!r}, not {self.job!r}. Choose another --out.")
        lines = self._changes().refused
        if lines:
            raise InputError(
                f"{self.shown()} holds a run with another config:\n  " + "\n  ".join(lines) + "\n"
                f"Choose another --out, or go on with that run: {self.resume_command}"
            )

    def _changes(self) -> Changes:
        """Fields in which the run in the folder differs from this one."""
        return changes(load_config(type(self.config), self._config_file), self.config)

    def _remove(self, folders: list[Path]) -> None:
        """Remove the `folders` made for this run, innermost first, if nothing but the run's own files is in them."""
        if any(entry.name not in OWN_FILES for entry in self.path.iterdir()):
            return
        for name in OWN_FILES:
            (self.path / name).unlink(missing_ok=True)
        remove_empty(folders)


def _now() -> str:
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")


def job_of(out: Path) -> str:
    """The job of the run in `out`.

    Raises:
        InputError: the folder holds no run.
    """
    try:
        first, _, _ = read_document(out / CONFIG).partition("\n")
    except InputError as error:
        raise InputError(f"{out} holds no run: {error}") from None
    if not first.startswith(JOB_LINE):
        raise InputError(f"{out / CONFIG} does not begin with {JOB_LINE.strip()!r} and a job's name.")
    return first.removeprefix(JOB_LINE).strip()


def read_config(out: Path) -> dict[str, Any]:
    """The config of the run in `out` as plain values, whatever its job.

    Raises:
        InputError: the folder holds no run.
    """
    try:
        values = read_yaml(out / CONFIG).resolved() or {}
    except InputError as error:
        raise InputError(f"{out} holds no run: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{out / CONFIG} must hold `field: value` pairs.")
    return values
