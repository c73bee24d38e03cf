"""Plans of runs and sweeps, made on the cluster that they would run on."""

import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray._private.state import state  # the only one that tells what an autoscaler may start; Ray Train asks it, too
from ray.exceptions import RayError

from polyray.cluster.preflight.checks import (
    Check,
    check_disk,
    check_memory,
    check_room,
    check_storage,
    check_token,
    check_url,
    check_versions,
)
from polyray.cluster.preflight.costs import Cost
from polyray.cluster.preflight.forecast import Forecast, Room, Start, forecast
from polyray.cluster.preflight.measuring import cost_of, measure
from polyray.cluster.preflight.nodes import facts_of_nodes
from polyray.cluster.preflight.outlined import outlined
from polyray.cluster.preflight.plan import Plan
from polyray.cluster.session import RaySession
from polyray.cluster.sweeping.planning import EVERY
from polyray.cluster.sweeping.resources import bundles_of, process_of
from polyray.config import Section
from polyray.runs.folder import RunFolder, new_run_folder
from polyray.runs.job import Job, Outline
from polyray.runs.store.remote import is_url
from polyray.sweeps.folder import SweepFolder, is_sweep
from polyray.sweeps.options import SweepOptions, searcher_of
from polyray.sweeps.space import config_value
from polyray.sweeps.trials import TrialRows

MEASURED = 4  # trials that are measured at once, at most
WAIT = 300.0  # seconds for the start of worker processes and the measurement in them


@dataclass(frozen=True, kw_only=True)
class _Work:
    """Run or sweep whose start is planned.

    Attributes:
        title: of the plan. name, job: of the job. configs: of the first trials. runs: that are left.
        options: of the sweep, or the usual ones. left_out: what a forecast leaves out.
        out, url: where the results go: a folder, or the URL of one.
        outline: where the run is made of smaller ones: `configs` has one of each portion.
    """

    title: str
    name: str
    job: Job
    configs: Sequence[Section]
    runs: int
    options: SweepOptions
    out: Path | None
    url: str = ""
    left_out: tuple[str, ...] = ()
    outline: Outline | None = None


def plan_run(name: str, job: Job, config: Section, out: str | None, address: str | None) -> Plan:
    """The plan of one run of `job`; nothing is written below `out`.

    Args:
        name: of the job. address: see `RaySession`.
        out: folder or URL of the run; None: a new folder in runs/.

    Raises:
        InputError: the config or the data are wrong, `out` holds something else, or no cluster answers.
    """
    folder = None if out is not None and is_url(out) else Path(out) if out is not None else new_run_folder(name)
    if folder is not None:
        RunFolder(path=folder, job=name, config=config, address=address).check()
    job.check(config)
    left_out = job.workload.left_out(config) if job.workload is not None else ()
    work = _Work(
        title=f"a run of {name} in {folder or out}", name=name, job=job, configs=[config], runs=1,
        options=SweepOptions(), out=folder, url=out if folder is None and out is not None else "", left_out=left_out,
    )  # fmt: skip
    return _plan(work if job.outline is None else _outlined_work(work, job.outline(config)), address)


def _outlined_work(work: _Work, outline: Outline) -> _Work:
    """A run that is made of smaller ones, of which one of each portion is measured."""
    return replace(
        work, outline=outline, configs=[portion.configs[0] for portion in outline.portions],
        runs=sum(len(portion.configs) for portion in outline.portions), options=SweepOptions(gpus=outline.gpus),
    )  # fmt: skip


def plan_sweep(sweep: SweepFolder, job: Job, address: str | None) -> Plan:
    """The plan of what is left of a sweep, of which the first trials are tried; nothing is written into its folder.

    Args:
        address: see `RaySession`.

    Raises:
        InputError: the folder holds something else, or no cluster answers.
    """
    sweep.check()
    rows, options = TrialRows(sweep), sweep.options
    n_ended = sum(row.has_ended for row in rows.read()) if is_sweep(sweep.path) else 0
    searcher = searcher_of(sweep.space, options)
    draws = (searcher.ask(number, []) for number in range(min(MEASURED, rows.planned)))
    configs = [sweep.config(job.Config, fields) for fields in draws if fields is not None]
    left_out = job.workload.left_out(configs[0]) if job.workload is not None else ()
    if options.scheduler != "none":
        left_out = (*left_out, f"time that {options.scheduler} saves by ending trials early")
    n_left = rows.planned - n_ended
    work = _Work(
        title=f"{n_left} trial(s) of {sweep.job} over {sweep.name} in {sweep.url or sweep.path}",
        name=sweep.job, job=job, configs=configs, runs=n_left * options.repeats, options=options,
        out=None if sweep.url else sweep.path,
        url=sweep.url, left_out=left_out,
    )  # fmt: skip
    return _plan(work, address)


def _plan(work: _Work, address: str | None) -> Plan:
    out = work.out.absolute() if work.out is not None else Path(tempfile.gettempdir())  # of working copies
    with _cluster(address) as ray_seconds:
        room, nodes = _room(), facts_of_nodes(out)
        bundles = bundles_of(work.configs[0], work.options)
        trial = {name: sum(bundle.get(name, 0.0) for bundle in bundles) for name in ("CPU", "GPU")}
        fits = check_room({n: a for n, a in trial.items() if a}, max(bundles, key=lambda b: sum(b.values())), room)
        storage = check_url(work.url) if work.url else check_storage(out, nodes)
        measured: Forecast | str | None = _forecast(work, room, trial, ray_seconds) if fits.holds else None
    expected = measured if isinstance(measured, Forecast) else None
    checks: list[Check | None] = [
        fits, check_versions(nodes), storage, check_disk(expected, nodes),
        check_memory(expected, nodes), check_token(address),
    ]  # fmt: skip
    counted = work.job.workload is not None or work.outline is not None
    note = "" if counted else f"No step of the job {work.name} is measured: no forecast."
    return Plan(
        title=work.title, checks=tuple(check for check in checks if check is not None), forecast=expected,
        problem=measured if isinstance(measured, str) else "", note=note,
    )  # fmt: skip


@contextmanager
def _cluster(address: str | None) -> Iterator[float]:
    """A Ray cluster as a run would have it: yields the seconds until it was there."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="polyray-plan-") as logs, RaySession(address, Path(logs)) as session:
        session.start()
        yield time.monotonic() - begun


def _room() -> Room:
    now, more = ray.cluster_resources(), state.get_max_resources_from_cluster_config() or {}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    ever = {name: max(now.get(name, 0.0), float(more.get(name, 0))) for name in {*now, *more}}
    return Room(
        now=now, ever=ever, nodes=nodes, grows=any(ever[n] > now.get(n, 0.0) for n in ("CPU", "GPU") if n in ever)
    )


def _forecast(work: _Work, room: Room, trial: Mapping[str, float], ray_seconds: float) -> Forecast | str | None:
    """The forecast; the reason where measuring failed; None where the job has no measure."""
    if (work.job.workload is None and work.outline is None) or not work.runs:
        return None
    at_once = _at_once(trial, room.ever)
    if work.options.concurrent:
        at_once = min(at_once, work.options.concurrent)
    n_tasks = max(1, min(len(work.configs), at_once, work.runs, _at_once(trial, room.now)))
    answers, seconds = _measured_all(work, n_tasks) if work.outline is not None else _measured(work, n_tasks)
    problems = [answer["problem"] for answer in answers if "problem" in answer]
    if problems or not answers or (work.outline is not None and len(answers) < len(work.configs)):
        waited = f"they and the start of a worker process took more than {WAIT:.0f} s; too long to be measured."
        return problems[0] if problems else waited
    costs: list[Cost] = [cost_of(answer) for answer in answers]
    start = Start(ray=ray_seconds, worker=max(0.0, seconds - max(answer["inside"] for answer in answers[:n_tasks])))
    per_node = max((_at_once(trial, node) for node in room.nodes), default=1)
    n_nodes = math.ceil(at_once / max(1, per_node)) if room.grows else len(room.nodes)
    if work.outline is not None:
        return outlined(costs, work.outline, start, at_once, n_nodes)
    return forecast(costs, start, work.runs, at_once, n_nodes, work.left_out)


def _measured_all(work: _Work, n_tasks: int) -> tuple[list[dict[str, Any]], float]:
    """Costs of all configs, so many at a time, in their order, and the seconds of the first ones."""
    answers: list[dict[str, Any]] = []
    seconds = 0.0
    for begin in range(0, len(work.configs), n_tasks):
        configs = work.configs[begin : begin + n_tasks]
        more, took = _measured(replace(work, configs=configs), len(configs))
        answers, seconds = [*answers, *more], seconds or took
    return answers, seconds


def _at_once(trial: Mapping[str, float], resources: Mapping[str, float]) -> int:
    """Trials for which there is room."""
    return min(int(resources.get(name, 0.0) // amount) for name, amount in trial.items() if amount)


def _measured_job(work: _Work) -> tuple[str, Job]:
    """Name and job of the runs that are measured, which are all of one job."""
    return (work.name, work.job) if work.outline is None else (work.outline.name, work.outline.job)


def _measured(work: _Work, n_tasks: int) -> tuple[list[dict[str, Any]], float]:
    """Costs of so many trials that are measured side by side, and the seconds until all were there."""
    begun, (cpus, gpus) = time.monotonic(), process_of(work.configs[0], work.options)
    remote: Any = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(measure)
    configs, (name, job) = work.configs[:n_tasks], _measured_job(work)
    tasks = [remote.remote(job, name, config, bool(config_value(config, EVERY))) for config in configs]
    ready, waiting = ray.wait(tasks, num_returns=len(tasks), timeout=WAIT)
    seconds = time.monotonic() - begun
    for task in waiting:
        ray.cancel(task, force=True)
    try:
        return [ray.get(task) for task in tasks if task in ready], seconds
    except RayError as error:
        return [{"problem": " ".join(str(error).split())[-300:]}], seconds
