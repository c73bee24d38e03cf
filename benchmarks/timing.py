"""Times of variants of one computation, taken in turn, so that ratios hold whatever else the machine does."""

import statistics
import time
from collections.abc import Callable

import torch

Step = Callable[[], None]
CPU = torch.device("cpu")


def measure(
    steps: dict[str, Step], rounds: int, device: torch.device = CPU, until: float = float("inf")
) -> dict[str, float]:
    """Median milliseconds of each variant, taken in turn after three rounds that are not counted.

    Args:
        until: time of `time.monotonic` after which no further round begins, once one was counted.
    """
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 3):
        if number > 3 and time.monotonic() > until:
            break
        for name, step in steps.items():
            clock = time.process_time if device.type == "cpu" else _synchronised
            started = clock()
            step()
            if number >= 3:
                times[name].append(1000 * (clock() - started))
    return {name: statistics.median(values) for name, values in times.items()}


def _synchronised() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()
