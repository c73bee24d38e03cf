"""The folder that a job writes: its config, its result, and the lock that keeps a second process out."""

import fcntl
import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any, Literal

from pydantic_core import to_json

from polyray import __version__
from polyray.config import Section, dump_config, load_config
from polyray.errors import InputError
from polyray.files import write_file

Status = Literal["done", "interrupted", "failed"]

_JOB_LINE = "# job: "
_OWN_FILES = ("config.yaml", "log.txt", ".lock")


def new_run_folder(job: str, root: Path = Path("runs")) -> Path:
    """A folder below `root` that does not exist yet, named after `job` and the time."""
    name = f"{job}-{datetime.now(UTC).astimezone():%Y%m%d-%H%M%S}"
    names = [name, *(f"{name}-{number}" for number in range(2, 1000))]
    return next(root / name for name in names if not (root / name).exists())


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """One run of `job` with `config` in `path`; `path` is as the user wrote it."""

    path: Path
    job: str
    config: Section
    address: str | None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, or check the one that is there, and keep every other process out of it meanwhile.

        When the body raises InputError, a folder made here in which nothing else was written is taken away again.

        Raises:
            InputError: the path is no folder, holds something else, a run of another job or with another config,
                or another process is running in it. Nothing was written.
        """
        self._check()
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"Cannot make the run folder {self.path}: {error}. Choose another --out.") from None
        with self._locked():
            self._check()
            if not self._config_file.exists():
                text = f"{_JOB_LINE}{self.job}\n{dump_config(self.config)}"
                write_file(self._config_file, text)
            try:
                yield
            except InputError:
                if made:
                    self._take_away(made)
                raise

    @property
    def log(self) -> Path:
        """The file that holds the traceback of a failure."""
        return self.path / "log.txt"

    @property
    def resume_command(self) -> str:
        """What to type to go on with this run."""
        address = ["--address", self.address] if self.address is not None else []
        return shlex.join(
            ["polyray", "run", self.job, "--config", str(self._config_file), "--out", str(self.path), *address]
        )

    def result(self) -> dict[str, Any] | None:
        """What result.json holds, or None where no run has ended yet.

        Raises:
            InputError: the file cannot be read.
        """
        file = self.path / "result.json"
        if not file.exists():
            return None
        try:
            result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"Cannot read {file}: {error}. Delete it to go on with the run.") from None
        return result

    def write_result(self, status: Status, metrics: Mapping[str, Any], skills: tuple[str, ...], seconds: float) -> None:
        """Write result.json, whole or not at all; NaN and infinity become null, `seconds` adds up over all starts."""
        earlier = self.result()
        result = {
            "job": self.job,
            "status": status,
            "metrics": metrics,
            "skills": skills,
            "seconds": round(seconds + (earlier["seconds"] if earlier is not None else 0.0), 3),
            "versions": versions(),
        }
        text = to_json(result, indent=2, inf_nan_mode="null", fallback=float)
        write_file(self.path / "result.json", text + b"\n")

    def write_log(self, text: str) -> None:
        """Add `text` and the time to the log."""
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now(UTC).astimezone().isoformat(timespec='seconds')}\n{text}\n")

    @property
    def _config_file(self) -> Path:
        return self.path / "config.yaml"

    def _check(self) -> None:
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise InputError(f"The run folder {self.path} is a file. Choose another --out.")
        if self._config_file.exists():
            self._check_same_run()
        elif any(entry.name != ".lock" for entry in self.path.iterdir()):
            raise InputError(f"{self.path} holds files but no run (no config.yaml). Choose another --out.")

    def _check_same_run(self) -> None:
        first, _, _ = self._config_file.read_text(encoding="utf-8").partition("\n")
        job = first.removeprefix(_JOB_LINE).strip() if first.startswith(_JOB_LINE) else self.job
        if job != self.job:
            raise InputError(f"{self.path} holds a run of the job {job!r}, not {self.job!r}. Choose another --out.")
        there = _flat(load_config(type(self.config), self._config_file).model_dump(mode="json"))
        here = _flat(self.config.model_dump(mode="json"))
        lines = [
            f"  {name} = {there.get(name)!r} there, {here.get(name)!r} here"
            for name in sorted(there.keys() | here.keys())
            if there.get(name) != here.get(name)
        ]
        if lines:
            raise InputError(
                f"{self.path} holds a run with another config:\n" + "\n".join(lines) + "\n"
                f"Choose another --out, or go on with that run: {self.resume_command}"
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The kernel drops an flock with its process, however that ended: the file staying behind blocks nobody.
        with (self.path / ".lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"Another process is running in {self.path}. Wait until it ends, or choose another --out."
                ) from None
            yield

    def _take_away(self, made: list[Path]) -> None:
        if any(entry.name not in _OWN_FILES for entry in self.path.iterdir()):
            return
        for name in _OWN_FILES:
            (self.path / name).unlink(missing_ok=True)
        for folder in made:
            if any(folder.iterdir()):
                return
            folder.rmdir()


def versions() -> dict[str, str]:
    """The versions of what decides a run's numbers."""
    installed = {name: version(name) for name in ("torch", "ray", "transformers")}
    return {"polyray": __version__, "python": python_version(), **installed}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
