"""The section `tracking` of every job."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TypeVar

from pydantic import Field

from polyray.config import Choice, Section
from polyray.errors import InputError
from polyray.tracking.table import TRACKERS
from polyray.tracking.tracker import Tracker

AConfig = TypeVar("AConfig", bound=Section)


class TrackingOptions(Choice):
    """The experiment tracker that is told how a run or a sweep goes; keys and passwords stand in its own variables."""

    table = TRACKERS
    noun = "tracker"
    observing = True

    kind: str = "none"
    """none, mlflow, wandb, aim or trackio."""
    project: str = Field("polyray", min_length=1)
    """Project or experiment that the run belongs to."""
    name: str = ""
    """The run's name at the tracker; empty: that of its folder."""
    tags: dict[str, str] = Field(default_factory=dict)
    """Words to search by, {name: value}; the job and the folder are always among them."""

    def unread(self) -> Mapping[str, str]:
        """All fields but the kind, where there is nobody to tell."""
        if self.tracker.package:
            return {}
        return dict.fromkeys(("project", "name", "tags"), f"tracking.kind is {self.kind}")

    @property
    def tracker(self) -> type[Tracker]:
        """The class of the tracker runs."""
        return TRACKERS[self.kind]

    def check(self) -> None:
        """Look for the tracker's library.

        Raises:
            InputError: it is not installed.
        """
        package = self.tracker.package
        if package and find_spec(package) is None:
            raise InputError(
                f"tracking.kind={self.kind} needs the package {package}, which is not installed: pip install "
                f"{self.tracker.install}, or choose another tracking.kind."
            )


def tracking_of(config: Section) -> TrackingOptions:
    """The section of this kind in a job's config; that without a tracker where the job has none."""
    return next((value for value in vars(config).values() if isinstance(value, TrackingOptions)), TrackingOptions())


def untracked(config: AConfig) -> AConfig:
    """`config` without a tracker, for a run that another process follows, such as a trial."""
    return config.model_copy(
        update={name: TrackingOptions() for name, value in vars(config).items() if isinstance(value, TrackingOptions)}
    )
