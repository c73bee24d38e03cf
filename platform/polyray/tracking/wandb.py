"""Weights & Biases: runs of a project on its server, or in local files that `wandb sync` sends later."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal
from uuid import uuid4

from polyray.config import Section
from polyray.files import make_folders
from polyray.runs.result import Status
from polyray.tracking.tracker import Opening


class WandbOptions(Section):
    """Account and mode of Weights & Biases."""

    entity: str = ""
    """Team or user that the project belongs to; empty: your own."""
    mode: Literal["", "online", "offline"] = ""
    """Send everything at once, or write files for `wandb sync` into the folder `tracking` of the run or sweep. Empty:
    as WANDB_MODE says, else online."""


class WandbTracker:
    """A run of Weights & Biases, on its server or in local files for `wandb sync`."""

    Options: ClassVar[type[Section]] = WandbOptions
    package: ClassVar[str] = "wandb"
    install: ClassVar[str] = "wandb"

    def __init__(self, options: WandbOptions) -> None:
        self._options = options
        self._run: Any = None

    @staticmethod
    def environment(store: Path) -> dict[str, str]:
        """Quiet, and no report of errors to its makers."""
        return {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}

    def start(self, opening: Opening, identifier: str | None) -> str:
        """Begin a run, or go on with one."""
        import wandb

        store = Path(opening.store)
        make_folders(store)
        identifier = identifier if identifier is not None else uuid4().hex[:16]
        self._run = wandb.init(
            entity=self._options.entity or None,
            project=opening.project,
            name=opening.name,
            id=identifier,
            group=opening.group or None,
            tags=sorted(f"{name}:{value}"[:64] for name, value in opening.tags.items()),
            config=dict(opening.parameters),
            dir=store,
            mode=self._options.mode or _mode(),
            resume="allow",
            reinit="create_new",  # several runs at a time
            settings=wandb.Settings(
                console="off", init_timeout=20, disable_git=True, disable_code=True,
                x_disable_stats=True, x_disable_meta=True,  # they would be those of the tracker's process
            ),
        )  # fmt: skip
        self._run.define_metric("*", step_metric="step")  # its own steps may not repeat
        return identifier

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of a step."""
        self._run.log({"step": step, **metrics})

    def finish(self, status: Status, step: int, metrics: Mapping[str, float]) -> None:
        """Put the result into the run's summary and end it."""
        for name, value in metrics.items():
            self._run.summary[name] = value
        self._run.finish(exit_code=0 if status == "done" else 1)


def _mode() -> Literal["online", "offline"]:
    return "offline" if os.environ.get("WANDB_MODE") == "offline" else "online"
