"""The planted suite in a sweep: its tiny backbone has random weights and must learn together with its skills."""

from collections.abc import Mapping

from polyray.sweeps.fields import Value

PLANTED: Mapping[str, Value] = {
    "modules.sites": ("ffn",),
    "training.backbone_lr": 3e-3,
    "training.beta2": 0.99,
    "training.steps": 400,
}
"""Settings under which its tasks are learned in some seconds."""
