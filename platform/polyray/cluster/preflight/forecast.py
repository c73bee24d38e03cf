"""The time, memory and disk of a run or a sweep, out of the measured cost of a few of its trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from polyray.cluster.preflight.costs import Cost

GAP = 0.15  # seconds between two trials on one worker
HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Room:
    """Resources of a cluster.

    Attributes:
        now: of all nodes. ever: at most, when it has grown. nodes: of each node that is there.
        grows: whether it can start nodes.
    """

    now: Mapping[str, float]
    ever: Mapping[str, float]
    nodes: Sequence[Mapping[str, float]] = ()
    grows: bool = False


@dataclass(frozen=True, kw_only=True)
class Start:
    """Times that are spent once.

    Attributes:
        ray: until Ray was there. worker: until a worker process had imported Polyray.
    """

    ray: float
    worker: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Cost of a run, or of a whole sweep.

    Attributes:
        runs: trials times repeats that are left.
        at_once: runs at a time. at_once_on_a_node: of them, on one node.
        n_nodes: nodes that work for it.
        step: seconds of one step of one trial. steps: of one trial.
        trial: seconds of one run. seconds: of everything, start included.
        memory: bytes of one run's process. disk: bytes of everything.
        left_out: what is not in it.
        portions: a line on each sort of runs, where there are several.
    """

    runs: int
    at_once: int
    at_once_on_a_node: int
    n_nodes: int
    step: float
    steps: int
    trial: float
    seconds: float
    memory: float
    disk: float
    left_out: tuple[str, ...] = field(default=())
    portions: tuple[str, ...] = field(default=())

    @property
    def node_hours(self) -> float:
        """Hours of all nodes together."""
        return self.seconds * self.n_nodes / HOUR


def forecast(
    costs: Sequence[Cost], start: Start, runs: int, at_once: int, n_nodes: int, left_out: tuple[str, ...] = ()
) -> Forecast:
    """The cost of `runs` runs that cost on average what a few of them did.

    Worker processes keep data and backbone, so that only the first run in each sets everything up. At the end some
    workers have nothing left to do: on average for half a run.

    Args:
        at_once: runs at a time.
        n_nodes: nodes among which they are shared.
        left_out: what the costs leave out.
    """
    at_once = max(1, min(at_once, runs))
    trial = fmean(cost.seconds() for cost in costs)
    extra = fmean(cost.seconds(first=True) for cost in costs) - trial
    tail = trial / 2 if runs % at_once else 0.0
    working = runs / at_once * trial + max(0, -(-runs // at_once) - 1) * GAP + tail
    n_nodes = max(1, min(n_nodes, at_once))
    first = costs[0]
    return Forecast(
        runs=runs, at_once=at_once, at_once_on_a_node=-(-at_once // n_nodes), n_nodes=n_nodes,
        step=fmean(cost.later.step / cost.stride for cost in costs), steps=first.amounts.steps, trial=trial,
        seconds=start.ray + start.worker + max(0.0, extra) + working, memory=max(cost.memory for cost in costs),
        disk=runs * fmean(cost.disk for cost in costs), left_out=left_out,
    )  # fmt: skip
