"""Workers of a training and the process that waits for them: by files on a disk that they share, or through a store."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from polyray.errors import PolyrayError, StorageError
from polyray.files import write_file
from polyray.progress import PROGRESS, last_line
from polyray.runs.metrics import append_line
from polyray.runs.run import STOP, Hook, Run
from polyray.runs.store.part import MESSAGE, Part
from polyray.runs.store.scratch import scratch
from polyray.runs.store.working import WorkingCopy, quiet, working_copy
from polyray.training.worker import Worker

BEGUN = "begun"  # the first worker's first text
STOP_MESSAGE, PROGRESS_MESSAGE = "stop", "progress"
LOOK = 2.0  # seconds between two looks at messages
PATIENCE = 90.0  # seconds to wait for the workers before, which may still be dying


class Mailbox(Protocol):
    """Texts that workers leave for the process that waits for them."""

    def post(self, name: str, text: str) -> None:
        """Leave a text, over the one that stood under its name."""

    def message(self, name: str) -> str | None:
        """The text of this name; None: there is none."""

    def clear_messages(self) -> None:
        """Remove all texts."""


class SharedFolder:
    """A mailbox in a folder that all of them see."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def post(self, name: str, text: str) -> None:
        """Leave a text, over the one that stood under its name."""
        write_file(self._folder / f"{name}.json", text)

    def message(self, name: str) -> str | None:
        """The text of this name; None: there is none."""
        file = self._folder / f"{name}.json"
        return file.read_text(encoding="utf-8") if file.exists() else None

    def clear_messages(self) -> None:
        """Remove all texts."""
        for file in self._folder.glob("*.json"):
            file.unlink()


def has_begun(mailbox: Mailbox) -> bool:
    """Whether a group of workers has begun since the start; yes, too, where the storage does not answer now."""
    try:
        return mailbox.message(BEGUN) is not None
    except StorageError:
        return True


class StoredGroup:
    """The driver's side of workers that publish a part of its run.

    Args:
        run: in a working copy, whose state is published now, so that the part is not there without it.

    Raises:
        StorageError: the storage refused.
    """

    def __init__(self, run: Run, store: WorkingCopy) -> None:
        self._run, self._store, self._next = run, store, 0.0
        prefix = run.out.absolute().relative_to(store.folder).as_posix()
        self.prefix = "" if prefix == "." else f"{prefix}/"
        self._name = f"{self.prefix.replace('/', '-')}training"
        self.mailbox: Part = store.child(self._name)
        store.publish()

    def address(self) -> dict[str, str]:
        """All that a worker has to know to publish."""
        name = f"{self._store.name}.{self._name}" if self._store.name else self._name
        return {"url": self._store.url, "name": name, "prefix": self.prefix}

    def tick(self) -> None:
        """Pass a wish to stop on to the workers, and their progress to whoever shows it, every few seconds."""
        if time.monotonic() < self._next:
            return
        try:
            if self._run.stop_file.exists():
                self.mailbox.post(STOP_MESSAGE, "")
            text = self.mailbox.message(PROGRESS_MESSAGE)
        except StorageError:  # at the next look
            text = None
        line = json.loads(text) if text else None
        if line is not None and line != last_line(self._run.out / PROGRESS):
            append_line(self._run.out / PROGRESS, line)
        self._next = time.monotonic() + LOOK

    def bring(self) -> None:
        """Let the run's folder hold what the workers wrote.

        Raises:
            StorageError: the storage or the disk refused.
        """
        self._store.bring(self._name)


@contextmanager
def stored_run(address: Mapping[str, str], worker: Worker, hook: Hook) -> Iterator[tuple[Run, Mailbox]]:
    """The run of one worker in a working copy of its own, restored alike on all workers; the first one publishes.

    Args:
        address: see `StoredGroup.address`.

    Raises:
        PolyrayError: the first worker cannot be the writer of its part, or the storage refused.
    """
    if worker.rank == 0:
        with _writer(address, worker, hook) as (run, mailbox):
            yield run, mailbox
        return
    first: dict[str, str] = worker.gather({})[0]
    if "problem" in first:
        raise StorageError(first["problem"])
    with scratch("run") as folder:
        copy = WorkingCopy(address["url"], address["name"], folder)
        if first["state"]:
            copy.part.restore(state=first["state"])
        yield Run(_out(folder, address), rank=worker.rank, hooks=[hook]), copy.part


@contextmanager
def _writer(address: Mapping[str, str], worker: Worker, hook: Hook) -> Iterator[tuple[Run, Mailbox]]:
    """The run of the first worker, which tells the others the state that they are to restore."""
    announced = False
    try:
        with working_copy(address["url"], quiet, address["name"], wait=PATIENCE) as copy:
            worker.gather({"state": copy.part.state})
            announced = True
            out = _out(copy.folder, address)
            copy.look = Messenger(copy.part, out)
            yield Run(out, hooks=[hook], store=copy), copy.part
    except PolyrayError as error:
        if not announced:
            worker.gather({"problem": str(error)})
        raise


class Messenger:
    """The workers' side of the messages, called every few seconds with the names of what is there."""

    def __init__(self, part: Part, out: Path) -> None:
        self._part, self._out, self._posted = part, out, ""

    def __call__(self, names: Sequence[str]) -> None:
        """Let the run stop where that is asked for, and post its progress.

        Raises:
            StorageError: the storage refused.
        """
        if MESSAGE + STOP_MESSAGE in names:
            (self._out / STOP).touch()
        line = last_line(self._out / PROGRESS)
        text = json.dumps(line) if line is not None else ""
        if text != self._posted:
            self._part.post(PROGRESS_MESSAGE, text)
            self._posted = text


def _out(folder: Path, address: Mapping[str, str]) -> Path:
    """The run's folder in a working copy, made if it is not there."""
    out = folder / address["prefix"]
    out.mkdir(parents=True, exist_ok=True)
    return out
