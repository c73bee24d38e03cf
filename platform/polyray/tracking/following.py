"""Run folders that a tracker is told of while they are written."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from polyray import __version__
from polyray.config import Section, dotted
from polyray.errors import InputError
from polyray.runs.result import Status, read_result
from polyray.tracking.connection import PATIENCE, Connection
from polyray.tracking.options import TrackingOptions, tracking_of
from polyray.tracking.publisher import TRACKING
from polyray.tracking.tracker import Opening


class Tracking:
    """Publishes run folders to the tracker that `options` choose; without a tracker it does nothing.

    It reads the folders' files in a process of its own: no run waits for a tracker, or fails with it. The first failure
    is announced; what could not be sent is tried again, and sent by the next start of the run.
    """

    def __init__(
        self, options: TrackingOptions, store: Path, announce: Callable[[str], object], group: str = ""
    ) -> None:
        """Begin; leave the block, or `close`, to end.

        Args:
            store: folder for the files of trackers that have no server.
            announce: shows a line to the user; called in a thread.
            group: name of the sweep whose trials are followed; empty: of none.

        Raises:
            InputError: the tracker's library is not installed.
        """
        options.check()
        self._options, self._store, self._announce, self._group = options, store.absolute(), announce, group
        self._connection: Connection | None = None
        if options.tracker.package:
            self._connection = Connection(options.tracker, options.options, self._store, self._complain)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_on(self) -> bool:
        """Whether there is a tracker to tell."""
        return self._connection is not None

    def follow(self, out: Path, job: str, config: Section) -> None:
        """Publish the run of `job` in the folder `out` from now on; it goes on with the tracker run that it has."""
        folder = out.absolute()
        parameters = dotted(config.model_dump(mode="json"))
        opening = Opening(
            name=f"{self._group}-{folder.name}" if self._group else self._options.name or folder.name,
            project=self._options.project,
            group=self._group,
            parameters={name: value for name, value in parameters.items() if not name.startswith("tracking.")},
            tags={**self._options.tags, "job": job, "folder": str(folder), "polyray": __version__},
            store=str(self._store),
        )
        self._tell({"follow": str(folder), "opening": asdict(opening)})

    def end(self, out: Path, status: Status | None = None) -> None:
        """Let the run in `out` have ended with `status`; None: as its result says, and failed where it has none."""
        try:
            result = read_result(out) or {}
        except InputError:  # whoever needs the result says so
            result = {}
        status = status if status is not None else result.get("status", "failed")
        self._tell({"end": str(out.absolute()), "status": status, "metrics": result.get("metrics", {})})

    def close(self, patience: float = PATIENCE) -> None:
        """Wait until everything is sent, `patience` seconds at most; runs without a known end were interrupted."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close(patience)

    def _tell(self, message: Mapping[str, Any]) -> None:
        if self._connection is not None:
            self._connection.tell(message)

    def _complain(self, reason: str) -> None:
        self._announce(
            f"The tracker {self._options.kind} does not take everything: {reason}. The run does not wait for it; "
            "`polyray track FOLDER` sends the rest."
        )


@contextmanager
def tracked(out: Path, job: str, config: Section, announce: Callable[[str], object]) -> Iterator[None]:
    """Within the block the run in the folder `out` is published to the tracker of its config.

    Raises:
        InputError: the tracker's library is not installed.
    """
    with Tracking(tracking_of(config), out / TRACKING, announce) as tracking:
        tracking.follow(out, job, config)
        try:
            yield
        finally:
            tracking.end(out)


def publish(out: Path, job: str, config: Section, announce: Callable[[str], object], patience: float) -> None:
    """Send what the tracker of the config lacks of the run in `out`, which nobody is running.

    Args:
        patience: seconds that it may take.

    Raises:
        InputError: the config has no tracker, or its library is not installed.
    """
    options = tracking_of(config)
    if not options.tracker.package:
        raise InputError(f"The run in {out} has no tracker. Add tracking.kind=NAME; see `polyray list trackers`.")
    with Tracking(options, out / TRACKING, announce) as tracking:
        tracking.follow(out, job, config)
        tracking.end(out)
        tracking.close(patience)
