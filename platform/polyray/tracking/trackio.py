"""trackio: runs of a project in local files, or wherever trackio's environment variables send them."""

from collections.abc import Mapping
from contextvars import Context, copy_context
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from polyray.config import NoOptions, Section
from polyray.files import make_folders
from polyray.runs.result import Status
from polyray.tracking.tracker import Opening


class TrackioTracker:
    """A run of trackio, in local files.

    trackio keeps its current run in a context variable, so each of these has a context of its own.
    """

    Options: ClassVar[type[Section]] = NoOptions
    package: ClassVar[str] = "trackio"
    install: ClassVar[str] = "trackio"

    def __init__(self, options: NoOptions) -> None:
        self._context: Context = copy_context()
        self._run: Any = None

    @staticmethod
    def environment(store: Path) -> dict[str, str]:
        """The folder of its database."""
        return {"TRACKIO_DIR": str(store / "trackio")}

    def start(self, opening: Opening, identifier: str | None) -> str:
        """Begin a run, or go on with the one of this name: a name is what trackio finds a run by."""
        import trackio

        make_folders(Path(opening.store))
        identifier = identifier if identifier is not None else f"{opening.name}-{uuid4().hex[:8]}"
        self._run = self._context.run(
            trackio.init,
            project=opening.project,
            name=identifier,
            group=opening.group or None,
            config={**opening.parameters, **opening.tags},
            resume="allow",
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )
        return identifier

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of a step."""
        self._run.log(dict(metrics), step=step)

    def finish(self, status: Status, step: int, metrics: Mapping[str, float]) -> None:
        """End the run with its result."""
        self.log(step, metrics)
        self._context.run(self._run.finish)
