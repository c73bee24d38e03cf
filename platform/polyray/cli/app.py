"""The command `polyray`."""

import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from polyray import __version__
from polyray.cli import backbones as cli_backbones
from polyray.cli import skills as cli_skills
from polyray.cli.arguments import AsJson, Dashboard, JobName, Planned, typed
from polyray.cli.cluster_jobs import fetch, jobs, logs, status, stop
from polyray.cli.clusters import cluster_files
from polyray.cli.placing import placed
from polyray.cli.planning import show_plan
from polyray.cli.predicting import predict
from polyray.cli.submitting import submit
from polyray.cli.sweeping import sweep
from polyray.cli.terminal import losable_output
from polyray.cli.tracking import track
from polyray.cli.watching import grafana, report, watch
from polyray.cluster.submission.driver import check_same_version
from polyray.config import describe_config, load_config
from polyray.errors import PolyrayError
from polyray.lookup import lookup

# Where each table is. They are imported by name, when a command asks for one, because torch, transformers and Ray take
# seconds to import, and help and a mistyped command should not wait for them.
TABLES: dict[str, tuple[str, str]] = {
    "jobs": ("polyray.jobs.table", "JOBS"),
    "tasks": ("polyray.tasks", "TASKS"),
    "objectives": ("polyray.objectives", "OBJECTIVES"),
    "backbones": ("polyray.backbones", "BACKBONES"),
    "modules": ("polyray.modules.kinds", "MODULES"),
    "methods": ("polyray.training.tuning.table", "TUNINGS"),
    "systems": ("polyray.responding.table", "SYSTEMS"),
    "routers": ("polyray.routing", "ROUTERS"),
    "merges": ("polyray.merging", "MERGES"),
    "metrics": ("polyray.metrics", "METRICS"),
    "levels": ("polyray.envs.levels", "ABOUT"),
    "spaces": ("polyray.tune_spaces", "SPACES"),
    "trackers": ("polyray.tracking.table", "TRACKERS"),
    "searchers": ("polyray.sweeps.searchers", "SEARCHERS"),
    "schedulers": ("polyray.sweeps.schedulers", "SCHEDULERS"),
}

app = typer.Typer(
    name="polyray",
    help="Train, route, evaluate and share skills: small modules on a pretrained backbone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(cli_skills.app, name="skills")
app.add_typer(cli_backbones.app, name="backbones")
app.command()(predict)
app.command()(submit)
app.command()(jobs)
app.command()(status)
app.command()(logs)
app.command()(stop)
app.command()(fetch)
app.command()(track)
app.command()(sweep)
app.command()(watch)
app.command()(report)
app.command()(cluster_files)
app.command()(grafana)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line with `arguments` (None: the process's own) and end the process with its exit code.

    0: done, 1: the run failed, 2: the input was wrong, 128 + N: interrupted by signal N (Ctrl-C: 130).
    """
    with losable_output():
        try:
            app(args=arguments, prog_name="polyray")
        except PolyrayError as error:
            typer.echo(f"polyray: {error}", err=True)
            sys.exit(error.exit_code)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"polyray {__version__}")
        raise typer.Exit


@app.callback()
def polyray(
    version: Annotated[  # its callback acts before any command begins
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train, route, evaluate and share skills: small modules on a pretrained backbone."""
    check_same_version()


@app.command()
def run(
    job: JobName,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[section.key=value]...", help="Fields to set, after those of the file."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML with the job's config; `polyray describe JOB` prints one.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL",
            help="Run folder (default: runs/JOB-TIME), or a URL such as s3://BUCKET/RUN; an unfinished run is resumed.",
        ),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join (default: a local one for this run alone).")
    ] = None,
    dashboard: Dashboard = False,
    plan: Planned = False,
    as_json: AsJson = False,
) -> None:
    """Run a job and write its folder."""
    entry = lookup(_table("jobs"), job, "job")
    settings = load_config(entry.Config, config, overrides or ())
    if plan:
        show_plan(
            lambda: import_module("polyray.cluster.preflight.planning").plan_run(job, entry, settings, out, address),
            as_json=as_json,
        )
    console = Console(stderr=as_json)
    with ExitStack() as stack:
        with redirect_stdout(sys.stderr if as_json else sys.stdout):  # so that no library's chatter gets into the JSON
            folder, store = stack.enter_context(placed(out, job, console))
            import_module("polyray.cluster.launch").run_job(
                job,
                entry,
                settings,
                folder,
                address,
                console,
                typed(["run", job, *(overrides or ())], {"--config": config, "--out": out, "--address": address}),
                store,
                dashboard=dashboard,
            )
        if as_json:
            typer.echo((folder / "result.json").read_text(encoding="utf-8"), nl=False)


@app.command("list")
def list_entries(
    table: Annotated[str, typer.Argument(metavar="TABLE", help=f"One of: {', '.join(TABLES)}.")],
    as_json: AsJson = False,
) -> None:
    """List what a config can name, or the jobs."""
    lookup(TABLES, table, "table")
    entries = {name: _about(entry) for name, entry in _table(table).items()}
    if as_json:
        typer.echo(json.dumps(entries, indent=2, ensure_ascii=False))
        return
    width = max(map(len, entries), default=0)
    for name, about in entries.items():
        typer.echo(f"{name:{width}}  {about}".rstrip())


@app.command()
def describe(job: JobName) -> None:
    """Print a job's config with all its defaults as commented YAML, ready to edit."""
    entry = lookup(_table("jobs"), job, "job")
    typer.echo(
        f"# {entry.about}\n# Run it: polyray run {job} --config THIS_FILE\n{describe_config(entry.Config)}", nl=False
    )


@app.command("describe-space")
def describe_space(
    space: Annotated[
        str, typer.Argument(metavar="SPACE", help="Name of a space (`polyray list spaces`), or a file with your own.")
    ],
) -> None:
    """Print a space, the fields that a sweep may vary and their ranges, as YAML, ready to edit."""
    described = import_module("polyray.tune_spaces.loading").find_space(space)
    if described.job:
        entry = lookup(_table("jobs"), described.job, "job")
        import_module("polyray.sweeps.checking").check_names(described, entry.Config)
    typer.echo(import_module("polyray.sweeps.writing").dump_space(described), nl=False)


def _table(name: str) -> Mapping[str, Any]:
    module, attribute = TABLES[name]
    table: Mapping[str, Any] = vars(import_module(module))[attribute]
    return table


def _about(entry: Any) -> str:
    """One line on an entry of any table: its own text, or the first line of its documentation."""
    if isinstance(entry, str):
        return entry
    about = vars(entry).get("about") if not inspect.isroutine(entry) and not inspect.isclass(entry) else None
    return about if isinstance(about, str) else (inspect.getdoc(entry) or "").partition("\n")[0]
