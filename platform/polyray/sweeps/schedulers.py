"""Schedulers: the ways to end trials early, or to change them while they run, by name. Ray Tune's do the work."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scheduler:
    """A scheduler that a sweep can choose.

    Attributes:
        about: one line.
        reads: the fields of `SweepOptions` that it reads, of those that not all read.
        judges: whether it is told the validations of trials and may stop them.
        population: whether trials go on from each other's states with changed fields.
    """

    about: str
    reads: tuple[str, ...]
    judges: bool = False
    population: bool = False


SCHEDULERS: dict[str, Scheduler] = {
    "none": Scheduler(about="lets every trial run to its end", reads=("repeats",)),
    "asha": Scheduler(
        about="stops all but the best 1/factor of the trials at each rung (Li et al. 2020, arXiv:1810.05934)",
        reads=("repeats", "grace", "factor"),
        judges=True,
    ),
    "median": Scheduler(
        about="stops a trial whose best score is below the median of the others' averages (Golovin et al. 2017)",
        reads=("repeats", "grace"),
        judges=True,
    ),
    "pbt": Scheduler(
        about="trials behind copy one ahead and change its rates at random (Jaderberg et al. 2017, arXiv:1711.09846)",
        reads=("seed", "interval", "quantile", "resample"),
        population=True,
    ),
    "pb2": Scheduler(
        about="as pbt, with rates that a model of their gains proposes (Parker-Holder et al. 2020, arXiv:2002.02518)",
        reads=("seed", "interval", "quantile"),
        population=True,
    ),
}
