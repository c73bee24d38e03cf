"""The commands `polyray watch`, `polyray report` and `polyray grafana`: runs and sweeps shown to people."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module, resources
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

Place = Annotated[
    str, typer.Argument(metavar="DIR|URL", help="Folder of a run or a sweep, or its URL, at work or not.")
]


def watch(folder: Place) -> None:
    """Show in the terminal how a sweep or a run gets on, from the files in its folder."""
    try:
        with _seen(folder) as (path, is_at_work):
            if import_module("polyray.sweeps.folder").is_sweep(path):
                trials = import_module("polyray.sweeps.trials")
                sweep = import_module("polyray.sweeps.folder").open_sweep(path)
                rows = trials.TrialRows(sweep)
                show = import_module("polyray.reports.sweep.display").watch
                running = is_at_work if is_at_work is not None else (lambda: None)
                show(lambda: trials.record_of(sweep, rows, running()), Console())
            else:
                import_module("polyray.reports.watching").watch_run(path, Console(), is_at_work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def report(
    folder: Place,
    to: Annotated[
        Path | None, typer.Option(help="Folder for the page of a run behind a URL (default: the current one).")
    ] = None,
) -> None:
    """Compose report.html anew from the files in a folder, or that of a run behind a URL in a folder here."""
    remote = import_module("polyray.runs.store.remote").is_url(folder)
    if to is not None and not remote:
        raise import_module("polyray.errors").InputError(f"--to goes with a URL; the page of {folder} stays there.")
    with _seen(folder) as (path, is_at_work):
        if import_module("polyray.sweeps.folder").is_sweep(path):
            sweep = import_module("polyray.sweeps.folder").open_sweep(path)
            running = is_at_work() if is_at_work is not None else None
            record = import_module("polyray.sweeps.trials").record_of(sweep, running=running)
            import_module("polyray.sweeps.outcome").write_outcome(record)
            page = import_module("polyray.reports.sweep.report").write_sweep_report(record)
        else:
            page = import_module("polyray.reports.report").write_report(path)
        typer.echo(_brought_home(page, to or Path()) if remote else page)


@contextmanager
def _seen(folder: str) -> Iterator[tuple[Path, Callable[[], bool] | None]]:
    """A folder of a run, and whether a process is at work on it, where that does not show in the folder itself.

    Raises:
        InputError: there is no run behind the URL, or its storage cannot be reached.
    """
    if not import_module("polyray.runs.store.remote").is_url(folder):
        yield Path(folder), None
        return
    with import_module("polyray.runs.store.following").following(folder) as run:
        yield run.folder, run.refresh


def _brought_home(page: Path, folder: Path) -> Path:
    """The page of a working copy, which goes with it, as a file named after the run."""
    files, target = import_module("polyray.files"), folder / f"{page.parent.name}-{page.name}"
    files.make_folders(folder)
    files.write_file(target, page.read_bytes())
    return target


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
