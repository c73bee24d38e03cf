"""The share of a cluster that one trial takes, with the processes that it starts beside its own."""

import ray
from ray.tune import PlacementGroupFactory

from polyray.config import Section
from polyray.sweeps.options import SweepOptions
from polyray.sweeps.space import config_value

AHEAD = 20  # trials that wait at a time where the cluster may grow, so that nodes for all of them start at once
ALMOST_NONE = {"memory": float(1 << 20)}  # of a trial that waits for its own group of workers: Tune refuses nothing at
# all, and a hundredth of a core would keep a group that wants all cores waiting for ever


def resources_of(base: Section, options: SweepOptions) -> PlacementGroupFactory:
    """Room for a trial: for its process, and for the actors of an agent; Ray Train claims that of its workers itself.

    Args:
        base: config of the job.
    """
    process = {"CPU": options.cpus, **_gpus(options.gpus)} if _workers(base) is None else ALMOST_NONE
    actors = [{"CPU": 1.0}] * int(_number(base, "workers.runners"))
    learners = [{"CPU": 1.0, **_gpus(_number(base, "workers.gpus"))}] * int(_number(base, "workers.learners"))
    return PlacementGroupFactory([process, *actors, *learners])


def bundles_of(base: Section, options: SweepOptions) -> list[dict[str, float]]:
    """The resources of each process of a trial, its group of Ray Train workers among them."""
    n = int(_number(base, "workers.n")) if _workers(base) is not None else 0
    worker = {"CPU": _number(base, "workers.cpus"), **_gpus(_number(base, "workers.gpus"))}
    bundles = [dict(bundle) for bundle in resources_of(base, options).bundles]
    return [*(bundle for bundle in bundles if bundle != ALMOST_NONE), *([worker] * n)]


def process_of(base: Section, options: SweepOptions) -> tuple[float, float]:
    """CPUs and GPUs of the process that trains, or of one of them."""
    if _workers(base) is None:
        return options.cpus, options.gpus
    return _number(base, "workers.cpus"), _number(base, "workers.gpus")


def at_once(base: Section, options: SweepOptions) -> int | None:
    """Trials at a time; None: as many as there is room for. Groups of workers would wait for each other else."""
    workers = _workers(base)
    if options.concurrent or workers is None:
        return options.concurrent or None
    room = ray.cluster_resources()
    return max(1, int(min(room.get(name, 0.0) // amount for name, amount in workers.items())))


def ahead(options: SweepOptions, learns: bool) -> int | None:
    """Trials that are drawn before there is room for them; None: Ray Tune's choice, which is one without a limit.

    Args:
        learns: whether the searcher does: then what is drawn ahead of the outcomes is drawn worse.
    """
    return None if options.concurrent or learns else AHEAD


def has_group(base: Section) -> bool:
    """Whether a trial has a group of Ray Train workers, and does not train in its own process."""
    return _workers(base) is not None


def _workers(base: Section) -> dict[str, float] | None:
    """The resources of a trial's group of Ray Train workers; None where it trains in its own process."""
    n, gpus = _number(base, "workers.n"), _number(base, "workers.gpus")
    if n == 0 or (n == 1 and not gpus):
        return None
    return {"CPU": n * _number(base, "workers.cpus"), **_gpus(n * gpus)}


def _number(base: Section, name: str) -> float:
    """The number under a dotted name; 0 where the job has no such field."""
    value = config_value(base, name)
    return float(value) if isinstance(value, int | float) else 0.0


def _gpus(gpus: float) -> dict[str, float]:
    return {"GPU": gpus} if gpus else {}
