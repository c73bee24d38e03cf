"""The commands `polyray watch`, `polyray report` and `polyray grafana`: runs and sweeps shown to people."""

from importlib import import_module, resources
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def watch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a sweep or a run, at work or not.")],
) -> None:
    """Show in the terminal how a sweep or a run gets on, from the files in its folder."""
    try:
        if import_module("polyray.sweeps.folder").is_sweep(folder):
            trials = import_module("polyray.sweeps.trials")
            sweep = import_module("polyray.sweeps.folder").open_sweep(folder)
            rows = trials.TrialRows(sweep)
            show = import_module("polyray.reports.sweep.display").watch
            show(lambda: trials.record_of(sweep, rows), Console())
        else:
            import_module("polyray.reports.watching").watch_run(folder, Console())
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run or a sweep, ended or not.")],
) -> None:
    """Compose report.html anew from the files in a folder."""
    if import_module("polyray.sweeps.folder").is_sweep(folder):
        record = import_module("polyray.sweeps.trials").record_of(
            import_module("polyray.sweeps.folder").open_sweep(folder)
        )
        import_module("polyray.sweeps.outcome").write_outcome(record)
        typer.echo(import_module("polyray.reports.sweep.report").write_sweep_report(record))
    else:
        typer.echo(import_module("polyray.reports.report").write_report(folder))


def grafana(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for two JSON files; made if it is not there.")],
) -> None:
    """Write Grafana's dashboards of runs and of sweeps, ready to import."""
    files = import_module("polyray.files")
    files.make_folders(folder)
    for source in sorted(resources.files("polyray.cluster.monitoring").joinpath("grafana").iterdir(), key=str):
        target = folder / f"polyray-{source.name}"
        files.write_file(target, source.read_text(encoding="utf-8"))
        typer.echo(target)
