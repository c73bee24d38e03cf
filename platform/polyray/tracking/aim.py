"""Aim: runs of a repository on this machine, or of an Aim server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from polyray.config import Section
from polyray.files import make_folders
from polyray.runs.result import Status
from polyray.tracking.tracker import Opening


class AimOptions(Section):
    """Repository in which Aim keeps runs."""

    repo: str = ""
    """Folder of the repository, or the address of a server, aim://host:port. Empty: tracking/aim in the folder of the
    run or sweep."""


class AimTracker:
    """A run of Aim, in a local repository or on an Aim server."""

    Options: ClassVar[type[Section]] = AimOptions
    package: ClassVar[str] = "aim"
    install: ClassVar[str] = "aim"

    def __init__(self, options: AimOptions) -> None:
        self._options = options
        self._run: Any = None

    @staticmethod
    def environment(store: Path) -> dict[str, str]:
        """No report of use to its makers."""
        return {"AIM_UI_TELEMETRY_ENABLED": "0"}

    def start(self, opening: Opening, identifier: str | None) -> str:
        """Begin a run, or go on with one; only one process at a time writes a run folder, so old locks are void."""
        import aim

        repo = self._options.repo or str(Path(opening.store) / "aim")
        if "://" not in repo:
            make_folders(Path(repo))
        self._run = aim.Run(
            run_hash=identifier,
            repo=repo,
            experiment=opening.project,
            force_resume=identifier is not None,
            system_tracking_interval=None,
            log_system_params=False,
            capture_terminal_logs=False,
        )
        if identifier is None:
            self._run.name = opening.name
            self._run["hparams"] = dict(opening.parameters)
            self._run["tags"] = {**opening.tags, **({"sweep": opening.group} if opening.group else {})}
            if opening.group:
                self._run.add_tag(opening.group)
        return str(self._run.hash)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of a step."""
        for name, value in metrics.items():
            self._run.track(value, name=name, step=step)

    def finish(self, status: Status, step: int, metrics: Mapping[str, float]) -> None:
        """End the run with its result."""
        self.log(step, metrics)
        self._run["status"] = status
        self._run.close()
