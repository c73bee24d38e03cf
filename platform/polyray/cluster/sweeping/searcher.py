"""The order of trials as Ray Tune asks for it: those of the journal that have not ended, then new ones.

Tune takes some milliseconds and 30 KB for each of its trials, which is much beside a run of a tenth of a second. So
several runs that short are one trial to Tune: a handful, whose configurations a worker works through in turn.
"""

import threading
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

from ray.tune.search import Searcher as TuneSearcher

from polyray.cluster.sweeping.storage import SharedFolder, Storage
from polyray.runs.result import read_result
from polyray.runs.run import STOP
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.journal import Entry, append_entry, as_text, read_entries
from polyray.sweeps.rows import ENDED, State, TrialRow
from polyray.sweeps.schedulers import SCHEDULERS
from polyray.sweeps.searchers import Searcher, Trial
from polyray.sweeps.tracking import TrialTracking
from polyray.sweeps.trials import TrialRows, trial_of
from polyray.sweeps.verdict import Verdict, read_verdict, write_verdict

HANDFUL_SECONDS, LARGEST_HANDFUL = 1.0, 16  # the time of a handful that is aimed at, and trials in it at most
FEWEST = 8  # trials that have to be done before others are taken together


class JournalSearcher(TuneSearcher):
    """Gives the trials of the journal first, then asks Polyray's searcher, and writes before it answers.

    Its state is the sweep's folder: what Tune would store of it is empty.
    """

    def __init__(
        self, sweep: SweepFolder, rows: TrialRows, searcher: Searcher, *, replay: bool,
        tracking: TrialTracking | None = None, storage: Storage | None = None,
    ) -> None:  # fmt: skip
        """A searcher for one start of a sweep.

        Args:
            replay: whether trials that have ended are given too, so that a scheduler sees their validations.
            tracking: told of each trial's beginning and end; None: nobody is.
            storage: of the sweep's files; None: a folder that all processes share.
        """
        super().__init__()
        self._tracking, self._storage = tracking, storage if storage is not None else SharedFolder(sweep)
        self._sweep, self._rows, self._searcher = sweep, rows, searcher
        self._trials: list[Trial] = []
        self._seconds = deque[float](maxlen=2 * LARGEST_HANDFUL)  # that the newest trials have taken
        self._again, self._alone = deque[Entry](), deque[Entry]()
        for entry in read_entries(sweep.path):
            row = rows.row(entry)
            self._count(row)
            self._trials.append(trial_of(row))
            if replay or not row.has_ended:
                self._again.append(entry)
        self._live: dict[str, Sequence[Entry]] = {}
        self._lock = threading.Lock()  # Tune asks in a thread of its own

    @property
    def has_more(self) -> bool:
        """Whether a trial is left to run."""
        if any(trial.state not in ENDED for trial in self._trials):
            return True
        return self._draw() is not None

    def suggest(self, trial_id: str) -> Any:
        """The next handful; FINISHED: there is none, or the sweep is to end; None: others have to end first."""
        with self._lock:
            handful = [] if (self._sweep.path / STOP).exists() else self._next_handful()
            if not handful:
                return None if self._must_wait else TuneSearcher.FINISHED
            self._live[trial_id] = handful
        self._storage.publish()
        for entry in handful:
            if self._tracking is not None and self._trials[entry.number].state not in ENDED:
                self._tracking.begin(entry)  # one that has ended is given for its validations alone
        return {"trials": as_text(handful), "until": self._until}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Read the outcomes of a handful that has ended from its files.

        Trials that it did not come to are given again. If its worker failed, all that have not ended are, each by
        itself, so that each can be tried as often as any other.
        """
        handful = self._live[trial_id]
        for entry in handful:
            state = self._end(entry, failed=error and len(handful) == 1)
            if error and state not in ENDED:
                self._alone.append(entry)
            elif state == "waiting":
                self._again.append(entry)
        with self._lock:
            del self._live[trial_id]

    def ask_to_stop(self) -> None:
        """Ask all trials that run to save a checkpoint and end."""
        for number in self._running():
            self._storage.ask_to_stop(number)

    def refresh(self) -> None:
        """Bring what the trials that run have published, now and then."""
        self._storage.refresh(self._running())

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Store nothing: the sweep's folder has it all."""

    def save(self, checkpoint_path: str) -> None:
        """Store nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune writes a copy of what it is given, from which nobody reads."""
        return {}

    @property
    def _until(self) -> int:
        """Validations after which a trial is to pause; 0: none."""
        return 0

    @property
    def _must_wait(self) -> bool:
        """Whether there may be a next trial once others have ended: one that the worker of a handful did not end."""
        return any(len(handful) > 1 for handful in self._live.values())

    def _end(self, entry: Entry, *, failed: bool) -> State:
        """Read the outcome of a trial; one that `failed` without a verdict gets it now."""
        self._storage.look(entry.number)
        file = self._sweep.verdict_file(entry.number)
        if failed and read_verdict(file).state == "open":
            with self._storage.editing(entry.number):
                write_verdict(file, Verdict(state="failed", reason=self._reason(entry)))
        row = self._rows.row(entry)
        self._trials[entry.number] = trial_of(row)
        self._count(row)
        if self._tracking is not None:
            self._tracking.end(entry, row.state)
        return row.state

    def _count(self, row: TrialRow) -> None:
        if row.state == "done":
            self._seconds.append(row.seconds)

    @property
    def _is_indifferent(self) -> bool:
        """Whether it does not matter in which order trials end: nobody learns from them, or has a say in them."""
        scheduler = SCHEDULERS[self._sweep.options.scheduler]
        return not (self._searcher.learns or scheduler.judges or scheduler.population)

    def _next_handful(self) -> list[Entry]:
        """The next trials that one worker is to work through in turn; none: there are no more."""
        if self._alone:
            return [self._alone.popleft()]
        size, handful = handful_size(self._seconds) if self._is_indifferent else 1, list[Entry]()
        while len(handful) < size and (entry := self._next()) is not None:
            handful.append(entry)
        return handful

    def _running(self) -> list[int]:
        with self._lock:
            return [entry.number for handful in self._live.values() for entry in handful]

    def _next(self) -> Entry | None:
        if self._again:
            return self._again.popleft()
        entry = self._draw()
        if entry is not None:
            append_entry(self._sweep.path, entry)
            self._trials.append(Trial(number=entry.number, fields=dict(entry.fields), state="running"))
        return entry

    def _draw(self) -> Entry | None:
        number = len(self._trials)
        if number >= self._sweep.options.trials and not self._is_complete_search:
            return None
        fields = self._searcher.ask(number, self._trials)
        return None if fields is None else Entry(number=number, fields=fields)

    @property
    def _is_complete_search(self) -> bool:
        """Whether the searcher itself knows its end."""
        return "trials" not in self._searcher.reads

    def _reason(self, entry: Entry) -> str:
        """Why a trial failed whose process could not say it."""
        results = [read_result(folder) for folder in self._sweep.folders(entry.number)]
        reasons = [result["reason"] for result in results if result is not None and result["status"] == "failed"]
        n_tries = self._sweep.options.retries + 1
        return " ".join(reasons[0].split()) if reasons and reasons[0] else f"its process died in {n_tries} tries"


def handful_size(seconds: Collection[float]) -> int:
    """Trials that take a second together, if each takes as long as the longest of the newest ones.

    Args:
        seconds: that each of the newest trials took.
    """
    if len(seconds) < FEWEST:
        return 1
    return max(1, min(LARGEST_HANDFUL, int(HANDFUL_SECONDS / max(*seconds, 1e-3))))
