"""The table of experiment trackers."""

from polyray.tracking.aim import AimTracker
from polyray.tracking.mlflow import MlflowTracker
from polyray.tracking.tracker import NoTracker, Tracker
from polyray.tracking.trackio import TrackioTracker
from polyray.tracking.wandb import WandbTracker

TRACKERS: dict[str, type[Tracker]] = {
    "none": NoTracker,
    "mlflow": MlflowTracker,
    "wandb": WandbTracker,
    "aim": AimTracker,
    "trackio": TrackioTracker,
}
