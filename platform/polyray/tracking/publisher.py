"""One run folder, published: what its files say goes to a tracker run, once, also across kills and resumes."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from polyray.errors import InputError
from polyray.files import is_remains, make_folders
from polyray.files.disk import disk
from polyray.runs.folder import CONFIG, OWN_FILES
from polyray.runs.metrics import METRICS
from polyray.runs.result import Status
from polyray.runs.run import numbers
from polyray.runs.sealed import read_sealed, write_sealed
from polyray.tracking.lines import AddedLines
from polyray.tracking.tracker import Opening, Tracker

TRACKING = "tracking"  # folder in a run folder


@dataclass(kw_only=True)
class Record:
    """Progress of a tracker run; kept in the run folder, so that the next start goes on with it.

    Attributes:
        key: the tracker's project and options; with others another tracker run begins.
        identifier: of the tracker run; None: not begun.
        steps: the last step that was sent, by the label of the lines: their folder and phase.
        ended: the status with which it ended; None: it has not.
    """

    key: str
    identifier: str | None = None
    steps: dict[str, int] = field(default_factory=dict)
    ended: Status | None = None


class Publisher:
    """Files of one run folder on their way to one tracker run.

    A resumed run repeats the steps after its checkpoint with the same numbers: each is sent once. The tracker run
    begins when the job has begun to write, so that a job that refuses its input leaves no trace.
    """

    def __init__(self, out: Path, opening: Opening, kind: type[Tracker], options: Mapping[str, Any]) -> None:
        """Nothing has been sent in this process.

        Args:
            out: the run folder.
            options: plain values of the tracker's options.
        """
        self._out, self._opening, self._kind = out, opening, kind
        self._options = kind.Options.model_validate(options)
        self._file = out / TRACKING / f"{kind.package}.json"
        self._record = _read(self._file, json.dumps([opening.project, options], sort_keys=True))
        self._tracker: Tracker | None = None
        self._added: dict[str, AddedLines] = {}
        self._ending: tuple[Status, Mapping[str, Any]] | None = None
        self._over = self._record.ended == "done"

    @property
    def is_over(self) -> bool:
        """Whether everything has been sent and nothing will follow."""
        return self._over or (self._ending is not None and not self._has_begun)

    def end(self, status: Status, metrics: Mapping[str, Any]) -> None:
        """Let the next `advance` be the last one, with the metrics of the result."""
        self._ending = status, metrics

    def interrupt(self) -> None:
        """Let the run have been killed, unless its end is known."""
        if self._ending is None:
            self.end("interrupted", {})

    def advance(self) -> None:
        """Send what is new in the run folder. Whatever the tracker raises is raised; call `reopen` then."""
        if self._over or not self._has_begun:
            return
        tracker = self._tracker = self._tracker if self._tracker is not None else self._opened()
        if self._send_lines(tracker):
            self._keep()
        if self._ending is not None:
            status, metrics = self._ending
            result = dict(numbers(metrics, "result/"))
            tracker.finish(status, max(self._record.steps.values(), default=0), result)
            self._record.ended, self._over, self._tracker = status, True, None
            self._keep()

    def reopen(self) -> None:
        """Let the next `advance` open the tracker run anew and send what it has not got."""
        self._tracker = None
        self._added.clear()

    @property
    def _has_begun(self) -> bool:
        """Whether the job has written anything beside the files of every run."""
        if self._record.identifier is not None:
            return True
        names = disk().names(self._out)
        return any(name not in (*OWN_FILES, TRACKING) and not is_remains(name) for name in names)

    def _opened(self) -> Tracker:
        tracker = self._kind(self._options)
        self._record.identifier = tracker.start(self._opening, self._record.identifier)
        self._record.ended = None
        self._keep()
        return tracker

    def _send_lines(self, tracker: Tracker) -> bool:
        """Send lines of steps that were not sent yet; whether there were any."""
        sent = False
        for folder, file in self._files():
            for line in self._added.setdefault(folder, AddedLines(file)).read():
                label = "/".join(name for name in (folder, line.get("phase")) if name)
                step = line.get("step")
                if isinstance(step, int) and step > self._record.steps.get(label, -1):
                    figures = {name: value for name, value in line.items() if name not in ("step", "phase")}
                    tracker.log(step, dict(numbers(figures, f"{label}/" if label else "")))
                    self._record.steps[label] = step
                    sent = True
        return sent

    def _files(self) -> Iterator[tuple[str, Path]]:
        """The metrics of this run, and of runs in folders of it with their names, as a comparison has them."""
        yield "", self._out / METRICS
        for folder in sorted(self._out.iterdir()):
            if (folder / CONFIG).exists():
                yield folder.name, folder / METRICS

    def _keep(self) -> None:
        make_folders(self._file.parent)
        write_sealed(self._file, asdict(self._record))


def _read(file: Path, key: str) -> Record:
    """The record in `file`; that of nothing sent where there is none, an altered one, or one of another tracker run."""
    try:
        record = Record(**read_sealed(file))
    except InputError:
        return Record(key=key)
    return record if record.key == key else Record(key=key)
