"""The trials of a sweep as runs of its experiment tracker, grouped under the sweep's name."""

from collections.abc import Callable, Mapping
from typing import Self

from polyray.config import Section
from polyray.runs.result import Status
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.journal import Entry
from polyray.sweeps.rows import State
from polyray.tracking.following import Tracking
from polyray.tracking.options import tracking_of
from polyray.tracking.publisher import TRACKING

STATUSES: Mapping[State, Status] = {"done": "done", "failed": "failed"}  # all others: it could go on


class TrialTracking:
    """The driver's side of a sweep's tracker; the processes of the trials know nothing of it."""

    def __init__(self, sweep: SweepFolder, kind: type[Section], announce: Callable[[str], object]) -> None:
        """Begin; leave the block to end.

        Args:
            kind: class of the job's config, whose section `tracking` counts.
            announce: see `Tracking`.

        Raises:
            InputError: the tracker's library is not installed, or the base config is wrong.
        """
        options = tracking_of(sweep.config(kind, {}))
        group = options.name or sweep.path.absolute().name
        self._sweep, self._kind = sweep, kind
        self._tracking = Tracking(options, sweep.path / TRACKING, announce, group)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tracking.close()

    def begin(self, entry: Entry) -> None:
        """Follow the repeats of a trial; those that have begun already go on with the tracker run that they have."""
        if self._tracking.is_on:
            for repeat, folder in enumerate(self._sweep.folders(entry.number)):
                config = self._sweep.config(self._kind, entry.fields, repeat)
                self._tracking.follow(folder, self._sweep.job, config)

    def end(self, entry: Entry, state: State) -> None:
        """Let a trial have ended."""
        for folder in self._sweep.folders(entry.number):
            self._tracking.end(folder, STATUSES.get(state, "interrupted"))
