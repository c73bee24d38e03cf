"""A run of a job, seen from inside: what it reports, its checkpoints, and where it goes on after an interruption."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from rich.console import Console

from polyray.errors import RunError
from polyray.files import make_folders, remove_folder
from polyray.files.disk import Point, disk
from polyray.progress import PROGRESS
from polyray.runs.checkpoint import clear_checkpoints, latest_checkpoint, write_checkpoint
from polyray.runs.metrics import METRICS, append_line, mend
from polyray.runs.restoring import restore_metrics
from polyray.runs.store.working import WorkingCopy

if TYPE_CHECKING:  # loaded with the first figure that is written
    from torch.utils.tensorboard import SummaryWriter

CHECKPOINTS, EVENTS, FILMS = "checkpoints", "tensorboard", "videos"  # folders of a run
STOP = "stop"
HEADLINES = ("loss", "success", "validation")  # metrics whose latest values stand in the progress file with the speed

Hook = Callable[[Mapping[str, Any]], object]


class Cluster(Protocol):
    """Processes that work for a run beside its own."""

    @property
    def inside(self) -> bool:
        """Whether the run's own process does what one process can do."""

    def start(self) -> None:
        """Start or join the cluster, unless that is done already.

        Raises:
            InputError: the cluster that the user named cannot be reached.
        """


class NoCluster:
    """The cluster of a run that nobody gave one."""

    inside = False

    def start(self) -> None:
        """Refuse.

        Raises:
            RunError: always.
        """
        raise RunError("This run has no cluster; `polyray run` gives one to the jobs that it starts.")


class Run:
    """A run in the folder `out`, or one phase of it; language and agents report and save through it.

    In a group of processes that train together every member has a Run on the same folder and calls it alike: the first
    one writes, all call the hooks.

    Attributes:
        out: the run folder.
        first: whether this process is the one that writes.
        stop_file: the run is asked to save a checkpoint and end once this file is there.
        console: where progress and tables go.
        cluster: other processes that can work for the run; none until a job starts it.
        store: the working copy that `out` is, or is in, where the run's folder is behind a URL; else None.
    """

    def __init__(
        self,
        out: Path,
        *,
        rank: int = 0,
        hooks: Sequence[Hook] = (),
        console: Console | None = None,
        cluster: Cluster | None = None,
        phase: str | None = None,
        stop_file: Path | None = None,
        store: WorkingCopy | None = None,
    ) -> None:
        """A run in the existing folder `out`.

        Args:
            rank: number of this process in its group, from 0.
            hooks: each is called with every line of metrics, such as Ray Train's report.
            console: None: nothing is shown.
            phase: name of the stretch of the run that this is; None: the whole run.
            stop_file: None: the file `stop` in `out`.

        Raises:
            ValueError: the phase's name is not made of small letters, digits and underscores.
        """
        if phase is not None and not re.fullmatch(r"[a-z0-9_]+", phase):
            raise ValueError(f"A phase's name has small letters, digits and underscores only, found {phase!r}.")
        self.out, self.first = out, rank == 0
        self.console = console if console is not None else Console(quiet=True)
        self.cluster: Cluster = cluster if cluster is not None else NoCluster()
        self.stop_file = stop_file if stop_file is not None else out / STOP
        self.store = store
        self._rank, self._hooks, self._phase = rank, tuple(hooks), phase
        self._events: SummaryWriter | None = None
        self._headlines: dict[str, Any] = {}

    def phase(self, name: str) -> Self:
        """A stretch of this run with checkpoints of its own, whose lines of metrics carry its name."""
        return type(self)(
            self.out, rank=self._rank, hooks=self._hooks, console=self.console, cluster=self.cluster, phase=name,
            stop_file=self.stop_file, store=self.store,
        )  # fmt: skip

    def within(self, name: str) -> Self:
        """A run in the folder `name` of this run, made if it is not there; it is asked to stop as this one is."""
        out = self.out / name
        make_folders(out)
        return type(self)(
            out, rank=self._rank, hooks=self._hooks, console=self.console, cluster=self.cluster,
            stop_file=self.stop_file, store=self.store,
        )  # fmt: skip

    def report(self, step: int, metrics: Mapping[str, Any], **speed: Any) -> None:
        """Write how the run stands after `step` steps, and tell the hooks.

        Args:
            metrics: one line of metrics.jsonl, the same in every run with the same config and seed; nested figures are
                allowed. Numbers go to TensorBoard, too.
            speed: what depends on the machine and the hour; it goes to the progress file only.
        """
        line = {**self._label, "step": step, **metrics}
        if self.first:
            append_line(self.out / METRICS, line)
            self._write_events(step, metrics)
            self._headlines |= {name: _headline(metrics[name]) for name in HEADLINES if name in metrics}
            append_line(self.out / PROGRESS, {**self._label, "step": step, **self._headlines, **speed})
        self.tell(line)

    def tell(self, line: Mapping[str, Any]) -> None:
        """Tell the hooks a line of metrics, which may be another process's of this run."""
        for hook in self._hooks:
            hook(line)

    def checkpoint(self, step: int, write: Callable[[Path], object]) -> None:
        """Save the state after `step` steps, whole or not at all; the newest two checkpoints stay.

        A run behind a URL is published with it.

        Args:
            write: fills the folder that it is called with; called in the first process only.

        Raises:
            StorageError: the disk or the storage refused.
        """

        def write_with_metrics(folder: Path) -> None:
            write(folder)
            lines = disk().read(self.out / METRICS) if disk().exists(self.out / METRICS) else b""
            disk().write(Point.CONTENT_WRITTEN, folder / METRICS, lines)

        if self.first:
            write_checkpoint(self._checkpoints, step, write_with_metrics)
            self.publish()

    def publish(self) -> None:
        """Publish what stands in the folder, where the run is behind a URL; a checkpoint does it by itself.

        Raises:
            StorageError: the storage refused.
        """
        if self.store is not None:
            self.store.publish()

    def restored(self) -> Path | None:
        """The newest whole checkpoint to go on from, None at the beginning; metrics.jsonl is what it was then.

        Damaged checkpoints are reported in the log and passed over.
        """
        checkpoint = latest_checkpoint(self._checkpoints)
        if self.first:
            if checkpoint is not None:
                clear_checkpoints(self._checkpoints, checkpoint)
            restore_metrics(self.out, self.out / CHECKPOINTS, self._phase, checkpoint)
            mend(self.out / PROGRESS)  # time that was spent stays in it
        return checkpoint

    def drop_checkpoints(self) -> None:
        """Remove the checkpoints of this phase, once one of a later phase has all that they are needed for.

        Raises:
            StorageError: the disk refused.
        """
        if self.first and disk().is_folder(self._checkpoints):
            remove_folder(self._checkpoints)

    @property
    def newest_checkpoint(self) -> Path | None:
        """The newest whole checkpoint; unlike `restored` it leaves everything as it is."""
        return latest_checkpoint(self._checkpoints)

    @property
    def stop_requested(self) -> bool:
        """Whether the user asks the run to save a checkpoint and end; members of a group agree on the answer first."""
        return self.stop_file.exists()

    @property
    def _label(self) -> dict[str, str]:
        return {} if self._phase is None else {"phase": self._phase}

    @property
    def _checkpoints(self) -> Path:
        return self.out / CHECKPOINTS / (self._phase or "")

    def _write_events(self, step: int, metrics: Mapping[str, Any]) -> None:
        if self._events is None:  # events after this step are of a process that was killed
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(self.out / EVENTS / (self._phase or "")), purge_step=step)
        for name, value in numbers(metrics):
            self._events.add_scalar(name, value, step)
        self._events.flush()


def _headline(figure: Any) -> Any:
    """A figure of its own, or the score among the figures of a validation."""
    return figure["score"] if isinstance(figure, Mapping) else figure


def numbers(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers among nested figures, as (SECTION/NAME, value)."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", float(value)
