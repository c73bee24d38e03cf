"""Experiment trackers as Polyray sees them: a tracker run begins, takes numbers, and ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from polyray.config import NoOptions, Section
from polyray.runs.result import Status


@dataclass(frozen=True, kw_only=True)
class Opening:
    """Description of a tracker run at its beginning.

    Attributes:
        name: of the tracker run, for people.
        project: the project or experiment that it belongs to.
        group: name of the sweep that it is a trial of; empty: of none.
        parameters: the config as flat fields.
        tags: what to search by, such as the job.
        store: absolute path of the folder for files of trackers that have no server.
    """

    name: str
    project: str
    group: str
    parameters: Mapping[str, Any]
    tags: Mapping[str, str]
    store: str


class Tracker(Protocol):
    """One tracker run. Every method may raise whatever its library raises.

    A tracker is made as Tracker(options) in a process for trackers alone, see `polyray.tracking.process`.

    Attributes:
        Options: its fields of the section `tracking`.
        package: name by which its library is imported; empty: there is nobody to tell.
        install: what pip installs for it.
    """

    Options: ClassVar[type[Section]]
    package: ClassVar[str]
    install: ClassVar[str]

    def __init__(self, options: Any) -> None:
        """A tracker run that has not begun; options: of the type `Options`."""

    @staticmethod
    def environment(store: Path) -> dict[str, str]:
        """Environment variables for its process; what the user's environment says comes first."""

    def start(self, opening: Opening, identifier: str | None) -> str:
        """Begin a tracker run, or go on with the one called `identifier`: the identifier of the tracker run."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take the numbers after `step` steps. Steps may repeat under other names: phases count for themselves."""

    def finish(self, status: Status, step: int, metrics: Mapping[str, float]) -> None:
        """End after `step` steps, with the numbers of the result; afterwards all is sent, or is in local files."""


class NoTracker:
    """No tracker: nobody is told."""

    Options: ClassVar[type[Section]] = NoOptions
    package: ClassVar[str] = ""
    install: ClassVar[str] = ""

    def __init__(self, options: Section) -> None:
        pass

    @staticmethod
    def environment(store: Path) -> dict[str, str]:
        """None."""
        return {}

    def start(self, opening: Opening, identifier: str | None) -> str:
        """Begin nothing."""
        return ""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take nothing."""

    def finish(self, status: Status, step: int, metrics: Mapping[str, float]) -> None:
        """End nothing."""
