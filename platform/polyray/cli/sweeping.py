"""The command `polyray sweep`."""

import os
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from polyray.cli.arguments import Dashboard, JobName, Planned, sweep_settings, typed
from polyray.cli.placing import placed
from polyray.cli.planning import check_plan, show_plan
from polyray.cluster.submission.driver import submitted_metadata
from polyray.errors import InputError
from polyray.lookup import lookup


def sweep(
    job: JobName,
    space: Annotated[
        str, typer.Argument(metavar="SPACE", help="Name of a space (`polyray list spaces`), or your own YAML file.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[section.key=value]...", help="Fields of the job that all trials share, and sweep.* options."
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option(metavar="N", help="Configurations to try: sweep.trials.")] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL",
            help="Folder (default: runs/sweep-JOB-TIME), or a URL such as s3://BUCKET/SWEEP; a sweep there goes on.",
        ),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join (default: a local one for this sweep alone).")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML with the job's config, from which all trials start.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="S", help="Time after which the sweep ends: sweep.seconds.")
    ] = None,
    dashboard: Dashboard = False,
    only_plan: Planned = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --plan: print it as one JSON document.")] = False,
) -> None:
    """Try many configurations of a job, and find the best."""
    if as_json and not only_plan:
        raise InputError("--json goes with --plan here; a sweep writes sweep.json into its folder.")
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # read when Ray is imported: Tune's thread must not start it again
    entry = lookup(import_module("polyray.jobs.table").JOBS, job, "job")
    loading = import_module("polyray.tune_spaces.loading")
    settings = sweep_settings(overrides or (), trials, seconds)
    options, for_job = import_module("polyray.sweeps.options").read_options(loading.find_space(space), settings)
    chosen = loading.load_space(space, job, entry.Config, config, for_job)
    storage = import_module("polyray.cluster.sweeping.storage")
    console = Console(stderr=as_json)
    ways = {"covers": storage.is_ours, "reads": import_module("polyray.runs.store.following").is_light}
    with placed(out, f"sweep-{job}", console, writes=not only_plan, **ways) as (path, store):
        plan = import_module("polyray.cluster.sweeping.planning").plan
        planned = plan(
            path, job, entry, space, chosen, options, file=config, overrides=chosen.overrides(for_job),
            url=store.url if store is not None else "",
        )  # fmt: skip
        if only_plan:
            planning = import_module("polyray.cluster.preflight.planning")
            show_plan(lambda: planning.plan_sweep(planned, entry, address), as_json=as_json)
        if submitted_metadata() and not import_module("polyray.sweeps.folder").is_sweep(path):
            planning = import_module("polyray.cluster.preflight.planning")
            check_plan(lambda: planning.plan_sweep(planned, entry, address))
        command = typed(
            ["sweep", job, space, *settings], {"--config": config, "--out": out or path, "--address": address}
        )
        import_module("polyray.cluster.sweeping.driver").SweepRun(
            sweep=planned, job=entry, console=console, address=address, command=command, dashboard=dashboard,
            store=store,
        ).run()  # fmt: skip
