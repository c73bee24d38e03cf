"""A run in the terminal, followed by the files that it writes."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from polyray.progress import PROGRESS, last_line
from polyray.reports.console import print_note
from polyray.runs.folder import LOCK, job_of
from polyray.runs.locking import is_locked
from polyray.runs.result import read_result
from polyray.runs.run import numbers


def watch_run(
    folder: Path, console: Console, is_at_work: Callable[[], bool] | None = None, *, seconds: float = 1.0
) -> None:
    """Show the last line of a run's progress until no process is at work on it, then how it ended.

    Args:
        is_at_work: whether one is; None: look at the folder's lock.
        seconds: between two looks.

    Raises:
        InputError: the folder holds no run.
    """
    job, shown, running = job_of(folder), "", True
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while running:
            running = is_at_work() if is_at_work is not None else is_locked(folder / LOCK)
            text = f"{job}: {_text(last_line(folder / PROGRESS))}"
            if console.is_terminal:
                live.update(Text(text), refresh=True)
            elif text != shown:
                print_note(console, text)
            shown = text
            time.sleep(seconds if running else 0)
    result = read_result(folder)
    end = f"It is {result['status']}." if result is not None else "No process is at work on it, and it has not ended."
    print_note(console, f"{shown}. {end}")


def _text(line: Mapping[str, Any] | None) -> str:
    """A line of the progress file in words."""
    if line is None:
        return "no step yet"
    return ", ".join(f"{name.replace('/', ' ')} {value:.6g}" for name, value in numbers(line))
