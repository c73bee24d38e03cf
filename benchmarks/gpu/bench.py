"""Device, sizes and time of a part of the benchmark."""

import time
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The device, the sizes and the time of a part.

    small: sizes at which a CPU takes seconds, to see that everything runs.
    until: time of `time.monotonic` after which no further round begins.
    """

    device: torch.device
    small: bool
    until: float

    @property
    def seconds(self) -> float:
        """Seconds that are left, at least one."""
        return max(1.0, self.until - time.monotonic())

    def now(self) -> float:
        """Seconds of a clock, once the device has done what it was asked to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()
